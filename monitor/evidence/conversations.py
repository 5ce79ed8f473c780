"""The conversations of a capture or a capsule: one record a connection, the heaviest first."""

import stat
from collections.abc import Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import polars as pl

from monitor.capture import Capture
from monitor.config import Config, Network
from monitor.errors import InputError
from monitor.evidence import flow_record
from monitor.evidence.alert_flows import as_records, connections
from monitor.evidence.capsule import FLOWS
from monitor.units import format_bytes

KEPT = 20_000  # connections of a capture that are told apart
_LARGEST_FLOWS = 256 << 20  # bytes of a capsule's flows that are read


def of_capture(
    path: Path, config: Config, gateways: Sequence[Network]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Read a capture through the hot path; gives records and one-line warnings.

    Raises InputError where it is no capture. Of more connections than `KEPT` the heaviest stand.
    """
    capture = Capture.of_files(
        [str(path)], config.networks.local, gateways, config.tick, memory=config.capture.memory
    )
    table = pl.DataFrame()
    warnings: list[str] = []
    left_out = out = come = 0
    capture.start()
    try:
        for drain in capture:
            warnings += drain.counters.warnings
            if drain.flows.height:
                new = connections([drain.flows.frame])
                table = connections([table, new]) if table.height else new
            if table.height > KEPT:
                ordered = _heaviest(table)
                table, rest = ordered.head(KEPT), ordered.slice(KEPT)
                left_out += rest.height
                out += int(rest["payload_out"].sum())
                come += int(rest["payload_in"].sum())
    finally:
        capture.close()
    if left_out:
        sums = f"{format_bytes(out)} of payload out and {format_bytes(come)} in"
        lightest = f"{left_out:,} connections with the fewest bytes had no room"
        warnings.append(f"{lightest}: {sums} are in no number here")
    return as_records(_heaviest(table)), warnings


def of_capsule(folder: Path) -> list[dict[str, Any]]:
    """Read the flows of a capsule; raises InputError where they cannot be read."""
    path = folder / FLOWS
    flows: list[dict[str, Any]] = []
    try:
        about = path.stat()
        if about.st_size > _LARGEST_FLOWS or not stat.S_ISREG(about.st_mode):
            raise InputError(f"{path}: is no file, or too long for the flows of a capsule")
        for line in path.read_bytes().splitlines():
            flows.append(flow_record.parse(line))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        why = "was it cut off?" if isinstance(error, JSONDecodeError) else error
        raise InputError(f"{path}:{len(flows) + 1}: is no flow of a capsule: {why}") from None
    return sorted(flows, key=lambda flow: -(flow["bytes_out"] + flow["bytes_in"]))


def _heaviest(table: pl.DataFrame) -> pl.DataFrame:
    if table.is_empty():
        return table
    return table.sort(pl.col("bytes_out") + pl.col("bytes_in"), pl.col("flow_id"), descending=[True, False])


def decode_as(flows: Sequence[dict[str, Any]], most: int = 20) -> list[str]:
    """Say what tshark is to read ports as, where the content of a flow told what it speaks."""
    spoken = {"http": "http", "elasticsearch": "http", "tls": "tls", "dns": "dns"}
    rules = []
    for flow in flows:
        read_as = spoken.get(str(flow.get("application")))
        if read_as is None or flow.get("protocol") not in (6, 17):
            continue
        side = "local" if flow.get("initiator") == "remote" else "remote"
        over = "tcp" if flow["protocol"] == 6 else "udp"
        if over == "udp" and read_as != "dns":
            continue
        rules.append(f"{over}.port=={int(flow[f'{side}_port'])},{read_as}")
    return list(dict.fromkeys(rules))[:most]
