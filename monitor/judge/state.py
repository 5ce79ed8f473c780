"""Keeps what the judge knows in one SQLite file, so that nothing is lost by ``kill -9``.

A saving is one transaction in a write-ahead log: after a crash the file holds all of the last saving and
nothing of a later one. Only rules that changed are written.
"""

import fcntl
import io
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import polars as pl

from monitor.errors import InputError
from monitor.judge.alert import Alert
from monitor.judge.course import Track
from monitor.judge.names import OTHER_GROUP, schema_of
from monitor.judge.rule_run import RuleRun
from monitor.judge.window import SCHEMA
from monitor.row_number import number_of

FILE = "judge.sqlite"
LAYOUT = 1  # of the file; SQLite's user_version
_TABLES = """
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), now INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rule (
    id TEXT PRIMARY KEY, shape TEXT NOT NULL, tables TEXT NOT NULL,
    window BLOB NOT NULL, groups BLOB NOT NULL, known BLOB NOT NULL, began BLOB NOT NULL
);
"""
_OTHER = "_other"  # in kept frames: the row is of what had no room


class JudgeState:
    """The file in a state folder; one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.error: str | None = None  # why the last saving failed
        self._connection: sqlite3.Connection | None = None
        self._lock: IO[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Whether `start` succeeded and `stop` has not been called."""
        return self._connection is not None

    def start(self) -> None:
        """Open or create the file; raises InputError where it is not ours or in use."""
        try:
            self._take()
            self._open()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        except InputError:
            self.stop()
            raise

    def _take(self) -> None:
        """Take the folder for this process, and make the file where there is none."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path.parent / "judge.lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except BlockingIOError:
            raise InputError(f"{self.path.parent}: another egress-monitor is using this state") from None
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error

    def _open(self) -> None:
        self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        layout = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if layout not in (0, LAYOUT):
            raise InputError(f"{self.path}: layout {layout} is of a newer egress-monitor")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_TABLES)
        self._connection.execute(f"PRAGMA user_version={LAYOUT}")

    def stop(self) -> None:
        """Close the file; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def load(self, runs: Sequence[RuleRun]) -> int:
        """Fill the runs of rules with what was kept of them; give the time it is of, in seconds.

        Of a rule whose ``match`` or ``measure`` changed, only alerts and counters are kept.
        """
        assert self._connection is not None, "start() comes first"
        by_rule = {run.rule.id: run for run in runs}
        try:
            now = self._connection.execute("SELECT now FROM clock").fetchone()
            for rule, shape, tables, *frames in self._connection.execute("SELECT * FROM rule"):
                run = by_rule.get(rule)
                if run is not None:
                    _restore(run, json.loads(tables), frames, same=shape == run.rule.shape)
        except (sqlite3.Error, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise self._unreadable(error) from error
        return int(now[0]) if now else 0

    def save(self, runs: Sequence[RuleRun], now: int) -> None:
        """Write what changed; a failure is kept in `error`, the next saving tries again."""
        assert self._connection is not None, "start() comes first"
        changed = [run for run in runs if run.changed]
        rows = [(run.rule.id, run.rule.shape, json.dumps(_tables(run)), *_frames(run)) for run in changed]
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                self._connection.execute("INSERT OR REPLACE INTO clock VALUES (0, ?)", (now,))
        except sqlite3.Error as error:
            self.error = f"{self.path}: {error}"
            return
        self.error = None
        for run in changed:
            run.changed = False

    def _unreadable(self, error: Exception) -> InputError:
        self.stop()
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return InputError(f"{self.path}: cannot be read as state ({reason}); move it away to start anew")


def _tables(run: RuleRun) -> dict[str, Any]:
    """Give what of a run is not a frame, as JSON has it."""
    return {
        "width": run.log.width,
        "overflow": [run.groups.overflow, run.course.overflow],
        "full_until": run.groups.full_until,
        "forgotten": run.novelty.forgotten if run.novelty else 0,
        "suppressed": run.suppressed,
        "tracks": [
            {name: value for name, value in asdict(track).items() if name not in ("group", "raw")}
            for track in _tracks(run)
        ],
    }


def _tracks(run: RuleRun) -> list[Track]:
    return [*run.course.open.values(), *run.course.ended.values()]


def _frames(run: RuleRun) -> list[bytes]:
    """Give the frames of a run: the window, the groups of alerts, what is known, who began when.

    Numbers mean something only in this process, so all are written as the words that they stand for.
    """
    names = run.names
    words = names.frame.select("key", *names.fields)
    window = run.log.rows.join(words, on="key", how="left", maintain_order="left")
    nobody = (None,) * len(run.rule.group_fields)
    groups = [(track.group == OTHER_GROUP, *(track.raw or nobody)) for track in _tracks(run)]
    group_schema = {_OTHER: pl.Boolean, **schema_of(run.rule.record, run.rule.group_fields)}
    frames = [
        window.with_columns((pl.col("group") == OTHER_GROUP).alias(_OTHER)).drop("key", "group"),
        pl.DataFrame(groups, schema=group_schema, orient="row"),
    ]
    if run.novelty is not None:
        is_other = (pl.col("base") == OTHER_GROUP).alias(_OTHER)
        frames += [run.novelty.known.drop("group"), run.novelty.began.with_columns(is_other).drop("base")]
    return [_written(frame) for frame in (*frames, *[pl.DataFrame()] * (4 - len(frames)))]


def _written(frame: pl.DataFrame) -> bytes:
    written = io.BytesIO()
    frame.write_ipc(written)
    return written.getvalue()


def _restore(run: RuleRun, tables: dict[str, Any], blobs: Sequence[bytes], *, same: bool) -> None:
    window, groups, known, began = (pl.read_ipc(io.BytesIO(blob)) for blob in blobs)
    run.suppressed = tables["suppressed"]
    run.groups.overflow, run.course.overflow = tables["overflow"]
    if tuple(groups.columns[1:]) == run.rule.group_fields:
        _restore_alerts(run, tables["tracks"], groups)
    if not same:
        run.forget_windows()
        return
    run.log.width = tables["width"]
    run.groups.full_until = tables["full_until"]
    names = run.names
    window = window.with_columns(number_of(names.fields).alias("key"))
    new = window.unique("key").join(names.frame.select("key"), on="key", how="anti")
    names.add(new.select("key", *names.fields))
    window = window.with_columns(number_of(run.rule.group_fields).alias("group"))
    run.log.rows = window.with_columns(_or_other("group")).select(*SCHEMA)
    run.groups.add(run.log.rows)
    if run.novelty is not None:
        fields, per = run.rule.group_fields, run.rule.measure.per
        run.novelty.known = known.with_columns(number_of(fields).alias("group")).select(
            run.novelty.known.columns
        )
        run.novelty.began = began.with_columns(number_of(per).alias("base")).with_columns(
            _or_other("base")
        ).select(run.novelty.began.columns)  # fmt: skip
        run.novelty.forgotten = tables["forgotten"]


def _restore_alerts(run: RuleRun, written: list[dict[str, Any]], groups: pl.DataFrame) -> None:
    fields = run.rule.group_fields
    numbers = groups.with_columns(number_of(fields).alias("group")).select(_or_other("group")).to_series()
    for track, group, (is_other, *raw) in zip(written, numbers, groups.iter_rows(), strict=True):
        alert = Alert(**track.pop("alert"))
        kept = Track(alert=alert, group=group, raw=None if is_other else tuple(raw), **track)
        (run.course.open if alert.is_open else run.course.ended)[group] = kept


def _or_other(column: str) -> pl.Expr:
    return pl.when(_OTHER).then(OTHER_GROUP).otherwise(column).cast(pl.UInt64).alias(column)
