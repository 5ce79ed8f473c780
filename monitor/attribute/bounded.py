"""A cache with a bound that no sender of packets can push past."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, overload


class _Missing:
    """Stands for what is not here, because a value may be None."""


_MISSING = _Missing()

Key = TypeVar("Key")
Value = TypeVar("Value")
Default = TypeVar("Default")


class BoundedCache(Generic[Key, Value]):
    """A dict of at most ``bound`` entries that forgets what was not used for longest.

    There are two generations. New and used entries are in the young one; when that holds half the bound
    it becomes the old one, and the old one is forgotten as a whole and counted in ``evicted``. So the
    ``bound / 2`` entries used last are always there, and a use costs one dict look-up. What is kept depends
    only on the order of the calls. `attributecore/src/bounded.rs` is the same for what Rust remembers.
    """

    def __init__(self, bound: int) -> None:
        self.evicted = 0
        self._bound = bound
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

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
            self.put(key, value)
            return value
        return default

    def values(self, keys: Iterable[Key], make: Callable[[Key], Value]) -> list[Value]:
        """Give the value of each key; what is not here is made and kept. In one call, for they are many."""
        found = []
        for key in keys:
            # what is None, or old, takes the longer way
            value = self._young.get(key)
            if value is None:
                known = self.get(key, _MISSING)
                if isinstance(known, _Missing):
                    value = make(key)
                    self.put(key, value)
                else:
                    value = known
            found.append(value)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Keep the value under the key, in place of an older value."""
        if self._old:
            self._old.pop(key, None)
        self._young[key] = value
        if 2 * len(self._young) >= self._bound:
            self.evicted += len(self._old)
            self._old = self._young
            self._young = {}
