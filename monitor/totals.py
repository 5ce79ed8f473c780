"""Sums for people over a whole run: who sent how much to whom, and whether the right side is local."""

from typing import Any

import polars as pl

from monitor.address_text import to_text
from monitor.flow_batch import EVIDENCES
from monitor.row_number import distinct, grouped, number_of
from monitor.units import format_bytes

KEYS = ["workload", "provider", "as_name", "country", "evidence", "name"]
SUMS = ["payload_out", "bytes_out", "bytes_in", "connections"]

# Rows that are kept; past it the smallest lose their name, and then their workload. Some 20 MB.
MAX_ROWS = 50_000
# Rows of drains that wait to be added up: all at once costs less than one drain after the other. Some 40 MB.
MAX_WAITING = 200_000
# Addresses of transit flows that are remembered, the heaviest.
MAX_ADDRESSES = 4096
# The share of transit above which the local side is doubted.
TRANSIT_SHARE = 0.5


class Totals:
    """Adds up attributed flows; memory does not grow with the traffic."""

    def __init__(self) -> None:
        keys: dict[str, Any] = {**dict.fromkeys(KEYS, pl.String), "evidence": pl.Enum(EVIDENCES)}
        self._words = pl.DataFrame(schema={"number": pl.UInt64, **keys})  # what the numbers stand for
        self._sums = pl.DataFrame(schema={"number": pl.UInt64, **dict.fromkeys(SUMS, pl.UInt64)})
        self._waiting: list[pl.DataFrame] = []  # rows of both
        self._span: tuple[int, int] | None = None

    def add(self, flows: pl.DataFrame) -> None:
        """Add the rows of one drain (`FLOW_SCHEMA` and `ATTRIBUTED`)."""
        if flows.is_empty():
            return
        egress = flows.lazy().filter(pl.col("scope") == "egress")
        named = egress.select(
            *KEYS[:-1],
            pl.coalesce("dns_name", "name").alias("name"),
            *SUMS[:3],
            # a connection is counted in its first row, the one that holds its first packet
            (pl.col("started") == pl.col("first_seen")).cast(pl.UInt64).alias("connections"),
        )
        self._waiting.append(named.with_columns(number=number_of(KEYS)).collect())
        if sum(rows.height for rows in self._waiting) > MAX_WAITING:
            self._add_up()
        first, last = flows.select(
            pl.col("first_seen").min().to_physical(), pl.col("last_seen").max().to_physical()
        ).row(0)
        before = self._span or (first, last)
        self._span = min(before[0], first), max(before[1], last)

    @property
    def rows(self) -> pl.DataFrame:
        """Egress by `KEYS` with the `SUMS` (bytes, and connections), in no order."""
        self._add_up()
        named = self._sums.join(self._words, on="number", how="left")
        return named.select(*KEYS, *SUMS).with_columns(pl.col("evidence").cast(pl.String))

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and the last packet in ns since 1970; None where there was none."""
        return self._span

    def _add_up(self) -> None:
        """Make one frame of all that wait, and keep the bound."""
        waiting, self._waiting = self._waiting, []
        self._words = _distinct([self._words, *waiting])
        self._sums = _summed([self._sums, *waiting])
        for column in ("name", "workload"):
            if self._sums.height > MAX_ROWS:
                self._fold(column)

    def _fold(self, column: str) -> None:
        """Take a column from the rows that sent least; the sums of their providers stay."""
        heaviest = self._sums.sort(["payload_out", "bytes_in"], descending=True)["number"].head(MAX_ROWS // 2)
        is_kept = pl.col("number").is_in(heaviest.implode())
        folded = (
            self._words.filter(~is_kept)
            .with_columns(pl.lit(None, pl.String).alias(column))
            .with_columns(folded=number_of(KEYS))
        )
        numbers = folded.select("number", "folded")
        left = self._sums.filter(~is_kept).join(numbers, on="number", how="left")
        renumbered = pl.col("folded").alias("number")
        self._words = _distinct([self._words.filter(is_kept), folded.select(renumbered, *KEYS)])
        self._sums = _summed([self._sums.filter(is_kept), left.select(renumbered, *SUMS)])


def _distinct(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return distinct(pl.concat(frame.select("number", *KEYS) for frame in frames), "number")


def _summed(frames: list[pl.DataFrame]) -> pl.DataFrame:
    rows = pl.concat(frame.select("number", *SUMS) for frame in frames)
    return grouped(rows, "number", [pl.col(SUMS).sum()])


class TransitWatch:
    """Notices that most of the traffic is between addresses that are not local: the side may be wrong."""

    def __init__(self) -> None:
        self._bytes = 0
        self._transit_bytes = 0
        self._transit = pl.DataFrame(schema={"address": pl.Binary, "total": pl.UInt64})

    def add(self, flows: pl.DataFrame) -> None:
        """Add the rows of one drain."""
        total = flows["bytes_out"] + flows["bytes_in"]
        self._bytes += int(total.sum())
        is_transit = flows["scope"] == "transit"
        if not is_transit.any():
            return
        total = total.filter(is_transit)
        self._transit_bytes += int(total.sum())
        ends = [
            pl.DataFrame({"address": flows[side].filter(is_transit), "total": total})
            for side in ("local_address", "remote_address")
        ]
        sums = pl.concat([self._transit, *ends]).group_by("address").agg(pl.col("total").sum())
        if sums.height > MAX_ADDRESSES:
            sums = sums.sort("total", "address", descending=True).head(MAX_ADDRESSES // 2)
        self._transit = sums

    def hint(self) -> str | None:
        """Say in one line that another side is probably local, where over half of the bytes are transit."""
        if not self._bytes or self._transit_bytes / self._bytes <= TRANSIT_SHARE:
            return None
        address, heaviest = self._transit.sort("total", "address", descending=True).row(0)
        text = to_text(address)
        return (
            f"{self._transit_bytes / self._bytes:.0%} of the bytes are between two addresses that are not "
            f"local, so most rules do not see them. {text} has the most ({format_bytes(heaviest)}): if it is "
            f"yours, say --local {text}"
        )
