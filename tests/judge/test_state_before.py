"""A state of the first layout is taken over: written here as that program wrote it."""

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import polars as pl

from monitor.judge import Judge
from monitor.judge.state import FILE, LAYOUT

from .frames import MIB, NO_DNS, NO_FLOWS, START, at, batch, flow, rule

OLD_ALERT: dict[str, Any] = {
    "id": "00c0ffee00c0ffee", "rule": "a-rule", "title": "A rule", "severity": "warning",
    "group": {"workload": "api"}, "workload": "api", "provider": "alibaba",
    "began": START * 10**9, "last": START * 10**9, "ended": None, "value": 2 * MIB, "threshold": MIB,
    "measure": "sum of payload_out over 10m per workload", "sent_bytes": 2 * MIB, "window": 600,
    "version": "0123456789ab", "runbook": None, "mitre": [], "reopened": 0, "countries": ["CN"],
    "names": ["a.aliyun.com"], "evidence": ["sni"], "exceptions": [],
    "flows": [
        {
            "flow_id": "0000000000000007",
            "first_seen": "2026-05-28T23:58:20.000000000Z",
            "payload_out": 2 * MIB,
        }
    ],
}  # fmt: skip


def ipc(frame: pl.DataFrame) -> bytes:
    written = io.BytesIO()
    frame.write_ipc(written)
    return written.getvalue()


def write_old(folder: Path, shape: str) -> None:
    """Write what the old program kept of one rule: 3/4 MiB of `web` in the window, an open alert of `api`."""
    window = pl.DataFrame(
        {
            "workload": ["api", "web"], "provider": ["alibaba"] * 2, "country": ["CN", None],
            "evidence": ["sni", "prefix"], "leaves": [START + 600] * 2, "value": [2 * MIB, 3 * MIB // 4],
            "sent": [2 * MIB, 3 * MIB // 4], "last": [START * 10**9] * 2, "_other": [False, False],
        }
    )  # fmt: skip
    groups = pl.DataFrame({"_other": [False], "workload": ["api"]})
    track = {
        "alert": OLD_ALERT, "falls": None, "counted_until": START, "told_value": 2 * MIB,
        "told_sent": 2 * MIB, "room": 10, "identities": [7],
    }  # fmt: skip
    tables = {
        "width": 1, "overflow": [1, 2], "full_until": 0, "forgotten": 0, "suppressed": {"workload: db": 55},
        "tracks": [track],
    }  # fmt: skip
    folder.mkdir()
    connection = sqlite3.connect(folder / FILE)
    connection.executescript(
        "CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 0), now INTEGER NOT NULL);"
        "CREATE TABLE rule (id TEXT PRIMARY KEY, shape TEXT NOT NULL, tables TEXT NOT NULL,"
        " window BLOB NOT NULL, groups BLOB NOT NULL, known BLOB NOT NULL, began BLOB NOT NULL);"
    )
    empty = ipc(pl.DataFrame())
    row = ("a-rule", shape, json.dumps(tables), ipc(window), ipc(groups), empty, empty)
    connection.execute("INSERT INTO rule VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO clock VALUES (0, ?)", (START + 1,))
    connection.execute("PRAGMA user_version=1")
    connection.commit()
    connection.close()


def test_alerts_and_windows_of_the_first_layout_go_on(tmp_path: Path) -> None:
    one = rule(tmp_path)
    state = tmp_path / "state"
    write_old(state, one.shape)
    for _ in range(2):  # the second start reads what the first one wrote anew
        judge = Judge([one], state=state)
        judge.start()
        (alert,) = judge.alerts()
        assert (alert.id, alert.is_open, alert.sent_bytes) == ("00c0ffee00c0ffee", True, 2 * MIB)
        assert judge.counters().group_overflow == {"a-rule": 3}
        assert judge.counters().suppressed_bytes == {"a-rule": 55}
        judge.stop()
    judge = Judge([one], state=state)
    judge.start()
    more = [flow(2, 7, workload="api", provider="alibaba", payload_out=1),
            flow(2, 9, workload="web", provider="alibaba", payload_out=MIB // 2)]  # fmt: skip
    (event,) = judge.judge(batch(more), NO_DNS, at(3))
    assert (event.kind, event.alert.group, event.alert.value) == ("begun", {"workload": "web"}, 5 * MIB // 4)
    ended = judge.judge(NO_FLOWS, NO_DNS, at(4000))
    assert sorted(event.alert.id == "00c0ffee00c0ffee" for event in ended) == [False, True]
    judge.stop()
    assert (state / f"{FILE}.layout1").is_file(), "a copy of the old file stays"
    connection = sqlite3.connect(state / FILE)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == LAYOUT
    connection.close()
