"""A clock that stood years ahead when the state was kept: nothing learns or ends only then."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor.judge import AlertEvent, Judge, Rule

from .frames import BASELINE, MIB, NO_DNS, NO_FLOWS, NOVEL_TESTS, at, batch, flow, rule

HOUR, DAY = 3600, 86_400
AHEAD = 25_000 * DAY  # a clock without a battery, and no time server yet
NOVEL: dict[str, Any] = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "1h"},
    "fire": {"novel": {"of": "country", "floor": 1000, "learn": "7d", "forget": "90d"}},
    "resolve_after": "10m",
    "tests": NOVEL_TESTS,
}


def sent(tick: int, country: str = "US", payload: int = 3000) -> Any:
    return flow(tick, tick % 1000, country=country, payload_out=payload)


def kept(folder: Path, one: Rule, rows: Sequence[Any], clock: int) -> list[AlertEvent]:
    """Judge rows by a judge that keeps its state; a state that is there is gone on from."""
    judge = Judge([one], state=folder / "state")
    judge.start()
    events = judge.judge(batch(rows) if rows else NO_FLOWS, NO_DNS, at(clock))
    judge.stop()
    return events


def begun(events: Sequence[AlertEvent]) -> list[Any]:
    return [
        event.alert.group.get("country", event.alert.workload) for event in events if event.kind == "begun"
    ]


def test_what_learnt_by_a_clock_ahead_has_learnt(tmp_path: Path) -> None:
    one = rule(tmp_path, **NOVEL)
    # eight days of a clock ahead: one more than it learns; it was set back when that was over
    days = [sent(AHEAD + day * DAY) for day in range(9)]
    assert kept(tmp_path, one, days, AHEAD + 8 * DAY + 1) == []
    assert begun(kept(tmp_path, one, [sent(8 * DAY), sent(8 * DAY + 1, "CN")], 8 * DAY + 2)) == ["CN"]


def test_what_learns_by_a_clock_ahead_learns_no_longer_than_it_would(tmp_path: Path) -> None:
    one = rule(tmp_path, **NOVEL)
    kept(tmp_path, one, [sent(AHEAD), sent(AHEAD + 2 * DAY)], AHEAD + 2 * DAY)
    later = [sent(2 * DAY), sent(6 * DAY, "FR"), sent(7 * DAY + 1, "CN")]
    assert begun(kept(tmp_path, one, later, 8 * DAY)) == ["CN"]


def test_a_frame_of_a_later_year_ends_no_learning(tmp_path: Path) -> None:
    one = rule(tmp_path, **NOVEL)
    kept(tmp_path, one, [sent(0), sent(DAY, "CN"), sent(AHEAD, "FR")], AHEAD)
    # of the time before that frame all is as it was: the group began then, and uses CN since
    later = [sent(6 * DAY, "DE"), sent(7 * DAY + 1, "CN"), sent(7 * DAY + 2, "BR")]
    assert begun(kept(tmp_path, one, later, 8 * DAY)) == ["BR"]


def test_what_is_known_is_so_after_a_capture_of_earlier_days(tmp_path: Path) -> None:
    one = rule(tmp_path, **NOVEL)
    kept(tmp_path, one, [sent(400 * DAY), sent(408 * DAY)], 408 * DAY)
    kept(tmp_path, one, [sent(0)], 1)  # of last year
    later = [sent(409 * DAY), sent(409 * DAY + 1, "CN")]
    assert begun(kept(tmp_path, one, later, 410 * DAY)) == ["CN"]


def test_a_past_goes_on(tmp_path: Path) -> None:
    one = rule(tmp_path, **BASELINE)
    hours = [sent(AHEAD + hour * HOUR) for hour in range(97)]
    assert kept(tmp_path, one, hours, AHEAD + 96 * HOUR + 1) == []
    # four days were known of three, at the same hours, but for a minute that the restart took
    usual = [sent(hour * HOUR + 60) for hour in range(96, 192)]
    leak = sent(192 * HOUR, payload=9 * MIB)
    assert begun(kept(tmp_path, one, [*usual, leak], 193 * HOUR)) == ["api"]


def test_an_alert_of_a_later_time_takes_nothing_from_others(tmp_path: Path) -> None:
    one = rule(tmp_path)
    upload: dict[str, Any] = {"provider": "alibaba", "payload_out": 2 * MIB}
    kept(tmp_path, one, [flow(AHEAD, workload="web", **upload)], AHEAD + DAY)
    judge = Judge([one], state=tmp_path / "state")
    judge.start()
    events = judge.judge(batch([flow(0, workload="api", **upload)]), NO_DNS, at(HOUR))
    (ended,) = (alert for alert in judge.alerts() if alert.id == events[-1].alert.id)
    ended.capsule = "its evidence"
    judge.keep(events)
    judge.stop()
    judge = Judge([one], state=tmp_path / "state")
    judge.start()
    assert [(alert.workload, alert.capsule) for alert in judge.alerts()] == [("api", "its evidence")]
    judge.stop()


def test_an_alert_of_a_later_time_ends_and_one_that_ended_then_does_not_come_back(tmp_path: Path) -> None:
    one = rule(tmp_path)
    upload: dict[str, Any] = {"provider": "alibaba", "payload_out": 2 * MIB}
    first = kept(tmp_path, one, [flow(AHEAD, workload="web", **upload)], AHEAD + DAY)
    assert [event.kind for event in first] == ["begun", "ended"]
    (open_one,) = kept(tmp_path, one, [flow(AHEAD + DAY, workload="api", **upload)], AHEAD + DAY + 1)
    # another workload's bytes tell the time; 15 min later the condition was false for as long as it must be
    events = kept(tmp_path, one, [flow(0, workload="db", provider="alibaba", payload_out=1)], 16 * 60)
    assert [(event.kind, event.alert.id) for event in events] == [("ended", open_one.alert.id)]
    assert events[0].alert.began <= events[0].alert.last <= events[0].time == at(15 * 60)
    (again,) = kept(tmp_path, one, [flow(DAY, workload="web", **upload)], DAY + 1)
    assert (again.kind, again.alert.reopened, again.alert.sent_bytes) == ("begun", 0, 2 * MIB)
    assert again.alert.id != first[0].alert.id
