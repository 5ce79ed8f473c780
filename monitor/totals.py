"""Sums for people over a whole run: who sent how much to whom, and whether the right side is local."""

from typing import Any

import polars as pl

from monitor._hotpath import TotalSums, TransitSums
from monitor.address_text import to_text
from monitor.flow_rows import AnyRows, FlowRows
from monitor.units import format_bytes

KEYS = ["workload", "provider", "as_name", "country", "evidence", "name"]
SUMS = ["payload_out", "bytes_out", "bytes_in", "connections"]

# Rows that are kept; past it the lighter ones lose their name, the lightest their workload too. Some 20 MB.
MAX_ROWS = 100_000
# Addresses of transit flows that are remembered, the heaviest.
MAX_ADDRESSES = 4096
# The share of transit above which the local side is doubted.
TRANSIT_SHARE = 0.5


class Totals:
    """Adds up attributed flows; memory does not grow with the traffic."""

    def __init__(self) -> None:
        self._sums = TotalSums(most=MAX_ROWS)

    def add(self, flows: AnyRows) -> None:
        """Add the rows of one drain."""
        self._sums.add(FlowRows.of(flows).native)

    @property
    def rows(self) -> pl.DataFrame:
        """Egress by `KEYS` with the `SUMS` (bytes, and connections), in the order of their first rows."""
        rows: Any = self._sums.rows()
        return pl.DataFrame(rows)

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and the last packet in ns since 1970; None where there was none."""
        return self._sums.span


class TransitWatch:
    """Notices that most of the traffic is between addresses that are not local: the side may be wrong."""

    def __init__(self) -> None:
        self._sums = TransitSums(most=MAX_ADDRESSES)

    def add(self, flows: AnyRows) -> None:
        """Add the rows of one drain."""
        self._sums.add(FlowRows.of(flows).native)

    def hint(self) -> str | None:
        """Say in one line that another side is probably local, where over half of the bytes are transit."""
        total, transit = self._sums.byte_sums
        heaviest = self._sums.heaviest()
        if heaviest is None or transit / total <= TRANSIT_SHARE:
            return None
        text = to_text(heaviest[0])
        return (
            f"{transit / total:.0%} of the bytes are between two addresses that are not local, so most rules "
            f"do not see them. {text} has the most ({format_bytes(heaviest[1])}): if it is yours, say "
            f"--local {text}"
        )
