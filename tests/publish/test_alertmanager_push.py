"""The push to Alertmanagers: the present state, again and again, with the labels of the shipped rule."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config_delivery import AlertmanagerConfig
from monitor.publish import alertmanager
from monitor.publish.alert_rows import AlertFacts, AlertKey
from monitor.publish.alertmanager import AlertmanagerPush
from monitor.publish.post import RefusedError

KEY = AlertKey("unsanctioned-cloud-alibaba", "critical", "api", "alibaba")
STARTED = 1_764_547_200
ROOT = Path(__file__).resolve().parents[2]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


class Clock:
    def __init__(self) -> None:
        self.now = float(STARTED + 10)
        self.sent: list[tuple[str, list[dict[str, Any]]]] = []
        self.refusing: set[str] = set()

    def push(self, *urls: str) -> AlertmanagerPush:
        configs = [AlertmanagerConfig(url=url) for url in urls]
        return AlertmanagerPush(
            configs, external_url="https://e.example", wall=lambda: self.now, send=self.send
        )

    def send(self, url: str, config: AlertmanagerConfig, body: bytes, kind: str) -> None:
        if config.url in self.refusing:
            raise OSError("refused")
        assert kind == "application/json"
        self.sent.append((url, json.loads(body)))


def seconds(text: str) -> float:
    return datetime.fromisoformat(text[:26] + "+00:00").timestamp()


def facts(open_: int = 1) -> AlertFacts:
    return AlertFacts(open_, 5 * 2**20, STARTED * 10**9)


def test_an_open_alert_is_good_for_four_minutes_and_an_ended_one_is_told_for_fifteen() -> None:
    clock = Clock()
    push = clock.push("http://am")
    push.update([(KEY, facts()), (KEY._replace(workload="other", provider="other"), AlertFacts())])
    (alert,) = push.alerts()
    assert seconds(alert["startsAt"]) == STARTED
    assert seconds(alert["endsAt"]) == clock.now + 240
    clock.now += 600
    push.update([(KEY, facts())])
    assert seconds(push.alerts()[0]["endsAt"]) == clock.now + 240, "while it is open it moves on"
    ended = clock.now = clock.now + 5
    push.update([(KEY, facts(0))])
    for _ in range(3):
        clock.now += 300
        push.update([])
        assert seconds(push.alerts()[0]["endsAt"]) == ended
    clock.now += 1
    push.update([])
    assert push.alerts() == []


def test_labels_and_annotations_are_those_of_the_shipped_rule() -> None:
    push = Clock().push("http://am")
    push.update([(KEY, facts())])
    (alert,) = push.alerts()
    rules = yaml.safe_load((ROOT / "dashboards" / "prometheus" / "alerts.yml").read_text())
    (rule,) = [one for one in rules["groups"][0]["rules"] if one.get("alert") == "EgressDetected"]
    by = rule["expr"].split("(")[1].split(")")[0].split(", ")
    assert set(alert["labels"]) == {"alertname", *by}
    assert alert["labels"]["alertname"] == "EgressDetected"
    assert alert["labels"]["severity"] == "critical"
    assert set(alert["annotations"]) == set(rule["annotations"]) - {"dashboard_url"}
    assert alert["annotations"]["summary"] == (
        rule["annotations"]["summary"]
        .replace("{{ $labels.rule }}", KEY.rule)
        .replace("{{ $labels.workload }}", KEY.workload)
        .replace("{{ $labels.provider }}", KEY.provider)
    )
    assert alert["generatorURL"] == (
        "https://e.example/alerts?rule=unsanctioned-cloud-alibaba&workload=api&provider=alibaba"
    )


def test_the_capsule_and_what_opens_it_are_annotations_also_after_the_end() -> None:
    push = Clock().push("http://am")
    command = "egress-monitor inspect 00000000000000ab"
    kept = replace(facts(), capsule="00000000000000ab", inspect=command)
    push.update([(KEY, kept)])
    for _ in range(2):
        (alert,) = push.alerts()
        assert (alert["annotations"]["capsule"], alert["annotations"]["inspect"]) == (kept.capsule, command)
        push.update([(KEY, replace(kept, open=0))])


def test_each_alertmanager_is_told_at_once_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "EVERY", 0.3)
    clock = Clock()
    push = clock.push("http://one", "http://two")
    push.start()
    push.update([(KEY, facts())])
    wait_for(lambda: {url for url, _ in clock.sent} >= {"http://one/api/v2/alerts", "http://two/api/v2/alerts"})
    wait_for(lambda: len(clock.sent) >= 6)
    push.stop()
    assert all(len(alerts) == 1 for _, alerts in clock.sent)


def test_one_that_refuses_is_counted_and_tried_again_and_does_not_hold_up_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alertmanager, "RETRY", 0.05)
    clock = Clock()
    clock.refusing = {"http://one"}
    push = clock.push("http://one", "http://two")
    push.start()
    push.update([(KEY, facts())])
    wait_for(lambda: push.counts()["1"].failed >= 2)
    wait_for(lambda: push.counts()["2"].delivered == 1)
    assert push.counts()["1"].trouble == "refused"
    clock.refusing = set()
    wait_for(lambda: push.counts()["1"].delivered >= 1)
    assert push.counts()["1"].trouble is None
    push.stop()


def test_many_alerts_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    push = clock.push("http://one")
    push.update([(KEY._replace(workload=f"w{number}"), facts()) for number in range(1200)])
    push.start()
    wait_for(lambda: len(clock.sent) == 3)
    push.stop()
    assert [len(alerts) for _, alerts in clock.sent] == [500, 500, 200]


def test_one_piece_that_is_refused_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    push = clock.push("http://one")
    refused: list[int] = []

    def send(url: str, config: AlertmanagerConfig, body: bytes, kind: str) -> None:
        if not refused:
            refused.append(len(json.loads(body)))
            raise RefusedError("answers 400")
        clock.send(url, config, body, kind)

    push._send = send
    push.update([(KEY._replace(workload=f"w{number}"), facts()) for number in range(700)])
    push.start()
    wait_for(lambda: len(clock.sent) == 1)
    wait_for(lambda: push.counts()["1"].failed == 1)
    push.stop()
    assert (refused, [len(alerts) for _, alerts in clock.sent]) == ([500], [200])
    assert push.counts()["1"].trouble == "answers 400"


def test_an_end_stays_in_the_past_where_the_clock_is_set_back() -> None:
    """An end in the future is no end: the page would stay open until then."""
    clock = Clock()
    push = clock.push("http://am")
    push.update([(KEY, facts())])
    push.update([(KEY, facts(0))])
    clock.now -= 86_400
    (alert,) = push.alerts()
    assert seconds(alert["startsAt"]) <= seconds(alert["endsAt"]) <= clock.now


def test_with_no_alertmanager_nothing_runs() -> None:
    push = Clock().push()
    push.start()
    push.update([(KEY, facts())])
    assert push.counts() == {}
    push.stop()
