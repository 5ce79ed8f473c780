"""The flows of alerts out of the rows of the recent past: one record a connection, as JSON has it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from monitor import records
from monitor.flow_batch import INDEXES
from monitor.judge.alert import Alert
from monitor.judge.alert_rows import rows_of
from monitor.judge.lists import AddressLists
from monitor.judge.rule import Rule

MAX_FLOWS = 20_000  # of one alert that a capsule holds, about 1 KB each
LOOSE = 1_000  # rows beyond two for each connection that are not joined yet
SECOND = 10**9

SUMS = ["bytes_out", "bytes_in", "packets_out", "packets_in", "payload_out", "payload_in"]
# a tunnel's id that is the same in both directions is part of a flow's key
_KEYED_TUNNELS = ["gre", "erspan", "vxlan", "geneve", "pppoe"]
_RFC3339 = "%Y-%m-%dT%H:%M:%S%.9fZ"
_COUNTED_OUT = ["credentials_out", "emails_out", "cards_out", "ibans_out", "secrets_out", "personal_data_out"]


@dataclass
class AlertFlows:
    """What was found for one alert."""

    rule: Rule
    alert: Alert
    lists: AddressLists  # that the rule may name
    parts: list[pl.DataFrame] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # flows of `parts`
    left_out: int = 0  # rows beyond `MAX_FLOWS` connections
    _rows: int = 0  # of `parts`
    _joined: pl.DataFrame | None = None  # the parts, once they were asked for

    @property
    def since(self) -> int:
        """When the window began that the alert began in, in nanoseconds."""
        return self.alert.began - self.alert.window * SECOND

    def add(self, frame: pl.DataFrame) -> None:
        """Take the rows that the alert is about, and the other rows of these connections."""
        # a replay hands over rows of later ticks together with what happened before them
        begins_by = pl.col("first_seen").dt.epoch("ns") <= self.alert.last
        recent = frame.filter((pl.col("last_seen").dt.epoch("ns") >= self.since) & begins_by)
        found = set(rows_of(self.rule, self.alert, recent, self.lists)["flow_id"].to_list()) | self.seen
        rows = recent.filter(pl.col("flow_id").is_in(pl.Series(list(found), dtype=pl.UInt64).implode()))
        known = set(rows["flow_id"].to_list())
        room = MAX_FLOWS - len(self.seen | known)
        if room < 0:
            kept = self.seen | set(sorted(known - self.seen)[: max(0, MAX_FLOWS - len(self.seen))])
            held = rows.filter(pl.col("flow_id").is_in(pl.Series(list(kept), dtype=pl.UInt64).implode()))
            self.left_out += rows.height - held.height
            rows, known = held, known & kept
        self.seen |= known
        if rows.height:
            self.parts.append(connections([rows]))
            self._rows += self.parts[-1].height
            self._joined = None
        # connections that last have a row in each file of a day
        if self._rows > 2 * len(self.seen) + LOOSE:
            self.parts = [connections(self.parts)]
            self._rows = self.parts[0].height

    def table(self) -> pl.DataFrame:
        """Give one row a connection, in the order of time; times are timestamps, ids numbers."""
        if self._joined is None:
            parts = self.parts
            self._joined = connections(parts).sort("first_seen", "flow_id") if parts else pl.DataFrame()
        return self._joined


def find(
    wanted: Sequence[tuple[Rule, Alert, AddressLists]], frames: Iterable[pl.DataFrame], room: int
) -> list[AlertFlows]:
    """Look through the rows once for these alerts, each with the lists that its rule asked.

    Gives the first ones: those whose connections have `room` together. The others are to be asked for again;
    never the first.
    """
    found = [AlertFlows(rule, alert, lists) for rule, alert, lists in wanted]
    for frame in frames:
        held = 0
        for place, one in enumerate(found):
            one.add(frame)
            held += len(one.seen)
            if place and held > room:
                del found[place:]
                break
    return found


def as_records(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Write connections as the record files have them: addresses and times as text."""
    if table.is_empty():
        return []
    return records.readable(table).with_columns(pl.col(pl.Datetime).dt.strftime(_RFC3339)).to_dicts()


def ring_flows(table: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Give the connections as `_hotpath.Ring.extract` takes them."""
    if table.is_empty():
        return []
    rows = table.select(
        "local_address",
        "local_port",
        "remote_address",
        "remote_port",
        "protocol",
        pl.when(pl.col("tunnel").cast(pl.String).is_in(_KEYED_TUNNELS) & (pl.col("tunnel_id") > 0)).then(
            pl.col("tunnel_id")
        ),
        "interface",
        pl.col("first_seen").dt.epoch("ns"),
        pl.col("last_seen").dt.epoch("ns"),
    )
    return [
        ((local, local_port), (remote, remote_port), *rest)
        for local, local_port, remote, remote_port, *rest in rows.iter_rows()
    ]


def connections(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Make one row a connection: sums of what is counted, the first and last times, else the newest."""
    # an earlier version may have written other indexes
    rows = pl.concat([part.drop(["tick", *INDEXES], strict=False) for part in parts])
    sums = [name for name in (*SUMS, *_COUNTED_OUT) if name in rows.columns]
    special = ["flow_id", "first_seen", "last_seen", "tcp_flags", *sums]
    order = rows.columns
    joined = rows.group_by("flow_id", maintain_order=True).agg(
        pl.col("first_seen").min(),
        pl.col("last_seen").max(),
        pl.col("tcp_flags").bitwise_or(),
        *[pl.col(name).cast(pl.UInt64).sum() for name in sums],
        pl.exclude(special).last(),
    )
    return joined.select(order)
