"""Alert rows: at 0 from load, 1 with their alert, 0 for the hold, then gone."""

from typing import Any

import pytest

from monitor.publish.alert_rows import RuleInfo

ACTIVE = "egress_alert_active"  # labels in name order: provider, rule, severity, workload
RULE = ("unsanctioned-cloud-alibaba", "critical")
ROW = ("alibaba", *RULE, "api")
REST = ("other", *RULE, "other")
OTHER_RULE = ("other", "dns-tunnel", "warning", "other")


def test_each_loaded_rule_has_its_row_at_0_before_anything_came(given: Any) -> None:
    assert given.samples(given.publisher(), ACTIVE) == {REST: 0, OTHER_RULE: 0}


def test_a_row_comes_with_its_alert_stays_at_1_then_at_0_for_the_hold_and_leaves(given: Any) -> None:
    publisher = given.publisher()
    alert = given.alert()
    given.publish(publisher, alerts=[alert], events=[given.event("begun", alert)])
    assert given.samples(publisher, ACTIVE) == {REST: 0, OTHER_RULE: 0, ROW: 1}
    given.now += 10_000
    given.publish(publisher, alerts=[alert])
    assert given.samples(publisher, ACTIVE)[ROW] == 1
    ended = given.alert(ended=given.START + 9000 * given.SECOND)
    given.publish(publisher, alerts=[ended], events=[given.event("ended", ended)])
    given.now += 119
    given.publish(publisher, alerts=[ended])
    assert given.samples(publisher, ACTIVE)[ROW] == 0
    assert given.samples(publisher, "egress_alert_open")[ROW] == 0
    given.now += 1
    given.publish(publisher, alerts=[ended])
    assert given.samples(publisher, ACTIVE) == {REST: 0, OTHER_RULE: 0}


def test_an_alert_that_opens_again_during_the_hold_is_at_1_again(given: Any) -> None:
    publisher = given.publisher()
    given.publish(publisher, alerts=[given.alert()])
    given.publish(publisher, alerts=[given.alert(ended=given.START + 1)])
    given.now += 100
    given.publish(publisher, alerts=[given.alert()])
    given.now += 100
    given.publish(publisher, alerts=[given.alert()])
    assert given.samples(publisher, ACTIVE)[ROW] == 1
    given.publish(publisher, alerts=[])  # and the hold begins anew
    given.now += 119
    given.publish(publisher, alerts=[])
    assert given.samples(publisher, ACTIVE)[ROW] == 0


def test_a_row_says_what_opens_the_capsule_of_the_alert_that_sent_most(given: Any) -> None:
    publisher = given.publisher()
    alerts = [given.alert(id=f"{number:016x}", sent_bytes=number) for number in (1, 3, 2, 4)]
    for alert in alerts[:3]:  # the last one has none yet
        alert.capsule, alert.inspect = alert.id, f"egress-monitor inspect {alert.id}"
    given.publish(publisher, alerts=alerts)
    (facts,) = [facts for key, facts in publisher.snapshot.alerts if key.workload == "api"]
    assert (facts.capsule, facts.inspect) == (alerts[1].id, f"egress-monitor inspect {alerts[1].id}")


def test_in_replay_nothing_is_held(given: Any) -> None:
    publisher = given.publisher(live=False)
    given.publish(publisher, alerts=[given.alert()])
    given.publish(publisher, alerts=[given.alert(ended=given.START + 1)])
    assert given.samples(publisher, ACTIVE) == {REST: 0, OTHER_RULE: 0}


def test_alerts_of_one_row_are_added_up(given: Any) -> None:
    publisher = given.publisher()
    first = given.alert(id="a", began=given.START + 5, sent_bytes=100, workload="10.0.0.1")
    second = given.alert(id="b", began=given.START + 3 * given.SECOND, sent_bytes=20, workload="10.0.0.2")
    given.publish(publisher, alerts=[second, first])
    row = ("alibaba", *RULE, "unnamed")
    assert given.samples(publisher, "egress_alert_open")[row] == 2
    assert given.samples(publisher, "egress_alert_sent_bytes")[row] == 120
    started = given.samples(publisher, "egress_alert_started_timestamp_seconds")[row]
    assert started == pytest.approx((given.START + 5) / 1e9)
    given.publish(publisher, alerts=[second])
    assert given.samples(publisher, "egress_alert_open")[row] == 1
    assert given.samples(publisher, ACTIVE)[row] == 1


def test_a_row_keeps_its_labels_for_the_life_of_its_alert(given: Any) -> None:
    publisher = given.publisher()
    given.publish(publisher, alerts=[given.alert()])
    given.publish(publisher, alerts=[given.alert(workload="web", provider="aws")])
    assert given.samples(publisher, ACTIVE)[ROW] == 1
    assert ("aws", *RULE, "web") not in given.samples(publisher, ACTIVE)


def test_past_the_budget_alerts_count_in_the_rules_own_row(given: Any) -> None:
    publisher = given.publisher(budget=20)  # two rows for alerts
    alerts = [given.alert(id=f"a{n}", workload=f"w{n}", sent_bytes=1 + n) for n in range(5)]
    given.publish(publisher, alerts=alerts)
    assert given.samples(publisher, ACTIVE)[REST] == 1
    assert given.samples(publisher, "egress_alert_open")[REST] == 3
    assert given.samples(publisher, "egress_alert_sent_bytes")[REST] == 3 + 4 + 5
    assert len(given.samples(publisher, ACTIVE)) == 2 + 2
    given.publish(publisher, alerts=[])
    given.now += 121
    given.publish(publisher, alerts=[])
    assert given.samples(publisher, ACTIVE) == {REST: 0, OTHER_RULE: 0}
    assert given.samples(publisher, "egress_alert_sent_bytes")[REST] == 0


def test_fired_counts_begins_and_their_event_time(given: Any) -> None:
    publisher = given.publisher()
    alert = given.alert()
    time = given.START + 7 * given.SECOND
    events = [given.event("begun", alert, time), given.event("growing", alert, time + 1)]
    given.publish(publisher, alerts=[alert], events=events)
    given.publish(publisher, alerts=[alert], events=[given.event("begun", alert, time)])
    assert given.samples(publisher, "egress_alerts_fired_total") == {RULE: 2, ("dns-tunnel", "warning"): 0}
    last = given.samples(publisher, "egress_alert_last_fired_timestamp_seconds")
    assert last == {RULE: time / 1e9, ("dns-tunnel", "warning"): 0}


def test_a_reload_swaps_the_rules_and_keeps_the_counts(given: Any) -> None:
    publisher = given.publisher()
    alert = given.alert()
    given.publish(publisher, alerts=[alert], events=[given.event("begun", alert)])
    publisher.set_rules([RuleInfo("dns-tunnel", "warning"), RuleInfo("new", "info")])
    given.publish(publisher, alerts=[])
    assert given.samples(publisher, ACTIVE) == {
        OTHER_RULE: 0,
        ("other", "new", "info", "other"): 0,
        ROW: 0,  # held
    }
    publisher.set_rules(given.rules)
    assert given.samples(publisher, "egress_alerts_fired_total")[RULE] == 1


def test_an_open_alert_keeps_a_row_of_traffic(given: Any) -> None:
    publisher = given.publisher(budget=20)
    given.publish(publisher, *({"workload": f"w{n}", "bytes_out": 1000} for n in range(40)))
    given.publish(publisher, {"provider": "alibaba", "country": "SG", "bytes_out": 3}, alerts=[given.alert()])
    given.now += 120
    given.publish(publisher)
    assert given.samples(publisher, "egress_sent_bytes_total")["SG", "alibaba", "api"] == 3


def test_the_delay_is_from_the_crossing_packet_and_only_live(given: Any) -> None:
    for live, count in ((True, 1), (False, 0)):
        publisher = given.publisher(live=live)
        alert = given.alert(began=given.START - 9 * given.SECOND)  # it opens again
        crossed = given.START + given.SECOND // 2
        events = [given.event("begun", alert, crossed), given.event("growing", alert, crossed)]
        given.publish(publisher, alerts=[alert], events=events)
        assert given.samples(publisher, "egress_detection_delay_seconds_count")[()] == count
        # the test's wall clock stands at START + 2 s
        assert given.samples(publisher, "egress_detection_delay_seconds_sum")[()] == 1.5 * count


def test_other_threads_see_the_alerts_of_the_last_batch(given: Any) -> None:
    publisher = given.publisher()
    assert publisher.alerts() == []
    alerts = [given.alert(), given.alert(id="a2")]
    given.publish(publisher, alerts=alerts)
    seen = publisher.alerts()
    alerts.clear()  # the judge goes on
    assert [alert.id for alert in seen] == ["a1", "a2"]
    assert publisher.alert("a2") is seen[1]
    assert publisher.alert("a3") is None
