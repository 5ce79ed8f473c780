"""Keeps what the judge knows in one SQLite file, so that nothing is lost by ``kill -9``.

A saving is one transaction in a write-ahead log: after a crash the file holds all of the last saving and
nothing of a later one. Only rules and alerts that changed are written. What a rule remembers is the
engine's own record of it (``judgecore/src/state.rs``); alerts are JSON, so that they can be explained
later without rules, and are kept 90 days.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl

from monitor._hotpath import RuleEngine
from monitor.errors import InputError
from monitor.judge import state_before
from monitor.judge.alert import SECOND, Alert
from monitor.judge.learnt import Learnt

FILE = "judge.sqlite"
LAYOUT = 2  # of the file; SQLite's user_version
MAX_ALERTS = 10_000  # alerts that are kept, some 10 KB each
MAX_LEARNT = 10_000  # groups in the list of what was learnt, up to some 10 KB each
KEEP_FOR = 90 * 86_400  # seconds of event time after its end
_TABLES = """
CREATE TABLE IF NOT EXISTS engine (id INTEGER PRIMARY KEY CHECK (id = 0), kept BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rule (id TEXT PRIMARY KEY, kept BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS alert (
    id TEXT PRIMARY KEY, rule TEXT NOT NULL, began INTEGER NOT NULL, ended INTEGER, written TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS alert_ended ON alert (ended);
CREATE TABLE IF NOT EXISTS suppressed (rule TEXT PRIMARY KEY, written TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS learnt (
    rule TEXT NOT NULL, way TEXT NOT NULL, grouped TEXT NOT NULL,
    ended INTEGER NOT NULL, written TEXT NOT NULL,
    PRIMARY KEY (rule, way, grouped)
);
"""

# a full disk, one that fails, rights that are missing: to move the file away would lose what is in it
_NOT_THE_FILE = frozenset({
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM,
})  # fmt: skip

# by rule and exception: bytes in all, and by day since 1970
Suppressed = Mapping[str, Mapping[str, tuple[int, Mapping[int, int]]]]


class JudgeState:
    """The file in a state folder; one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.error: str | None = None  # why the last saving failed
        self._connection: sqlite3.Connection | None = None
        self._lock: IO[bytes] | None = None
        self._changed: dict[str, Alert] = {}

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
        if layout == state_before.LAYOUT:
            state_before.set_aside(self._connection, self.path)
        elif layout not in (0, LAYOUT):
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

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Raise InputError where what is read within cannot be understood."""
        try:
            yield
        except (sqlite3.Error, pl.exceptions.PolarsError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    @property
    def _file(self) -> sqlite3.Connection:
        assert self._connection is not None, "start() comes first"
        return self._connection

    def resume(self, engine: RuleEngine) -> None:
        """Give the engine what belongs to no rule; before it has rules."""
        for (kept,) in self._file.execute("SELECT kept FROM engine"):
            engine.resume(kept)

    def resume_rules(self, engine: RuleEngine) -> bool:
        """Give the engine what its rules remembered; tell whether that was of another layout.

        Of a rule whose ``match`` or ``measure`` changed, only alerts and counters stay.
        """
        is_old, alerts = state_before.resume(self._file, engine)
        for alert in alerts:
            self.changed(alert)
        for rule, kept in self._file.execute("SELECT id, kept FROM rule"):
            engine.resume_rule(rule, kept)
        return is_old

    def resume_some(self, engine: RuleEngine, rules: Collection[str]) -> None:
        """Give the engine what some rules remembered that come to work while others do.

        What cannot be read is told in `error`; such a rule begins anew.
        """
        for rule in rules:
            try:
                for (kept,) in self._file.execute("SELECT kept FROM rule WHERE id = ?", (rule,)):
                    engine.resume_rule(rule, kept)
            except (sqlite3.Error, ValueError) as error:
                self.error = f"{self.path}: {error}"

    def open_alerts(self, now: int) -> dict[str, Alert]:
        """Give the alerts, as written, that are open or ended in the days before `now` (seconds), by id."""
        with self.reading():
            rows = self._file.execute(
                "SELECT written FROM alert WHERE ended IS NULL OR ended > ?", ((now - 2 * 86_400) * SECOND,)
            )
            alerts = [Alert.from_json(json.loads(written)) for (written,) in rows]
        return {**self._changed, **{alert.id: alert for alert in alerts}}

    def changed(self, alert: Alert) -> None:
        """Note an alert that the next saving writes."""
        self._changed[alert.id] = alert

    @property
    def waiting(self) -> list[Alert]:
        """The alerts that the next saving writes."""
        return list(self._changed.values())

    def save(self, engine: RuleEngine, suppressed: Suppressed, learnt: Sequence[Learnt] = ()) -> bool:
        """Write what changed, and list what was `learnt`; tell whether that succeeded.

        A failure is kept in `error`, and the next saving tries again. That the engine has told of what was
        learnt is part of its state, so the list has each group once, whenever the process is killed.
        """
        listed = [
            (one.rule, one.way, json.dumps(one.group), one.ended, json.dumps(one.to_json())) for one in learnt
        ]
        taken_out = [(rule, json.dumps(words)) for rule, words in suppressed.items() if words]
        rows = [
            (alert.id, alert.rule, alert.began, alert.ended, json.dumps(alert.to_json()))
            for alert in self._changed.values()
        ]
        limit = (engine.now - KEEP_FOR) * SECOND
        connection = self._file
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT OR REPLACE INTO engine VALUES (0, ?)", (engine.kept(),))
                connection.executemany("INSERT OR REPLACE INTO rule VALUES (?, ?)", engine.kept_rules())
                connection.executemany("INSERT OR REPLACE INTO suppressed VALUES (?, ?)", taken_out)
                connection.executemany("INSERT OR REPLACE INTO alert VALUES (?, ?, ?, ?, ?)", rows)
                connection.executemany("INSERT OR REPLACE INTO learnt VALUES (?, ?, ?, ?, ?)", listed)
                if listed:
                    connection.execute(
                        "DELETE FROM learnt WHERE rowid IN "
                        "(SELECT rowid FROM learnt ORDER BY ended DESC, rowid DESC LIMIT -1 OFFSET ?)",
                        (MAX_LEARNT,),
                    )
                state_before.forget(connection)
                if rows:
                    connection.execute("DELETE FROM alert WHERE ended < ?", (limit,))
                    connection.execute(
                        "DELETE FROM alert WHERE id IN "
                        "(SELECT id FROM alert ORDER BY ended IS NULL DESC, began DESC LIMIT -1 OFFSET ?)",
                        (MAX_ALERTS,),
                    )
        except sqlite3.Error as error:
            self.error = f"{self.path}: {error}"
            # of what waits only that stays which the file would keep
            surplus = len(self._changed) - MAX_ALERTS
            if surplus > 0:
                order = sorted(self._changed.values(), key=lambda one: (one.is_open, one.began))
                for alert in order[:surplus]:
                    del self._changed[alert.id]
            return False
        self.error = None
        self._changed.clear()
        engine.was_kept()
        return True

    def _unreadable(self, error: Exception) -> InputError:
        self.stop()
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_THE_FILE:
            return InputError(f"{self.path}: {reason}; what is in it is not at fault")
        return InputError(f"{self.path}: cannot be read as state ({reason}); move it away to start anew")


def read_alerts(folder: Path, wanted: str) -> list[Alert]:
    """Give the kept alerts whose id begins so, the newest first; raises InputError."""
    rows = _read(
        folder,
        "SELECT written FROM alert WHERE substr(id, 1, ?) = ? ORDER BY began DESC LIMIT 20",
        (len(wanted), wanted),
    )
    return [Alert.from_json(json.loads(written)) for (written,) in rows]


def read_suppressed(folder: Path) -> dict[str, dict[str, tuple[int, dict[int, int]]]]:
    """Give the bytes that exceptions took out, by rule and exception; raises InputError."""
    if not (folder / FILE).is_file():
        return {}
    return {
        rule: {
            words: (sent, {int(day): part for day, part in days.items()})
            for words, (sent, days) in json.loads(written).items()
        }
        for rule, written in _read(folder, "SELECT rule, written FROM suppressed", ())
    }


def read_learnt(folder: Path) -> list[Learnt]:
    """Give what was learnt, by rule and then what sent most first; raises InputError."""
    if not _read(folder, "SELECT 1 FROM sqlite_master WHERE name = 'learnt'", ()):
        return []  # of an earlier version
    rows = _read(folder, "SELECT written FROM learnt", ())
    try:
        learnt = [Learnt.from_json(json.loads(written)) for (written,) in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / FILE}: what was learnt cannot be read ({error!r})") from error
    return sorted(learnt, key=lambda one: (one.rule, one.way, -one.weight, one.ended, str(one.group)))


def _read(folder: Path, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """Ask a state without disturbing the monitor that uses it; raises InputError where there is none."""
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; nothing was kept here")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as state ({error})") from error
