"""What left in the last hour, bounded: no byte is lost for want of room, whatever an attacker sends."""

import random
import threading
from typing import Any

import pytest

from monitor.publish import destinations
from monitor.publish.destinations import Destinations, Sums

MINUTE = 60 * 10**9


def rows(number: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"dns_name": f"{n}.example", "bytes_out": n + 1, "bytes_in": 2 * n, "payload_out": n}
        for n in range(start, start + number)
    ]


def test_sums_are_those_of_the_flows(given: Any) -> None:
    one = Destinations()
    chance = random.Random(5)
    wanted: dict[str, int] = {}
    for step in range(20):
        batch = []
        for _ in range(30):
            name, sent = f"{chance.randrange(40)}.example", chance.randrange(10**6)
            wanted[name] = wanted.get(name, 0) + sent
            batch.append({"dns_name": name, "bytes_out": sent, "bytes_in": 3, "payload_out": 1})
        one.add(given.flows(*batch), given.START + step * MINUTE)
    found = one.summary(10)
    heaviest = sorted(wanted.items(), key=lambda item: -item[1])[:10]
    assert [(key.name, sums.sent_bytes) for key, sums in found.top] == heaviest
    assert found.total == len(wanted)
    assert found.others == Sums()
    assert sum(sums.connections for _, sums in one.summary(100).top) == 600


def test_a_connection_counts_in_the_row_of_its_first_packet(given: Any) -> None:
    one = Destinations()
    first = {"dns_name": "a.example", "bytes_out": 40, "first_seen": given.START - 5}  # out of order
    later = {"dns_name": "a.example", "bytes_out": 40, "first_seen": given.START + 1}
    ended = {"dns_name": "a.example", "packets_out": 0, "ended": "idle"}  # of one packet: it began then too
    one.add(given.flows(first, later, ended), given.START)
    assert [sums.connections for _, sums in one.summary(10).top] == [1]


def test_only_what_leaves_counts(given: Any) -> None:
    one = Destinations()
    one.add(given.flows({"scope": "internal", "bytes_out": 5}, {"scope": "transit", "bytes_out": 5}), MINUTE)
    assert one.summary(10).top == []


def test_a_name_that_was_asked_for_comes_before_one_that_is_claimed(given: Any) -> None:
    one = Destinations()
    one.add(
        given.flows({"dns_name": "asked.example", "name": "claimed.example"}, {"name": "claimed.example"}),
        MINUTE,
    )
    assert {key.name for key, _ in one.summary(10).top} == {"asked.example", "claimed.example"}


def test_after_an_hour_it_is_forgotten(given: Any) -> None:
    one = Destinations()
    start = given.START
    one.add(given.flows({"dns_name": "old.example", "bytes_out": 5}), start)
    for minute in range(0, 120):
        one.add(given.flows(), start + minute * MINUTE)
        names = [key.name for key, _ in one.summary(10).top]
        if minute < 50:
            assert names == ["old.example"]
        if minute >= 60:
            assert names == []


def test_what_is_new_is_told_for_a_day(given: Any) -> None:
    one = Destinations()
    one.add(given.flows({"provider": "aws"}), given.START)
    one.add(given.flows({"provider": "alibaba"}, {"provider": "aws"}), given.START + MINUTE)
    found = one.summary(10).new
    assert [(new.provider, new.first) for new in found] == [
        ("alibaba", given.START + MINUTE),
        ("aws", given.START),
    ]
    assert one.summary(1).new == found[:1]
    one.add(given.flows(), given.START + 25 * 60 * MINUTE)
    assert one.summary(10).new == []
    one.add(given.flows({"provider": "aws"}), given.START + 26 * 60 * MINUTE)
    assert one.summary(10).new == [], "it was seen before"


def test_a_million_names_are_bounded_and_no_byte_is_lost(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "MAX_KEYS", 100)
    monkeypatch.setattr(destinations, "MAX_ROWS", 30)
    monkeypatch.setattr(destinations, "MAX_SEEN", 50)
    one = Destinations()
    sent = 0
    for step in range(40):
        batch = rows(60, step * 60)
        for row in batch:
            row["workload"] = f"10.0.{step}.{row['bytes_out'] % 256}"
        sent += sum(row["bytes_out"] for row in batch)
        one.add(given.flows(*batch), given.START)
    assert all(len(part.rows) <= 100 for part in one._slices)
    assert len(one._seen) <= 50
    found = one.summary(1000)
    assert sum(sums.sent_bytes for _, sums in found.top) + found.others.sent_bytes == sent
    assert one.forgotten > 0
    largest = max(row["bytes_out"] for row in rows(60, 39 * 60))
    assert found.top[0][1].sent_bytes == largest, "the heaviest is never the one to go"


def test_long_names_are_cut(given: Any) -> None:
    one = Destinations()
    one.add(given.flows({"name": "n" * 10_000, "as_name": "a" * 10_000, "workload": "w" * 10_000}), MINUTE)
    ((key, _),) = one.summary(1).top
    assert {len(text) for text in (key.name, key.as_name, key.workload) if text} == {253}


def test_asked_while_it_is_added(given: Any) -> None:
    one = Destinations()
    done = threading.Event()
    flows = given.flows(*rows(50))

    def add() -> None:
        while not done.is_set():
            one.add(flows, given.START)

    writer = threading.Thread(target=add)
    writer.start()
    try:
        for _ in range(50):
            sums = [sums for _, sums in one.summary(100).top]
            # each name got the same number of batches: half a batch is never seen
            assert len({sums.connections for sums in sums}) <= 1
    finally:
        done.set()
        writer.join()
