"""What rules learnt at first is listed once for review: who, to what, how much."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.judge import Judge
from monitor.judge import learnt as learnt_module
from monitor.judge.learnt import Learnt, Used
from monitor.judge.state import FILE, MAX_LEARNT, read_learnt

from .frames import NO_DNS, START, at, batch, flow, rule
from .test_novelty import NOVEL

HOUR = 3600
DAY = 24 * HOUR
USUAL: dict[str, Any] = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "30m"},
    "fire": {"baseline": {"floor": 1000, "history": "1d"}},
    "tests": [
        {
            "name": "f",
            "learnt": [{"payload_out": 10, "repeat": 25, "every": "1h"}],
            "flows": [{"payload_out": 9000}],
            "expect": "fires",
        },
        {"name": "q", "flows": [{"payload_out": 9000}], "expect": "quiet"},
    ],
}


def judge_of(folder: Path, **differs: Any) -> Judge:
    judge = Judge([rule(folder, **differs)], state=folder / "state")
    judge.start()
    return judge


def step(judge: Judge, tick: int, *rows: dict[str, Any]) -> list[str]:
    """Judge rows of a tick and save; give what people are told."""
    judge.judge(batch([flow(tick, **row) for row in rows]), NO_DNS, at(tick + 1))
    judge._save()
    return judge.warnings()


def test_what_a_group_used_while_it_learnt_is_listed_when_that_is_over(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, **NOVEL)  # learns 40 s
    api, web = {"workload": "api", "payload_out": 700}, {"workload": "web", "payload_out": 5}
    assert step(judge, 0, {**api, "country": "US"}, {**api, "country": "DE", "payload_out": 9}) == []
    assert step(judge, 10, {**api, "country": "US"}, {**web, "country": "US"}) == []
    assert step(judge, 38, {**api, "country": "FR", "payload_out": 1}) == []
    assert read_learnt(tmp_path / "state") == []
    (told,) = step(judge, 40)
    assert "a-rule (1)" in told
    assert "egress-monitor rules learnt" in told
    (one,) = read_learnt(tmp_path / "state")
    assert (one.rule, one.way, one.of, one.group) == ("a-rule", "novel", "country", {"workload": "api"})
    assert (one.began, one.ended) == (START, START + 40)
    assert one.used == (Used("US", 1400, START + 10), Used("DE", 9, START), Used("FR", 1, START + 38))
    # what comes later is news or was listed; the other group is listed when its own time is over
    assert step(judge, 45, {**api, "country": "CN", "payload_out": 9000}) == []
    assert step(judge, 50) == [], "at most one line an hour"
    assert [(one.group["workload"], len(one.used)) for one in read_learnt(tmp_path / "state")] == [
        ("api", 3), ("web", 1),
    ]  # fmt: skip
    assert len(step(judge, 3700)) == 1
    judge.stop()


def test_a_baseline_lists_its_hours(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, **USUAL)
    for hour in range(24):
        rows = {"payload_out": 100 + hour}, {"workload": "web", "payload_out": 1}
        assert step(judge, hour * HOUR, *rows) == []
    (told,) = step(judge, DAY + HOUR, {"payload_out": 50})
    assert "a-rule (2)" in told
    api, web = read_learnt(tmp_path / "state")
    assert (api.way, api.group, api.ended - api.began) == ("baseline", {"workload": "api"}, DAY)
    # a window of half an hour holds one row, and the largest is the last
    assert (api.hours, api.most) == (24, 123)
    assert (web.hours, web.most) == (24, 1)
    judge.stop()


PLAYED = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from judge.test_learnt import play
play(Path(sys.argv[2]))
"""
GROUPS = 40


def play(folder: Path) -> None:
    """Judge from where the state stands to the end, saving at each tick."""
    judge = judge_of(folder, **NOVEL)
    for tick in range(max(0, judge.engine.now - START), GROUPS + 60):
        group = {"workload": f"10.0.0.{tick}", "country": "US", "payload_out": 1}
        step(judge, tick, *([group] if tick < GROUPS else []))
        print(tick, flush=True)
    judge.stop()


def test_killed_again_and_again_each_group_stands_in_the_list_once(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    command = [sys.executable, "-I", "-c", PLAYED, str(Path(__file__).parents[1]), str(folder)]
    kills = 0
    seen: dict[str, Learnt] = {}
    while kills < 6:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout):
            if number == 5 + 3 * kills:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        if process.wait() == 0:
            break
        kills += 1
        now = {one.group["workload"]: one for one in read_learnt(folder / "state")}
        assert seen.items() <= now.items(), "what was listed stays as it was"
        seen = now
    assert kills > 3
    subprocess.run(command, check=True, capture_output=True)
    learnt = read_learnt(folder / "state")
    assert sorted(one.group["workload"] for one in learnt) == sorted(f"10.0.0.{n}" for n in range(GROUPS))
    assert {one.used[0].amount for one in learnt} == {1}


def test_a_disk_that_was_full_loses_nothing(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, **NOVEL)
    step(judge, 0, {"country": "US", "payload_out": 3})
    with sqlite3.connect(tmp_path / "state" / FILE) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON learnt BEGIN SELECT RAISE(FAIL, 'full'); END")
    assert step(judge, 50) == []
    assert "full" in str(judge.counters().state_error)
    with sqlite3.connect(tmp_path / "state" / FILE) as other:
        other.execute("DROP TRIGGER full")
    assert len(step(judge, 60)) == 1
    assert [one.used[0].amount for one in read_learnt(tmp_path / "state")] == [3]
    judge.stop()


def test_the_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LEARNT == 10_000
    monkeypatch.setattr("monitor.judge.state.MAX_LEARNT", 3)
    monkeypatch.setattr("monitor.judge.engine.MAX_LEARNT", 2)
    judge = judge_of(tmp_path, **NOVEL)
    many = [{"workload": "api", "country": f"{a}{b}"} for a in "ABCDEFGHIJKL" for b in "ABCDEFGHIJKL"]
    others = [{"workload": f"10.0.0.{number}", "country": "US"} for number in range(5)]
    step(judge, 0, *({**row, "payload_out": 1} for row in many + others))
    for tick in (40, 50, 60, 70):
        step(judge, tick)
    assert len(read_learnt(tmp_path / "state")) == 3
    judge.stop()
    other = tmp_path / "other"
    other.mkdir()
    judge = judge_of(other, **NOVEL)
    step(judge, 0, *({**row, "payload_out": 1} for row in many))
    step(judge, 40)
    (one,) = read_learnt(other / "state")
    assert (len(one.used), one.left_out) == (100, 44)
    judge.stop()


def shown(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "monitor", "rules", "learnt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_shows_the_list_and_no_text_that_steers_a_terminal(tmp_path: Path) -> None:
    byte = {"payload_out": 1}
    novel = {"novel": {"of": "name", "floor": 1, "learn": "40s"}}
    tests = [
        {"name": "f", "learnt": [{"name": "b", **byte}], "flows": [{"name": "a", **byte}], "expect": "fires"},
        {"name": "q", "flows": [{"name": "a", **byte}], "expect": "quiet"},
    ]
    judge = judge_of(tmp_path, **{**NOVEL, "fire": novel, "tests": tests})
    state = tmp_path / "moved"
    assert "nothing was kept here" in shown("--state", state).stderr
    step(judge, 0, {"name": "evil\x1b[31m.example", "payload_out": 2048, "workload": "web"})
    os.symlink(tmp_path / "state", tmp_path / "judge")
    assert "No rule has learnt anything yet" in shown("--state", tmp_path).stdout
    step(judge, 40)
    judge.stop()
    done = shown("--state", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    for word in ("a-rule", "web", "name evil", "2.0 KiB", "2026-05-28", "1 group; none of it will raise"):
        assert word in done.stdout
    (line,) = shown("--state", tmp_path, "--json").stdout.splitlines()
    assert Learnt.from_json(json.loads(line)) == read_learnt(tmp_path / "state")[0]
    assert json.loads(line)["used"][0]["last"] == "2026-05-28T23:58:20.000000000Z"
    wrong = shown("--state", tmp_path, "a-ruel")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'a-rule'?" in wrong.stderr


def test_a_state_of_an_earlier_version_has_no_list(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, **NOVEL)
    judge.stop()
    with sqlite3.connect(tmp_path / "state" / FILE) as file:
        file.execute("DROP TABLE learnt")
    assert read_learnt(tmp_path / "state") == []
    judge = judge_of(tmp_path, **NOVEL)
    step(judge, 0, {"country": "US", "payload_out": 3})
    step(judge, 50)
    judge.stop()
    assert len(read_learnt(tmp_path / "state")) == 1


# What the engine before wrote of `NOVEL`: api sent 700 bytes to US in second 0, web 7 to DE in second 9.
ENGINE_BEFORE = "01e1e7b6bab499faf01bcfbd9be2e48db3a79c01ccdac6a10d0000dead3c00"
RULE_BEFORE = (
    "010c3433623538636563316330380208776f726b6c6f616407636f756e747279000002ffffffffffffffffff0100000000000002"
    "02050377656205024445cadac6a10d02050361706905025553b8dac6a10d0200010503617069b8dac6a10d00010503776562cada"
    "c6a10d"
)


def test_what_was_learnt_before_an_upgrade_is_still_known_and_is_listed(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, **NOVEL)
    judge.stop()
    with sqlite3.connect(tmp_path / "state" / FILE) as file:
        file.execute("UPDATE engine SET kept = ?", (bytes.fromhex(ENGINE_BEFORE),))
        file.execute("UPDATE rule SET kept = ?", (bytes.fromhex(RULE_BEFORE),))
    judge = judge_of(tmp_path, **NOVEL)
    rows = [flow(50, number, country=land, payload_out=2000) for number, land in enumerate(("US", "CN"))]
    events = judge.judge(batch(rows), NO_DNS, at(51))
    assert [event.alert.group["country"] for event in events] == ["CN"]
    judge.stop()
    listed = read_learnt(tmp_path / "state")
    used = {one.group["workload"]: [(each.value, each.amount) for each in one.used] for one in listed}
    # how much there was before, that engine did not keep
    assert used == {"api": [("US", 2000)], "web": [("DE", 0)]}


def test_news_are_few() -> None:
    news = learnt_module.LearntNews()
    assert news.tell(0) == []
    one = Learnt("r", "novel", "country", "sum of payload_out", {}, 0, 1)
    news.add([one, one])
    assert "r (2)" in news.tell(100)[0]
    news.add([one])
    assert news.tell(100 + HOUR - 1) == []
    assert "r (1)" in news.tell(100 + HOUR)[0]
