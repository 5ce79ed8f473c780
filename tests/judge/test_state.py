"""What the judge knows survives: a restart, kill -9, another layout, a file that is not ours."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import InputError
from monitor.judge import Judge
from monitor.judge.state import FILE, read_alerts

from .frames import MIB, NO_DNS, NO_FLOWS, START, at, batch, flow, rule

Begin = Callable[..., Judge]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start judges over one rule and one state folder, and stop them at the end."""
    begun: list[Judge] = []

    def start(state: Path = tmp_path / "state", **differs: Any) -> Judge:
        judge = Judge([rule(tmp_path, **differs)], state=state)
        judge.start()
        begun.append(judge)
        return judge

    yield start
    for judge in begun:
        judge.stop()


UPLOAD = flow(0, provider="alibaba", payload_out=2 * MIB)


def test_an_alert_whose_whole_life_is_in_one_batch_is_kept(tmp_path: Path, begin: Begin) -> None:
    judge = begin()
    events = judge.judge(batch([UPLOAD]), NO_DNS, at(3 * 86_400))  # the engine forgets it after a day
    assert [event.kind for event in events] == ["begun", "ended"]
    judge.stop()
    (kept,) = read_alerts(tmp_path / "state", events[0].alert.id)
    assert kept.to_json() == events[1].alert.to_json()


def test_a_begun_alert_is_kept_before_it_is_told(tmp_path: Path, begin: Begin) -> None:
    (event,) = begin().judge(batch([UPLOAD]), NO_DNS, at(1))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("judge.sqlite", "judge.sqlite-wal"):  # as the disk is when the power fails now
        (copy / name).write_bytes((tmp_path / "state" / name).read_bytes())
    again = begin(copy)
    assert [alert.to_json() for alert in again.alerts()] == [event.alert.to_json()]
    assert again.judge(NO_FLOWS, NO_DNS, at(2)) == []


def drip(tick: int) -> dict[str, Any]:
    return flow(tick, 1, provider="alibaba", workload=f"w{tick % 9}", payload_out=300_000)


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from judge.frames import NO_DNS, at, batch, rule
from judge.test_state import drip
from monitor.judge import Judge
from monitor.judge.state import FILE, read_alerts
folder = Path(sys.argv[2])
judge = Judge([rule(folder)], state=folder / "state")
judge.start()
for tick in range(10**6):
    judge.judge(batch([drip(tick)]), NO_DNS, at(tick + 1))
    judge._saved_at = 0.0  # save at each tick
    print(tick, flush=True)
"""


@pytest.mark.parametrize("wait", [0.05, 0.5])
def test_kill_in_the_middle_loses_nothing_that_was_kept(tmp_path: Path, begin: Begin, wait: float) -> None:
    tests = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", KILLED, str(tests), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    last = int((["0", *process.stdout.read().split()])[-1])
    process.wait()
    process.stdout.close()
    judge = begin()
    ticks = judge.engine.now - START
    assert ticks in (last + 1, last + 2), "the tick after the last one told may be kept too"
    straight = Judge(judge.rules)
    straight.start()
    for tick in range(ticks):
        straight.judge(batch([drip(tick)]), NO_DNS, at(tick + 1))
    assert [one.to_json() for one in judge.alerts()] == [one.to_json() for one in straight.alerts()]
    more = batch([drip(tick) for tick in range(ticks, ticks + 50)])
    found, expected = (one.judge(more, NO_DNS, at(ticks + 9000)) for one in (judge, straight))
    assert [event.to_json() for event in found] == [event.to_json() for event in expected]


def test_another_shape_keeps_alerts_and_drops_sums(begin: Begin) -> None:
    judge = begin()
    judge.judge(batch([UPLOAD]), NO_DNS, at(1))
    judge.stop()
    judge = begin(measure={"sum": "payload_out", "per": ["workload"], "window": "20m"})
    assert [alert.is_open for alert in judge.alerts()] == [True]
    # what was sent before the change is in no sum any more: this alone is not above the line
    judge.judge(batch([flow(2, provider="alibaba", payload_out=MIB)]), NO_DNS, at(3))
    (event,) = judge.judge(NO_FLOWS, NO_DNS, at(2000))
    assert event.alert.value == 2 * MIB
    assert event.kind == "ended"


def test_a_file_that_is_not_ours_is_told_in_one_line(tmp_path: Path, begin: Begin) -> None:
    (tmp_path / "judge.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="cannot be read as state .*; move it away to start anew"):
        begin(tmp_path)


def test_a_disk_that_takes_no_more_is_not_laid_to_the_file(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from monitor.judge.state import JudgeState\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "JudgeState(Path(sys.argv[1])).start()\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, tmp_path], capture_output=True, text=True)
    told = done.stderr.splitlines()[-1]
    assert told.startswith("monitor.errors.InputError: ")
    assert "judge.sqlite: disk I/O error" in told
    assert "move it away" not in told


def test_the_state_of_a_newer_program_is_left_alone(tmp_path: Path, begin: Begin) -> None:
    connection = sqlite3.connect(tmp_path / "judge.sqlite")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(InputError, match="layout 99 is of a newer egress-monitor"):
        begin(tmp_path)


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, begin: Begin) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        begin(tmp_path / "file" / "state")


def test_two_judges_do_not_share_a_state(begin: Begin) -> None:
    begin()
    with pytest.raises(InputError, match="another egress-monitor is using this state"):
        begin()


def test_a_state_of_a_later_time_keeps_alerts_and_starts_new_windows(begin: Begin) -> None:
    judge = begin()
    judge.judge(batch([flow(10**6, provider="alibaba", payload_out=MIB)]), NO_DNS, at(10**6 + 1))
    judge.stop()
    judge = begin()
    assert judge.judge(batch([flow(0, provider="alibaba", payload_out=MIB)]), NO_DNS, at(1)) == []
    (event,) = judge.judge(batch([flow(1, provider="alibaba", payload_out=1)]), NO_DNS, at(2))
    assert event.alert.value == MIB + 1


def test_a_full_disk_is_told_and_judging_goes_on(begin: Begin) -> None:
    judge = begin()
    assert judge.state is not None
    assert judge.state._connection is not None
    judge.state._connection.execute("PRAGMA max_page_count=1")
    uploads = [flow(0, number, provider="alibaba", payload_out=2 * MIB) for number in range(10)]
    (event,) = judge.judge(batch(uploads), NO_DNS, at(1))
    assert event.kind == "begun"
    assert "full" in str(judge.counters().state_error)


def test_what_waits_for_a_full_disk_is_no_more_than_the_file_would_keep(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.judge.state.MAX_ALERTS", 20)
    judge = begin()
    assert judge.state is not None
    assert judge.state._connection is not None
    fails = "CREATE TRIGGER fails BEFORE INSERT ON engine BEGIN SELECT RAISE(ABORT, 'no room'); END"
    judge.state._connection.execute(fails)
    # each ends in time, since the next comes days later
    for day in range(40):
        seconds = day * 2 * 86_400
        one = flow(seconds, workload=f"w{day}", provider="alibaba", payload_out=2 * MIB)
        judge.judge(batch([one]), NO_DNS, at(seconds + 1))
        judge._save()
        assert "no room" in str(judge.state.error)
    waiting = {alert.workload for alert in judge.state.waiting}
    assert len(waiting) <= 20
    assert "w39" in waiting, "the newest, which is open"
    judge.state._connection.execute("DROP TRIGGER fails")
    judge.stop()
    kept = {alert.workload for alert in read_alerts(tmp_path / "state", "")}
    assert kept == {f"w{day}" for day in range(20, 40)}


@pytest.mark.parametrize("table", ["engine", "rule"])
@pytest.mark.parametrize("seed", range(8))
def test_a_bit_that_the_disk_turned_is_told_in_one_line(
    tmp_path: Path, begin: Begin, table: str, seed: int
) -> None:
    judge = begin()
    judge.judge(batch([UPLOAD, flow(1, workload="web", provider="alibaba", payload_out=9)]), NO_DNS, at(2))
    judge.stop()
    with sqlite3.connect(tmp_path / "state" / FILE) as file:
        kept = bytearray(file.execute(f"SELECT kept FROM {table}").fetchone()[0])
        place, bit = divmod(random.Random(seed).randrange(8 * len(kept)), 8)
        kept[place] ^= 1 << bit
        file.execute(f"UPDATE {table} SET kept = ?", (bytes(kept),))
    with pytest.raises(InputError, match="cannot be read as state .*; move it away to start anew") as told:
        begin()
    assert "\n" not in str(told.value)
