"""One rule at work: its window, its groups, what it knows, its alerts. Pure: rows in, state and alerts out.

Many ticks come in one call. They are judged as if they came one by one, in stretches of ticks that are as
long as that makes no difference: a stretch ends where a table gets full or has room again.
"""

from functools import partial
from typing import Any

import polars as pl

from monitor.judge import window
from monitor.judge.counting import Counting
from monitor.judge.course import Addition, Course, Shares, Standing
from monitor.judge.groups import Groups
from monitor.judge.names import OTHER_GROUP, PART_FIELDS, Names, among, number_column, schema_of
from monitor.judge.novelty import Novelty
from monitor.judge.rule import Rule
from monitor.judge.window import BucketLog
from monitor.row_number import grouped, hashed, mixed, number_of

_MARKS: dict[str, Any] = {"tick": pl.Int64, "group": pl.UInt64, "segment": pl.UInt32}
_ENTRY = ("row", "tick", "key", "value", "sent", "last")
_NO_MARKS = pl.DataFrame(schema={"row": pl.UInt32, "tick": pl.Int64, "value": pl.Int64, "segment": pl.UInt32})


class RuleRun:
    """Judges the entries of one rule.

    An entry is what one row adds: ``row`` (its place in the batch), ``tick`` (seconds), ``key`` (of `names`),
    ``value``, ``sent`` and ``last`` (nanoseconds), in the order of ticks. Beside them stand the numbers of
    the columns that the key is made of.
    """

    def __init__(self, rule: Rule, names: Names, *, learn: bool) -> None:
        self.rule = rule
        self.names = names
        self.expression = rule.expression()
        self.counting = Counting(rule, names)
        # equal for rules that count the same rows and measure the same
        self.counts: object = (rule.match, rule.measure.what, rule.measure.of)
        self.log = BucketLog(rule.measure.window)
        self.groups = Groups(rule.measure.window)
        self.course = Course(rule)
        self.novelty = Novelty(rule, rule.ways.novel, learn=learn) if rule.ways.novel else None
        self.suppressed: dict[str, int] = {}  # bytes, by what the exception matches
        self.changed = False  # since it was saved
        self._numbers = [_mixed(rule.group_fields).alias("group")]
        self._is_group: pl.Expr | None = None
        if rule.ways.novel:
            self._numbers.append(_mixed(rule.measure.per).alias("base"))
            of = rule.ways.novel.of
            nothing = pl.DataFrame({of: [None]}, schema=schema_of(rule.record, [of]))
            self._is_group = pl.col(number_column(of)) != nothing.select(hashed(of)).item()

    def judge(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Judge whole ticks; give which rows belong to alerts: ``row``, ``tick``, ``value``, ``segment``."""
        self.changed = True
        if self._is_group is not None:
            entries = entries.filter(self._is_group)
        if entries.is_empty():
            return _NO_MARKS
        numbered = entries.select(*_ENTRY, *self._numbers)
        marks = []
        while numbered.height:
            self._expire(numbered["tick"][0])
            spans = self._spans(numbered)
            rows = self._stretch(numbered, spans)
            stretch = numbered.head(rows)
            marks.append(self._judge(stretch, spans if rows == numbered.height else self._spans(stretch)))
            numbered = numbered.slice(rows)
        self.log.tidy()
        return pl.concat(marks)

    def take_over(self, before: "RuleRun") -> None:
        """Go on where the run of an earlier version of this rule stood.

        Alerts and counters stay. Sums and what was learnt stay where they are made of the same rows.
        """
        self.suppressed = before.suppressed
        self.groups.overflow = before.groups.overflow
        self.course.overflow = before.course.overflow
        self.changed = True
        if before.rule.group_fields == self.rule.group_fields:
            self.course.open.update(before.course.open)
            self.course.ended.update(before.course.ended)
        if before.rule.shape != self.rule.shape:
            self.forget_windows()
            return
        self.log, self.groups = before.log, before.groups
        if self.novelty is not None and before.novelty is not None:
            self.novelty.began, self.novelty.known = before.novelty.began, before.novelty.known
            self.novelty.forgotten = before.novelty.forgotten

    def forget_windows(self) -> None:
        """Drop all sums, and keep alerts and what was learnt."""
        self.log.rows = self.log.rows.clear()
        self.groups.sums = self.groups.sums.clear()
        for track in self.course.open.values():
            self.course.fell(track, 0, track.counted_until + 1)

    def sweep(self, limit: int) -> None:
        """End the alerts that are due at `limit` (seconds)."""
        self._expire(limit)
        self.course.sweep(limit)
        self.changed = self.changed or bool(self.course.segments)

    @property
    def overflow(self) -> int:
        """How often a table of this rule had no room."""
        forgotten = self.novelty.forgotten if self.novelty else 0
        return self.groups.overflow + self.course.overflow + forgotten

    def _stretch(self, numbered: pl.DataFrame, spans: pl.DataFrame) -> int:
        """Give how many entries, of whole ticks, come out at once as they would tick by tick."""
        ticks = numbered["tick"]
        until: int | None = ticks[0] + 1
        if len(self.log) + numbered.height <= window.MAX_BUCKETS and not (
            self.novelty is not None and self.novelty.must_step(spans)
        ):
            calm = [one for one in (self.log.next_leaving(), self.course.next_end()) if one is not None]
            until = self.groups.same_until(spans, ticks[0], calm)
        if until is None:
            return numbered.height
        return int(ticks.search_sorted(max(until, ticks[0] + 1)))

    def _judge(self, numbered: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
        tick: int = numbered["tick"][0]
        self._expire(tick)
        self.course.sweep(tick)
        self.log.make_room(numbered.height)
        fresh: pl.Series | None = None
        if self.novelty is not None:
            fresh = self.novelty.candidates(spans, self.names)["group"]
            if len(fresh) < spans.height:
                mine = among(fresh) | among(self.course.open)
                spans, numbered = spans.filter(mine), numbered.filter(mine)
            if numbered.is_empty():
                return self._marked(numbered)
        if self.groups.would_overflow(spans):
            numbered, spans = self._make_room(spans, numbered, tick)
        numbered = numbered.with_columns(leaves=self.log.leaves(pl.col("tick")))
        hot = self._follow(spans, numbered, fresh)
        self._describe(numbered)
        marked = self._marked(numbered)
        if self.novelty is not None:
            numbered, spans = self._without_known(numbered, spans, hot)
            self.novelty.bound()
        self.log.add(numbered)
        self.groups.add(spans.with_columns(leaves=self.log.leaves(pl.col("last"))))
        return marked

    def _spans(self, numbered: pl.DataFrame) -> pl.DataFrame:
        """Give of each group the first and last tick, the sums, and one of its keys."""
        spans = [
            pl.col("tick").min().alias("first"),
            pl.col("tick").max().alias("last"),
            pl.col("value", "sent").sum(),
            pl.col("key").first(),
        ]
        if self.novelty is not None:
            spans.append(pl.col("base").first())
        return grouped(numbered, "group", spans)

    def _make_room(
        self, spans: pl.DataFrame, numbered: pl.DataFrame, tick: int
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Find room for the groups of a stretch; those that get none are numbered `OTHER_GROUP`."""
        fields = self.rule.group_fields
        if self.groups.looks_for_room(tick):
            kept = pl.concat([spans["group"], pl.Series(list(self.course.open), dtype=pl.UInt64)])
            self.log.forget(self.groups.give_up(tick, self.log.leaves_at(tick), self._in_words, kept))
        new = self.groups.new(spans, self.course.open)
        room = self.groups.room
        if 0 < room < new.height:
            # the heaviest find room; between equals the words decide, so that the same rows give the same
            least = new["value"].sort(descending=True)[room]
            equals = self.names.name(new.filter(pl.col("value") == least), fields).sort(fields)
            more, less = (new.filter(one) for one in (pl.col("value") > least, pl.col("value") < least))
            new = pl.concat([more.select("group"), equals.select("group"), less.select("group")])
        left_out = among(new["group"].slice(room))
        others = numbered.filter(left_out)
        self.groups.overflow += others.select(number_of(("tick", "group")).n_unique()).item()
        other = pl.lit(OTHER_GROUP, dtype=pl.UInt64)
        numbered = numbered.with_columns(group=pl.when(left_out).then(other).otherwise("group"))
        return numbered, pl.concat([spans.filter(~left_out), self._spans(others.with_columns(group=other))])

    def _in_words(self, groups: pl.Series) -> pl.DataFrame:
        """Give the values of some groups that have something in the window, beside their ``group``."""
        keyed = self.log.of(groups).unique("group", keep="any").select("group", "key")
        return self.names.name(keyed, self.rule.group_fields).drop("key")

    def _expire(self, tick: int) -> None:
        """Take off what has left the window by `tick`, and note which alerts' sums fell thereby."""
        gone = self.log.expire(tick)
        if gone.is_empty():
            return
        mine = gone.filter(among(self.course.open)) if self.course.open else gone.clear()
        if mine.height:
            totals = {group: total for group, (total, _) in self.groups.totals(self.course.open).items()}
            for leaves, group, value, _ in _sums(mine, "leaves").iter_rows():
                totals[group] -= value
                self.course.fell(self.course.open[group], totals[group], leaves)
        self.groups.take_off(gone)

    def _follow(self, spans: pl.DataFrame, numbered: pl.DataFrame, fresh: pl.Series | None) -> list[int]:
        """Judge, tick by tick, the groups that may have crossed the line or have an open alert; give them."""
        # an upper bound of what a group can have come to in any of these ticks
        most = pl.col("value")
        bounds = spans
        if self.groups.sums.height:
            bounds = spans.join(self.groups.sums.select("group", "total"), on="group", how="left")
            most = most + pl.col("total").fill_null(0)
        near = bounds.filter((most > self.rule.ways.line) | among([OTHER_GROUP, *self.course.open]))
        hot = near["group"].to_list()
        if not hot:
            return []
        raw = dict(zip(hot, self._raw(near), strict=True))
        may_begin = {OTHER_GROUP, *(near if fresh is None else near.filter(among(fresh)))["group"]}
        totals = self.groups.totals(hot)
        leaving: dict[int, list[tuple[int, int, int]]] = {}
        gone = self.log.leaving(numbered["tick"][-1])
        if gone.height:
            for leaves, group, value, sent in _sums(gone.filter(among(hot)), "leaves").iter_rows():
                leaving.setdefault(group, []).append((leaves, value, sent))
        additions: dict[int, list[Addition]] = {}
        ticks = _sums(numbered.filter(among(hot)), "tick", pl.col("leaves").first(), pl.col("last").max())
        for tick, group, value, sent, leaves, last in ticks.iter_rows():
            additions.setdefault(group, []).append(Addition(tick, leaves, value, sent, last))
        fired = []
        for group in hot:
            standing = Standing(
                group,
                None if group == OTHER_GROUP else raw[group],
                *totals.get(group, (0, 0)),
                leaving.get(group, []),
                partial(self._sent_since, group),
            )
            if self.course.follow(standing, additions[group], group in may_begin):
                fired.append(group)
        if fired and self.novelty is not None:
            fired = [group for group in fired if group != OTHER_GROUP]
            self.novelty.remember(spans.filter(among(fired)), self.names)
        return hot

    def _raw(self, keyed: pl.DataFrame) -> list[tuple[Any, ...]]:
        """Give the values of the groups of some keys, in their order."""
        fields = self.rule.group_fields
        if not fields:
            return [()] * keyed.height
        return self.names.name(keyed.select("key"), fields).select(fields).rows()

    def _sent_since(self, group: int, tick: int) -> int:
        """Give the bytes of a group that are in the window and came after `tick`."""
        later = pl.col("leaves") > self.log.leaves_at(tick)
        return int(self.log.of([group]).filter(later)["sent"].sum())

    def _describe(self, numbered: pl.DataFrame) -> None:
        """Tell each alert that began what was in its window: who sent, to whom, how we know."""
        begun, self.course.begun = self.course.begun, []
        if not begun:
            return
        schema = {"at": pl.Int64, "group": pl.UInt64, "place": pl.UInt32}
        begins = pl.DataFrame(begun, schema=schema, orient="row")
        columns = ["group", "leaves", "key", "value", "sent", "tick"]
        rows = numbered.filter(among(begins["group"])).select(columns)
        if len(self.log):
            old = self.log.of(begins["group"]).with_columns(tick=pl.lit(0, dtype=pl.Int64))
            rows = pl.concat([old.select(columns), rows])
        parts = PART_FIELDS[self.rule.record]
        shares: dict[int, Shares] = {}
        in_window = (
            rows.join(begins, on="group")
            .filter((pl.col("tick") <= pl.col("at")) & (pl.col("leaves") > pl.col("at")))
            .group_by("place", "key")
            .agg(pl.col("sent", "value").sum())
        )
        named = self.names.name(in_window, parts).select("place", "sent", "value", *parts)
        for place, sent, value, *part in named.iter_rows():
            whole = (*part, *[None] * (4 - len(part)))
            before = shares.setdefault(place, {}).get(whole, (0, 0))
            shares[place][whole] = before[0] + sent, before[1] + value
        for place, found in shares.items():
            self.course.segments[place].shares = found

    def _without_known(
        self, numbered: pl.DataFrame, spans: pl.DataFrame, hot: list[int]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Leave out what came after an alert ended in these ticks: its value is known by then."""
        tracks = [self.course.ended[group] for group in hot if group in self.course.ended]
        ends = [(track.group, track.ended_at) for track in tracks if track.ended_at > numbered["tick"][0]]
        if not ends:
            return numbered, spans
        over = pl.DataFrame(ends, schema={"group": pl.UInt64, "end": pl.Int64}, orient="row")
        rows = numbered.join(over, on="group", how="left", maintain_order="left")
        left = rows.filter((pl.col("tick") < pl.col("end")).fill_null(True)).drop("end")
        return left, self._spans(left)

    def _marked(self, numbered: pl.DataFrame) -> pl.DataFrame:
        """Give which entries belong to which segment of an alert's life."""
        if not self.course.marks:
            return _NO_MARKS
        marks = pl.DataFrame(self.course.marks, schema=_MARKS, orient="row")
        self.course.marks.clear()
        mine = numbered.filter(among(marks["group"])).select("row", "tick", "value", "group")
        return mine.join(marks, on=["tick", "group"]).drop("group")


def _mixed(fields: tuple[str, ...]) -> pl.Expr:
    """Give the number of some fields from the numbers of each: the same as `number_of` them."""
    return mixed([pl.col(number_column(field)) for field in fields])


def _sums(rows: pl.DataFrame, by: str, *others: pl.Expr) -> pl.DataFrame:
    """Sum value and bytes by time and group, in the order of time."""
    return rows.group_by(by, "group").agg(pl.col("value", "sent").sum(), *others).sort(by)
