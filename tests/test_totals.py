import random
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from monitor import totals
from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA
from monitor.totals import Totals, TransitWatch

SECOND = 10**9
OURS = bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 1])
THEIRS = bytes(10) + b"\xff\xff" + bytes([203, 0, 113, 7])
OTHER = bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 9])


def rows(*given: dict[str, Any]) -> pl.DataFrame:
    """Flow rows; what a test does not name is of no account."""
    base = {
        "scope": "egress", "started": 0, "first_seen": 0, "last_seen": SECOND, "local_address": OURS,
        "remote_address": THEIRS, "bytes_out": 0, "bytes_in": 0, "payload_out": 0, "workload": "api",
        "provider": "aws", "evidence": "dns", "packets_out": 1, "packets_in": 0,
    }  # fmt: skip
    schema = {**FLOW_SCHEMA, **ATTRIBUTED}
    return pl.DataFrame(
        [{**dict.fromkeys(schema), **base, **one} for one in given], schema=schema, orient="row"
    )


def test_rows_are_summed_over_drains() -> None:
    sums = Totals()
    sums.add(rows({"payload_out": 5, "bytes_out": 45, "bytes_in": 40}))
    sums.add(rows({"payload_out": 7, "bytes_out": 47, "first_seen": 3 * SECOND, "last_seen": 4 * SECOND}))
    sums.add(rows({"payload_out": 1000, "scope": "internal"}))
    assert sums.rows.select("workload", "provider", *totals.SUMS).rows() == [("api", "aws", 12, 92, 40, 1)]
    assert sums.span == (0, 4 * SECOND)


def test_a_connection_counts_in_the_row_of_its_first_packet() -> None:
    sums = Totals()
    # frames came out of order; later ones; and a flow of one packet ended
    sums.add(rows({"first_seen": -5, "bytes_out": 40}, {"first_seen": 1, "bytes_out": 40}))
    sums.add(rows({"packets_out": 0, "ended": "idle"}))
    assert sums.rows["connections"].to_list() == [1]


def test_the_name_a_client_asked_for_comes_before_the_one_it_claims() -> None:
    sums = Totals()
    sums.add(rows({"dns_name": "a.example", "name": "b.example"}, {"name": "c.example"}))
    assert sorted(sums.rows["name"].to_list()) == ["a.example", "c.example"]


@pytest.mark.parametrize(
    "amounts",
    [
        lambda number: {"payload_out": number},
        lambda number: {"payload_out": 5, "bytes_in": number},  # as much was sent: who received most
        lambda number: {"payload_out": 5, "bytes_in": 7},  # as much again: who came last
        lambda number: {"payload_out": number // 30, "bytes_in": number},
    ],
)
def test_past_the_bound_the_smallest_lose_their_name(
    monkeypatch: pytest.MonkeyPatch, amounts: Callable[[int], dict[str, int]]
) -> None:
    monkeypatch.setattr(totals, "MAX_ROWS", 10)
    sums = Totals()
    sums.add(rows(*({"name": f"n{number}.example", **amounts(number)} for number in range(1, 31))))
    kept = sums.rows
    assert len(kept) <= 10
    assert kept["payload_out"].sum() == sum(amounts(number)["payload_out"] for number in range(1, 31))
    assert set(kept["name"].to_list()) == {None, "n29.example", "n30.example"}, "a quarter of ten"
    nameless = kept.filter(pl.col("name").is_null())["payload_out"].sum()
    assert nameless == sum(amounts(number)["payload_out"] for number in range(1, 29))


def test_past_the_bound_many_senders_lose_their_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "MAX_ROWS", 10)
    sums = Totals()
    for drain in range(5):
        senders = range(drain * 30, drain * 30 + 30)
        sums.add(rows(*({"workload": f"host-{one}", "payload_out": one + 1} for one in senders)))
    kept = sums.rows
    assert len(kept) <= 10
    assert kept["payload_out"].sum() == sum(range(1, 151))
    alone = kept.filter(pl.col("workload").is_not_null())
    assert "host-149" in alone["workload"].to_list()
    sent = alone["payload_out"].to_list()
    assert alone["workload"].to_list() == [f"host-{one - 1}" for one in sent], "each sent its number and one"


def test_more_providers_than_the_bound_keep_their_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "MAX_ROWS", 10)
    sums = Totals()
    for drain in range(3):
        senders = range(drain * 300, drain * 300 + 300)
        sums.add(
            rows(*({"workload": f"h{n}", "provider": f"p{n % 40}", "payload_out": n + 1} for n in senders))
        )
    kept = sums.rows
    by_provider = dict(kept.group_by("provider").agg(pl.col("payload_out").sum()).iter_rows())
    assert by_provider == {f"p{p}": sum(n + 1 for n in range(p, 900, 40)) for p in range(40)}
    assert len(kept) < 200, "one row each of 40 providers, and as many again before they give way"


NUMBERS = ["local_id", "remote_id", "name_id", "case_id", "answer_id"]


@pytest.mark.parametrize("most", [40, 100_000])
def test_what_a_batch_numbers_is_summed_as_by_its_texts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(totals, "MAX_ROWS", most)
    chance = random.Random(5)
    by_number, by_text = Totals(), Totals()
    for _ in range(3):
        hosts, names = chance.sample(range(1000), 40), chance.sample(range(1000), 9)
        cases = [(f"p{chance.randrange(5)}", chance.choice(["US", None])) for _ in range(6)]
        given = []
        for _ in range(400):
            host, name, case = (chance.randrange(len(all_)) for all_ in (hosts, names, cases))
            named = {"name": f"n{names[name]}", "name_id": name} if name else {}
            asked = chance.randrange(3) // 2
            given.append(
                {
                    "workload": f"h{hosts[host]}", "local_id": host, "provider": cases[case][0],
                    "country": cases[case][1], "case_id": case,
                    # two hosts send most, so that their rows stay as they are
                    "payload_out": chance.randrange(100) * (10**6 if host < 2 else 1),
                    "dns_name": "asked.example" if asked else None, "answer_id": asked, **named,
                }
            )  # fmt: skip
        by_number.add(rows(*given))
        by_text.add(rows(*({**row, **dict.fromkeys(NUMBERS)} for row in given)))
    assert by_number.rows.rows() == by_text.rows.rows()
    assert (len(by_number.rows) > 100) is (most > 40)
    assert by_number.rows["workload"].drop_nulls().n_unique() > 1


def test_transit_is_summed_by_number_as_by_address() -> None:
    given = [
        {
            "scope": "transit", "bytes_out": number, "local_address": bytes(15) + bytes([number % 5]),
            "local_id": number % 5, "remote_address": OTHER, "remote_id": 0,
        }
        for number in range(20)
    ]  # fmt: skip
    hints = set()
    for numbers in (NUMBERS, []):
        watch = TransitWatch()
        watch.add(rows(*({**row, **dict.fromkeys(numbers)} for row in given)))
        hints.add(watch.hint())
    (hint,) = hints
    assert hint is not None
    assert hint.endswith("--local 198.51.100.9")
    assert "(190 B)" in hint, "the sum of 0 to 19"


def test_a_hint_where_most_is_transit() -> None:
    watch = TransitWatch()
    watch.add(rows({"bytes_out": 40}))
    assert watch.hint() is None
    watch.add(rows({"scope": "transit", "local_address": OTHER, "bytes_out": 30, "bytes_in": 9}))
    assert watch.hint() is None, "39 of 79 bytes are not over half"
    watch.add(rows({"scope": "transit", "bytes_out": 2}))
    hint = watch.hint()
    assert hint is not None
    # 41 of 81 bytes; 203.0.113.7 stands at the end of all of them
    assert hint.startswith("51% of the bytes")
    assert hint.endswith("--local 203.0.113.7")


def test_addresses_of_transit_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "MAX_ADDRESSES", 8)
    watch = TransitWatch()
    strangers = [bytes(10) + b"\xff\xff" + bytes([198, 51, 100, number]) for number in range(100)]
    watch.add(rows(*({"scope": "transit", "local_address": one, "bytes_out": 10} for one in strangers)))
    hint = watch.hint()
    assert hint is not None
    assert "203.0.113.7" in hint
