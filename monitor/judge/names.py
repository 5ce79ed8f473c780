"""What the numbers of the judge stand for: who sends to whom, as rows of a frame.

A batch has many rows and few distinct sets of workload, provider, country, ... Each such set is a key: a
64-bit hash over its columns. A group of a rule is a hash too, over some of these columns. Sums are kept by
number in Polars; the words are looked up only for the few groups that come near a rule's line.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl

from monitor import address_text, flow_batch
from monitor.judge.fields import Record

MAX_NAMES = 2**18  # keys, about 150 bytes each; past it those that no window holds are forgotten
OTHER_GROUP = 0  # the group of what has no room
OTHER = "other"
_FEW = 8  # a join costs by the larger side: this many times fewer keys are looked for first
# numbers of our own, so that nobody can choose names that collide
_CHANCE = random.SystemRandom()
_SEED = _CHANCE.getrandbits(64)
_MIXER = _CHANCE.getrandbits(64) | 1
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


def hashed(fields: Sequence[str]) -> pl.Expr:
    """Give one number for each distinct set of values of these columns; never `OTHER_GROUP`."""
    # Polars hashes a struct of the columns too, at twice the cost
    number = pl.lit(len(fields), dtype=pl.UInt64)
    for field in fields:
        number = number * _MIXER + pl.col(field).hash(_SEED)
    return number.clip(lower_bound=OTHER_GROUP + 1)


def among(groups: Iterable[int]) -> pl.Expr:
    """Tell whether column ``group`` is one of these."""
    return pl.col("group").is_in(pl.Series(list(groups), dtype=pl.UInt64).implode())


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
        self.noted = self.frame  # the keys of the batch that was noted last
        self._groupings: dict[str, pl.Expr] = {}

    def grouping(self, fields: tuple[str, ...], required: str | None = None) -> str:
        """Give the name of the column that numbers groups over some fields.

        Where the field `required` has no value there is no group.
        """
        name = f"{','.join(fields)}:{required}"
        if name not in self._groupings:
            number = hashed(fields)
            if required is not None:
                number = pl.when(pl.col(required).is_not_null()).then(number)
            self._groupings[name] = number.alias(name)
            self.frame = self.frame.with_columns(self._groupings[name])
        return name

    def note(self, frame: pl.DataFrame, keys: pl.Series, wanted: pl.Series) -> None:
        """Learn the keys of the wanted rows of a batch."""
        places = pl.DataFrame([keys.alias("key"), pl.int_range(len(keys), dtype=pl.UInt32, eager=True)])
        distinct = places.filter(wanted).unique("key", keep="any")
        values = frame.select(self.fields)[distinct["literal"]]
        self.noted = values.insert_column(0, distinct["key"]).with_columns(self._groupings.values())
        self.frame = self.frame.vstack(
            self.noted.join(self.frame.select("key"), on="key", how="anti").select(self.frame.columns)
        )

    def add(self, named: pl.DataFrame) -> None:
        """Learn keys with their values, none of which is known."""
        self.frame = self.frame.vstack(named.with_columns(self._groupings.values()))

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
