"""A bounded set of counter rows that stays exact in ``increase()`` (design section 7).

A byte is counted once, in the row that owns its key at that moment, and history never moves between
rows. Prometheus learns an increase only from two samples of one series, so:

- A new row is shown at its first value, 0, for `hold` seconds, while its bytes gather behind it; what
  gathered is shown at once after that. A row that comes back starts from the value it left with.
- While the budget lasts, each key has a row. After that the rest is counted in the row ``other``.
- A row gives way only after an hour without a byte, or when in a whole hour it had less than a tenth
  of the newcomer's bytes. It then takes no more bytes and stays for `hold` seconds at its last value,
  so that a scrape sees it, before it leaves.
- A tenth of the budget is kept for the keys of open alerts, whose rows never give way.

`hold` must be longer than the scrape interval. With `hold` 0 (replay) all values are shown as they are.
"""

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from monitor.publish.labels import OTHER

HOUR = 3600.0  # seconds: what "idle" and "far below" are measured over
FAR_BELOW = 10  # a row is far below a newcomer with this many times its bytes
RESERVED_SHARE = 10  # one row of this many is kept for open alerts
REMEMBERED_ROWS = 8  # times the budget: values of rows that left; about 200 bytes each
CANDIDATES = 4  # times the budget: keys without a row whose bytes of this hour are known

Key = tuple[str, ...]
Values = tuple[int, ...]


@dataclass(slots=True)
class _Row:
    values: list[int]
    shown: Values  # what is shown until `held_until`
    held_until: float
    since: float
    last_active: float
    of_this_hour: int = 0
    heir: Key | None = None  # set when the row gives way; the heir comes when it has left
    leaves_at: float | None = None


class CounterRows:
    """Counters by key: `labels` label values a key, `width` counters a row.

    Times are seconds of one clock that never goes back. Not thread-safe: one writer.
    """

    def __init__(self, labels: int, width: int, *, budget: int, hold: float) -> None:
        self.budget = budget
        self.hold = hold
        self.other: Key = (OTHER,) * labels
        self.forgotten = 0  # values of rows that left and were dropped to keep the bound
        self._width = width
        self._other = [0] * width
        self._rows: dict[Key, _Row] = {}
        self._remembered: dict[Key, Values] = {}
        self._candidates: dict[Key, int] = {}
        self._reserved: Collection[Key] = ()
        self._hour_began: float | None = None

    def reserve(self, prefixes: Collection[Key]) -> None:
        """Say which keys belong to open alerts: those whose first two labels are in `prefixes`."""
        self._reserved = prefixes

    def add(self, groups: Iterable[tuple[Key, Sequence[int]]], now: float) -> None:
        """Add to the counters of each key; a key stands at most once in `groups`."""
        self._turn(now)
        newcomers: list[tuple[Key, Sequence[int]]] = []
        for key, values in groups:
            row = self._rows.get(key)
            if row is not None and row.leaves_at is None:
                row.last_active = now
                row.of_this_hour += _count(row.values, values)
            elif key == self.other:
                _count(self._other, values)
            elif any(values):
                newcomers.append((key, values))
        entered = self._admit(newcomers, now)
        for key, values in newcomers:
            if key not in entered:
                self._candidates[key] = self._candidates.get(key, 0) + _count(self._other, values)
        if len(self._candidates) > CANDIDATES * self.budget:
            half = heapq.nlargest(
                CANDIDATES * self.budget // 2, self._candidates.items(), key=lambda candidate: candidate[1]
            )
            self._candidates = dict(half)

    def shown(self, now: float) -> list[tuple[Key, Values]]:
        """Give each row as a scrape may see it, ``other`` first; at most `budget` rows."""
        rows = [(self.other, tuple(self._other))]
        rows += [
            (key, row.shown if now < row.held_until else tuple(row.values)) for key, row in self._rows.items()
        ]
        return rows

    def _admit(self, newcomers: list[tuple[Key, Sequence[int]]], now: float) -> set[Key]:
        """Give rows to as many newcomers as there is room for, with their bytes; say to which."""
        entered: set[Key] = set()
        if not newcomers:
            return entered
        free = self.budget - 1 - len(self._rows)
        idle = self._idle(now) if free < len(newcomers) + self.budget // RESERVED_SHARE else []
        # keys of alerts first, then the largest; the key itself last, so that the order is fixed
        best = heapq.nsmallest(
            free + len(idle),
            newcomers,
            key=lambda group: (group[0][:2] not in self._reserved, -sum(group[1]), group[0]),
        )
        for key, values in best:
            if key in self._rows:
                continue  # it gives way just now
            if idle and not self._has_room(key):
                self._leave(idle.pop())
            if self._has_room(key):
                row = self._enter(key, now)
                row.of_this_hour += _count(row.values, values)
                entered.add(key)
        return entered

    def _has_room(self, key: Key) -> bool:
        kept_free = 0 if key[:2] in self._reserved else self.budget // RESERVED_SHARE
        return len(self._rows) + 1 < self.budget - kept_free

    def _enter(self, key: Key, now: float) -> _Row:
        values = self._remembered.pop(key, (0,) * self._width)
        row = _Row(list(values), values, now + self.hold, now, now)
        self._rows[key] = row
        return row

    def _leave(self, key: Key) -> None:
        self._remembered[key] = tuple(self._rows.pop(key).values)
        if len(self._remembered) > REMEMBERED_ROWS * self.budget:
            # safe: whoever comes back starts at 0, is shown there, and Prometheus sees a reset
            del self._remembered[next(iter(self._remembered))]
            self.forgotten += 1

    def _idle(self, now: float) -> list[Key]:
        """Give the rows that were idle for an hour, the longest idle one last."""
        idle = [
            key
            for key, row in self._rows.items()
            if now - row.last_active >= max(HOUR, 2 * self.hold)
            and row.leaves_at is None
            and key[:2] not in self._reserved
        ]
        return sorted(idle, key=lambda key: -self._rows[key].last_active)

    def _turn(self, now: float) -> None:
        """Let rows leave whose time has come, and hold the contest at the end of each hour."""
        leaving = [
            key for key, row in self._rows.items() if row.leaves_at is not None and now >= row.leaves_at
        ]
        for key in leaving:
            heir = self._rows[key].heir
            self._leave(key)
            if heir is not None and heir not in self._rows:
                self._enter(heir, now)
        if self._hour_began is None:
            self._hour_began = now
        if now - self._hour_began < HOUR:
            return
        self._contest(self._hour_began, now)
        self._hour_began = now
        self._candidates.clear()
        for row in self._rows.values():
            row.of_this_hour = 0

    def _contest(self, began: float, now: float) -> None:
        rows = [
            (row.of_this_hour, key)
            for key, row in self._rows.items()
            if row.since <= began and row.leaves_at is None and key[:2] not in self._reserved
        ]
        newcomers = sorted(
            (candidate for candidate in self._candidates.items() if candidate[0] not in self._rows),
            key=lambda candidate: (-candidate[1], candidate[0]),
        )
        for (bytes_of_row, key), (heir, bytes_of_heir) in zip(sorted(rows), newcomers, strict=False):
            if bytes_of_row * FAR_BELOW >= bytes_of_heir:
                return
            row = self._rows[key]
            row.heir = heir
            row.leaves_at = max(now, row.held_until) + self.hold


def _count(counters: list[int], values: Sequence[int]) -> int:
    """Add `values` to `counters`, place by place; give their sum."""
    for index, value in enumerate(values):
        counters[index] += value
    return sum(values)
