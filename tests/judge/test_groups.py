"""The bounded table of groups: who gives way when it is full."""

from pathlib import Path
from typing import Any

from monitor.judge import Judge

from .frames import NO_DNS, at, batch, flow, rule

CROWDED: dict[str, Any] = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["local_port"], "window": "100s"},
    "fire": {"above": 10_000},
    "tests": [
        {"name": "f", "flows": [{"payload_out": 10_001}], "expect": "fires"},
        {"name": "q", "flows": [{"payload_out": 10_000}], "expect": "quiet"},
    ],
}


def sent(tick: int, port: int, payload: int) -> Any:
    return flow(tick, local_port=port, payload_out=payload)


def judged(folder: Path, *rows: Any) -> tuple[list[Any], int]:
    """Judge rows in one batch; give the groups of the alerts, and how often there was no room."""
    judge = Judge([rule(folder, **CROWDED)], bounds={"groups": 4})
    judge.start()
    events = judge.judge(batch(rows), NO_DNS, at(1000))
    begun = [event.alert.group["local_port"] for event in events if event.kind == "begun"]
    return sorted(begun, key=str), judge.counters().group_overflow["a-rule"]


HELD = [sent(0, port, size) for port, size in ((1, 9000), (2, 8000), (3, 20), (4, 10))]


def test_the_smallest_idle_one_gives_way_and_never_a_heavy_one(tmp_path: Path) -> None:
    # at 30 all four have been idle for over a quarter of the window
    assert judged(tmp_path, *HELD, sent(30, 5, 1), sent(31, 1, 1001)) == ([1], 1)
    assert judged(tmp_path, *HELD, sent(30, 5, 1), sent(31, 2, 2001)) == ([2], 1)
    # port 4 lost its 10 bytes, port 3 its 20 not
    assert judged(tmp_path, *HELD, sent(30, 5, 1), sent(31, 3, 9981)) == ([3], 1)


def test_heavy_ones_stay_though_all_are_idle_and_many_come(tmp_path: Path) -> None:
    new = [sent(30 + tick, 100 + tick, 5) for tick in range(60)]
    begun, overflow = judged(tmp_path, *HELD, *new, sent(95, 1, 1001), sent(96, 2, 2001))
    assert begun == [1, 2]
    assert overflow > 40


def test_what_finds_no_room_is_judged_together(tmp_path: Path) -> None:
    new = [sent(1, 100 + number, 600) for number in range(20)]
    assert judged(tmp_path, *HELD, *new) == (["other"], 20)


def test_more_groups_than_there_is_room_for_in_the_first_tick(tmp_path: Path) -> None:
    rows = [sent(0, port, 10_001 if port < 4 else 100) for port in range(50)]
    assert judged(tmp_path, *rows) == ([0, 1, 2, 3], 46)


def test_groups_with_nothing_in_the_window_leave_room_and_are_not_counted(tmp_path: Path) -> None:
    later = [sent(100, 10 + number, 10_001) for number in range(4)]
    assert judged(tmp_path, *HELD, *later) == ([10, 11, 12, 13], 0)


def test_a_group_with_an_open_alert_never_gives_way(tmp_path: Path) -> None:
    alerting = [sent(0, 1, 10_001), *(sent(0, port, 50_000) for port in (2, 3, 4))]
    new = [sent(tick, 100 + tick, 9000) for tick in range(30, 60)]
    begun, _ = judged(tmp_path, *alerting, *new)
    assert [str(group) for group in begun] == ["1", "2", "3", "4", "other"]
