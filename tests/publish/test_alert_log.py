"""Alert events as JSON lines: one line each, safe on a terminal, and a full disk is only counted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import InputError
from monitor.publish import line_file
from monitor.publish.alert_log import AlertLog

HOSTILE = 'a"b\\c\nd\r\x1b[31mred\x00\x7f\u2028\u202e</script><b>&\ud800 \U0001f600'


def test_each_event_is_a_line_that_reads_back(given: Any, tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    alert = given.alert(workload=HOSTILE, group={"workload": HOSTILE, "ratio": float("inf")})
    log = AlertLog(str(path))
    log.start()
    log.write([given.event("begun", alert), given.event("ended", alert, given.START + 1)])
    log.stop()
    raw = path.read_bytes()
    assert all(32 <= byte < 127 or byte == 10 for byte in raw), "only printable ASCII reaches the file"
    first, second = (json.loads(line) for line in raw.decode().splitlines())
    assert first["workload"] == HOSTILE
    assert first["group"] == {"workload": HOSTILE, "ratio": None}, "JSON has no word for infinity"
    assert (first["kind"], first["time"]) == ("begun", "2025-12-01T00:00:00.000000000Z")
    assert (second["kind"], second["time"]) == ("ended", "2025-12-01T00:00:00.000000001Z")
    assert (log.written, log.lost) == (2, 0)


def test_standard_output(given: Any, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log = AlertLog("-")
    log.start()
    log.write([given.event("begun", given.alert())])
    log.stop()
    assert json.loads(capfdbinary.readouterr().out)["id"] == "a1"


def test_a_full_disk_is_counted_and_shown(given: Any) -> None:
    log = AlertLog("/dev/full")
    log.start()
    publisher = given.publisher(alert_log=log)
    for _ in range(2):
        given.publish(publisher, events=[given.event("begun", given.alert())] * 3)
    given.publish(publisher)
    log.stop()
    assert given.samples(publisher, "egress_alert_events_lost_total")[()] == 6
    assert given.samples(publisher, "egress_alert_events_written_total")[()] == 0


def test_a_line_that_was_cut_off_spoils_no_other(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alerts.jsonl"
    log = AlertLog(str(path))
    log.start()
    real = os.write
    room = [10]

    def nearly_full(descriptor: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        count = min(room[0], len(data))
        room[0] -= count
        return real(descriptor, bytes(data)[:count])

    monkeypatch.setattr(os, "write", nearly_full)
    log.write([given.event("begun", given.alert())])
    room[0] = 10**6
    log.write([given.event("ended", given.alert())])
    monkeypatch.undo()
    log.stop()
    broken, whole = path.read_text().splitlines()
    assert len(broken) == 10
    assert json.loads(whole)["kind"] == "ended"
    assert (log.written, log.lost) == (1, 1)


def test_a_file_that_was_moved_away_is_opened_anew(given: Any, tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    log = AlertLog(str(path))
    log.start()
    log.write([given.event("begun", given.alert())])
    path.rename(tmp_path / "alerts.jsonl.1")
    log.write([given.event("ended", given.alert())])
    log.stop()
    assert json.loads((tmp_path / "alerts.jsonl.1").read_text())["kind"] == "begun"
    assert json.loads(path.read_text())["kind"] == "ended"


def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere/x: No such file or directory"):
        AlertLog(str(tmp_path / "nowhere" / "x")).start()


def test_a_named_pipe_waits_for_nobody(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_file, "PATIENCE", 0.01)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    log = AlertLog(str(path))
    log.start()
    events = [given.event("begun", given.alert(id=f"a{number}")) for number in range(1000)]
    log.write(events)  # more than a pipe holds, and nobody reads
    assert log.written > 0
    assert log.lost == 1000 - log.written > 0
    with path.open("rb") as reader:
        os.set_blocking(reader.fileno(), False)
        kept = reader.read().splitlines()
        log.write(events[:1])
        after = reader.read().splitlines()
    log.stop()
    # the last one may be cut off; it is ended before the next
    assert [json.loads(line)["id"] for line in kept[: log.written - 1]] == [
        f"a{number}" for number in range(log.written - 1)
    ]
    assert json.loads(after[-1])["id"] == "a0"


def test_a_file_that_became_a_named_pipe_waits_for_nobody(given: Any, tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    log = AlertLog(str(path))
    log.start()
    path.unlink()
    os.mkfifo(path)
    log.write([given.event("begun", given.alert())])
    log.stop()
    assert (log.written, log.lost) == (1, 0)


FILL = """
from monitor.publish.line_file import LineFile
file, lost = LineFile("-"), 0
for number in range(100):
    try:
        file.append(b"%d" % number + b"x" * 4000)
    except BlockingIOError:
        lost += 1
raise SystemExit(0 if 0 < lost < 100 else f"{lost} lost")
"""


def test_standard_output_that_nobody_reads_waits_for_nobody() -> None:
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-I", "-c", FILL]
        subprocess.run(command, stdout=writing, check=True, timeout=30)
        # others that share the pipe may count on waiting
        assert os.get_blocking(writing)
    finally:
        os.close(reading)
        os.close(writing)
