"""kill -9 in the middle of a write, again and again: no alert lost, none told twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from monitor.judge import Judge
from monitor.judge.state import read_alerts

from .frames import MIB, NO_DNS, START, at, batch, flow, rule

SPAN = 240  # seconds of traffic
WAYS: dict[str, Any] = {
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "40s"},
    "fire": {"above": 200_000, "distinct": {"of": "remote_address", "above": 2}},
    "resolve_after": "5s",
    "tests": [
        {
            "name": "f",
            "flows": [
                {
                    "provider": "alibaba",
                    "remote_address": "203.0.113.1",
                    "repeat": 3,
                    "vary": "remote_address",
                    "payload_out": MIB,
                }
            ],
            "expect": "fires",
        },
        {"name": "q", "flows": [{"provider": "alibaba", "payload_out": MIB}], "expect": "quiet"},
    ],
}
PLAYED = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from judge.test_kill import play
play(Path(sys.argv[2]))
"""


def row(tick: int) -> dict[str, Any]:
    chance = random.Random(tick)
    busy = (tick // 60) % 2 == 0
    return flow(
        tick,
        tick,
        provider="alibaba",
        workload=chance.choice(["api", "web"]),
        remote_address=f"203.0.113.{chance.randrange(9)}",
        payload_out=50_000 if busy else 10,
    )


def play(folder: Path) -> None:
    """Judge from where the state stands to the end, saving as often as can be; events go to a file."""
    judge = Judge([rule(folder, **WAYS)], state=folder / "state")
    judge.start()
    first = max(0, judge.engine.now - START)
    with (folder / "events").open("a") as told:
        for tick in range(first, SPAN):
            judge._saved_at = judge._save_took = 0.0
            for event in judge.judge(batch([row(tick)]), NO_DNS, at(tick + 1)):
                told.write(json.dumps([event.kind, event.time, event.alert.id]) + "\n")
            told.flush()
    judge.stop()


def test_killed_again_and_again_it_tells_what_it_tells_undisturbed(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path, **WAYS)])
    judge.start()
    events = judge.judge(batch([row(tick) for tick in range(SPAN)]), NO_DNS, at(SPAN))
    expected = [[event.kind, event.time, event.alert.id] for event in events]
    assert len({kind for kind, *_ in expected}) == 3, "the traffic tests too little"
    command = [sys.executable, "-I", "-c", PLAYED, str(Path(__file__).parents[1]), str(tmp_path)]
    chance = random.Random(1)
    kills = 0
    for _ in range(40):
        process = subprocess.Popen(command)
        before = (tmp_path / "events").stat().st_size if (tmp_path / "events").exists() else 0
        # let it judge a little, then kill it wherever it is
        while process.poll() is None and kills < 12:
            now = (tmp_path / "events").stat().st_size if (tmp_path / "events").exists() else 0
            if now > before:
                time.sleep(chance.random() * 0.05)
                break
            time.sleep(0.01)
        if kills < 12 and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        if process.wait() == 0:
            break
    assert process.returncode == 0
    assert kills >= 3
    written = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert all(written.count(event) == 1 for event in written), "told twice"
    assert [event for event in expected if event in written] == written, "told otherwise than undisturbed"
    # an alert is kept before it is told: what a kill between the two takes is a line of the log, no alert
    assert len(expected) - len(written) <= kills
    straight = {alert.id: alert.to_json() for alert in judge.alerts()}
    kept = {one: read_alerts(tmp_path / "state", one) for one in straight}
    assert {one: [alert.to_json() for alert in alerts] for one, alerts in kept.items()} == {
        one: [alert] for one, alert in straight.items()
    }
