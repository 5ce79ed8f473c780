"""Every way to fire against another judge that keeps every row (`model`), in many cuts."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.judge import AlertEvent, Judge
from monitor.judge.case_rows import Row

from .frames import NO_DNS, SECOND, START, at, batch, flow, rule
from .model import judged

HOUR, DAY = 3600, 86_400


def told(events: Sequence[AlertEvent]) -> list[tuple[Any, ...]]:
    return [
        (event.kind, event.time, event.alert.group["workload"], event.alert.value, event.alert.sent_bytes)
        for event in events
    ]


def in_cuts(one: Any, rows: Sequence[Row], cuts: Sequence[int], end: int) -> list[tuple[Any, ...]]:
    judge = Judge([one], learn=False)
    judge.start()
    events = []
    before = -1
    for cut in [*sorted(set(cuts)), end]:
        part = [row for row in rows if before <= row["tick"] - START < cut]
        events += judge.judge(batch(part), NO_DNS, at(cut))
        before = cut
    # several groups may tell of the same moment: between them ids decide, which the model does not make
    return sorted(told(events), key=lambda one: (one[1], one[0] != "ended", one[2]))


def mixed(seed: int, count: int, span: int) -> list[Row]:
    chance = random.Random(seed)
    return [
        flow(
            chance.randrange(span),
            chance.randrange(99),
            workload=chance.choice(["api", "web"]),
            provider="alibaba",
            remote_address=f"203.0.113.{chance.randrange(14)}",
            payload_out=chance.choice([0, 500, 900]),
            payload_in=chance.choice([0, 0, 300, 2000]),
        )
        for _ in range(count)
    ]


def test_values_that_a_full_set_leaves_out_are_counted(tmp_path: Path) -> None:
    """The set of a group holds 4,096 values; a value that is in it or left out is never estimated."""
    fire = {"distinct": {"of": "remote_address", "above": 5}}
    measure = {"sum": "payload_out", "per": ["workload"], "window": "1m"}
    judge = Judge([rule(tmp_path, measure=measure, fire=fire, **cases_of(fire))], learn=False)
    judge.start()
    for tick, count in ((0, 4096), (1, 4096), (2, 5000), (3, 5000)):
        seen = [f"203.0.{number // 256}.{number % 256}" for number in range(count)]
        sent = {"provider": "alibaba", "payload_out": 1}
        rows = [flow(tick, number, remote_address=address, **sent) for number, address in enumerate(seen)]
        judge.judge(batch(rows), NO_DNS, at(tick + 1))
        # each time one comes that is not in the set, it is left out again
        assert judge.given_up()["distinct_value"] == {0: 0, 1: 0, 2: 904, 3: 1808}[tick]


@pytest.mark.parametrize("cuts", [[], [50], range(1, 110)])
def test_values_that_left_make_room_however_rows_are_cut(tmp_path: Path, cuts: Iterable[int]) -> None:
    """The window is over for what filled the rule's room, whether the batch is or not."""
    fire = {"distinct": {"of": "remote_address", "above": 3}}
    measure = {"sum": "payload_out", "per": ["workload"], "window": "20s"}
    sent = {"provider": "alibaba", "payload_out": 1}
    scanned = ((0, "api", 3), (1, "db", 3), (2, "web", 2), (30, "web", 4), (100, "web", 4))
    scans = [
        flow(tick, number, workload=workload, remote_address=f"203.0.{tick}.{number}", **sent)
        for tick, workload, count in scanned
        for number in range(count)
    ]
    rules = [rule(tmp_path, measure=measure, fire=fire, resolve_after="5s", **cases_of(fire))]
    judge = Judge(rules, learn=False, bounds={"values": 6})
    judge.start()
    begun, before = [], -1
    for cut in [*cuts, 200]:
        rows = [row for row in scans if before <= row["tick"] - START < cut]
        events = judge.judge(batch(rows), NO_DNS, at(cut))
        begun += [(event.alert.workload, event.time - at(0)) for event in events if event.kind == "begun"]
        before = cut
    assert begun == [("web", 30 * SECOND), ("web", 100 * SECOND)]
    assert judge.given_up()["distinct_value"] == 2


def beats(seed: int) -> list[Row]:
    """Connections that come every 20 s or so, with gaps, bursts and other traffic between."""
    chance = random.Random(seed)
    rows = []
    moment = 0.0
    for number in range(60):
        moment += 20 + chance.choice([0, 0, 0, 1, -1, 0, 0, 20, 7])
        for _ in range(chance.choice([1, 1, 1, 2])):
            rows.append(flow(int(moment), number, workload="api", provider="alibaba", payload_out=900))
    return rows + [flow(chance.randrange(900, 1300), 99, provider="alibaba") for _ in range(12)]


WAYS: list[dict[str, Any]] = [
    {"ratio": {"of": "payload_out", "to": "payload_in", "above": 1.5, "floor": 2000}},
    {"ratio": {"of": "payload_in", "to": "payload_out", "above": "0.75", "floor": 500}, "above": 4000},
    {"distinct": {"of": "remote_address", "above": 5}},
    {"distinct": {"of": "remote_address", "above": 3}, "above": 5000},
]


@pytest.mark.parametrize("fire", WAYS, ids=lambda fire: "-".join(fire))
@pytest.mark.parametrize("seed", range(4))
def test_ratio_and_distinct_are_those_of_the_model(tmp_path: Path, fire: dict[str, Any], seed: int) -> None:
    measure = {"sum": "payload_out", "per": ["workload"], "window": "13s"}
    one = rule(tmp_path, measure=measure, fire=fire, resolve_after="4s", **cases_of(fire))
    rows = mixed(seed, 260, 300)
    expected = judged(one, rows, START, 330)
    assert {"begun", "ended"} <= {kind for kind, *_ in expected}, "the traffic tests too little"
    for cuts in ([], random.Random(seed).sample(range(1, 320), 50), range(1, 320)):
        assert in_cuts(one, rows, list(cuts), 330) == expected


def cases_of(fire: dict[str, Any]) -> dict[str, Any]:
    """A case that fires and one that stays quiet, for rules that `LOOSE_TESTS` do not fit."""
    many = {"provider": "alibaba", "remote_address": "203.0.113.1", "repeat": 20, "vary": "remote_address"}
    received = "8KiB" if fire.get("ratio", {}).get("of") == "payload_in" else 0
    heavy = {**many, "payload_out": "9KiB", "payload_in": received}
    quiet = {"provider": "alibaba", "payload_out": 0}
    return {
        "tests": [
            {"name": "f", "flows": [heavy], "expect": "fires"},
            {"name": "q", "flows": [quiet], "expect": "quiet"},
        ]
    }


@pytest.mark.parametrize("seed", range(6))
def test_a_rhythm_is_that_of_the_model(tmp_path: Path, seed: int) -> None:
    one = rule(
        tmp_path,
        measure={"count": "connections", "per": ["workload"], "window": "10m"},
        fire={"periodic": {"count": 8, "jitter": "10%", "between": "10s-2m"}},
        resolve_after="30s",
        tests=[
            {
                "name": "a beacon",
                "flows": [{"provider": "alibaba", "repeat": 8, "every": "60s"}],
                "expect": "fires",
            },
            {
                "name": "seven starts",
                "flows": [{"provider": "alibaba", "repeat": 7, "every": "60s"}],
                "expect": "quiet",
            },
        ],
    )
    rows = beats(seed)
    expected = judged(one, rows, START, 2500)
    for cuts in ([], random.Random(seed).sample(range(1, 2400), 30), range(1, 2400, 7)):
        assert in_cuts(one, rows, list(cuts), 2500) == expected


def test_the_beats_of_the_property_above_fire_at_all() -> None:
    assert sum(len(beats(seed)) for seed in range(6)) > 300


def days(seed: int, count: int) -> list[Row]:
    """A backup at three o'clock, noise all day, and a leak at noon of the last days."""
    chance = random.Random(seed)
    rows = []
    for day in range(count):
        for hour in range(24):
            size = 50_000 if hour == 3 else chance.choice([0, 500, 900, 3000])
            if day >= count - 2 and hour == 12:
                size = 40_000
            tick = day * DAY + hour * HOUR + chance.randrange(3000)
            rows.append(flow(tick, day, workload="api", provider="alibaba", payload_out=size))
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_a_baseline_is_that_of_the_model(tmp_path: Path, seed: int) -> None:
    one = rule(
        tmp_path,
        measure={"sum": "payload_out", "per": ["workload"], "window": "10m"},
        fire={"baseline": {"deviations": 5, "floor": 2000, "history": "3d"}},
        resolve_after="10m",
        tests=[
            {
                "name": "more than ever",
                "learnt": [{"provider": "alibaba", "payload_out": 3000, "repeat": 4, "every": "1d"}],
                "flows": [{"provider": "alibaba", "payload_out": "9MiB"}],
                "expect": "fires",
            },
            {
                "name": "as usual",
                "learnt": [{"provider": "alibaba", "payload_out": 3000, "repeat": 4, "every": "1d"}],
                "flows": [{"provider": "alibaba", "payload_out": 3000}],
                "expect": "quiet",
            },
        ],
    )
    rows = days(seed, 9)
    end = 9 * DAY + 1
    expected = judged(one, rows, START, end)
    begun = [(when // 10**9 - START) % DAY // HOUR for kind, when, *_ in expected if kind == "begun"]
    assert 12 in begun, "the leak at noon is found"
    assert 3 not in begun, "the backup is usual"
    for cuts in ([], [DAY * day + 77 for day in range(1, 9)], range(1800, end, 5400)):
        assert in_cuts(one, rows, list(cuts), end) == expected


def test_what_grows_slowly_does_not_become_usual(tmp_path: Path) -> None:
    """20 % more each day: unlearnt, it would be 230 times as much after 30 days, and never found."""
    one = rule(
        tmp_path,
        measure={"sum": "payload_out", "per": ["workload"], "window": "10m"},
        fire={"baseline": {"floor": 100_000, "history": "7d"}},
        tests=[
            {
                "name": "f",
                "learnt": [{"provider": "alibaba", "payload_out": 1000, "repeat": 8, "every": "1d"}],
                "flows": [{"provider": "alibaba", "payload_out": "9MiB"}],
                "expect": "fires",
            },
            {"name": "q", "flows": [{"provider": "alibaba", "payload_out": "9MiB"}], "expect": "quiet"},
        ],
    )
    rows = [
        flow(day * DAY + HOUR, day, provider="alibaba", payload_out=round(100_000 * 1.2 ** max(0, day - 8)))
        for day in range(38)
    ]
    begun = [when for kind, when, *_ in in_cuts(one, rows, [], 39 * DAY) if kind == "begun"]
    assert begun, "slow growth is never found"
    assert (begun[0] // 10**9 - START) // DAY <= 14
