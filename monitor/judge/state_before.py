"""Brings a state of the first layout to the present one: what was learnt, windows and alerts stay.

That layout kept frames of Polars for each rule: the window, the groups of alerts, what is known, who began
to learn when. They are written anew as the engine's own record (``judgecore/src/state.rs``).
"""

import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from monitor._hotpath import RuleEngine
from monitor.judge.alert import Alert, nanoseconds

LAYOUT = 1
_PARTS = ("workload", "provider", "country", "evidence")
_OTHER = "_other"
_TIMES = ("first_seen", "last_seen", "started", "time")


class _Record:
    """Writes as ``judgecore/src/wire.rs`` does."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def byte(self, number: int) -> None:
        self.bytes.append(number)

    def number(self, number: int) -> None:
        while number >= 0x80:
            self.bytes.append(number & 0x7F | 0x80)
            number >>= 7
        self.bytes.append(number)

    def signed(self, number: int) -> None:
        self.number((number << 1) ^ (number >> 63) if number >= 0 else ((-number) << 1) - 1)

    def text(self, text: str) -> None:
        written = text.encode()
        self.number(len(written))
        self.bytes += written

    def option(self, value: Any, write: Callable[[Any], None]) -> None:
        self.byte(value is not None)
        if value is not None:
            write(value)

    def all(self, values: Sequence[Any], write: Callable[[Any], None]) -> None:
        self.number(len(values))
        for value in values:
            write(value)

    def values(self, values: Iterable[Any]) -> None:
        self.all(list(values), self.value)

    def value(self, value: Any) -> None:
        if value is None:
            self.byte(0)
        elif isinstance(value, bool):
            self.byte(1)
            self.byte(value)
        elif isinstance(value, int):
            self.byte(2)
            self.number(value)
        elif isinstance(value, bytes):
            self.byte(4)
            self.bytes += value
        else:
            self.byte(5)
            self.text(str(value))


def set_aside(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the file beside itself, and give its tables names that do not stand in the way."""
    copy = sqlite3.connect(path.with_name(f"{path.name}.layout{LAYOUT}"))
    try:
        connection.backup(copy)
    finally:
        copy.close()
    connection.executescript(
        "BEGIN; ALTER TABLE rule RENAME TO rule_before; ALTER TABLE clock RENAME TO clock_before; COMMIT;"
    )


def resume(connection: sqlite3.Connection, engine: RuleEngine) -> tuple[bool, list[Alert]]:
    """Give the engine, which has its rules, what was set aside; tell whether there was any, and the alerts.

    Raises ValueError, KeyError, TypeError or PolarsError where it cannot be understood.
    """
    names = connection.execute("SELECT name FROM sqlite_master WHERE name = 'rule_before'").fetchall()
    alerts: list[Alert] = []
    if not names:
        return False, alerts
    for rule, shape, tables, *frames in connection.execute("SELECT * FROM rule_before"):
        kept = json.loads(tables)
        alerts += [Alert(**track["alert"]) for track in kept["tracks"]]
        engine.resume_rule(rule, _record(shape, kept, [pl.read_ipc(io.BytesIO(one)) for one in frames]))
    now = connection.execute("SELECT now FROM clock_before").fetchone()
    if now is not None:
        engine.go_on_from(now[0])
    return True, alerts


def forget(connection: sqlite3.Connection) -> None:
    """Drop what was set aside, once it is kept anew."""
    connection.execute("DROP TABLE IF EXISTS rule_before")
    connection.execute("DROP TABLE IF EXISTS clock_before")


def _record(shape: str, kept: dict[str, Any], frames: list[pl.DataFrame]) -> bytes:
    window, groups, known, began = frames
    fields = groups.columns[1:]
    parts: dict[tuple[Any, ...], int] = {}
    entries: dict[tuple[Any, ...], list[tuple[int, int, int, int]]] = {}
    has = [name for name in _PARTS if name in window.columns]
    for row in window.iter_rows(named=True):
        part = tuple(row[name] for name in has) + (None,) * (len(_PARTS) - len(has))
        place = parts.setdefault(part, len(parts))
        group = (bool(row[_OTHER]), *(() if row[_OTHER] else (row[name] for name in fields)))
        entries.setdefault(group, []).append((row["leaves"], place, row["value"], row["sent"]))
    tracks: dict[tuple[Any, ...], dict[str, Any]] = {}
    for track, (is_other, *raw) in zip(kept["tracks"], groups.iter_rows(), strict=True):
        tracks[(bool(is_other), *(() if is_other else raw))] = track
        if track["alert"]["ended"] is None:
            entries.setdefault((bool(is_other), *(() if is_other else raw)), [])
    columns = list(dict.fromkeys(tuple(flow) for one in tracks.values() for flow in one["alert"]["flows"]))
    record = _Record()
    record.byte(1)
    record.text(shape)
    record.all(fields, record.text)
    record.all(list(parts), lambda part: record.all(part, lambda word: record.option(word, record.text)))
    record.all(columns, lambda names: record.all(names, record.text))
    record.signed(kept["width"])
    record.signed(kept["full_until"])
    record.number(sum(kept["overflow"]))
    record.number(kept["forgotten"])
    record.number(len(kept["suppressed"]))
    for words, sent in kept["suppressed"].items():
        record.text(words)
        record.number(sent)
        record.number(0)
    record.number(len(entries))
    for group, window_of in entries.items():
        _write_group(record, group, window_of, tracks.get(group), columns)
    ended = {group: track for group, track in tracks.items() if track["alert"]["ended"] is not None}
    record.number(len(ended))
    for (is_other, *values), track in ended.items():
        record.byte(is_other)
        record.values(values)
        _write_track(record, values, is_other, track, columns)
    record.number(0)  # no baselines
    record.number(known.height)
    for row in known.iter_rows(named=True):
        record.values(row[name] for name in fields)
        record.signed(row["last"])
    record.number(began.height)
    for row in began.iter_rows(named=True):
        record.byte(bool(row[_OTHER]))
        record.values(() if row[_OTHER] else (row[name] for name in fields[:-1]))
        record.signed(row["tick"])
    return bytes(record.bytes)


def _write_group(
    record: _Record,
    group: tuple[Any, ...],
    window: list[tuple[int, int, int, int]],
    track: dict[str, Any] | None,
    columns: list[tuple[str, ...]],
) -> None:
    is_other, *values = group
    record.byte(is_other)
    record.values(values)
    record.signed(0)
    record.number(len(window))
    for leaves, part, value, sent in sorted(window):
        record.signed(leaves)
        for number in (part, value, sent, 0, 0):
            record.number(number)
    record.byte(0)
    record.byte(0)
    is_open = track is not None and track["alert"]["ended"] is None
    record.byte(is_open)
    if track is not None and is_open:
        _write_track(record, values, is_other, track, columns)


def _write_track(
    record: _Record,
    values: Sequence[Any],
    is_other: bool,
    track: dict[str, Any],
    columns: list[tuple[str, ...]],
) -> None:
    alert = track["alert"]
    record.number(int(alert["id"], 16))
    record.option(None if is_other else values, record.values)
    record.option(alert["workload"], record.text)
    record.option(alert["provider"], record.text)
    record.signed(alert["began"])
    record.signed(alert["last"])
    record.option(alert["ended"], record.signed)
    for name in ("value", "sent_bytes", "reopened"):
        record.number(alert[name])
    for name in ("countries", "names", "evidence"):
        record.all(alert[name], record.text)
    record.number(len(alert["flows"]))
    for flow in alert["flows"]:
        record.number(int(flow.get("flow_id", "0"), 16))
        record.number(columns.index(tuple(flow)))
        record.number(len(flow))
        for name, value in flow.items():
            _write_field(record, name, value)
    record.number(0)  # why exceptions did not apply stands in the alert itself
    for _ in range(4):
        record.byte(0)  # nothing of other ways to fire
    record.option(track["falls"], record.signed)
    record.signed(track["counted_until"])
    for name in ("told_value", "told_sent", "room"):
        record.number(track[name])
    record.signed(track["counted_until"] + 1)


def _write_field(record: _Record, name: str, value: Any) -> None:
    if name == "flow_id":
        record.value(int(value, 16))
    elif name in _TIMES and value is not None:
        record.byte(3)
        record.signed(nanoseconds(value))
    elif isinstance(value, list | dict):
        record.value(None)  # how it was attributed: kept with the alert
    else:
        record.value(value)
