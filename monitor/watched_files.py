"""Notices that files which judge have changed, so that nobody has to send a signal.

By looking at them, not by inotify: that misses what happens on network file systems and in the mounts of
containers, where such files often come from.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

MOST = 10_000  # entries of a folder that are looked at

# of each entry: its path, inode, size, time of change in nanoseconds
Signature = tuple[tuple[str, int, int, int], ...]


class WatchedFiles:
    """Files and folders by what they are for; to be made before they are read, so that no change is missed.

    Args:
        paths: by what (``rules``, ``workloads``, ...): files, and folders with all that is in them.
    """

    def __init__(self, paths: Mapping[str, Iterable[Path]]) -> None:
        self._paths = {what: tuple(chosen) for what, chosen in paths.items()}
        self._taken = {what: _signature(chosen) for what, chosen in self._paths.items()}
        self._last = dict(self._taken)

    def also(self, what: str, paths: Iterable[Path]) -> None:
        """Watch these too, for what is watched already; those of before are not looked at anew."""
        more = tuple(path for path in paths if path not in self._paths[what])
        found = _signature(more)
        self._paths[what] += more
        self._taken[what] += found
        self._last[what] += found

    def changed_until(self, later: "WatchedFiles") -> bool:
        """Say whether what both watch has changed between the making of the two."""
        return any(
            later._paths.get(what) == paths and later._taken[what] != self._taken[what]
            for what, paths in self._paths.items()
        )

    def changed(self) -> set[str]:
        """Say what has changed since it was told last, and stood still between this look and the one before.

        So a file that is being written is not read until it is whole, if it is written without pauses
        longer than the time between two looks; what it is read as is checked anyhow.
        """
        changed = set()
        for what, chosen in self._paths.items():
            now = _signature(chosen)
            if now == self._last[what] != self._taken[what]:
                self._taken[what] = now
                changed.add(what)
            self._last[what] = now
        return changed


def _signature(paths: Iterable[Path]) -> Signature:
    found: list[tuple[str, int, int, int]] = []
    for path in paths:
        for entry in (path, *_below(path)):
            try:
                status = entry.stat()
            except OSError:
                continue  # gone: that is a change too
            found.append((str(entry), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _below(path: Path) -> list[Path]:
    if not os.path.isdir(path):
        return []
    try:
        return sorted(path.rglob("*"))[:MOST]
    except OSError:
        return []  # a folder went while it was read; the next look finds what is there then
