"""The first time: learning, the floor, forgetting."""

from pathlib import Path
from typing import Any

from monitor.judge import Judge

from .frames import NO_DNS, NO_FLOWS, NOVEL_TESTS, at, batch, flow, rule

DAY = 86_400
NOVEL: dict[str, Any] = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "30s"},
    "fire": {"novel": {"of": "country", "floor": 1000, "learn": "40s", "forget": "2d"}},
    "resolve_after": "10s",
    "tests": NOVEL_TESTS,
}


def begun(folder: Path, *rows: Any, learn: bool = True) -> list[tuple[str, str]]:
    """Judge rows, tick by tick; give workload and country of each alert that begins."""
    judge = Judge([rule(folder, **NOVEL)], learn=learn)
    judge.start()
    events = []
    for row in rows:
        events += judge.judge(batch([row]), NO_DNS, 0)
    groups = [event.alert.group for event in events if event.kind == "begun"]
    return [(group["workload"], group["country"]) for group in groups]


def sent(tick: int, country: str, payload: int = 1000, workload: str = "api") -> Any:
    return flow(tick, workload=workload, country=country, payload_out=payload)


def test_learning_ends_after_its_time_for_each_workload(tmp_path: Path) -> None:
    first = sent(0, "US")
    assert begun(tmp_path, first, sent(39, "CN"), sent(50, "CN")) == []
    assert begun(tmp_path, first, sent(40, "CN")) == [("api", "CN")]
    assert begun(tmp_path, first, sent(40, "CN", workload="web")) == []


def test_any_use_while_learning_makes_known_and_no_small_use_after_it(tmp_path: Path) -> None:
    assert begun(tmp_path, sent(0, "US", 1), sent(50, "US")) == []
    trickle = [sent(tick, "CN", 100) for tick in range(50, 3000, 100)]
    assert begun(tmp_path, sent(0, "US"), *trickle, sent(3000, "CN")) == [("api", "CN")]


def test_the_floor_is_reached_within_the_window(tmp_path: Path) -> None:
    first = sent(0, "US")
    assert begun(tmp_path, first, sent(50, "CN", 500), sent(79, "CN", 500)) == [("api", "CN")]
    assert begun(tmp_path, first, sent(50, "CN", 500), sent(80, "CN", 500)) == []
    assert begun(tmp_path, first, sent(50, "CN", 999)) == []


def test_what_fired_is_known_until_it_is_forgotten(tmp_path: Path) -> None:
    rows = [sent(0, "US"), sent(50, "CN"), sent(5000, "CN")]
    assert begun(tmp_path, *rows) == [("api", "CN")]
    assert begun(tmp_path, *rows, sent(5000 + 2 * DAY, "CN")) == [("api", "CN")]
    assert begun(tmp_path, *rows, sent(5001 + 2 * DAY, "CN")) == [("api", "CN")] * 2


def test_an_unknown_country_is_no_new_one(tmp_path: Path) -> None:
    assert begun(tmp_path, sent(0, "US"), sent(50, "none")) == []


def test_without_learning_all_is_new_once(tmp_path: Path) -> None:
    rows = [sent(0, "US"), sent(1, "CN"), sent(2, "US"), sent(500, "US")]
    assert begun(tmp_path, *rows, learn=False) == [("api", "US"), ("api", "CN")]


def test_it_is_told_whether_a_rule_learns(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path, **NOVEL)])
    judge.start()
    assert judge.counters().learning == {"a-rule": True}
    judge.judge(batch([sent(0, "US")]), NO_DNS, at(39))
    assert judge.counters().learning == {"a-rule": True}
    judge.judge(NO_FLOWS, NO_DNS, at(40))
    assert judge.counters().learning == {"a-rule": False}
    replayed = Judge([rule(tmp_path, **NOVEL)], learn=False)
    replayed.start()
    assert replayed.counters().learning == {"a-rule": False}


def test_a_new_value_alerts_for_the_window_and_is_not_prolonged(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path, **NOVEL)])
    judge.start()
    rows = [sent(0, "US"), *(sent(tick, "CN") for tick in range(50, 200))]
    events = judge.judge(batch(rows), NO_DNS, at(200))
    assert [(event.kind, event.time) for event in events if event.kind != "growing"] == [
        ("begun", at(50)),
        ("ended", at(50 + 30 + 10)),
    ]
    # 50 to 89: what came after the end is known, and takes no room
    assert events[-1].alert.sent_bytes == 40_000
