"""Windows, alerts and their life, held against a slow judge that keeps every row."""

import json
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from monitor.judge import AlertEvent, Judge, Rule
from monitor.judge.case_rows import Row

from .frames import LOOSE_TESTS, MIB, NO_DNS, NO_FLOWS, START, at, batch, flow, numbered, rule
from .model import Told, judged


def as_it_is(flows: pl.DataFrame) -> pl.DataFrame:
    return flows


def judge_all(
    judge: Judge,
    rows: Sequence[Row],
    cuts: Sequence[int],
    end: int,
    made: Callable[[pl.DataFrame], pl.DataFrame] = as_it_is,
) -> list[AlertEvent]:
    """Judge rows in batches that end at `cuts` (seconds after START), and go on to `end`."""
    events = []
    before = -1
    for cut in [*sorted(set(cuts)), end]:
        part = [row for row in rows if before <= row["tick"] - START < cut]
        events += judge.judge(made(batch(part)), NO_DNS, at(cut))
        before = cut
    return events


def told_by(events: Sequence[AlertEvent]) -> list[Told]:
    return [
        (event.kind, event.time, event.alert.group["workload"], event.alert.value, event.alert.sent_bytes)
        for event in events
    ]


def traffic(seed: int, count: int, span: int) -> list[Row]:
    chance = random.Random(seed)
    return [
        flow(
            chance.randrange(span) // chance.choice([1, 1, 7]),
            chance.randrange(40),
            workload=chance.choice(["api", "web", "db"]),
            provider=chance.choice(["alibaba", "alibaba", "aws"]),
            country=chance.choice(["CN", "US", "none"]),
            name=chance.choice(["a.alicdn.com", "b.example", "none"]),
            evidence=chance.choice(["dns", "sni", "prefix"]),
            local_port=chance.randrange(12),
            payload_out=chance.choice([0, 1, 300, 900, 5000]),
        )
        for _ in range(count)
    ]


SMALL = {
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "13s"},
    "fire": {"above": 6000},
    "resolve_after": "5s",
    "tests": LOOSE_TESTS,
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cuts", [0, 3, 60])
def test_windows_and_lives_are_those_of_the_slow_judge(tmp_path: Path, seed: int, cuts: int) -> None:
    small = rule(tmp_path, **SMALL)
    rows = traffic(seed, 250, 300)
    judge = Judge([small], learn=False)
    judge.start()
    chance = random.Random(seed)
    events = judge_all(judge, rows, [chance.randrange(1, 320) for _ in range(cuts)], 330)
    expected = judged(small, rows, START, 330)
    assert sorted(told_by(events), key=lambda one: (one[1], one[0] != "ended", one[2])) == expected
    assert {kind for kind, *_ in expected} == {"begun", "growing", "ended"}, "the traffic tests too little"


def test_windows_that_a_flood_made_coarse_are_exact_again_after_it(tmp_path: Path) -> None:
    small = rule(tmp_path, **SMALL)
    sent = {"provider": "alibaba", "payload_out": 300}
    flood = [
        flow(tick, tick, workload="flood", country=f"{letter}{other}", **sent)
        for tick in range(10)
        for letter in "ABCDEFG"
        for other in "ABCDEFG"
    ]
    small_sent = {"workload": "web", "provider": "alibaba", "payload_out": 100}
    calm = [flow(tick, tick, **small_sent) for tick in range(100, 200)]
    late = [
        {**row, "tick": row["tick"] + 300, "last_seen": row["last_seen"] + 300 * 10**9}
        for row in traffic(3, 250, 300)
    ]
    judge = Judge([small], learn=False, bounds={"entries": 100})
    judge.start()
    before = judge_all(judge, [*flood, *calm], [1, 5, 9, 10, 150, 160], 290)
    assert "flood" in {event.alert.workload for event in before}
    events = judge_all(judge, late, range(301, 630, 7), 650)
    expected = [one for one in judged(small, [*calm, *late], START, 650) if one[1] >= at(290)]
    assert sorted(told_by(events), key=lambda one: (one[1], one[0] != "ended", one[2])) == expected


RULES: list[dict[str, Any]] = [
    SMALL,
    {  # an exception that expires while the traffic runs
        **SMALL,
        "id": "excepted",
        "exceptions": [
            {
                "match": {"workload": "api", "name": "*.alicdn.com"},
                "reason": "shop", "owner": "team", "expires": "2026-05-28",
            }
        ],
    },
    {  # a window of coarse buckets, several fields in a group
        "id": "coarse",
        "match": {"initiator": {"not": "remote"}},
        "measure": {"sum": "payload_out", "per": ["workload", "provider", "local_address"], "window": "2h"},
        "fire": {"above": 20_000},
        "resolve_after": "60s",
        "tests": LOOSE_TESTS,
    },
    {
        "id": "counted",
        "match": {},
        "measure": {"count": "country", "per": [], "window": "20s"},
        "fire": {"above": 7},
        "resolve_after": "3s",
        "tests": [
            {"name": "f", "flows": [{"country": "CN"}] * 8, "expect": "fires"},
            {"name": "q", "flows": [{"country": "CN"}] * 7, "expect": "quiet"},
        ],
    },
    {
        "id": "novel",
        "match": {},
        "measure": {"sum": "payload_out", "per": ["workload", "provider"], "window": "30s"},
        "fire": {"novel": {"of": "local_port", "floor": 3000, "learn": "40s"}},
        "resolve_after": "10s",
        "tests": [
            {
                "name": "f",
                "learnt": [{"local_port": 1, "payload_out": 1}],
                "flows": [{"local_port": 2, "payload_out": 9000}],
                "expect": "fires",
            },
            {"name": "q", "flows": [{"local_port": 2, "payload_out": 9000}], "expect": "quiet"},
        ],
    },
]  # fmt: skip


def as_json(events: Sequence[AlertEvent]) -> list[str]:
    return [json.dumps(event.to_json(), sort_keys=True) for event in events]


def cut_in_many_ways(
    one: Rule, rows: Sequence[Row], seed: int, bounds: dict[str, int] | None = None
) -> list[str]:
    """Judge rows in batches of many sizes, numbered or not: it must make no difference; give the events."""
    chance = random.Random(seed)
    found: list[list[str]] = []
    some: list[Sequence[int]] = [chance.sample(range(1, 200), count) for count in (3, 40)]
    # numbers of cases may have gaps: attribution keeps them from batch to batch
    sparse = partial(numbered, step=1000)
    ways: list[tuple[Sequence[int], Callable[[pl.DataFrame], pl.DataFrame]]] = [
        ([], as_it_is), ([], numbered), ([], sparse), (some[0], sparse), (some[1], as_it_is),
        (some[1], numbered), (range(1, 160), numbered),
    ]  # fmt: skip
    for cuts, made in ways:
        judge = Judge([one], bounds=bounds)
        judge.start()
        events = judge_all(judge, rows, cuts, 9000, made)
        assert [event.time for event in events] == sorted(event.time for event in events)
        found.append([*as_json(events), str(judge.counters())])
        assert found[-1] == found[0]
    assert len(found[0]) > 1, "the traffic raises no alert"
    return found[0]


@pytest.mark.parametrize("differs", RULES, ids=lambda differs: str(differs.get("id", "small")))
@pytest.mark.parametrize("seed", range(2))
def test_the_same_rows_give_the_same_alerts_however_they_are_cut(
    tmp_path: Path, differs: dict[str, Any], seed: int
) -> None:
    cut_in_many_ways(rule(tmp_path, **differs), traffic(seed, 220, 150), seed)


CROWDED = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["workload", "local_port"], "window": "25s"},
    "fire": {"above": 6000},
    "resolve_after": "5s",
    "tests": [
        {"name": "f", "flows": [{"payload_out": 9000}], "expect": "fires"},
        {"name": "q", "flows": [{"payload_out": 6000}], "expect": "quiet"},
    ],
}
COMMON = {
    **CROWDED,
    "measure": {"sum": "payload_out", "per": ["workload", "provider", "country"], "window": "25s"},
}
NOVEL = RULES[-1]


@pytest.mark.parametrize(
    ("differs", "bound", "size"),
    [
        (CROWDED, "groups", 12),
        (COMMON, "groups", 4),
        (CROWDED, "entries", 30),
        (CROWDED, "entries", 2),
        (SMALL, "entries", 3),
        (SMALL, "entries", 12),
        (NOVEL, "groups", 2),
        (NOVEL, "known", 20),
        (NOVEL, "learning", 2),
    ],
)
def test_full_tables_make_no_difference_to_that(
    tmp_path: Path, differs: dict[str, Any], bound: str, size: int
) -> None:
    found = cut_in_many_ways(rule(tmp_path, **differs), traffic(5, 260, 150), 5, {bound: size})
    if bound in ("groups", "known"):
        assert re.search(r"group_overflow=\{'.*?': [1-9]", found[-1]), "nothing was short of room"


@pytest.mark.parametrize("differs", RULES, ids=lambda differs: str(differs.get("id", "small")))
def test_a_restart_between_batches_changes_nothing(tmp_path: Path, differs: dict[str, Any]) -> None:
    one = rule(tmp_path, **differs)
    rows = traffic(11, 300, 400)
    straight = Judge([one])
    straight.start()
    expected = as_json(judge_all(straight, rows, [], 9000))
    found = []
    before = 0
    for cut in (30, 31, 90, 120, 220, 390, 9000):
        judge = Judge([one], state=tmp_path / "state")
        judge.start()
        part = [row for row in rows if before <= row["tick"] - START < cut]
        found += as_json(judge.judge(batch(part), NO_DNS, at(cut)))
        judge.stop()
        before = cut
    assert found == expected
    assert judge.counters().suppressed_bytes == straight.counters().suppressed_bytes


def test_an_alert_begins_while_the_connection_is_open_and_not_before_the_line(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    exactly = [flow(tick, provider="alibaba", payload_out=MIB // 4) for tick in range(4)]
    assert judge.judge(batch(exactly), NO_DNS, at(4)) == []
    (event,) = judge.judge(batch([flow(4, provider="alibaba", payload_out=1)]), NO_DNS, at(5))
    assert event.kind == "begun"
    assert (event.alert.value, event.alert.sent_bytes) == (MIB + 1, MIB + 1)
    assert event.time == at(4)
    assert event.alert.flows[0]["ended"] is None


def test_the_clock_alone_ends_an_alert(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path, resolve_after="15m")])
    judge.start()
    judge.judge(batch([flow(0, provider="alibaba", payload_out=2 * MIB)]), NO_DNS, at(1))
    assert judge.judge(NO_FLOWS, NO_DNS, at(600 + 900) - 1) == []
    (event,) = judge.judge(NO_FLOWS, NO_DNS, at(600 + 900))
    assert (event.kind, event.time, event.alert.ended) == ("ended", at(1500), at(1500))
    assert [alert.is_open for alert in judge.alerts()] == [False]


def test_alerts_are_given_the_newest_first_however_they_go_on(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    for tick, workload in enumerate(["web", "api", "web", "db"]):
        rows = [flow(tick, workload=workload, provider="alibaba", payload_out=2 * MIB)]
        judge.judge(batch(rows), NO_DNS, at(tick + 1))
        orders = [[alert.workload for alert in judge.alerts()] for _ in range(2)]
        assert orders[0] == orders[1]
    assert orders[0] == ["db", "api", "web"]
    assert [alert.sent_bytes for alert in judge.alerts()] == [2 * MIB, 2 * MIB, 4 * MIB]


def test_alerts_that_ended_are_shown_for_a_day_but_not_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes groups up, each above the line for a moment, must not fill the memory with what was."""
    monkeypatch.setattr("monitor.judge.engine.MAX_ENDED", 40)
    small = rule(tmp_path, **{**SMALL, "fire": {"above": 400}, "resolve_after": "1s"})
    judge = Judge([small], learn=False)
    judge.start()
    judge.judge(batch([flow(0, workload="stays", payload_out=MIB, provider="alibaba")]), NO_DNS, at(1))
    for tick in range(1, 120):
        names = ["stays", *(f"w{tick}-{one}" for one in range(4))]
        rows = [flow(tick, workload=name, provider="alibaba", payload_out=900) for name in names]
        judge.judge(batch(rows), NO_DNS, at(tick + 1))
        alerts = judge.alerts()
        assert sum(not alert.is_open for alert in alerts) <= 40
        assert len(judge._explained) <= len({one for alert in alerts for one in alert.flow_ids})
    ended = [alert for alert in alerts if not alert.is_open]
    # four begin a second, and each ends 14 s later: its window is over then, and another second
    newest = 120 - 14
    assert len(alerts) - len(ended) == 1 + 4 * (119 - newest)
    assert {alert.workload for alert in ended} >= {f"w{newest}-{one}" for one in range(4)}, "the newest stay"
    assert judge.given_up()["ended_alert"] == 4 * newest - len(ended)


def test_what_is_written_into_an_event_is_not_written_into_the_alert(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    # nothing happened to it behind the event
    (begun,) = judge.judge(batch([flow(0, provider="alibaba", payload_out=2 * MIB)]), NO_DNS, at(1))
    own = judge.alert(begun.alert.id)
    assert own is not None
    assert own.to_json() == begun.alert.to_json()
    begun.alert.capsule = "kept"
    assert own.capsule is None
    # one more row, too little for an event
    assert judge.judge(batch([flow(1, provider="alibaba", payload_out=1000)]), NO_DNS, at(2)) == []
    own = judge.alert(begun.alert.id)
    assert own is not None
    assert (own.sent_bytes, own.capsule) == (2 * MIB + 1000, None)
    assert begun.alert.sent_bytes == 2 * MIB


def test_a_sum_that_comes_down_to_the_line_is_not_above_it(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    rows = [flow(tick, provider="alibaba", payload_out=MIB) for tick in (0, 100)]
    _, ended = judge.judge(batch(rows), NO_DNS, at(2000))
    assert (ended.kind, ended.time) == ("ended", at(600 + 900))


def test_an_alert_comes_back_under_its_id_within_a_day_and_is_new_after_it(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    upload: dict[str, Any] = {"provider": "alibaba", "payload_out": 2 * MIB}
    (first,) = judge.judge(batch([flow(0, **upload)]), NO_DNS, at(1))
    ended = 600 + 900
    *_, again = judge.judge(batch([flow(ended + 86_399, **upload)]), NO_DNS, at(ended + 86_400))
    assert (again.kind, again.alert.id, again.alert.reopened) == ("begun", first.alert.id, 1)
    assert again.alert.sent_bytes == 4 * MIB
    later = ended + 86_399 + ended + 86_400
    *_, new = judge.judge(batch([flow(later, **upload)]), NO_DNS, at(later + 1))
    assert (new.kind, new.alert.reopened) == ("begun", 0)
    assert new.alert.id != first.alert.id


def test_workload_and_provider_are_those_of_most_bytes_in_the_window_and_stay(tmp_path: Path) -> None:
    differs = {"match": {}, "measure": {"sum": "payload_out", "per": [], "window": "10m"}}
    judge = Judge([rule(tmp_path, **differs, tests=LOOSE_TESTS)])
    judge.start()
    rows = [
        flow(0, 1, workload="db", provider="hetzner", country="DE", payload_out=600_000),
        flow(300, 2, workload="web", provider="aws", country="US", payload_out=500_000),
        flow(900, 3, workload="web", provider="ovh", country="FR", payload_out=9 * MIB),
    ]
    begun, growing = judge.judge(batch(rows[:2]), NO_DNS, at(301)) + judge.judge(
        batch(rows[2:]), NO_DNS, at(901)
    )
    for event in (begun, growing):
        assert (event.alert.workload, event.alert.provider) == ("db", "hetzner")
        assert event.alert.group == {}
    assert begun.alert.countries == ["DE", "US"]
    assert growing.alert.countries == ["DE", "US", "FR"]


def test_excepted_flows_are_taken_out_before_summing_until_their_day_ends(tmp_path: Path) -> None:
    excepted = {
        "match": {"name": "*.alicdn.com"},
        "reason": "shop", "owner": "team", "expires": "2026-05-28",
    }  # fmt: skip
    judge = Judge([rule(tmp_path, exceptions=[excepted])])
    judge.start()
    images: dict[str, Any] = {"provider": "alibaba", "name": "img.alicdn.com", "payload_out": 2 * MIB}
    assert judge.judge(batch([flow(99, **images, evidence="dns")]), NO_DNS, at(100)) == []
    assert judge.counters().suppressed_bytes == {"a-rule": 2 * MIB}
    (after_midnight,) = judge.judge(batch([flow(100, **images, evidence="dns")]), NO_DNS, at(101))
    assert after_midnight.alert.value == 2 * MIB
    assert "expired" in after_midnight.alert.exceptions[0]["why_not"]


def test_a_name_that_is_only_claimed_is_no_exception(tmp_path: Path) -> None:
    excepted = {
        "match": {"name": "*.alicdn.com"},
        "reason": "shop", "owner": "team", "expires": "2027-03-31",
    }  # fmt: skip
    judge = Judge([rule(tmp_path, exceptions=[excepted])])
    judge.start()
    claimed = flow(0, provider="alibaba", name="img.alicdn.com", evidence="sni", payload_out=2 * MIB)
    (event,) = judge.judge(batch([claimed]), NO_DNS, at(1))
    assert event.alert.sent_bytes == 2 * MIB
    assert "only a name that decided" in event.alert.exceptions[0]["why_not"]


def test_hostile_names_are_one_line_of_json(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    name = 'a\nb\x1b[31m"\u2028\\.example'
    (event,) = judge.judge(
        batch([flow(0, provider="alibaba", name=name, payload_out=2 * MIB)]), NO_DNS, at(1)
    )
    written = json.dumps(event.to_json())
    assert written.isprintable()
    assert json.loads(written)["flows"][0]["name"] == name.lower()


def test_an_alert_keeps_a_bounded_sample_and_the_numbers_of_what_it_keeps_go_on(tmp_path: Path) -> None:
    judge = Judge([rule(tmp_path)])
    judge.start()
    many = [
        flow(tick, identity, provider="alibaba", name=f"n{identity}.example", payload_out=MIB)
        for tick in range(3)
        for identity in range(200)
    ]
    judge.judge(batch(many), NO_DNS, at(3))
    (alert,) = judge.alerts()
    assert len(alert.flows) == 10
    assert len(alert.names) == 20
    assert {one["payload_out"] for one in alert.flows} == {3 * MIB}
    assert alert.sent_bytes == 600 * MIB


def test_why_exceptions_did_not_apply_is_of_those_that_the_rule_had_then(tmp_path: Path) -> None:
    common = {"reason": "r", "owner": "o"}
    own = {"match": {"workload": "api", "country": "US"}, "expires": "2027-01-01", **common}
    other = {"match": {"workload": "api", "country": "DE"}, "expires": "2020-01-01", **common}
    judge = Judge([rule(tmp_path, exceptions=[own], tests=LOOSE_TESTS)])
    judge.start()
    upload: dict[str, Any] = {"workload": "api", "country": "CN", "provider": "alibaba"}
    (begun,) = judge.judge(batch([flow(0, payload_out=2 * MIB, **upload)]), NO_DNS, at(1))
    judge.set_rules([rule(tmp_path, exceptions=[other, own], tests=LOOSE_TESTS)])
    (grown,) = judge.judge(batch([flow(5, payload_out=9 * MIB, **upload)]), NO_DNS, at(6))
    for alert in (grown.alert, *judge.alerts()):
        assert [(one["match"], one["why_not"]) for one in alert.exceptions] == [
            ("workload: api, country: US", "country: US: does not hold")
        ]
        assert alert.version == begun.alert.version
    # it ends, and comes back under the new ones
    (_, again) = judge.judge(batch([flow(4000, payload_out=2 * MIB, **upload)]), NO_DNS, at(4001))
    assert [one["why_not"] for one in again.alert.exceptions] == [
        "expired at the end of 2020-01-01",
        "country: US: does not hold",
    ]


def test_other_rules_keep_what_they_know_when_rules_are_swapped(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    judge = Judge([rule(first)])
    judge.start()
    judge.judge(batch([flow(0, provider="alibaba", payload_out=MIB // 2)]), NO_DNS, at(1))
    judge.set_rules([rule(second, severity="critical", fire={"above": "1000kB"})])
    (event,) = judge.judge(batch([flow(1, provider="alibaba", payload_out=MIB // 2)]), NO_DNS, at(2))
    assert (event.alert.value, event.alert.severity) == (MIB, "critical")
    judge.set_rules([])
    assert [alert.is_open for alert in judge.alerts()] == [False]
