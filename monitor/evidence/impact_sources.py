"""Where the connections come from that an impact is worked out of: capsules, flow records, rows on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from monitor.errors import InputError
from monitor.evidence import conversations, manifest
from monitor.evidence.rows import PREFIX, SUFFIX, UNREADABLE, of_today
from monitor.policy.flow_files import read_flows

NEEDED = [
    "flow_id", "scope", "first_seen", "last_seen", "local_address", "remote_address", "local_port",
    "protocol", "initiator", "bytes_out", "payload_out", "payload_in", "packets_out", "packets_in",
    "tcp_flags", "application", "workload", "country", "asn", "as_name", "network_provider", "published",
]  # fmt: skip
LOOSE = 100_000  # rows that are not joined yet
_SUMS = ["bytes_out", "payload_out", "payload_in", "packets_out", "packets_in"]
_RFC3339 = "%Y-%m-%dT%H:%M:%S%.9fZ"

Record = dict[str, Any]


def is_flow_file(path: Path) -> bool:
    """Tell whether a file is one that ``replay --flows`` writes."""
    return path.suffix in (".jsonl", ".parquet")


def of_file(path: Path) -> list[Record]:
    """Read a file that ``replay --flows`` wrote; raises InputError where it is none."""
    gathered = Gathered()
    rows = 0
    for piece in read_flows(path, NEEDED, readable=True):
        gathered.add(piece)
        rows += piece.height
    if not rows:
        raise InputError(f"{path}: holds no flow rows")
    return gathered.records()


class Gathered:
    """Connections that outsiders opened, out of rows that come in pieces; addresses are text."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._joined = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows with the columns `NEEDED`."""
        self._parts.append(joined(rows.lazy()))
        self._rows += self._parts[-1].height
        # now and then, not with each piece: that would go through all that there are each time
        if self._rows > 2 * self._joined + LOOSE:
            self._join()

    def records(self) -> list[Record]:
        """Give one record a connection."""
        self._join()
        return [record for part in self._parts for record in part.to_dicts()]

    def _join(self) -> None:
        if len(self._parts) > 1:
            self._parts = [joined(pl.concat(self._parts).lazy())]
        self._rows = self._joined = sum(part.height for part in self._parts)


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
        # those that are hidden are on their way
        if other == folder or other.name.startswith(".") or not manifest.is_capsule(other):
            continue
        try:
            flows = conversations.of_capsule(other)
        except InputError:
            notes.append(f"capsule {other.name} cannot be read, and is left out")
            continue
        mine = [flow for flow in flows if (flow["local_address"], flow["local_port"]) in services]
        used += bool(mine)
        merge(found, mine)
    files = sorted(rows.glob(f"{PREFIX}*{SUFFIX}")) if rows.is_dir() else []
    unreadable = 0
    # all rows of a connection are added up before: one that lasts has some in each file
    recent = Gathered()
    for path in files:
        try:
            recent.add(_readable(of_today(pl.read_parquet(path, glob=False, memory_map=False)), services))
        except FileNotFoundError:
            continue  # the daemon has removed it meanwhile
        except UNREADABLE:
            unreadable += 1
    merge(
        found,
        [flow for flow in recent.records() if (flow["local_address"], flow["local_port"]) in services],
    )
    if unreadable:
        notes.append(f"{unreadable} files of flow rows in {rows} cannot be read, and are left out")
    if used or files:
        kept = f"and the flow rows of the recent past in {rows}" if files else ""
        notes.append(f"of the same services: {used} other capsules {kept}".strip())
    return list(found.values()), notes


def merge(found: dict[str, Record], more: Sequence[Record]) -> None:
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


def _readable(table: pl.DataFrame, services: set[tuple[str, int]]) -> pl.DataFrame:
    """Give rows as they are in a batch as people read them, of the ports of some services only."""
    from monitor import records

    ports = pl.Series([port for _, port in services if port < 2**16], dtype=pl.UInt16).implode()
    return records.readable(table.select(NEEDED).filter(pl.col("local_port").is_in(ports)))


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
