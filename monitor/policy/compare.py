"""Observation against policy: what nobody allowed, what was more than allowed, what was allowed in vain."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from monitor.judge.condition import Condition
from monitor.policy.observed import KEYS
from monitor.policy.policy_file import Entry, as_row

Edge = dict[str, Any]
_EDGE = [key for key in KEYS if key not in ("evidence", "published", "day")]


@dataclass(frozen=True)
class New:
    """Traffic that no entry allows; `because`: where the `nearest` entry of this workload fails."""

    edge: Edge
    nearest: Entry | None
    because: tuple[Condition, ...]


@dataclass(frozen=True)
class More:
    """A day on which more was sent than an entry allows."""

    entry: Entry
    day: date
    sent: int


@dataclass
class Difference:
    """All findings; `unused` entries allowed nothing that was seen, which is no failure."""

    new: list[New] = field(default_factory=list)
    more: list[More] = field(default_factory=list)
    unused: list[Entry] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether something is outside the policy."""
        return bool(self.new or self.more)


def compare(rows: pl.DataFrame, policy: Sequence[Entry]) -> Difference:
    """Compare `Observed.rows` with a policy; each list begins with what sent most."""
    found = Difference()
    sent: dict[tuple[int, date], int] = defaultdict(int)
    used: set[int] = set()
    for edge, days in _edges(rows):
        row = as_row(edge)
        index = next((place for place, entry in enumerate(policy) if entry.match.holds(row)), None)
        if index is None:
            found.new.append(_new(edge, row, policy))
            continue
        used.add(index)
        for day, amount in days:
            sent[index, day] += amount
    for (index, day), amount in sent.items():
        limit = policy[index].sent_per_day
        if limit is not None and amount > limit:
            found.more.append(More(policy[index], day, amount))
    found.more.sort(key=lambda more: (-more.sent, more.day, more.entry.where))
    found.unused = [entry for place, entry in enumerate(policy) if place not in used]
    return found


def _edges(rows: pl.DataFrame) -> list[tuple[Edge, list[tuple[date, int]]]]:
    """Give each edge once, with what it sent on each day, what sent most first."""
    edges = (
        rows.group_by(_EDGE)
        .agg(
            pl.col("payload_out", "payload_in", "connections", "midstream").sum(),
            pl.col("evidence").unique().sort(),
            pl.col("first").min(),
            pl.col("last").max(),
            pl.col("day"),
            pl.col("payload_out").alias("day_sent"),
        )
        .sort(["payload_out", "connections", *_EDGE], descending=[True, True, *[False] * len(_EDGE)])
    )
    found = []
    for edge in edges.iter_rows(named=True):
        days = zip(edge.pop("day"), edge.pop("day_sent"), strict=True)
        found.append((edge, [(day, amount) for day, amount in days if day is not None]))
    return found


def _new(edge: Edge, row: Mapping[str, Any], policy: Sequence[Entry]) -> New:
    """Find the entry that nearly allows it: of this workload, failing in the fewest fields."""
    best: tuple[Condition, ...] = ()
    nearest = None
    for entry in policy:
        failing = entry.match.all_failing(row)
        if any(one.field.name == "workload" for one in failing):
            continue
        if nearest is None or len(failing) < len(best):
            nearest, best = entry, failing
    return New(edge, nearest, best)
