"""Sums for people over a whole run: who sent how much to whom, and whether the right side is local."""

from collections import Counter

import polars as pl

from monitor.address_text import to_text
from monitor.units import format_bytes

KEYS = ["workload", "provider", "as_name", "country", "evidence", "name"]
SUMS = ["payload_out", "bytes_out", "bytes_in", "connections"]

# Rows that are kept; past it the smallest lose their name. Some 20 MB.
MAX_ROWS = 50_000
# Addresses of transit flows that are remembered, the heaviest.
MAX_ADDRESSES = 4096
# The share of transit above which the local side is doubted.
TRANSIT_SHARE = 0.5


class Totals:
    """Adds up attributed flows; memory does not grow with the traffic."""

    def __init__(self) -> None:
        self._rows = pl.DataFrame(schema={**dict.fromkeys(KEYS, pl.String), **dict.fromkeys(SUMS, pl.UInt64)})
        self._span: tuple[int, int] | None = None

    def add(self, flows: pl.DataFrame) -> None:
        """Add the rows of one drain (`FLOW_SCHEMA` and `ATTRIBUTED`)."""
        if flows.is_empty():
            return
        egress = flows.lazy().filter(pl.col("scope") == "egress")
        named = egress.select(
            "workload",
            "provider",
            "as_name",
            "country",
            pl.col("evidence").cast(pl.String),
            pl.coalesce("dns_name", "name").alias("name"),
            *SUMS[:3],
            # a connection is counted in its first row, the one that holds its first packet
            (pl.col("started") == pl.col("first_seen")).cast(pl.UInt64).alias("connections"),
        )
        self._rows = pl.concat([self._rows.lazy(), named]).group_by(KEYS).agg(pl.col(SUMS).sum()).collect()
        if len(self._rows) > MAX_ROWS:
            self._fold()
        first, last = flows.select(
            pl.col("first_seen").min().to_physical(), pl.col("last_seen").max().to_physical()
        ).row(0)
        before = self._span or (first, last)
        self._span = min(before[0], first), max(before[1], last)

    @property
    def rows(self) -> pl.DataFrame:
        """Egress by `KEYS` with the `SUMS` (bytes, and connections), in no order."""
        return self._rows

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and the last packet in ns since 1970; None where there was none."""
        return self._span

    def _fold(self) -> None:
        """Take the name from the rows that sent least; the sums of their providers stay."""
        ordered = self._rows.sort(["payload_out", "bytes_in"], descending=True)
        kept, folded = ordered.head(MAX_ROWS // 2), ordered.slice(MAX_ROWS // 2)
        nameless = folded.with_columns(name=pl.lit(None, pl.String))
        self._rows = pl.concat([kept, nameless]).group_by(KEYS).agg(pl.col(SUMS).sum())


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
