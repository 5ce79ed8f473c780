"""What each group is known to use, so that a rule can tell the first time (``fire: {novel: ...}``).

A group learns for `learn` seconds from the first tick in which it had anything: all that it uses in that
time is known. After that a value becomes known only by firing, so that small traffic before a large one
does not hide it. What was not used for `forget` seconds is new again.

Numbers: ``base`` is the group that learns (the fields of ``per``), ``group`` is base and value together.
"""

import polars as pl

from monitor.judge.names import OTHER_GROUP, Names, schema_of
from monitor.judge.rule import Rule
from monitor.judge.ways import Novel

MAX_KNOWN = 65_536  # values a rule, about 150 bytes each
MAX_LEARNING = 16_384  # bases a rule; what is past it learns as one


class Novelty:
    """One rule's memory."""

    def __init__(self, rule: Rule, novel: Novel, *, learn: bool) -> None:
        self.learn = novel.learn if learn else 0
        self._is_learner = learn  # else nobody asks when a group began
        self.forget = novel.forget
        self.fields = rule.group_fields
        self.per = rule.measure.per
        self.known = pl.DataFrame(
            schema={"group": pl.UInt64, **schema_of(rule.record, self.fields), "last": pl.Int64}
        )
        self.began = pl.DataFrame(
            schema={"base": pl.UInt64, **schema_of(rule.record, self.per), "tick": pl.Int64}
        )
        self.forgotten = 0  # values dropped to keep the bound

    def must_step(self, spans: pl.DataFrame) -> bool:
        """Tell whether many ticks at once could come out otherwise than one by one."""
        longest = (spans["last"] - spans["first"]).max()
        return (
            self.known.height + spans.height > MAX_KNOWN
            or (self._is_learner and self.began.height + spans.height > MAX_LEARNING)
            or (isinstance(longest, int) and longest > self.forget)
        )

    def candidates(self, spans: pl.DataFrame, names: Names) -> pl.DataFrame:
        """Take note of what was used; give the spans of the groups whose value is not known.

        Args:
            spans: ``group``, ``base``, ``key``, ``first`` and ``last`` tick.
            names: what the keys stand for.
        """
        if not self._is_learner and self.known.is_empty():
            return spans
        columns = spans.columns
        is_learning = pl.lit(False)
        if self._is_learner:
            spans = self._with_beginnings(spans, names)
            is_learning = pl.col("first") < pl.col("tick") + self.learn
        spans = spans.join(self.known.select("group", known="last"), on="group", how="left")
        is_known = (pl.col("first") - pl.col("known") <= self.forget).fill_null(False)
        spans = spans.with_columns(fresh=~(is_learning | is_known))
        if self.known.height:
            self.known = (
                self.known.join(spans.select("group", "fresh", now="last"), on="group", how="left")
                .filter(~pl.col("fresh").fill_null(False))
                .with_columns(pl.max_horizontal("last", "now").alias("last"))
                .select(self.known.columns)
            )
        self.remember(spans.filter(~pl.col("fresh") & pl.col("known").is_null()), names)
        return spans.filter("fresh").select(columns)

    def remember(self, spans: pl.DataFrame, names: Names) -> None:
        """Make values known: those that a group uses while it learns, and those that fired."""
        if spans.height:
            new = names.name(spans.select("group", "key", "last"), self.fields)
            self.known = self.known.vstack(new.select(self.known.columns))

    def bound(self) -> None:
        """Drop the values that were not used for longest, once there are too many."""
        excess = self.known.height - MAX_KNOWN
        if excess > 0:
            dropped = excess + MAX_KNOWN // 8
            self.known = self.known.sort("last", *self.fields).slice(dropped)
            self.forgotten += dropped

    def is_learning(self, tick: int) -> bool:
        """Tell whether some group still learns, or none has been seen yet."""
        newest = self.began["tick"].max()
        return self.learn > 0 and (not isinstance(newest, int) or newest + self.learn > tick)

    def _with_beginnings(self, spans: pl.DataFrame, names: Names) -> pl.DataFrame:
        """Add the tick in which each base began, and note those that begin now."""
        unknown = spans.join(self.began, on="base", how="anti")
        if unknown.height:
            new = unknown.group_by("base").agg(pl.col("key").first(), pl.col("first").min().alias("tick"))
            new = names.name(new, self.per)
            room = MAX_LEARNING - self.began.height
            if new.height > room:
                new = new.sort(self.per or "base")
                late = new.slice(room)["base"]
                base = pl.when(pl.col("base").is_in(late.implode())).then(OTHER_GROUP).otherwise("base")
                spans = spans.with_columns(base=base.cast(pl.UInt64))
                new = new.head(room).select(self.began.columns)
                if OTHER_GROUP not in self.began["base"]:
                    others = {"base": OTHER_GROUP, "tick": spans["first"].min()}
                    new = pl.concat([new, pl.DataFrame([others], schema=self.began.schema)])
            self.began = self.began.vstack(new.select(self.began.columns))
        return spans.join(self.began.select("base", "tick"), on="base", how="left")
