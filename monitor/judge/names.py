"""What the numbers of the judge stand for: who sends to whom, as rows of a frame.

A batch has many rows and few distinct sets of workload, provider, country, ... Each such set is a key: a
number over its columns (`monitor.row_number`). A group of a rule is a number too, over some of these
columns. Sums are kept by number in Polars; the words are looked up only for the few groups that come near
a rule's line.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl

from monitor import address_text, flow_batch
from monitor.judge.fields import Record
from monitor.row_number import distinct

MAX_NAMES = 2**18  # keys, about 150 bytes each; past it those that no window holds are forgotten
OTHER_GROUP = 0  # the group of what has no room
OTHER = "other"
_FEW = 8  # a join costs by the larger side: this many times fewer keys are looked for first
_SCHEMA: dict[Record, dict[str, Any]] = {
    "flows": {**flow_batch.FLOW_SCHEMA, **flow_batch.ATTRIBUTED},
    "dns": {**flow_batch.DNS_SCHEMA, **flow_batch.DNS_ATTRIBUTED},
}
# what tells the parts of a group apart
PART_FIELDS: dict[Record, tuple[str, ...]] = {
    "flows": ("workload", "provider", "country", "evidence"),
    "dns": ("workload",),
}

Key = tuple[Any, ...]  # values of some fields, as JSON has them


def number_column(field: str) -> str:
    """Give the name of the column that has the numbers of a field's values (`monitor.row_number.hashed`)."""
    return f"#{field}"


def among(groups: pl.Series | Iterable[int]) -> pl.Expr:
    """Tell whether column ``group`` is one of these."""
    if not isinstance(groups, pl.Series):
        groups = pl.Series(list(groups), dtype=pl.UInt64)
    return pl.col("group").is_in(groups.implode())


def key_fields(record: Record, group_fields: Sequence[str]) -> tuple[str, ...]:
    """Give the columns of a rule's keys: those of its groups, and those that parts are told apart by."""
    return tuple(dict.fromkeys((*PART_FIELDS[record], *sorted(group_fields))))


def schema_of(record: Record, fields: Sequence[str]) -> dict[str, Any]:
    """Give the types of some columns."""
    return {name: _SCHEMA[record][name] for name in fields}


def as_json(fields: Sequence[str], values: Sequence[Any]) -> Key:
    """Write values of a row as JSON has them: addresses as text, a flow's id as 16 hex digits."""
    written = []
    for name, value in zip(fields, values, strict=True):
        if isinstance(value, bytes):
            written.append(address_text.to_text(value))
        else:
            written.append(f"{value:016x}" if name == "flow_id" else value)
    return tuple(written)


class Names:
    """The keys over one set of columns, shared by all rules that have the same."""

    def __init__(self, record: Record, fields: tuple[str, ...]) -> None:
        self.record = record
        self.fields = fields
        self.frame = pl.DataFrame(schema={"key": pl.UInt64, **schema_of(record, fields)})

    def note(self, frame: pl.DataFrame, keyed: pl.DataFrame) -> None:
        """Learn the keys of a batch.

        Args:
            frame: the batch.
            keyed: its keys, each with a ``row`` that has it, in the order of rows.
        """
        new = distinct(keyed.select("key", "row"), "key").join(
            self.frame.select("key"), on="key", how="anti", maintain_order="left"
        )
        self.add(frame.select(self.fields)[new["row"]].insert_column(0, new["key"]))

    def add(self, named: pl.DataFrame) -> None:
        """Learn keys with their values, none of which is known."""
        self.frame = self.frame.vstack(named)

    def name(self, keyed: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
        """Add some fields to rows with a ``key``, in their order."""
        known = self.frame.select("key", *fields)
        if keyed.height < known.height // _FEW:
            known = known.filter(pl.col("key").is_in(keyed["key"].implode()))
        return keyed.join(known, on="key", how="left", maintain_order="left")

    def is_full(self) -> bool:
        """Tell whether it is time to forget."""
        return self.frame.height > MAX_NAMES

    def keep(self, used: Collection[pl.Series]) -> None:
        """Forget the keys that are in none of these."""
        wanted = pl.concat([series.unique() for series in used]).unique().alias("key").to_frame()
        self.frame = self.frame.join(wanted, on="key", how="semi")
