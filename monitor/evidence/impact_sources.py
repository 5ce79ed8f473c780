"""Where the connections come from that an impact is worked out of: capsules, flow records, rows on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from monitor.errors import InputError
from monitor.evidence import conversations, manifest
from monitor.evidence.rows import PREFIX, SUFFIX

NEEDED = [
    "flow_id", "scope", "first_seen", "last_seen", "local_address", "remote_address", "local_port",
    "protocol", "initiator", "bytes_out", "payload_out", "payload_in", "packets_out", "packets_in",
    "tcp_flags", "application", "workload", "country", "asn", "as_name", "network_provider", "published",
]  # fmt: skip
_SUMS = ["bytes_out", "payload_out", "payload_in", "packets_out", "packets_in"]
_RFC3339 = "%Y-%m-%dT%H:%M:%S%.9fZ"

Record = dict[str, Any]


def is_flow_file(path: Path) -> bool:
    """Tell whether a path is one that ``replay --flows`` writes."""
    return path.suffix in (".jsonl", ".parquet") and path.is_file()


def of_file(path: Path) -> list[Record]:
    """Read a file that ``replay --flows`` wrote; raises InputError where it is none."""
    try:
        rows = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path)
        missing = [name for name in NEEDED if name not in rows.collect_schema().names()]
        if missing:
            raise InputError(f"{path}: has no column {missing[0]!r}; write it with `replay --flows`")
        return joined(rows).to_dicts()
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: does not hold flow rows ({reason})") from error


def of_capsule(folder: Path, others: Path, rows: Path) -> tuple[list[Record], list[str]]:
    """Give the connections of a capsule, and what else is kept of the services that it is about.

    Args:
        folder: the capsule.
        others: the folder of all capsules.
        rows: the folder of the flow rows of the recent past.

    Gives connections and one-line notes; raises InputError where the capsule cannot be read.
    """
    found = {flow["flow_id"]: flow for flow in conversations.of_capsule(folder)}
    opened = [flow for flow in found.values() if flow.get("initiator") != "local"]
    services = {(flow["local_address"], flow["local_port"]) for flow in opened}
    notes = []
    used = 0
    for other in sorted(others.iterdir()) if others.is_dir() else []:
        if other == folder or not (other / manifest.MANIFEST).is_file():
            continue
        try:
            flows = conversations.of_capsule(other)
        except InputError:
            notes.append(f"capsule {other.name} cannot be read, and is left out")
            continue
        mine = [flow for flow in flows if (flow["local_address"], flow["local_port"]) in services]
        used += bool(mine)
        _merge(found, mine)
    files = sorted(rows.glob(f"{PREFIX}*{SUFFIX}")) if rows.is_dir() else []
    for path in files:
        try:
            table = pl.read_parquet(path, columns=NEEDED, memory_map=False)
        except (OSError, pl.exceptions.PolarsError):
            continue  # the daemon has removed it meanwhile
        flows = _readable(table, services)
        _merge(found, flows)
    if used or files:
        kept = f"and the flow rows of the recent past in {rows}" if files else ""
        notes.append(f"of the same services: {used} other capsules {kept}".strip())
    return list(found.values()), notes


def _merge(found: dict[str, Record], more: Sequence[Record]) -> None:
    """Add connections; of two records of one the larger stands, and it began when the earlier did."""
    for flow in more:
        known = found.get(flow["flow_id"])
        if known is None:
            found[flow["flow_id"]] = flow
            continue
        larger = max(known, flow, key=lambda one: int(one["bytes_out"]))
        found[flow["flow_id"]] = {
            **larger,
            "first_seen": min(known["first_seen"], flow["first_seen"]),
            "last_seen": max(known["last_seen"], flow["last_seen"]),
        }


def _readable(table: pl.DataFrame, services: set[tuple[str, int]]) -> list[Record]:
    """Make connections of rows as they are in a batch, of some services only."""
    from monitor import records

    ports = pl.Series([port for _, port in services], dtype=pl.UInt16).implode()
    table = table.filter(pl.col("local_port").is_in(ports))
    if table.is_empty():
        return []
    flows = joined(records.readable(table).lazy()).to_dicts()
    return [flow for flow in flows if (flow["local_address"], flow["local_port"]) in services]


def joined(rows: pl.LazyFrame) -> pl.DataFrame:
    """Make one row a connection, times as text, of rows whose addresses are text already."""
    opened = (pl.col("scope") == "egress") & (pl.col("initiator") != "local")
    special = ("flow_id", "first_seen", "last_seen", "tcp_flags", *_SUMS)
    last = [name for name in NEEDED if name not in special]
    table = (
        rows.select(NEEDED)
        .filter(opened)
        .group_by("flow_id", maintain_order=True)
        .agg(
            pl.col("first_seen").min(),
            pl.col("last_seen").max(),
            pl.col("tcp_flags").cast(pl.UInt8).bitwise_or(),
            *[pl.col(name).cast(pl.UInt64).sum() for name in _SUMS],
            *[pl.col(name).last() for name in last],
        )
        .collect()
    )
    return table.with_columns(pl.col(pl.Datetime).dt.strftime(_RFC3339)).select(NEEDED)
