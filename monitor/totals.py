"""Sums for people over a whole run: who sent how much to whom, and whether the right side is local."""

from collections import Counter

import polars as pl

from monitor.address_text import to_text
from monitor.units import format_bytes

KEYS = ["workload", "provider", "as_name", "country", "evidence", "name"]
SUMS = ["payload_out", "bytes_out", "bytes_in", "connections"]

# Rows that are kept; past it the smallest lose their name, and then their workload. Some 20 MB.
MAX_ROWS = 50_000
# Rows of drains that wait to be added up: all at once costs less than one drain after the other. Some 30 MB.
MAX_WAITING = 200_000
# Addresses of transit flows that are remembered, the heaviest.
MAX_ADDRESSES = 4096
# The share of transit above which the local side is doubted.
TRANSIT_SHARE = 0.5


class Totals:
    """Adds up attributed flows; memory does not grow with the traffic."""

    def __init__(self) -> None:
        self._rows = pl.DataFrame(schema={**dict.fromkeys(KEYS, pl.String), **dict.fromkeys(SUMS, pl.UInt64)})
        self._waiting: list[pl.DataFrame] = []
        self._span: tuple[int, int] | None = None

    def add(self, flows: pl.DataFrame) -> None:
        """Add the rows of one drain (`FLOW_SCHEMA` and `ATTRIBUTED`)."""
        if flows.is_empty():
            return
        named = (
            flows.lazy()
            .filter(pl.col("scope") == "egress")
            .select(
                "workload",
                "provider",
                "as_name",
                "country",
                "evidence",
                pl.coalesce("dns_name", "name").alias("name"),
                *SUMS[:3],
                # a connection is counted in its first row, the one that holds its first packet
                (pl.col("started") == pl.col("first_seen")).cast(pl.UInt64).alias("connections"),
            )
        )
        self._waiting.append(_summed(named).with_columns(pl.col("evidence").cast(pl.String)))
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
        return self._rows

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and the last packet in ns since 1970; None where there was none."""
        return self._span

    def _add_up(self) -> None:
        self._rows = _summed(pl.concat([self._rows, *self._waiting]).lazy())
        self._waiting.clear()
        for column in ("name", "workload"):
            if self._rows.height > MAX_ROWS:
                self._fold(column)

    def _fold(self, column: str) -> None:
        """Take a column from the rows that sent least; the sums of their providers stay."""
        ordered = self._rows.sort(["payload_out", "bytes_in"], descending=True)
        kept, folded = ordered.head(MAX_ROWS // 2), ordered.slice(MAX_ROWS // 2)
        nameless = folded.with_columns(pl.lit(None, pl.String).alias(column))
        self._rows = _summed(pl.concat([kept, nameless]).lazy())


def _summed(rows: pl.LazyFrame) -> pl.DataFrame:
    return rows.group_by(KEYS).agg(pl.col(SUMS).sum()).collect()


class TransitWatch:
    """Notices that most of the traffic is between addresses that are not local: the side may be wrong."""

    def __init__(self) -> None:
        self._bytes = 0
        self._transit: Counter[bytes] = Counter()
        self._transit_bytes = 0

    def add(self, flows: pl.DataFrame) -> None:
        """Add the rows of one drain."""
        total = pl.col("bytes_out") + pl.col("bytes_in")
        self._bytes += int(flows.select(total.sum()).item() or 0)
        transit = flows.filter(pl.col("scope") == "transit").with_columns(total.alias("total"))
        if transit.is_empty():
            return
        self._transit_bytes += int(transit["total"].sum())
        for column in ("local_address", "remote_address"):
            for address, amount in transit.group_by(column).agg(pl.col("total").sum()).iter_rows():
                self._transit[address] += amount
        if len(self._transit) > MAX_ADDRESSES:
            self._transit = Counter(dict(self._transit.most_common(MAX_ADDRESSES // 2)))

    def hint(self) -> str | None:
        """Say in one line that another side is probably local, where over half of the bytes are transit."""
        if not self._bytes or self._transit_bytes / self._bytes <= TRANSIT_SHARE:
            return None
        address, heaviest = self._transit.most_common(1)[0]
        text = to_text(address)
        return (
            f"{self._transit_bytes / self._bytes:.0%} of the bytes are between two addresses that are not "
            f"local, so most rules do not see them. {text} has the most ({format_bytes(heaviest)}): if it is "
            f"yours, say --local {text}"
        )
