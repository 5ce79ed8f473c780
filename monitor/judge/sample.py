"""What an alert keeps of its rows: the first few flows since it began, names, countries and evidence.

All of it is the same whatever the batches were: rows come in the order of ticks, within a tick the
heaviest first, and the numbers of a flow that is kept go on growing.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from monitor import records
from monitor.flow_batch import INDEXES
from monitor.judge.alert import Alert
from monitor.judge.fields import Record
from monitor.row_number import distinct, hashed, mixed

MAX_FLOWS = 10  # an alert, about 1 KB each
MAX_WORDS = 20  # of each kind, an alert

_SUMS: dict[Record, list[str]] = {
    "flows": ["bytes_out", "bytes_in", "packets_out", "packets_in", "payload_out", "payload_in"],
    "dns": ["message_bytes", "question_bytes", "fresh_question_bytes"],
}
_FIRST = ["first_seen", "time", "started"]
_DROPPED = ["tick", *INDEXES, "query_id", "record_index", "client_port", "interface"]
_RFC3339 = "%Y-%m-%dT%H:%M:%S%.9fZ"

Words = dict[str, list[str]]  # by the alert's field: countries, names, evidence


@dataclass
class Sample:
    """What one segment of an alert's life adds: flows with their identity, and words, in order."""

    flows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    words: Words = field(default_factory=dict)


@dataclass
class Kept:
    """What the alerts of segments keep already."""

    known: list[int] = field(default_factory=list)  # identities of flows
    full: list[int] = field(default_factory=list)  # segments whose alert keeps as many flows as it may
    # of these, with its evidence, those whose alert can learn nothing but new evidence
    settled: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Kept", before: int) -> None:
        """Add what others keep, `before` being how many segments stand before theirs."""
        self.known += other.known
        self.full += [before + segment for segment in other.full]
        self.settled.update({before + segment: words for segment, words in other.settled.items()})


def pick(frame: pl.DataFrame, marks: pl.DataFrame, record: Record, kept: Kept) -> dict[int, Sample]:
    """Give the sample of each segment.

    Args:
        frame: the batch.
        marks: which of its rows belong to which segment: ``row``, ``segment``, ``tick`` and ``value``.
        record: whether the batch is of flows or of DNS rows.
        kept: what is kept already. A flow that any alert keeps is looked at for all.
    """
    identities = _gathered(frame, marks["row"], [_identity(record)]).to_series()
    marks = marks.with_columns(identities)
    if kept.settled:
        is_over = _among("segment", _without_news(frame, marks, record, kept.settled), pl.UInt32)
        marks = marks.filter(~is_over | _among("identity", kept.known, pl.UInt64))
    ordered = marks.sort("segment", "tick", "value", "row", descending=[False, False, True, False])
    found = {segment: Sample() for segment in ordered["segment"].unique()}
    words = _gathered(frame, ordered["row"], _words(record)).insert_column(0, ordered["segment"])
    for name in words.columns[1:]:
        pairs = words.select("segment", name, number=mixed([pl.col("segment"), hashed(name)])).drop_nulls()
        lists = distinct(pairs, "number").group_by("segment").agg(pl.col(name).head(MAX_WORDS))
        for segment, several in lists.iter_rows():
            found[segment].words[name] = several
    ordered = ordered.with_columns(number=mixed([pl.col("segment"), pl.col("identity")]))
    chosen = distinct(ordered, "number")
    place = pl.int_range(pl.len()).over("segment")
    has_room = (place < MAX_FLOWS) & ~_among("segment", kept.full, pl.UInt32)
    # what one segment keeps goes on growing in the next
    is_kept = pl.col("identity").is_in(pl.col("identity").filter(has_room).implode())
    chosen = chosen.filter(is_kept | _among("identity", kept.known, pl.UInt64))
    rows = ordered.filter(pl.col("number").is_in(chosen["number"].implode()))
    for segment, identity, flow in _flows(frame, rows, record):
        found[segment].flows.append((identity, flow))
    return found


def absorb(alert: Alert, identities: list[int], sample: Sample, record: Record, room: int) -> None:
    """Add a sample to an alert; `identities` stand beside the alert's flows, of which `room` are kept."""
    for identity, flow in sample.flows:
        if identity in identities:
            place = identities.index(identity)
            alert.flows[place] = _joined(alert.flows[place], flow, record)
        elif len(identities) < room:
            identities.append(identity)
            alert.flows.append(flow)
    for name, words in sample.words.items():
        add_words(getattr(alert, name), words)


def has_all_words(alert: Alert, record: Record) -> bool:
    """Tell whether an alert has as many words as it may, evidence left out."""
    return len(alert.names) >= MAX_WORDS and (record == "dns" or len(alert.countries) >= MAX_WORDS)


def _without_news(
    frame: pl.DataFrame, marks: pl.DataFrame, record: Record, settled: Mapping[int, Collection[str]]
) -> list[int]:
    """Give the settled segments whose rows have no evidence that the alert does not have."""
    if record == "dns":
        return list(settled)
    rows = marks.filter(_among("segment", list(settled), pl.UInt32)).select("segment", "row")
    pairs = rows.select("segment", frame["evidence"][rows["row"]]).unique()
    news = {segment for segment, evidence in pairs.iter_rows() if evidence not in settled[segment]}
    return [segment for segment in settled if segment not in news]


def add_words(have: list[str], words: list[str]) -> None:
    """Append the words that are new, up to the bound."""
    new = [word for word in words if word not in have]
    have += new[: MAX_WORDS - len(have)]


def _identity(record: Record) -> pl.Expr:
    if record == "flows":
        return pl.col("flow_id").alias("identity")
    return pl.struct("client", "resolver", "kind", "question", "type").hash(0).alias("identity")


def _among(column: str, values: Collection[int], dtype: type[pl.DataType]) -> pl.Expr:
    return pl.col(column).is_in(pl.Series(list(values), dtype=dtype).implode())


def _gathered(frame: pl.DataFrame, rows: pl.Series, columns: list[pl.Expr]) -> pl.DataFrame:
    """Give expressions over some rows of a frame, in the order of `rows`."""
    needed = sorted({name for column in columns for name in column.meta.root_names()})
    return frame.select(needed)[rows].select(columns)


def _words(record: Record) -> list[pl.Expr]:
    if record == "dns":
        return [pl.col("question").alias("names")]
    return [
        pl.coalesce("dns_name", "name").alias("names"),
        pl.col("country").alias("countries"),
        pl.col("evidence").cast(pl.String),
    ]


def _flows(
    frame: pl.DataFrame, kept: pl.DataFrame, record: Record
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Give segment, identity and the flow as JSON has it, one for each flow of a segment.

    What is counted is summed, of some times the first stands, of all else the newest.
    """
    joined = [pl.col(name).sum() for name in _SUMS[record]]
    joined += [pl.col(name).first() for name in _FIRST if name in frame.columns]
    if record == "flows":
        joined.append(pl.col("tcp_flags").bitwise_or())
    names = [name for one in joined for name in one.meta.root_names()]
    flows = (
        frame.select(names)[kept["row"]]
        .hstack(kept.select("segment", "identity", "row"))
        .group_by("segment", "identity", maintain_order=True)
        .agg(*joined, pl.col("row").last())
    )
    newest = frame.drop(*names, *_DROPPED, strict=False)[flows["row"]]
    whole = newest.hstack(flows.select(names)).select(name for name in frame.columns if name not in _DROPPED)
    # the few ids are written below: one by one that is faster than `records.readable`
    readable = records.readable(whole.drop("flow_id", strict=False))
    written = readable.with_columns(pl.col(pl.Datetime).dt.strftime(_RFC3339)).to_dicts()
    owners = flows.select("segment", "identity").rows()
    for (segment, identity), flow in zip(owners, written, strict=True):
        if record == "flows":
            flow = {"flow_id": f"{identity:016x}", **flow}
        yield segment, identity, flow


def _joined(old: dict[str, Any], new: dict[str, Any], record: Record) -> dict[str, Any]:
    joined = {**new, **{name: old[name] for name in _FIRST if name in old}}
    joined.update({name: old[name] + new[name] for name in _SUMS[record]})
    if "tcp_flags" in joined:
        joined["tcp_flags"] = old["tcp_flags"] | new["tcp_flags"]
    return joined
