"""What was observed: who talked to whom, through which port, how much on which day. Bounded."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from monitor.flow_batch import NANOSECONDS
from monitor.judge import fields

# who, to whom, through what, how known, and the day (UTC)
KEYS = [
    "workload", "initiator", "provider", "country", "via", "name", "protocol", "port", "evidence",
    "published", "day",
]  # fmt: skip
_SUMS = ["payload_out", "payload_in", "connections", "midstream"]
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(KEYS, pl.String),
    "protocol": pl.UInt8,
    "port": pl.UInt16,  # of the side that was asked
    "published": pl.Boolean,
    "day": pl.Date,
    **dict.fromkeys(_SUMS, pl.UInt64),
    "first": NANOSECONDS,
    "last": NANOSECONDS,
}
COLUMNS = [
    "tick", "scope", "started", "first_seen", "last_seen", "local_port", "remote_port", "protocol",
    "initiator", "packets_out", "packets_in", "payload_out", "payload_in", "tcp_flags", "name",
    "workload", "country", "provider", "dns_name", "evidence", "via", "published",
]  # fmt: skip  # of flow rows, that `Observed.add` reads

# Rows kept, some 250 bytes each, and rows that wait to be added up.
MAX_ROWS = 50_000
MAX_WAITING = 200_000
OTHERS = "(others)"  # stands for workloads that were folded
# What the lightest rows lose past the bound, in this order; a scanner costs the heavy ones nothing.
_FOLDED = ("name", "country", "provider", "port", "day", "workload")


@dataclass(frozen=True)
class Span:
    """The first and the last packet of what was observed."""

    first: datetime
    last: datetime


class Observed:
    """Adds up attributed flows of scope ``egress``; memory does not grow with the traffic.

    A connection counts as the local side's where ``initiator`` says so, and where it was first seen in its
    middle, if the remote port is not above the local one. `port` is that of the side that was asked. Of
    connections from outside only those count that were accepted or got data, and the names that strangers
    claim are left out: they say nothing about who they are. Nor does what was first seen in its middle count
    where we but reset it: anybody can send such a packet.

    `folded` counts rows that lost something at the bound, so that a policy can say that it is not whole.
    """

    def __init__(self) -> None:
        self.folded = 0
        self._parts = [pl.DataFrame(schema=_SCHEMA)]
        self._waiting = 0

    def write(self, flows: pl.DataFrame) -> None:
        """Add rows; `COLUMNS` of `FLOW_SCHEMA` and `ATTRIBUTED` are read."""
        rows = _summed(_edges(flows.lazy().filter(pl.col("scope") == "egress"))).collect()
        if rows.is_empty():
            return
        self._parts.append(rows)
        self._waiting += rows.height
        if self._waiting > MAX_WAITING:
            self._add_up()

    @property
    def rows(self) -> pl.DataFrame:
        """All of it by `KEYS`, with payload bytes sent and got, connections, and first and last packet."""
        self._add_up()
        return self._parts[0]

    @property
    def span(self) -> Span | None:
        """When the first and the last packet was; None where there was none."""
        rows = self.rows
        if rows.is_empty():
            return None
        first, last = rows.select(
            pl.col("first").min().cast(pl.Datetime("us", "UTC")),
            pl.col("last").max().cast(pl.Datetime("us", "UTC")),
        ).row(0)
        return Span(first, last)

    def _add_up(self) -> None:
        rows = _summed(pl.concat(self._parts).lazy()).collect()
        for column in _FOLDED:
            if rows.height <= MAX_ROWS:
                break
            ordered = rows.sort("payload_out", "connections", descending=True)
            heavy, light = ordered.head(MAX_ROWS // 2), ordered.slice(MAX_ROWS // 2)
            self.folded += light.height
            blank = OTHERS if column == "workload" else None
            light = light.with_columns(pl.lit(blank, dtype=_SCHEMA[column]).alias(column))
            rows = _summed(pl.concat([heavy, light]).lazy()).collect()
        self._parts, self._waiting = [rows], 0


def _edges(flows: pl.LazyFrame) -> pl.LazyFrame:
    """Give `_SCHEMA` for each row that counts."""
    has_ports = (pl.col("local_port") > 0) | (pl.col("remote_port") > 0)
    known = pl.col("initiator").cast(pl.String)
    guessed = (
        pl.when(pl.col("remote_port") <= pl.col("local_port"))
        .then(pl.lit("local"))
        .otherwise(pl.lit("remote"))
    )
    opener = pl.when(known == "unknown").then(guessed).otherwise(known)
    is_out = pl.col("opener") == "local"
    answer = fields.column("answer")
    # a stranger's packet out of the blue, from a low port, and the reset that it got: we asked nobody
    knock = (known == "unknown") & (answer == "refused").fill_null(False)
    counts = (
        pl.when(is_out).then((pl.col("packets_out") > 0) & ~knock).otherwise(answer.is_in(["open", "data"]))
    )
    # a connection is counted in its first row, the one that holds its first packet
    has_packets = pl.col("packets_out") + pl.col("packets_in") > 0
    is_first = (pl.col("first_seen") <= pl.col("started")) & has_packets
    name = pl.coalesce("dns_name", "name")
    return (
        flows.with_columns(opener=opener)
        .filter(counts)
        .select(
            "workload",
            pl.col("opener").alias("initiator"),
            "provider",
            "country",
            "via",
            pl.when(is_out).then(name).alias("name"),
            "protocol",
            pl.when(has_ports)
            .then(pl.when(is_out).then("remote_port").otherwise("local_port"))
            .alias("port"),
            pl.col("evidence").cast(pl.String),
            "published",
            pl.col("tick").dt.date().alias("day"),
            "payload_out",
            "payload_in",
            is_first.cast(pl.UInt64).alias("connections"),
            ((known == "unknown") & is_first).cast(pl.UInt64).alias("midstream"),
            pl.col("first_seen").alias("first"),
            pl.col("last_seen").alias("last"),
        )
    )


def _summed(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.group_by(KEYS).agg(pl.col(_SUMS).sum(), pl.col("first").min(), pl.col("last").max())
