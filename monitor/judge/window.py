"""What was measured in the last `window` seconds, as rows of one Polars frame a rule.

A row is what one flow's row added, or what one key added in one bucket: rows of the same bucket and key are
joined now and then. A bucket is one tick for windows of up to 600 seconds, and a 600th of the window for
longer ones, so a longer window may hold what is up to a 600th too old, and never
misses what is new enough. All times are seconds since 1970, event time.
"""

from collections.abc import Collection

import polars as pl

from monitor.judge.names import among
from monitor.row_number import grouped, mixed

BUCKETS_A_WINDOW = 600
MAX_BUCKETS = 2**20  # 48 bytes each; past it buckets become twice as wide
_SLACK = 2**16
_GROWTH = 4  # times as many rows before they are joined again

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "leaves": pl.Int64,  # first second at which the row no longer counts
    "group": pl.UInt64,
    "key": pl.UInt64,
    "value": pl.Int64,  # what the rule measures
    "sent": pl.Int64,  # bytes sent
    "last": pl.Int64,  # newest packet, nanoseconds since 1970
}


class BucketLog:
    """The buckets of one rule's groups, in the order in which they leave the window."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.width = -(-window // BUCKETS_A_WINDOW)
        self.rows = pl.DataFrame(schema=SCHEMA)
        self._compact_at = _SLACK

    def __len__(self) -> int:
        return self.rows.height

    def leaves(self, tick: pl.Expr) -> pl.Expr:
        """Give when what is measured in a tick leaves the window."""
        return (tick // self.width + 1) * self.width - 1 + self.window

    def leaves_at(self, tick: int) -> int:
        """Give when what is measured in a tick leaves the window."""
        return (tick // self.width + 1) * self.width - 1 + self.window

    def expire(self, tick: int) -> pl.DataFrame:
        """Drop what has left the window by `tick`, and give it."""
        gone = self.leaving(tick)
        if gone.height:
            self.rows = self.rows.slice(gone.height)
        return gone

    def next_leaving(self) -> int | None:
        """Give when the next row leaves the window; None where there is none."""
        return self.rows["leaves"][0] if len(self) else None

    def leaving(self, tick: int) -> pl.DataFrame:
        """Give what will have left the window by `tick`."""
        if not len(self) or self.rows["leaves"][0] > tick:
            return self.rows.clear()
        return self.rows.head(self.rows["leaves"].search_sorted(tick, side="right"))

    def add(self, entries: pl.DataFrame) -> None:
        """Add rows of `SCHEMA`, none of which leaves earlier than one that is here."""
        self.rows = self.rows.vstack(entries.select(*SCHEMA))

    def of(self, groups: pl.Series | Collection[int]) -> pl.DataFrame:
        """Give the rows of some groups, in their order."""
        return self.rows.filter(among(groups))

    def forget(self, groups: pl.Series) -> None:
        """Drop all rows of some groups."""
        self.rows = self.rows.filter(~pl.col("group").is_in(groups.implode()))

    def tidy(self) -> None:
        """Join rows of the same bucket and key; between calls only, when no tick is half done."""
        if len(self) >= self._compact_at:
            self._join(["leaves", "group", "key"])
            self._compact_at = min(_GROWTH * len(self) + _SLACK, (len(self) + MAX_BUCKETS) // 2)

    def make_room(self, rows: int) -> None:
        """Keep the bound when so many rows come: join what can be joined, then use wider buckets."""
        if len(self) + rows > MAX_BUCKETS:
            self._join(["leaves", "group", "key"])
        if len(self) + rows > MAX_BUCKETS:
            self.narrow()

    def narrow(self) -> None:
        """Make room: buckets twice as wide, and when they are as wide as the window, one key a group."""
        by = ["leaves", "group", "key"]
        if 2 * self.width <= self.window:
            self.width *= 2
            began = pl.col("leaves") - self.window
            self.rows = self.rows.with_columns(leaves=self.leaves(began))
        else:
            by.remove("key")
        self._join(by)

    def _join(self, by: list[str]) -> None:
        sums = [pl.col("value").sum(), pl.col("sent").sum(), pl.col("last").max()]
        if "key" not in by:
            sums.append(pl.col("key").sort_by("value", "key").last())
        rows = self.rows.with_columns(mixed([pl.col(name) for name in by]).alias("number"))
        joined = grouped(rows, "number", [pl.col(by).first(), *sums])
        self.rows = joined.select(*SCHEMA).sort("leaves").rechunk()
