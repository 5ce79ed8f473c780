"""The groups of one rule: a bounded table, and ``other`` for what has no room.

A group is what a rule sums for: one workload, or one workload and port, ... An attacker may try to fill
the table, so groups with an open alert and the heavier half are never given up for new ones.
"""

from collections.abc import Collection, Iterable
from typing import Any

BUDGET = 4096  # groups a rule
IDLE_SHARE = 4  # a group is idle after this share of the window without anything
GIVE_UP_SHARE = 16  # at most this share of the budget is given up at once
RETRY_SHARE = 16  # after looking for room in vain, wait for this share of the window
OTHER = "other"

Key = tuple[Any, ...]  # values as JSON has them, in the order of `Rule.group_fields`


class Groups:
    """Gives each key a number, and knows what each group has in the window.

    `overflow` counts how often a group was given up, or was judged together with others.
    """

    def __init__(self, window: int, width: int, budget: int = BUDGET) -> None:
        self.window = window
        self.budget = budget
        self.other: Key = (OTHER,) * width
        self.ids: dict[Key, int] = {}
        self.keys: dict[int, Key] = {}
        self.total: dict[int, int] = {}  # of the measure, in the window
        self.sent: dict[int, int] = {}  # bytes sent, in the window
        self.active: dict[int, int] = {}  # tick in which the group last had something
        self.overflow = 0
        self.next_id = 0
        self.full_until = 0  # tick before which no room is looked for

    def __len__(self) -> int:
        return len(self.ids)

    def would_overflow(self, keys: Collection[Key]) -> bool:
        """Tell whether these keys may not all find room."""
        return len(self.ids) + sum(key not in self.ids for key in keys) > self.budget

    def enter(
        self, keys: Iterable[tuple[Key, int]], tick: int, kept: Collection[int]
    ) -> tuple[dict[Key, int], list[int]]:
        """Give the number of each key; keys come with what they add, and all in one tick if room is short.

        Args:
            keys: key and value, each key once.
            tick: now.
            kept: groups that must not be given up.

        Returns:
            the numbers by key, and the groups that were given up.
        """
        found: dict[Key, int] = {}
        new = []
        for key, value in keys:
            number = self.ids.get(key)
            if number is None:
                new.append((key, value))
            else:
                found[key] = number
        given_up: list[int] = []
        if len(self.ids) + len(new) > self.budget:
            # the heaviest first; the key itself last, so that the order is fixed
            new.sort(key=lambda entry: (-entry[1], repr(entry[0])))
            given_up = self._make_room(len(new), tick, {*kept, *found.values()})
        for key, _ in new:
            if len(self.ids) < self.budget:
                found[key] = self._insert(key, tick)
            else:
                self.overflow += 1
                found[key] = self.ids.get(self.other, -1)
                if found[key] < 0:
                    found[key] = self._insert(self.other, tick)
        return found, given_up

    def add(self, number: int, value: int, sent: int, tick: int) -> None:
        """Add to the sums of a group, or take off what left the window (less than nothing)."""
        if value > 0:
            self.active[number] = tick
        self.total[number] += value
        self.sent[number] += sent

    def _insert(self, key: Key, tick: int) -> int:
        number = self.next_id
        self.next_id += 1
        self.ids[key] = number
        self.keys[number] = key
        self.total[number] = self.sent[number] = 0
        self.active[number] = tick
        return number

    def _make_room(self, wanted: int, tick: int, kept: Collection[int]) -> list[int]:
        """Give up groups with nothing in the window, and if that is not enough, the smallest idle ones."""
        if tick < self.full_until:
            return []
        other = self.ids.get(self.other)
        movable = [number for number in self.keys if number not in kept and number != other]
        given_up = [number for number in movable if not self.total[number]]
        if len(self.ids) - len(given_up) + wanted > self.budget:
            idle_since = tick - max(1, self.window // IDLE_SHARE)
            half = sorted(self.total.values())[len(self.total) // 2]
            idle = [
                number
                for number in movable
                if 0 < self.total[number] <= half and self.active[number] <= idle_since
            ]
            idle.sort(key=lambda number: (self.total[number], repr(self.keys[number])))
            del idle[max(1, self.budget // GIVE_UP_SHARE) :]
            given_up += idle
            self.overflow += len(idle)
            self.full_until = tick + max(1, self.window // RETRY_SHARE)
        for number in given_up:
            del self.ids[self.keys.pop(number)], self.total[number], self.sent[number], self.active[number]
        return given_up
