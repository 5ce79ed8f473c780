"""Lists in files, and what is judged where only one direction is captured."""

from pathlib import Path
from typing import Any

import pytest

from monitor.errors import InputError
from monitor.judge import Judge, load_rules
from monitor.judge.lists import AddressLists

from .frames import MIB, NO_DNS, PROVIDERS, at, batch, flow, load, rule

BAD: dict[str, Any] = {
    "match": {"remote_address": {"list": "bad"}, "name": {"not": {"list": "fine"}}},
    "tests": [
        {
            "name": "f",
            "lists": {"bad": ["203.0.113.0/30"], "fine": ["good.example"]},
            "flows": [{"remote_address": "203.0.113.1", "name": "x.example", "payload_out": "2MiB"}],
            "expect": "fires",
        },
        {
            "name": "q",
            "lists": {"bad": ["203.0.113.0/30"], "fine": ["good.example"]},
            "flows": [{"remote_address": "203.0.113.1", "name": "www.good.example", "payload_out": "2MiB"}],
            "expect": "quiet",
        },
    ],
}


def test_a_rule_asks_its_lists_and_sleeps_without_them(tmp_path: Path) -> None:
    (asleep,) = load(tmp_path, BAD).rules
    assert asleep.asleep == "the configuration has no list 'bad' and the configuration has no list 'fine'"
    (near,) = load(tmp_path, BAD, lists=["bed", "fine"]).rules
    assert near.asleep == "the configuration has no list 'bad'; did you mean 'bed'?"
    (one,) = load(tmp_path, BAD, lists=["bad", "fine"]).rules
    assert one.asleep is None
    lists = AddressLists.of_words({"bad": ["198.51.100.7"], "fine": []})
    judge = Judge([one], lists=lists)
    judge.start()
    rows = [
        flow(0, 1, remote_address=address, name="x.example", workload=address, payload_out=2 * MIB)
        for address in ("198.51.100.7", "198.51.100.8")
    ]
    (event,) = judge.judge(batch(rows), NO_DNS, at(1))
    assert event.alert.group == {"workload": "198.51.100.7"}
    judge.set_lists(AddressLists.of_words({"bad": ["198.51.100.8"], "fine": []}))
    (event,) = judge.judge(batch([{**row, "tick": row["tick"] + 2} for row in rows]), NO_DNS, at(3))
    assert event.alert.group == {"workload": "198.51.100.8"}
    assert judge.counters().lists == {"bad": 1, "fine": 0}


def test_a_wrong_line_is_told_with_its_place_and_a_broken_feed_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "feed.txt"
    path.write_text("# a feed\n203.0.113.7\nnot an entry\n")
    lists = AddressLists({"bad": path, "fine": path.with_name("fine.txt")})
    with pytest.raises(InputError, match=r"feed.txt:3: .not an entry. is neither an address"):
        lists.load()
    path.with_name("fine.txt").write_text("example.org\n")
    lists.load_what_can()
    assert set(lists.ready) == {"fine"}
    assert "feed.txt:3" in lists.errors[0]
    (one,) = load(tmp_path, BAD, lists=["bad", "fine"]).rules
    judge = Judge([one], lists=lists)
    judge.start()
    assert judge.counters().most == {}, "it sleeps"


def test_one_way_capture_puts_to_sleep_what_needs_both_directions(tmp_path: Path) -> None:
    tests = [
        {"name": "f", "flows": [{"provider": "alibaba", "payload_out": "9MiB"}], "expect": "fires"},
        {
            "name": "q",
            "flows": [{"provider": "alibaba", "payload_out": "9MiB", "payload_in": "9MiB"}],
            "expect": "quiet",
        },
    ]
    upload = {"ratio": {"of": "payload_out", "to": "payload_in", "above": 3, "floor": "1MiB"}}
    found = load(
        tmp_path,
        {"id": "needy", "fire": upload, "tests": tests},
        {"id": "plain", "fire": {"above": "1MiB"}},
    )
    assert not found.broken

    def rows(tick: int, answers: int) -> list[Any]:
        return [
            flow(tick, number, provider="alibaba", payload_out=1000, packets_out=9, packets_in=answers)
            for number in range(150)
        ]

    judge = Judge(found.rules)
    judge.start()
    judge.judge(batch(rows(0, 0)), NO_DNS, at(1))
    assert judge.counters().one_way
    assert judge.warnings() == [
        "only one direction of the traffic is captured: a mirror of one side?; "
        "these rules sleep until both are: needy"
    ]
    assert judge.warnings() == []
    heavy = flow(5, 1, provider="alibaba", payload_out=4 * MIB, packets_out=99, packets_in=0)
    assert [event.alert.rule for event in judge.judge(batch([heavy]), NO_DNS, at(6))] == ["plain"]
    # most have answers again
    judge.judge(batch([row for tick in (7, 8, 9) for row in rows(tick, 8)]), NO_DNS, at(10))
    assert not judge.counters().one_way
    assert judge.warnings() == ["both directions of the traffic are captured again; all rules judge"]


def test_a_clause_that_no_test_needs_is_found(tmp_path: Path) -> None:
    from monitor.judge.selftest import generated, untested

    found = load(tmp_path, {"match": {"any_provider": "alibaba", "published": False}})
    (one,) = found.rules
    assert untested(one, found.cases[one.id]) == ["published: false"]
    made = generated(one, found.cases[one.id])
    assert [(result.expected, result.got, result.most) for result in made] == [
        ("fires", "fires", MIB + 1),
        ("quiet", "quiet", MIB),
    ]
    assert rule(tmp_path).ways.line == MIB
    assert load_rules([tmp_path], sanctioned=[], providers=PROVIDERS, workloads=None).rules
