"""What a rule can name: the fields of flow rows and of DNS rows, and what may be said about each.

The fields are the columns of `monitor.flow_batch`, less times and indexes, and two that are worked out
from others: ``any_provider`` (network or service provider) and ``answer`` (what the local side gave).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from monitor import flow_batch

Record = Literal["flows", "dns"]
Kind = Literal["text", "host", "workload", "provider", "country", "closed", "number", "address", "yes_no"]

SANCTIONED = "sanctioned"  # stands for the configuration's sanctioned_providers
ANY = "any"
NONE = "none"

ANSWERS = ["data", "open", "refused"]
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58, "sctp": 132}
# RFC 9293 section 3.1
RST = 0x04
SYN_ACK = 0x12

_TIMES_AND_INDEXES = {
    "tick", "started", "first_seen", "last_seen", "time", "flow_id", "query_id", "record_index",
    *flow_batch.INDEXES,
}  # fmt: skip
_KINDS: dict[str, Kind] = {
    "workload": "workload",
    "country": "country",
    **dict.fromkeys(("provider", "network_provider", "service_provider"), "provider"),
    **dict.fromkeys(("name", "dns_name", "question", "owner", "value", "domain"), "host"),
}
_LARGEST = {pl.UInt8: 2**8 - 1, pl.UInt16: 2**16 - 1, pl.UInt32: 2**32 - 1, pl.UInt64: 2**64 - 1}


@dataclass(frozen=True)
class Field:
    """One field: its kind, the words it can hold where they are few, its largest number."""

    name: str
    kind: Kind
    words: tuple[str, ...] = ()
    largest: int = 0
    is_size: bool = False  # bytes, so it may be written as 1MiB


def _field(name: str, dtype: Any) -> Field:
    if isinstance(dtype, pl.Enum):
        return Field(name, "closed", tuple(dtype.categories))
    if dtype == pl.Binary:
        return Field(name, "address")
    if dtype == pl.Boolean:
        return Field(name, "yes_no")
    if dtype == pl.String:
        return Field(name, _KINDS.get(name, "text"))
    is_size = "bytes" in name or "payload" in name
    return Field(name, "number", largest=_LARGEST[dtype], is_size=is_size)


def column_kind(dtype: Any) -> str:
    """Give what the engine calls a type of column (`monitor._hotpath.batch_of_rows`)."""
    if isinstance(dtype, pl.Datetime):
        return "time"
    kinds = {"address": "address", "yes_no": "yes_no", "number": "number"}
    return kinds.get(_field("", dtype).kind, "text")


def _fields(*schemas: Mapping[str, Any]) -> dict[str, Field]:
    return {
        name: _field(name, dtype)
        for schema in schemas
        for name, dtype in schema.items()
        if name not in _TIMES_AND_INDEXES
    }


FIELDS: dict[Record, dict[str, Field]] = {
    "flows": {
        **_fields(flow_batch.FLOW_SCHEMA, flow_batch.ATTRIBUTED),
        "any_provider": Field("any_provider", "provider"),
        "answer": Field("answer", "closed", tuple(ANSWERS)),
    },
    "dns": _fields(flow_batch.DNS_SCHEMA, flow_batch.DNS_ATTRIBUTED),
}
SUMMABLE: dict[Record, list[str]] = {
    # what is counted of each direction: packets, bytes, and what was found in what goes out
    "flows": [
        name
        for name, field in FIELDS["flows"].items()
        if field.kind == "number" and name.endswith(("_out", "_in"))
    ],
    "dns": ["message_bytes", "question_bytes", "fresh_question_bytes"],
}
CONNECTIONS = "connections"  # countable: each connection once, in the row that has its first packet


def groupable(record: Record) -> list[str]:
    """Give the fields that ``per`` and ``novel: of`` may name: those that are columns."""
    extra = ["flow_id"] if record == "flows" else []
    return [name for name in FIELDS[record] if name not in ("any_provider", "answer")] + extra


def countable(record: Record) -> list[str]:
    """Give what ``count`` may name: any column that can be missing or not, and connections."""
    return groupable(record) + ([CONNECTIONS] if record == "flows" else [])


def column(name: str) -> pl.Expr:
    """Give the values of a field as a Polars expression (``any_provider`` has two columns, not one)."""
    if name != "answer":
        return pl.col(name)
    flags = pl.col("tcp_flags")
    gave = pl.col("packets_out") > 0
    accepted = ((flags & SYN_ACK) == SYN_ACK) & (
        ((flags & RST) == 0) | (pl.col("packets_in") > pl.col("packets_out"))
    )
    return (
        pl.when(pl.col("payload_out") > 0)
        .then(pl.lit("data"))
        .when(gave & accepted)
        .then(pl.lit("open"))
        .when(gave & ((flags & RST) != 0))
        .then(pl.lit("refused"))
    )


def value(row: Mapping[str, Any], name: str) -> Any:
    """Give the value of a field in one row, a plain mapping: the same as the engine sees."""
    if name != "answer":
        return row.get(name)
    if row["payload_out"] > 0:
        return "data"
    flags = row["tcp_flags"]
    if row["packets_out"] == 0:
        return None
    if flags & SYN_ACK == SYN_ACK and (not flags & RST or row["packets_in"] > row["packets_out"]):
        return "open"
    return "refused" if flags & RST else None
