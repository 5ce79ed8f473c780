"""The groups of one rule with something in the window: a bounded table, and ``other`` past the bound.

A group is what a rule sums for: one workload, or one workload and port, ... An attacker may try to fill
the table, so groups with an open alert and the heavier half are never given up for new ones.
"""

from collections.abc import Callable, Collection, Iterable

import polars as pl

from monitor.judge.names import OTHER_GROUP, among
from monitor.row_number import grouped

BUDGET = 2**14  # groups a rule, 32 bytes each
IDLE_SHARE = 4  # a group is idle after this share of the window without anything
GIVE_UP_SHARE = 16  # at most this share of the budget is given up at once
RETRY_SHARE = 16  # after looking for room, wait for this share of the window

_SCHEMA = {
    "group": pl.UInt64,
    "total": pl.Int64,  # of the measure, in the window
    "sent": pl.Int64,  # bytes sent, in the window
    "leaves": pl.Int64,  # when the newest of it leaves the window
}


class Groups:
    """What each group has in the window.

    `overflow` counts how often a group was given up, or was judged together with others.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.sums = pl.DataFrame(schema=_SCHEMA)
        self.overflow = 0
        self.full_until = 0  # tick before which no room is looked for

    def would_overflow(self, spans: pl.DataFrame) -> bool:
        """Tell whether these groups may not all find room."""
        if spans.height + self.sums.height <= BUDGET:
            return False
        return self.new(spans).height > self.room

    def same_until(self, spans: pl.DataFrame, tick: int, changes: Collection[int]) -> int | None:
        """Give the first tick from which groups may find room otherwise than before it; None: none.

        Args:
            spans: the groups that come, with their ``first`` tick.
            tick: the first of all.
            changes: the next ticks in which something leaves the window or an alert ends.
        """
        if not self.would_overflow(spans):
            return None
        if self.room:
            return int(self.new(spans)["first"].sort()[self.room])
        if self.looks_for_room(tick):
            return tick + 1
        return min(self.full_until, *changes)

    @property
    def room(self) -> int:
        """How many groups more there is room for."""
        return max(0, BUDGET - self.sums.height)

    def new(self, spans: pl.DataFrame, kept: Collection[int] = ()) -> pl.DataFrame:
        """Give the spans of groups that are not in the table, without those in `kept`."""
        new = spans.join(self.sums.select("group"), on="group", how="anti", maintain_order="left")
        return new.filter(~among(kept)) if kept else new

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows of the log to the sums, or their sums by group."""
        self._change(rows.select("group", pl.col("value").alias("total"), "sent", "leaves"))

    def take_off(self, rows: pl.DataFrame) -> None:
        """Take what left the window off the sums; a group with nothing left has no place in the table."""
        self._change(rows.select("group", -pl.col("value").alias("total"), -pl.col("sent"), "leaves"))
        self.sums = self.sums.filter(pl.col("total") > 0)

    def totals(self, groups: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Give measure and bytes sent in the window of some groups."""
        mine = self.sums.filter(among(groups))
        return {group: (total, sent) for group, total, sent, _ in mine.iter_rows()}

    def looks_for_room(self, tick: int) -> bool:
        """Tell whether it is time again to look for groups to give up."""
        return tick >= self.full_until and not self.sums.is_empty()

    def give_up(
        self, tick: int, newest: int, in_words: Callable[[pl.Series], pl.DataFrame], kept: pl.Series
    ) -> pl.Series:
        """Choose the smallest idle groups to give up, so that new ones find room.

        Args:
            tick: now.
            newest: when what is measured now will leave the window.
            in_words: gives some groups with columns that decide between equals.
            kept: groups that must not be given up.
        """
        self.full_until = tick + max(1, self.window // RETRY_SHARE)
        half = self.sums["total"].sort()[(self.sums.height - 1) // 2]
        idle = self.sums.filter(
            (pl.col("leaves") <= newest - max(1, self.window // IDLE_SHARE))
            & (pl.col("total") <= half)
            & ~among(kept)
            & (pl.col("group") != OTHER_GROUP)
        )
        order = in_words(idle["group"])
        idle = idle.join(order, on="group", how="left").sort("total", *order.drop("group").columns)
        chosen = idle["group"].head(max(1, BUDGET // GIVE_UP_SHARE))
        self.sums = self.sums.filter(~pl.col("group").is_in(chosen.implode()))
        self.overflow += len(chosen)
        return chosen

    def _change(self, changes: pl.DataFrame) -> None:
        sums = [pl.col("total").sum(), pl.col("sent").sum(), pl.col("leaves").max()]
        self.sums = grouped(pl.concat([self.sums, changes]), "group", sums)
