"""One rule at work: its window, its groups, what it knows, its alerts. Pure: rows in, state and alerts out.

Many ticks come in one call. They are judged as if they came one by one: where that could make a
difference (a table is nearly full) they are in fact taken one by one, and else all at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from monitor.judge import window
from monitor.judge.course import Addition, Course, Part, Shares, Standing
from monitor.judge.groups import Groups, Key
from monitor.judge.novelty import Novelty
from monitor.judge.rule import Rule
from monitor.judge.window import BucketLog

MAX_PARTS = 65_536  # of a rule: who sent to whom
UNKNOWN_PART: Part = (None, None, None, None)
_IDS = {"key": pl.UInt64, "group": pl.UInt32, "part": pl.UInt32}

Names = Mapping[int, tuple[Key, Part]]  # what the hash in column ``key`` stands for


@dataclass
class Parts:
    """Numbers the parts of groups; past the bound new ones are not told apart."""

    ids: dict[Part, int] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)
    next_id: int = 0

    def enter(self, part: Part) -> int:
        """Give the number of a part."""
        if part not in self.ids:
            if len(self.ids) >= MAX_PARTS and part != UNKNOWN_PART:
                return self.enter(UNKNOWN_PART)
            self.ids[part] = self.next_id
            self.parts[self.next_id] = part
            self.next_id += 1
        return self.ids[part]

    def keep(self, used: set[int]) -> None:
        """Forget the parts that are not used any more."""
        for number in [number for number in self.parts if number not in used]:
            del self.ids[self.parts.pop(number)]


class RuleRun:
    """Judges the entries of one rule.

    Entries are what one rule's rows add, summed by tick and key: ``tick`` (seconds), ``key`` (a hash),
    ``value``, ``sent`` and ``last`` (nanoseconds), in the order of ticks.
    """

    def __init__(self, rule: Rule, *, learn: bool) -> None:
        self.rule = rule
        self.expression = rule.expression()
        self.log = BucketLog(rule.measure.window)
        self.groups = Groups(rule.measure.window, len(rule.group_fields))
        self.parts = Parts()
        self.course = Course(rule)
        self.novelty = None
        if rule.novel:
            self.novelty = Novelty(rule.novel.learn if learn else 0, rule.novel.forget)
        self.suppressed: dict[str, int] = {}  # bytes, by what the exception matches
        self.changed = False  # since it was saved

    def judge(self, entries: pl.DataFrame, names: Names) -> pl.DataFrame:
        """Judge whole ticks; give which entries belong to alerts: ``tick``, ``key``, ``segment``."""
        self.changed = True
        if self._can_take_all(entries, names):
            marked = [self._judge(entries, names)]
        else:
            marked = [self._judge(tick, names) for tick in entries.partition_by("tick", maintain_order=True)]
        self.log.tidy()
        return pl.concat(marked)

    def take_over(self, before: "RuleRun") -> None:
        """Go on where the run of an earlier version of this rule stood.

        Alerts and counters stay. Sums and what was learnt stay where they are made of the same rows.
        """
        self.suppressed = before.suppressed
        self.changed = True
        if before.rule.group_fields == self.rule.group_fields:
            self.course.open.update(before.course.open)
            self.course.ended.update(before.course.ended)
        if before.rule.shape != self.rule.shape:
            self.groups.overflow = before.groups.overflow
            self.forget_windows()
            return
        self.log, self.groups, self.parts = before.log, before.groups, before.parts
        if self.novelty is not None and before.novelty is not None:
            self.novelty.began, self.novelty.known = before.novelty.began, before.novelty.known
            self.novelty.forgotten = before.novelty.forgotten

    def forget_windows(self) -> None:
        """Drop all sums, and keep alerts and what was learnt."""
        self.log.rows = self.log.rows.clear()
        for sums in (self.groups.total, self.groups.sent):
            sums.update(dict.fromkeys(sums, 0))
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
        return self.groups.overflow + (self.novelty.forgotten if self.novelty else 0)

    def _can_take_all(self, entries: pl.DataFrame, names: Names) -> bool:
        if entries["tick"][0] == entries["tick"][-1]:
            return True
        self._expire(entries["tick"][0])
        spans = self._spans(entries, names)
        return not (
            self.groups.would_overflow(spans)
            or len(self.parts.ids) + len(names) > MAX_PARTS
            or len(self.log) + entries.height > window.MAX_BUCKETS
            or (
                self.novelty is not None
                and self.novelty.must_step([(key, span[0], span[1]) for key, span in spans.items()])
            )
        )

    def _judge(self, entries: pl.DataFrame, names: Names) -> pl.DataFrame:
        first: int = entries["tick"][0]
        self._expire(first)
        if len(self.log) + entries.height > window.MAX_BUCKETS:
            self.log.widen()
        spans = self._spans(entries, names)
        fresh = None
        if self.novelty is not None:
            fresh = self.novelty.candidates((key, span[0], span[1]) for key, span in spans.items())
            spans = {key: span for key, span in spans.items() if key in fresh or key in self.course.open}
        numbers, hot = self._enter(spans, first)
        ids = [
            (key, numbers[name], self.parts.enter(part))
            for key, (name, part) in names.items()
            if name in numbers
        ]
        numbering = pl.DataFrame(ids, schema=_IDS, orient="row")
        numbered = entries.join(numbering, on="key", maintain_order="left").with_columns(
            leaves=self.log.leaves(pl.col("tick"))
        )
        self._follow(numbered, hot, fresh)
        self._describe(numbered)
        if self.novelty is not None:
            self.novelty.bound()
        self.log.add(numbered)
        return self._marked(numbered)

    def _expire(self, tick: int) -> None:
        """Take off what has left the window by `tick`, and note which alerts' sums fell thereby."""
        gone = self.log.expire(tick)
        if gone.is_empty():
            return
        followed = {
            self.groups.ids[key]: track for key, track in self.course.open.items() if key in self.groups.ids
        }
        if followed:
            mine = pl.col("group").is_in(list(followed))
            for leaves, group, value, sent in _sums(gone.filter(mine), "leaves").iter_rows():
                self.groups.add(group, -value, -sent, tick)
                self.course.fell(followed[group], self.groups.total[group], leaves)
            gone = gone.filter(~mine)
        for group, value, sent in gone.group_by("group").agg(pl.col("value", "sent").sum()).iter_rows():
            self.groups.add(group, -value, -sent, tick)

    def _spans(self, entries: pl.DataFrame, names: Names) -> dict[Key, tuple[int, int, int]]:
        """Give for each group of the entries its first and last tick, and the sum."""
        by_key = entries.group_by("key").agg(
            pl.col("tick").min().alias("first"), pl.col("tick").max().alias("last"), pl.col("value").sum()
        )
        spans: dict[Key, tuple[int, int, int]] = {}
        for key, first, last, value in by_key.iter_rows():
            if key not in names:
                continue
            name = names[key][0]
            if name in spans:
                before = spans[name]
                spans[name] = min(before[0], first), max(before[1], last), before[2] + value
            else:
                spans[name] = first, last, value
        return spans

    def _enter(self, spans: dict[Key, tuple[int, int, int]], tick: int) -> tuple[dict[Key, int], list[int]]:
        """Number the groups and add to their totals; give the numbers, and the groups to follow."""
        if len(self.parts.ids) + len(spans) > MAX_PARTS:
            self.parts.keep(set(self.log.rows["part"].unique()))
        kept = [self.groups.ids[key] for key in self.course.open if key in self.groups.ids]
        numbers, given_up = self.groups.enter([(key, span[2]) for key, span in spans.items()], tick, kept)
        if given_up:
            self.log.forget(given_up)
        hot = []
        other = self.groups.ids.get(self.groups.other)
        for key, (_, _, value) in spans.items():
            number = numbers[key]
            # an upper bound of what the group can have come to in any of these ticks
            most = self.groups.total[number] + value
            if most > self.rule.line or key in self.course.open or number == other:
                hot.append(number)
        return numbers, sorted(set(hot))

    def _follow(self, numbered: pl.DataFrame, hot: list[int], fresh: set[Key] | None) -> None:
        """Judge the groups that may have crossed the line, tick by tick; add to the sums of all."""
        if hot:
            mine = pl.col("group").is_in(hot)
            until: int = numbered["tick"][-1]
            leaving: dict[int, list[tuple[int, int, int]]] = {}
            for leaves, group, value, sent in _sums(
                self.log.leaving(until).filter(mine), "leaves"
            ).iter_rows():
                leaving.setdefault(group, []).append((leaves, value, sent))
            additions: dict[int, list[Addition]] = {}
            ticks = _sums(numbered.filter(mine), "tick", pl.col("leaves").first(), pl.col("last").max())
            for tick, group, value, sent, leaves, last in ticks.iter_rows():
                additions.setdefault(group, []).append(Addition(tick, leaves, value, sent, last))
            for group in hot:
                key = self.groups.keys[group]
                may_begin = fresh is None or key in fresh or key == self.groups.other
                standing = self._standing(group, leaving.get(group, []))
                began = self.course.follow(key, standing, additions[group], may_begin)
                if began and self.novelty is not None:
                    self.novelty.remember(key, additions[group][-1].tick)
        sums = numbered.group_by("group").agg(pl.col("value", "sent").sum(), pl.col("tick").max())
        for group, value, sent, last_tick in sums.iter_rows():
            self.groups.add(group, value, sent, last_tick)

    def _standing(self, group: int, leaving: list[tuple[int, int, int]]) -> Standing:
        def sent_since(tick: int) -> int:
            is_later = pl.col("leaves") > self.log.leaves(pl.lit(tick))
            mine = self.log.rows.filter((pl.col("group") == group) & is_later)
            return int(mine["sent"].sum())

        return Standing(group, self.groups.total[group], self.groups.sent[group], leaving, sent_since)

    def _describe(self, numbered: pl.DataFrame) -> None:
        """Tell each alert that began what was in its window: who sent, to whom, how we know."""
        begun, self.course.begun = self.course.begun, []
        if not begun:
            return
        schema = {"at": pl.Int64, "group": pl.UInt32, "place": pl.UInt32}
        begins = pl.DataFrame(begun, schema=schema, orient="row")
        columns = ["group", "leaves", "part", "value", "sent", "tick"]
        old = self.log.rows.with_columns(tick=pl.lit(0, dtype=pl.Int64)).select(columns)
        shares: dict[int, Shares] = {}
        in_window = (
            pl.concat([old, numbered.select(columns)])
            .lazy()
            .join(begins.lazy(), on="group")
            .filter((pl.col("tick") <= pl.col("at")) & (pl.col("leaves") > pl.col("at")))
            .group_by("place", "part")
            .agg(pl.col("sent", "value").sum())
            .collect()
        )
        for place, part, sent, value in in_window.iter_rows():
            shares.setdefault(place, {})[self.parts.parts[part]] = sent, value
        for place, found in shares.items():
            self.course.describe(place, found)

    def _marked(self, numbered: pl.DataFrame) -> pl.DataFrame:
        """Give which entries belong to which segment of an alert's life."""
        schema = {"tick": pl.Int64, "group": pl.UInt32, "segment": pl.UInt32}
        marks = pl.DataFrame(self.course.marks, schema=schema, orient="row")
        self.course.marks.clear()
        return numbered.select("tick", "key", "group").join(marks, on=["tick", "group"]).drop("group")


def _sums(rows: pl.DataFrame, by: str, *others: pl.Expr) -> pl.DataFrame:
    """Sum value and bytes by time and group, in the order of time."""
    return rows.group_by(by, "group").agg(pl.col("value", "sent").sum(), *others).sort(by, "group")
