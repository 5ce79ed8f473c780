"""The flow rows of the recent past, on disk: bounded by size and age, so that an alert can name its flows.

Rows gather in memory and go to small Parquet files, each written aside and renamed, so that after a crash
the files that are there are whole. Whose rows these are is told by the rule, see `monitor.judge.alert_rows`.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from monitor.errors import InputError
from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA, INDEXES

ROWS = 50_000  # that wait in memory at most, some 20 MB
WAIT = 30.0  # seconds that they wait at most: a monitor that is killed loses these
PREFIX, SUFFIX = "rows-", ".parquet"
# a file that a disk has damaged, or another version has written, fails in many ways
UNREADABLE = (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException)

_SCHEMA = pl.Schema(
    {name: dtype for name, dtype in {**FLOW_SCHEMA, **ATTRIBUTED}.items() if name not in INDEXES}
)
_NEVER_MISSING = [
    "tick", "flow_id", "scope", "first_seen", "last_seen", "local_address", "remote_address", "local_port",
    "remote_port", "protocol", "bytes_out", "bytes_in", "packets_out", "packets_in", "payload_out",
    "payload_in", "tcp_flags", "workload",
]  # fmt: skip


class RowSpool:
    """Rows of `FLOW_SCHEMA` with `ATTRIBUTED`, the oldest first.

    `size` in bytes, `age` in nanoseconds of event time or None. What cannot be written is counted in `lost`
    (rows) and is no error: detection goes on.
    """

    def __init__(self, folder: Path, *, size: int, age: int | None) -> None:
        self.folder = folder
        self.size = size
        self.age = age
        self.lost = 0
        self.held = 0  # bytes on disk
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._since = 0.0  # when the oldest of those that wait came
        self._files: list[tuple[Path, int, int]] = []  # path, bytes, newest row (0: of an earlier run)
        self._unreadable: set[Path] = set()  # of these files; each is counted once
        self._number = 0

    def start(self) -> None:
        """Make the folder and take up the files of an earlier run; raises InputError where that fails."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            paths = sorted(self.folder.iterdir())
        except OSError as error:
            raise InputError(f"{self.folder}: {error.strerror or error}") from error
        for path in paths:
            number = path.name.removeprefix(PREFIX).removesuffix(SUFFIX)
            with contextlib.suppress(OSError):  # what is no file of ours stays
                if path.name.startswith(PREFIX) and path.name.endswith(SUFFIX) and number.isdecimal():
                    self._number = max(self._number, int(number))
                    about = path.lstat()
                    # behind a file of the future, from before a clock was set back, nothing would go
                    self._files.append((path, about.st_size, min(about.st_mtime_ns, time.time_ns())))
                elif path.name.startswith(f".{PREFIX}"):
                    path.unlink()
        self._trim(0)

    def add(self, rows: pl.DataFrame) -> None:
        """Add the rows of a batch."""
        if rows.is_empty():
            return
        now = time.monotonic()
        self._since = self._since if self._waiting else now
        # a file holds several batches, and a number of one batch means another thing in the next
        self._waiting.append(rows.drop(INDEXES, strict=False))
        self._rows += rows.height
        if self._rows >= ROWS or now - self._since >= WAIT:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        waiting, self._waiting, self._rows = self._waiting, [], 0
        rows = pl.concat(waiting)
        for part in rows.iter_slices(ROWS):
            self._write(part)

    def frames(self, since: int) -> Iterator[pl.DataFrame]:
        """Give the rows whose last packet is not before `since`, a file at a time, the oldest first.

        They have columns and types as this version has them, see `of_today`.
        """
        seen = pl.col("last_seen").dt.epoch("ns") >= since
        for path, _, newest in list(self._files):
            if newest < since:
                continue
            if path in self._unreadable:
                continue
            try:
                rows = of_today(pl.read_parquet(path, glob=False, memory_map=False))
            except UNREADABLE:
                # gone, or torn by the disk: what it held is lost, and the capsule says what it has
                self._unreadable.add(path)
                self.lost += ROWS
                continue
            yield rows.filter(seen)
        if self._waiting:
            yield of_today(pl.concat(self._waiting)).filter(seen)

    def _write(self, rows: pl.DataFrame) -> None:
        self._number += 1
        path = self.folder / f"{PREFIX}{self._number:010}{SUFFIX}"
        aside = self.folder / f".{path.name}"
        newest = rows.select(pl.col("last_seen").max().dt.epoch("ns")).item()
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                rows.write_parquet(file, compression_level=1)
            written = aside.stat().st_size
            aside.replace(path)
        except (OSError, pl.exceptions.PolarsError):
            self.lost += rows.height
            with contextlib.suppress(OSError):
                aside.unlink()
            return
        self._files.append((path, written, newest))
        self._trim(newest)

    def _trim(self, now: int) -> None:
        held = sum(size for _, size, _ in self._files)
        while self._files:
            path, size, newest = self._files[0]
            is_old = self.age is not None and 0 < newest < now - self.age
            if held <= self.size and not is_old:
                break
            held -= size
            self._files.pop(0)
            self._unreadable.discard(path)
            with contextlib.suppress(OSError):
                path.unlink()
        self.held = held


def of_today(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the rows of a file with columns and types as this version has them, without `INDEXES`.

    A column that an earlier version did not write is null, and so is a word that this one does not know.
    Raises one of `UNREADABLE` where these are no flow rows.
    """
    if rows.schema == _SCHEMA:
        return rows
    columns = []
    for name, dtype in _SCHEMA.items():
        if name not in rows.columns and name not in _NEVER_MISSING:
            columns.append(pl.lit(None, dtype).alias(name))
        elif isinstance(dtype, pl.Enum):
            columns.append(pl.col(name).cast(pl.String).cast(dtype, strict=False))
        else:
            columns.append(pl.col(name).cast(dtype))
    known = rows.select(columns)
    lacks = next((name for name in _NEVER_MISSING if known[name].null_count()), None)
    if lacks is not None:
        raise ValueError(f"a row without {lacks!r}")
    return known
