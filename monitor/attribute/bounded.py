"""A cache with a bound that no sender of packets can push past."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar, overload

Key = TypeVar("Key")
Value = TypeVar("Value")
Default = TypeVar("Default")


class BoundedCache(Generic[Key, Value]):
    """A dict of at most ``bound`` entries that forgets what was not used for longest.

    There are two generations. New and used entries are in the young one; when that holds half the
    bound (or half of ``weight_bound``) it becomes the old one, and the old one is forgotten as a whole
    and counted in ``evicted``. So the ``bound / 2`` entries used last are always there, and a use costs
    one dict look-up. What is kept depends only on the order of the calls.

    Args:
        bound: entries at most.
        weight_bound: the sum of the weights given at `put` at most, in any unit.
        weigh: the weight of a value that is used again.
    """

    def __init__(
        self, bound: int, *, weight_bound: int = 0, weigh: Callable[[Value], int] | None = None
    ) -> None:
        self.bound = bound
        self.evicted = 0
        self._weight_bound = weight_bound
        self._weigh = weigh
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._weight = 0  # of what was put into the young generation; what was replaced is still in it

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: Key) -> bool:
        return key in self._young or key in self._old

    @overload
    def get(self, key: Key) -> Value | None: ...
    @overload
    def get(self, key: Key, default: Default) -> Value | Default: ...
    def get(self, key: Key, default: Default | None = None) -> Value | Default | None:
        """Give the value and count it as used; ``default`` where the key is not here."""
        if key in self._young:
            return self._young[key]
        if self._old and key in self._old:
            value = self._old[key]
            self.put(key, value, self._weigh(value) if self._weigh else 0)
            return value
        return default

    def get_all(self, keys: Iterable[Key], default: Default) -> dict[Key, Value | Default]:
        """Do what `get` does for many keys."""
        found: dict[Key, Value | Default] = {key: self._young.get(key, default) for key in keys}
        old = self._old  # may be forgotten on the way, when this many are used again
        for key in [key for key in found if key in old] if old else ():
            value = found[key] = old[key]
            self.put(key, value, self._weigh(value) if self._weigh else 0)
        return found

    def put(self, key: Key, value: Value, weight: int = 0) -> None:
        """Keep the value under the key, in place of an older value."""
        if self._old:
            self._old.pop(key, None)
        self._young[key] = value
        self._weight += weight
        self._make_room()

    def put_all(self, values: Mapping[Key, Value]) -> None:
        """Keep many values under keys that are not here; these may pass the bound at once."""
        self._young.update(values)
        self._make_room()

    def drop_all(self, keys: Iterable[Key]) -> None:
        """Forget the keys that are here; not counted as evicted."""
        for key in keys:
            if self._young.pop(key, None) is None:
                self._old.pop(key, None)

    def items(self) -> Iterator[tuple[Key, Value]]:
        """Give all entries, the longest unused first."""
        yield from self._old.items()
        yield from self._young.items()

    def _make_room(self) -> None:
        if 2 * len(self._young) >= self.bound or 2 * self._weight > self._weight_bound > 0:
            self.evicted += len(self._old)
            self._old = self._young
            self._young = {}
            self._weight = 0
