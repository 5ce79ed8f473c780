"""What each group is known to use, so that a rule can tell the first time (``fire: {novel: ...}``).

A group learns for `learn` seconds from the first tick in which it had anything: all that it uses in that
time is known. After that a value becomes known only by firing, so that small traffic before a large one
does not hide it. What was not used for `forget` seconds is new again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.judge.groups import OTHER, Key

MAX_KNOWN = 65_536  # values a rule, about 250 bytes each
MAX_LEARNING = 16_384  # groups a rule


@dataclass
class Novelty:
    """One rule's memory. Keys end in the value that may be new; what stands before it is the group."""

    learn: int  # seconds
    forget: int  # seconds
    began: dict[Key, int] = field(default_factory=dict)  # by group: first tick
    known: dict[Key, int] = field(default_factory=dict)  # by key: last tick
    forgotten: int = 0  # values dropped to keep the bound

    def must_step(self, spans: Iterable[tuple[Key, int, int]]) -> bool:
        """Tell whether many ticks at once could come out otherwise than one by one.

        Args:
            spans: key, first and last tick of what is to be judged.
        """
        spans = list(spans)
        return (
            len(self.known) + len(spans) > MAX_KNOWN
            or len(self.began) + len(spans) > MAX_LEARNING
            or any(last - first > self.forget for _, first, last in spans)
        )

    def candidates(self, spans: Iterable[tuple[Key, int, int]]) -> set[Key]:
        """Take note of what was used; give the keys whose value is not known."""
        spans = list(spans)
        if len(self.began) + len(spans) > MAX_LEARNING:
            spans.sort(key=repr)  # who comes first gets the last places
        for key, first, _ in spans:
            group = self._group(key)
            self.began[group] = min(first, self.began.get(group, first))
        found = set()
        for key, first, last in spans:
            is_learning = first < self.began[self._group(key)] + self.learn
            if is_learning or first - self.known.get(key, -self.forget - 1) <= self.forget:
                self.remember(key, last)
            else:
                self.known.pop(key, None)
                found.add(key)
        return found

    def remember(self, key: Key, tick: int) -> None:
        """Make a value known, or note that it was used again."""
        self.known[key] = tick

    def bound(self) -> None:
        """Drop the values that were not used for longest, once there are too many."""
        if len(self.known) > MAX_KNOWN:
            oldest = sorted(self.known.items(), key=lambda entry: (entry[1], repr(entry[0])))
            for old, _ in oldest[: MAX_KNOWN // 8]:
                del self.known[old]
            self.forgotten += MAX_KNOWN // 8

    def is_learning(self, tick: int) -> bool:
        """Tell whether some group still learns, or none has been seen yet."""
        if not self.learn:
            return False
        return not self.began or max(self.began.values()) + self.learn > tick

    def _group(self, key: Key) -> Key:
        group = key[:-1]
        if group in self.began or len(self.began) < MAX_LEARNING:
            return group
        return (OTHER,) * len(group)
