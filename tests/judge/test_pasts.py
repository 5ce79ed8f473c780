"""Whose past a `baseline` keeps where there is no room for all: groups that are made up push nobody out."""

from pathlib import Path
from typing import Any

import pytest

from monitor.judge import Judge

from .frames import BASELINE, NO_DNS, at, batch, flow, rule

HOUR, DAY = 3600, 86_400


def begun(judge: Judge, rows: list[Any], clock: int) -> list[Any]:
    events = judge.judge(batch(rows), NO_DNS, at(clock))
    return sorted(event.alert.group["workload"] for event in events if event.kind == "begun")


# made up ones that sort before and after the others
@pytest.mark.parametrize("made_up", ["z", "A"])
def test_made_up_groups_push_no_past_out(tmp_path: Path, made_up: str) -> None:
    judge = Judge([rule(tmp_path, **BASELINE)], bounds={"past": 8})
    judge.start()
    known = ["db", "web", "api"]
    # "api" learns since a day, "db" only works at night
    rows = []
    for hour in range(6 * 24):
        at_work = [
            name for name in known if (name != "api" or hour >= 96) and (name != "db" or hour % 24 == 3)
        ]
        rows += [flow(hour * HOUR + 60, workload=name, payload_out=3000) for name in at_work]
    for hour in range(5 * 24, 6 * 24):
        rows += [flow(hour * HOUR + 9, workload=f"{made_up}{hour}-{one}", payload_out=1) for one in range(50)]
    assert begun(judge, rows, 6 * DAY - 1) == []
    assert judge.counters().group_overflow["a-rule"] >= 23 * 50, "what finds no room is counted"
    leak = [flow(6 * DAY, workload=name, payload_out=9 * 2**20) for name in known]
    assert begun(judge, leak, 6 * DAY + 1) == ["db", "web"]
    # and by then the third has learnt for three days
    more = [flow(hour * HOUR, workload="api", payload_out=3000) for hour in range(6 * 24 + 1, 8 * 24 + 1)]
    more.append(flow(8 * DAY + 2 * HOUR, workload="api", payload_out=9 * 2**20))
    assert begun(judge, more, 9 * DAY) == ["api"]


def test_groups_that_are_gone_make_room_for_new_ones(tmp_path: Path) -> None:
    """Workloads come and go: a past that nobody uses takes no room from one that learns."""
    judge = Judge([rule(tmp_path, **BASELINE)], bounds={"past": 8})
    judge.start()
    for generation in range(3):
        first = generation * 8 * DAY  # four days without any lie between
        names = [f"{generation}-{one}" for one in range(8)]
        usual = [
            flow(first + hour * HOUR, workload=name, payload_out=3000) for name in names for hour in range(96)
        ]
        leak = [flow(first + 4 * DAY, workload=name, payload_out=9 * 2**20) for name in names]
        assert begun(judge, [*usual, *leak], first + 4 * DAY + 1) == names
