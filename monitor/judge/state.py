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
from monitor.judge.groups import Key
from monitor.judge.rule_run import RuleRun

FILE = "judge.sqlite"
LAYOUT = 1  # of the file; SQLite's user_version
_TABLES = """
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), now INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rule (
    id TEXT PRIMARY KEY, shape TEXT NOT NULL, tables TEXT NOT NULL, window BLOB NOT NULL
) WITHOUT ROWID;
"""


class JudgeState:
    """The file in a state folder; one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.error: str | None = None  # why the last saving failed
        self._connection: sqlite3.Connection | None = None
        self._lock: IO[bytes] | None = None

    def start(self) -> None:
        """Open or create the file; raises InputError where it is not ours or in use."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path.parent / "judge.lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except BlockingIOError:
            raise InputError(f"{self.path.parent}: another egress-monitor is using this state") from None
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error
        try:
            self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            layout = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, LAYOUT):
                raise InputError(
                    f"{self.path}: layout {layout} is of a newer egress-monitor; this one reads 1"
                )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_TABLES)
            self._connection.execute(f"PRAGMA user_version={LAYOUT}")
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

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
            for rule, shape, tables, window in self._connection.execute("SELECT * FROM rule"):
                if rule in by_rule:
                    _restore(
                        by_rule[rule], json.loads(tables), window, same=shape == by_rule[rule].rule.shape
                    )
        except (sqlite3.Error, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise self._unreadable(error) from error
        return int(now[0]) if now else 0

    def save(self, runs: Sequence[RuleRun], now: int) -> None:
        """Write what changed; a failure is kept in `error`, the next saving tries again."""
        assert self._connection is not None, "start() comes first"
        changed = [run for run in runs if run.changed]
        rows = [(run.rule.id, run.rule.shape, json.dumps(_tables(run)), _window(run)) for run in changed]
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?)", rows)
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
    """Give everything of a run but its window, as JSON has it."""
    groups, novelty = run.groups, run.novelty
    return {
        "width": run.log.width,
        "groups": [[key, number, groups.active[number]] for key, number in groups.ids.items()],
        "next_group": groups.next_id,
        "overflow": groups.overflow,
        "full_until": groups.full_until,
        "parts": [[part, number] for part, number in run.parts.ids.items()],
        "next_part": run.parts.next_id,
        "began": [[key, tick] for key, tick in novelty.began.items()] if novelty else [],
        "known": [[key, tick] for key, tick in novelty.known.items()] if novelty else [],
        "forgotten": novelty.forgotten if novelty else 0,
        "suppressed": run.suppressed,
        "open": [asdict(track) for track in run.course.open.values()],
        "ended": [asdict(track) for track in run.course.ended.values()],
    }


def _window(run: RuleRun) -> bytes:
    written = io.BytesIO()
    run.log.rows.write_ipc(written)
    return written.getvalue()


def _restore(run: RuleRun, tables: dict[str, Any], window: bytes, *, same: bool) -> None:
    run.suppressed = tables["suppressed"]
    run.groups.overflow = tables["overflow"]
    for written in (*tables["open"], *tables["ended"]):
        track = Track(**{**written, "alert": Alert(**written["alert"]), "key": tuple(written["key"])})
        if tuple(track.alert.group) == run.rule.group_fields:
            kept = run.course.open if track.alert.is_open else run.course.ended
            kept[track.key] = track
    if not same:
        run.forget_windows()
    else:
        _restore_groups(run, tables, window)
        if run.novelty is not None:
            run.novelty.began = _by_key(tables["began"])
            run.novelty.known = _by_key(tables["known"])
            run.novelty.forgotten = tables["forgotten"]


def _restore_groups(run: RuleRun, tables: dict[str, Any], window: bytes) -> None:
    groups = run.groups
    run.log.width = tables["width"]
    run.log.rows = pl.read_ipc(io.BytesIO(window))
    for key, number, active in tables["groups"]:
        groups.ids[tuple(key)] = number
        groups.keys[number] = tuple(key)
        groups.total[number] = groups.sent[number] = 0
        groups.active[number] = active
    groups.next_id = tables["next_group"]
    groups.full_until = tables["full_until"]
    sums = run.log.rows.group_by("group").agg(pl.col("value", "sent").sum())
    for number, value, sent in sums.iter_rows():
        groups.total[number] += value
        groups.sent[number] += sent
    for part, number in tables["parts"]:
        run.parts.ids[tuple(part)] = number
        run.parts.parts[number] = tuple(part)
    run.parts.next_id = tables["next_part"]


def _by_key(pairs: list[tuple[list[Any], int]]) -> dict[Key, int]:
    return {tuple(key): tick for key, tick in pairs}
