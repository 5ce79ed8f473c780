"""Alerts whose rule is taken away: nothing judges them any more, so they end, and say why."""

from pathlib import Path
from typing import Any

import pytest

from monitor.judge import Alert, AlertEvent, Judge, Rule
from monitor.judge.lists import AddressLists

from .frames import MIB, NO_DNS, NO_FLOWS, NOVEL_TESTS, SECOND, at, batch, flow, load, rule

UPLOAD = flow(0, provider="alibaba", payload_out=2 * MIB)


def begun(rules: list[Rule], state: Path | None = None, **options: Any) -> tuple[Judge, Alert]:
    judge = Judge(rules, state=state, **options)
    judge.start()
    (event,) = judge.judge(batch([UPLOAD]), NO_DNS, at(1))
    return judge, event.alert


def told(events: list[AlertEvent]) -> list[tuple[str, int, str | None]]:
    return [(event.kind, event.time, event.alert.why_ended) for event in events]


def test_an_alert_ends_when_a_reload_takes_its_rule_away(tmp_path: Path) -> None:
    judge, alert = begun([rule(tmp_path)])
    judge.set_rules([])
    assert told(judge.judge(NO_FLOWS, NO_DNS, at(5))) == [("ended", at(1), "its rule is not loaded any more")]
    (shown,) = judge.alerts()
    assert (shown.id, shown.ended) == (alert.id, at(1))
    # once, and like any other it is gone a day later
    assert judge.judge(NO_FLOWS, NO_DNS, at(6)) == []
    judge.set_rules([rule(tmp_path)])
    other = flow(2 * 86_400, 7, workload="web", provider="alibaba", payload_out=2 * MIB)
    (event,) = judge.judge(batch([other]), NO_DNS, at(2 * 86_400 + 1))
    assert [one.id for one in judge.alerts()] == [event.alert.id] != [alert.id]


def test_an_alert_ends_when_its_rule_makes_other_groups(tmp_path: Path) -> None:
    judge, _ = begun([rule(tmp_path)])
    by_port = {"sum": "payload_out", "per": ["local_port"], "window": "10m"}
    judge.set_rules([rule(tmp_path, measure=by_port)])
    assert told(judge.judge(NO_FLOWS, NO_DNS, at(5))) == [("ended", at(1), "its rule was changed")]


def test_an_alert_ends_when_its_rule_falls_asleep(tmp_path: Path) -> None:
    lists = AddressLists.of_words({"bad": ["203.0.113.0/24"]})
    upload = {"remote_address": "203.0.113.7", "payload_out": "2MiB"}
    tests = [
        {"name": "f", "lists": {"bad": ["203.0.113.7"]}, "flows": [upload], "expect": "fires"},
        {"name": "q", "lists": {"bad": ["203.0.113.8"]}, "flows": [upload], "expect": "quiet"},
    ]
    named = {"match": {"remote_address": {"list": "bad"}}, "tests": tests}
    (one,) = load(tmp_path, named, lists=["bad"]).rules
    judge = Judge([one], lists=lists)
    judge.start()
    row = flow(0, remote_address="203.0.113.7", payload_out=2 * MIB)
    (event,) = judge.judge(batch([row]), NO_DNS, at(1))
    assert event.kind == "begun"
    judge.set_lists(AddressLists.of_words({}))
    assert told(judge.judge(NO_FLOWS, NO_DNS, at(5))) == [("ended", at(1), "its rule sleeps")]


@pytest.mark.parametrize("comes_back", [True, False])
def test_an_alert_ends_when_its_rule_is_gone_at_the_start(tmp_path: Path, comes_back: bool) -> None:
    state, one = tmp_path / "state", rule(tmp_path)
    judge, alert = begun([one], state)
    judge.stop()
    without = Judge([], state=state)
    without.start()
    gone = "its rule is not loaded any more"
    assert told(without.judge(NO_FLOWS, NO_DNS, at(3))) == [("ended", at(1), gone)]
    without.stop()
    after = Judge([one] if comes_back else [], state=state)
    after.start()
    events = after.judge(NO_FLOWS, NO_DNS, at(4))
    shown = [(known.id, known.ended) for known in after.alerts()]
    if not comes_back:
        assert (events, shown) == ([], [(alert.id, at(1))]), "it is told once"
        after.stop()
        return
    # with its rule comes all that it remembered, the alert too; then it ends as any other does
    assert told(events) == [("begun", at(3), None)]
    assert shown == [(alert.id, None)]
    (end,) = after.judge(NO_FLOWS, NO_DNS, at(0) + one.measure.window * SECOND + one.resolve_after * SECOND)
    assert (end.kind, end.alert.id, end.alert.why_ended) == ("ended", alert.id, None)
    after.stop()


LEARNS: dict[str, Any] = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "30s"},
    "fire": {"novel": {"of": "country", "floor": 1000, "learn": "40s"}},
    "tests": NOVEL_TESTS,
}


@pytest.mark.parametrize("restarts", [True, False])
def test_a_rule_that_a_reload_brings_back_has_not_forgotten(tmp_path: Path, restarts: bool) -> None:
    """A slip of the pen while the monitor restarts, or in a reload, and mended by the next reload."""
    state, one = tmp_path / "state", rule(tmp_path, **LEARNS)
    judge = Judge([one], state=state)
    judge.start()
    assert judge.judge(batch([flow(0, country="US", payload_out=1000)]), NO_DNS, at(60)) == []
    if restarts:
        judge.stop()
        judge = Judge([], state=state)
        judge.start()
    else:
        judge.set_rules([])
    judge.judge(batch([flow(70, country="US", payload_out=1000)]), NO_DNS, at(71))
    judge.set_rules([one])
    used = [flow(80, country=country, payload_out=1000) for country in ("US", "CN")]
    (event,) = judge.judge(batch(used), NO_DNS, at(81))
    assert (event.kind, event.alert.group["country"]) == ("begun", "CN")
    judge.stop()


def test_an_alert_goes_on_where_a_reload_brings_its_rule_back(tmp_path: Path) -> None:
    state, one = tmp_path / "state", rule(tmp_path)
    judge, alert = begun([one], state)
    judge.set_rules([])
    assert told(judge.judge(NO_FLOWS, NO_DNS, at(3))) == [("ended", at(1), "its rule is not loaded any more")]
    judge.set_rules([one])
    assert told(judge.judge(NO_FLOWS, NO_DNS, at(4))) == [("begun", at(3), None)]
    assert [(shown.id, shown.is_open) for shown in judge.alerts()] == [(alert.id, True)]
    judge.stop()
