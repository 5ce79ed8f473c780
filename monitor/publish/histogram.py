"""A histogram with fixed buckets that is read as an immutable value."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class HistogramValue:
    """What a scrape shows: cumulative counts by upper bound (the last is ``+Inf``) and the sum."""

    buckets: tuple[tuple[str, int], ...]
    sum: float


class Histogram:
    """Counts observations by upper bounds, which are given in rising order."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation; a bound belongs to its bucket (``le``)."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def value(self) -> HistogramValue:
        """Give the present counts as Prometheus wants them: each bucket holds all smaller ones."""
        buckets = []
        total = 0
        for bound, count in zip([*map(str, map(float, self._bounds)), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramValue(tuple(buckets), self._sum)
