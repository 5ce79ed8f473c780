"""The rows of a batch that each rule is about, and what each of them adds.

All rules are matched in one pass. Rules that are about the same rows and measure the same share them.
"""

from collections.abc import Sequence

import polars as pl

from monitor.judge.rule_run import RuleRun


class Batch:
    """One frame of flows or of DNS rows, in the order of ticks; `now` is the first tick not judged yet."""

    def __init__(self, frame: pl.DataFrame, now: int) -> None:
        self.frame = frame
        ticks = frame["tick"].dt.epoch("s")
        if ticks[0] < now:  # never by the contract; a row that is late counts now
            ticks = ticks.clip(lower_bound=now)
        self.last_tick: int = ticks[-1]
        row = pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
        self._places = [ticks.alias("_tick"), row.alias("_row")]
        self._counted: dict[object, pl.DataFrame] = {}

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
        marked = []
        for run in runs:
            if run.counts not in found:
                continue
            counted = self._count(run, found[run.counts])
            if counted.height:
                marks = run.judge(counted)
                if marks.height:
                    marked.append((run, marks))
        return marked

    def _count(self, run: RuleRun, mask: pl.Series) -> pl.DataFrame:
        shared = run if run.rule.exceptions else (run.names, run.counts)
        if shared not in self._counted:
            rows = run.counting.rows(self.frame, self._places, mask)
            if run.rule.exceptions:
                rows = _without_excepted(run, rows)
            run.names.note(self.frame, rows)
            self._counted[shared] = rows
        return self._counted[shared]


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
