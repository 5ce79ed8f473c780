"""The folder of capsules: one folder an alert, whole or not at all, bounded in number, size and age.

A capsule is written aside, and takes its place by being renamed. Where one is there already, that one
goes aside first, and a crash between the two is mended at the next start.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import InputError
from monitor.evidence.manifest import is_capsule

FOLDER = "capsules"
_NEW, _OLD = ".new", ".old"


@dataclass(frozen=True)
class Bounds:
    """How many capsules are kept, their bytes in all, and for how long (nanoseconds)."""

    number: int
    size: int
    age: int


class Capsules:
    """Capsules in a folder; one process writes."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.folder = folder
        self.bounds = bounds
        self.removed = 0  # capsules that went because of a bound
        self.held = 0  # bytes of all capsules
        self._sizes: dict[str, tuple[float, int]] = {}  # when written (seconds), bytes
        self._offset = 0.0  # of the clock at the start to one that is never set

    def start(self) -> None:
        """Make the folder and mend what a crash left; raises InputError where that fails."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            for path in list(self.folder.iterdir()):
                if path.name.startswith(".") and path.name.endswith(_NEW):
                    shutil.rmtree(path)
                elif path.name.startswith(".") and path.name.endswith(_OLD):
                    place = self.folder / path.name.removeprefix(".").removesuffix(_OLD)
                    if place.exists():
                        shutil.rmtree(path)
                    else:
                        path.rename(place)
            for path in self.folder.iterdir():
                # what somebody else has put there counts in no bound and does not go for one
                with contextlib.suppress(OSError):
                    if is_capsule(path) and not path.is_symlink():
                        self._book(path.name, path.stat().st_mtime, _bytes_of(path))
        except OSError as error:
            raise InputError(f"{error.filename or self.folder}: {error.strerror or error}") from error
        self._offset = time.time() - time.monotonic()
        self.trim(())

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self._sizes)

    def find(self, identity: str) -> Path | None:
        """Give the folder of the capsule that is there."""
        place = self.folder / identity
        return place if identity in self._sizes and place.is_dir() else None

    @contextlib.contextmanager
    def aside(self) -> Iterator[Path]:
        """Give a folder for what is on its way into capsules; it goes afterwards."""
        place = self.folder / f".aside{_NEW}"
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):  # whoever writes there is told
            place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def put(self, identity: str, fill: Callable[[Path], None], keep: Collection[str]) -> None:
        """Write a capsule: `fill` writes its files into the folder that it is given.

        `keep` are capsules that do not go for its sake (of open alerts), as long as others can. Raises
        OSError where it cannot be written; what was there before then stays.
        """
        aside = self.folder / f".{identity}{_NEW}"
        place = self.folder / identity
        old = self.folder / f".{identity}{_OLD}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(mode=0o700)
            fill(aside)
            for path in aside.iterdir():
                path.chmod(0o600)
                _sync(path)
            _sync(aside)
            if place.exists():
                shutil.rmtree(old, ignore_errors=True)
                place.rename(old)
            aside.rename(place)
            _sync(self.folder)
        except BaseException:  # whatever it was, nothing half done stays
            shutil.rmtree(aside, ignore_errors=True)
            if old.exists() and not place.exists():
                with contextlib.suppress(OSError):
                    old.rename(place)
            raise
        shutil.rmtree(old, ignore_errors=True)
        self._book(identity, self._now(), _bytes_of(place))
        self.trim({*keep, identity})

    def _book(self, name: str, written: float, size: int) -> None:
        self.held += size - self._sizes.pop(name, (0.0, 0))[1]
        self._sizes[name] = (written, size)

    def _now(self) -> float:
        """Give the time in seconds: a clock that is set forward while this runs makes nothing old."""
        return self._offset + time.monotonic()

    def trim(self, keep: Collection[str]) -> None:
        """Remove the oldest beyond the bounds; those to keep only where nothing else is left."""
        before = self._now() - self.bounds.age / 10**9
        is_full = self.number > self.bounds.number or self.held > self.bounds.size
        if not is_full and all(written >= before for written, _ in self._sizes.values()):
            return
        oldest = sorted(self._sizes, key=lambda name: (name in keep, self._sizes[name]))
        for name in oldest:
            written, size = self._sizes[name]
            is_old = written < before and name not in keep
            if not (is_old or self.number > self.bounds.number or self.held > self.bounds.size):
                continue
            shutil.rmtree(self.folder / name, ignore_errors=True)
            del self._sizes[name]
            self.held -= size
            self.removed += 1


def take(folder: Path) -> int:
    """Take the folder of capsules for this process; raises InputError where another one writes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from error
    try:
        fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(taken)
        raise InputError(f"{folder}: another egress-monitor writes its capsules here") from None
    except OSError:
        pass  # a file system that locks nothing
    return taken


def _bytes_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.iterdir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
