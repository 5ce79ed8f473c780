"""Traffic rows from flow rows: folding, sums, and each connection once."""

import random
from typing import Any

import pytest

from monitor.publish import traffic

SENT = "egress_sent_bytes_total"
RECEIVED = "egress_received_bytes_total"
CONNECTIONS = "egress_connections_total"  # labels in name order: initiator, provider, workload


@pytest.mark.parametrize(
    ("workload", "shown"),
    [
        ("api", "api"),
        ("web-1.example", "web-1.example"),
        ("10.0.1.2", "unnamed"),
        ("2001:db8::1", "unnamed"),
        ("::1", "unnamed"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_hosts_without_a_name_fold_to_unnamed(given: Any, workload: str, shown: str) -> None:
    publisher = given.publisher(live=False)
    given.publish(publisher, {"workload": workload, "bytes_out": 5})
    assert given.samples(publisher, SENT)["US", "aws", shown] == 5


@pytest.mark.parametrize(
    ("provider", "shown"),
    [("aws", "aws"), ("as64500", "unlisted"), ("asus", "asus"), (None, "none"), ("as", "as")],
)
def test_networks_outside_the_catalogue_fold_to_unlisted(
    given: Any, provider: str | None, shown: str
) -> None:
    publisher = given.publisher(live=False)
    given.publish(publisher, {"provider": provider, "bytes_out": 5})
    assert given.samples(publisher, SENT)["US", shown, "api"] == 5


def test_an_unknown_country_is_none(given: Any) -> None:
    publisher = given.publisher(live=False)
    given.publish(publisher, {"country": None, "bytes_in": 5})
    assert given.samples(publisher, RECEIVED)["none", "aws", "api"] == 5


def test_what_folds_to_the_same_row_is_added(given: Any) -> None:
    publisher = given.publisher(live=False)
    many = [
        {"workload": f"10.0.0.{n}", "provider": f"as{n}", "bytes_out": n, "bytes_in": 2 * n} for n in range(9)
    ]
    given.publish(publisher, *many)
    assert given.samples(publisher, SENT)["US", "unlisted", "unnamed"] == sum(range(9))
    assert given.samples(publisher, RECEIVED)["US", "unlisted", "unnamed"] == 2 * sum(range(9))


def test_only_egress_flows_are_traffic(given: Any) -> None:
    publisher = given.publisher(live=False)
    given.publish(
        publisher,
        {"bytes_out": 1},
        {"bytes_out": 10, "scope": "internal"},
        {"bytes_out": 100, "scope": "transit"},
    )
    assert sum(given.samples(publisher, SENT).values()) == 1


def test_bytes_are_counted_by_evidence_in_both_directions(given: Any) -> None:
    publisher = given.publisher(live=False)
    given.publish(
        publisher,
        {"evidence": "dns", "bytes_out": 1, "bytes_in": 2},
        {"evidence": "sni", "bytes_out": 4, "bytes_in": 8, "country": None},
        {"evidence": "dns", "bytes_out": 16, "bytes_in": 32, "provider": None},
    )
    found = given.samples(publisher, "egress_attributed_bytes_total")
    assert found["dns",] == 1 + 2 + 16 + 32
    assert found["sni",] == 4 + 8
    assert found["none",] == 0, "the closed set is there from the start"


def test_a_connection_counts_once_when_it_is_decided_at_once(given: Any) -> None:
    publisher = given.publisher(live=False)
    first = {"flow_id": 7, "started": given.START, "first_seen": given.START}
    later = {"flow_id": 7, "started": given.START, "first_seen": given.START + given.SECOND}
    given.publish(publisher, first, later)
    given.publish(publisher, later, later | {"ended": "fin"})
    assert given.samples(publisher, CONNECTIONS)["local", "aws", "api"] == 1
    assert sum(given.samples(publisher, CONNECTIONS).values()) == 1


@pytest.mark.parametrize("batches", [1, 2, 4])
@pytest.mark.parametrize(
    ("last", "counted"),
    [({"initiator": "remote"}, "remote"), ({"initiator": "unknown", "ended": "idle"}, "unknown")],
)
def test_an_undecided_connection_counts_when_it_is_decided_or_ends(
    given: Any, batches: int, last: dict[str, str], counted: str
) -> None:
    publisher = given.publisher(live=False)
    later = {"flow_id": 7, "first_seen": given.START + given.SECOND}
    rows = [
        {"flow_id": 7, "initiator": "unknown"},
        later | {"initiator": "unknown"},
        later | last,
        later | last | {"ended": "fin"},
    ]
    size = -(-len(rows) // batches)
    for begin in range(0, len(rows), size):
        given.publish(publisher, *rows[begin : begin + size])
    assert given.samples(publisher, CONNECTIONS)[counted, "aws", "api"] == 1
    assert sum(given.samples(publisher, CONNECTIONS).values()) == 1


def test_a_row_that_only_says_that_a_flow_ended_is_not_its_first(given: Any) -> None:
    publisher = given.publisher(live=False)
    given.publish(publisher, {"flow_id": 7})
    given.publish(publisher, {"flow_id": 7, "packets_out": 0, "ended": "idle"})
    assert sum(given.samples(publisher, CONNECTIONS).values()) == 1


def test_what_a_batch_numbers_is_counted_as_by_its_texts(given: Any) -> None:
    chance = random.Random(2)
    cases = [("aws", "US", "dns"), ("as1", None, "sni"), (None, "DE", "none")]
    hosts = ["api", "10.0.0.1", "web", "2001:db8::1"]
    rows = []
    for flow in range(100):
        host, case = chance.randrange(4), chance.randrange(3)
        provider, country, evidence = cases[case]
        rows.append(
            {
                "flow_id": flow, "workload": hosts[host], "local_id": host, "provider": provider,
                "country": country, "evidence": evidence, "case_id": case, "answer_id": 0,
                "bytes_out": chance.randrange(9), "bytes_in": chance.randrange(9),
            }
        )  # fmt: skip
    by_number, by_text = given.publisher(live=False), given.publisher(live=False)
    given.publish(by_number, *rows)
    given.publish(by_text, *({**row, **dict.fromkeys(["local_id", "case_id", "answer_id"])} for row in rows))
    for name in (SENT, RECEIVED, CONNECTIONS, "egress_attributed_bytes_total"):
        assert given.samples(by_number, name) == given.samples(by_text, name), name
    assert sum(given.samples(by_number, CONNECTIONS).values()) == 100


def test_the_memory_for_undecided_connections_is_bounded(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MAX_UNDECIDED", 10)
    publisher = given.publisher(live=False)
    given.publish(publisher, *({"flow_id": n, "initiator": "unknown"} for n in range(25)))
    assert given.samples(publisher, CONNECTIONS)["unknown", "aws", "api"] == 15
    ends = ({"flow_id": n, "initiator": "unknown", "packets_out": 0, "ended": "idle"} for n in range(25))
    given.publish(publisher, *ends)
    assert given.samples(publisher, CONNECTIONS)["unknown", "aws", "api"] == 25


def test_batches_of_any_size_give_the_same_counters(given: Any) -> None:
    chance = random.Random(1)
    rows = [
        {
            "flow_id": chance.randrange(40),
            "workload": chance.choice(["api", "web", "10.0.0.1"]),
            "provider": chance.choice(["aws", None, "as1", "as2"]),
            "initiator": "local",
            "first_seen": given.START + chance.randrange(2),
            "bytes_out": chance.randrange(1000),
        }
        for _ in range(200)
    ]
    whole, pieces = given.publisher(live=False), given.publisher(live=False)
    given.publish(whole, *rows)
    for begin in range(0, 200, 7):
        given.publish(pieces, *rows[begin : begin + 7])
    assert given.samples(whole, SENT) == given.samples(pieces, SENT)
    by_key: dict[tuple[str, str], int] = {}
    for row in rows:
        workload = "unnamed" if row["workload"] == "10.0.0.1" else row["workload"]
        provider = {None: "none", "as1": "unlisted", "as2": "unlisted"}.get(row["provider"], row["provider"])
        by_key[provider, workload] = by_key.get((provider, workload), 0) + row["bytes_out"]
    found = given.samples(whole, SENT)
    assert {key[1:]: number for key, number in found.items() if key[0] == "US"} == by_key


def test_rows_stay_within_the_budget_whatever_comes(given: Any) -> None:
    publisher = given.publisher(budget=50)
    for batch in range(5):
        given.publish(
            publisher,
            *(
                {"flow_id": n, "workload": f"w{n % 300}-{batch}", "provider": f"p{n % 7}", "bytes_out": 1}
                for n in range(600)
            ),
        )
        given.now += 200
        given.publish(publisher)
    assert len(given.samples(publisher, SENT)) <= 50
    assert len(given.samples(publisher, CONNECTIONS)) <= 50
    assert sum(given.samples(publisher, SENT).values()) == 5 * 600
    assert sum(given.samples(publisher, CONNECTIONS).values()) == 5 * 600
