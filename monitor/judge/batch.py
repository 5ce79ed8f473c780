"""The rows of a batch that each rule is about, summed by tick and key.

All rules are matched in one pass. Rules that are about the same rows and measure the same share the sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from monitor.judge import exceptions
from monitor.judge.fields import Record
from monitor.judge.names import Names, hashed
from monitor.judge.rule import Rule
from monitor.judge.rule_run import RuleRun

_SENT: dict[Record, str] = {"flows": "payload_out", "dns": "message_bytes"}
_TIME: dict[Record, str] = {"flows": "last_seen", "dns": "time"}
_TICK = 0x9E3779B97F4A7C15  # an odd number: spreads ticks over all 64 bits


@dataclass
class _Counted:
    """What a rule counts: ``row``, ``tick``, ``key``, ``value``; and its sums by tick and key."""

    rows: pl.DataFrame
    entries: pl.DataFrame


class Batch:
    """One frame of flows or of DNS rows, in the order of ticks; `now` is the first tick not judged yet."""

    def __init__(self, frame: pl.DataFrame, now: int) -> None:
        self.frame = frame
        ticks = frame["tick"].dt.epoch("s")
        if ticks[0] < now:  # never by the contract; a row that is late counts now
            ticks = ticks.clip(lower_bound=now)
        self.ticks = ticks.alias("_tick")
        self.last_tick: int = ticks[-1]
        self.row = pl.int_range(frame.height, dtype=pl.UInt32, eager=True).alias("_row")
        self._counted: dict[object, _Counted] = {}

    def judge(self, runs: Sequence[RuleRun]) -> list[tuple[RuleRun, pl.DataFrame]]:
        """Judge by each rule; give the rows of its alerts: ``row``, ``tick``, ``value``, ``segment``."""
        matches = {run.counts: run.expression for run in runs}
        masks = self.frame.lazy().select(
            expression.alias(str(place)) for place, expression in enumerate(matches.values())
        )
        found = {
            rows: mask
            for rows, mask in zip(matches, masks.collect().iter_columns(), strict=True)
            if mask.any()
        }
        matched = [run for run in runs if run.counts in found]
        keys = self._keys(matched, found)
        marked = []
        for run in matched:
            counted = self._count(run, found[run.counts], keys[run.names])
            if counted.entries.is_empty():
                continue
            marks = run.judge(counted.entries)
            if marks.height:
                rows = counted.rows.select("row", "tick", "key", "value")
                marked.append((run, rows.join(marks, on=["tick", "key"]).drop("key")))
        return marked

    def _keys(self, runs: Sequence[RuleRun], found: dict[object, pl.Series]) -> dict[Names, pl.Series]:
        """Number the rows by the columns that each rule needs, and learn what new numbers stand for."""
        keys = {}
        for names in dict.fromkeys(run.names for run in runs):
            keys[names] = self.frame.select(hashed(names.fields).alias("_key")).to_series()
            wanted = [found[run.counts] for run in runs if run.names is names]
            mask = wanted[0]
            for other in wanted[1:]:
                mask = mask | other
            names.note(self.frame, keys[names], mask)
        return keys

    def _count(self, run: RuleRun, mask: pl.Series, keys: pl.Series) -> _Counted:
        shared = (run.names, run.counts)
        if run.rule.exceptions:
            return _summed(_without_excepted(run, self._rows(run.rule, mask, keys)))
        if shared not in self._counted:
            self._counted[shared] = _summed(self._rows(run.rule, mask, keys))
        return self._counted[shared]

    def _rows(self, rule: Rule, mask: pl.Series, keys: pl.Series) -> pl.DataFrame:
        """Give what each row of a rule adds: ``row``, ``tick``, ``key``, ``value``, ``sent``, ``last``."""
        sent = pl.col(_SENT[rule.record])
        if rule.record == "dns":
            sent = pl.when(pl.col("kind") == "question").then(sent).otherwise(0)
        made = [
            pl.col("_row").alias("row"),
            pl.col("_tick").alias("tick"),
            pl.col("_key").alias("key"),
            rule.measure.expression().alias("value"),
            sent.cast(pl.Int64).alias("sent"),
            pl.col(_TIME[rule.record]).cast(pl.Int64).alias("last"),
        ]
        if rule.exceptions:
            made.append(exceptions.which(rule.exceptions, pl.col("_tick")).alias("exception"))
        needed = {name for one in made for name in one.meta.root_names() if not name.startswith("_")}
        thin = self.frame.select(sorted(needed))
        return thin.hstack([self.row, self.ticks, keys]).filter(mask).select(made)


def _summed(rows: pl.DataFrame) -> _Counted:
    # one number for tick and key: grouping by one column is faster than by two
    both = pl.col("key") + pl.col("tick").cast(pl.UInt64) * _TICK
    entries = rows.group_by(both.alias("both"), maintain_order=True).agg(
        pl.col("tick", "key").first(), pl.col("value", "sent").sum(), pl.col("last").max()
    )
    return _Counted(rows, entries.drop("both"))


def _without_excepted(run: RuleRun, rows: pl.DataFrame) -> pl.DataFrame:
    """Take out what the rule's exceptions cover, and count its bytes."""
    taken = rows.filter(pl.col("exception").is_not_null())
    if taken.is_empty():
        return rows
    for index, sent in taken.group_by("exception").agg(pl.col("sent").sum()).iter_rows():
        words = run.rule.exceptions[index].words
        run.suppressed[words] = run.suppressed.get(words, 0) + sent
    run.changed = True
    return rows.filter(pl.col("exception").is_null())
