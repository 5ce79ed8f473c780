"""Decisions are made once for each case and kept: a row gets what its own facts say, whatever came before."""

import random
from typing import Any

import polars as pl
import pytest

from monitor.attribute import cases, knowledge
from monitor.attribute.cases import Case, Cases, Facts
from monitor.attribute.decide import Claim, Decision, DnsAnswer, Name, Network, decide
from monitor.flow_batch import NAME_SOURCES
from monitor.flow_rows import FlowRows

from .frames import (
    API,
    AWS,
    NO_DNS,
    OSS,
    OTHER,
    WEB,
    FakeCatalogue,
    FakeDatabases,
    attribute,
    attributor,
    dns,
    flows,
    told,
)

PROXY = "10.0.0.5"
REMOTES = [AWS, OSS, OTHER, PROXY, "192.0.2.9"]
NAMES = [
    None, "bucket.s3.amazonaws.com", "x.aliyuncs.com", "github.com", "evil.trafficmanager.net",
    "a.example", OSS,
]  # fmt: skip
DECIDED = [
    "network_provider", "service_provider", "provider", "evidence", "confidence", "disagreement", "category",
]  # fmt: skip


# what `judgecore/src/frame.rs` takes for the same in all rows of a batch with the same number
SAME = {
    "local_id": ["local_address", "workload"],
    "remote_id": ["remote_address"],
    "name_id": ["name"],
    "case_id": ["country", "asn", "as_name", *DECIDED],
}


def made_up(generator: random.Random, count: int, *, at: int) -> list[dict[str, Any]]:
    return [
        {
            "at": at,
            "flow_id": 1000 * at + number,
            "local_address": generator.choice([API, WEB]),  # of which API was told names
            "remote_address": generator.choice(REMOTES),
            "name": (name := generator.choice(NAMES)),
            "name_source": generator.choice(NAME_SOURCES) if name else None,
            "ech": generator.random() < 0.3,
        }
        for number in range(count)
    ]


def owner(name: str | None) -> Name | None:
    found = FakeCatalogue().provider_of_name(name or "")
    if found is None or found.customer_chosen:
        return None
    return Name(found.provider, found.carriers, found.storage)


def expected(row: dict[str, Any], told_names: dict[str, str]) -> dict[str, Any]:
    """Decide for one row alone, from its own facts."""
    remote, name = row["remote_address"], row["name"]
    is_gateway = remote == PROXY
    facts = FakeDatabases.facts.get(name if is_gateway and name == OSS else remote)
    network = Network(facts.provider, facts.provider_evidence or "none") if facts else Network(None)
    answer = told_names.get(remote) if row["local_address"] == API else None
    said = None
    if answer:
        named = owner(answer)
        said = DnsAnswer(named, frozenset({named.provider} if named else ()))
    claim = Claim(owner(name), row["name_source"], outer=row["ech"]) if name else None
    decision: Decision = decide(network, said, claim, gateway=is_gateway)
    whose = FakeCatalogue.providers.get(decision.provider or decision.service_provider or "")
    return {
        "network_provider": network.provider,
        "service_provider": decision.service_provider,
        "provider": decision.provider,
        "evidence": decision.evidence,
        "confidence": decision.confidence,
        "disagreement": decision.disagreement,
        "category": "storage" if decision.storage else whose and whose.category,
    }


@pytest.mark.parametrize("bound", [2**15, 5])
def test_a_row_gets_what_its_own_facts_say(monkeypatch: pytest.MonkeyPatch, bound: int) -> None:
    monkeypatch.setattr(knowledge, "CASES", bound)
    monkeypatch.setattr(cases, "REBUILD", 3)
    generator = random.Random(7)
    stage = attributor()
    told_names = {OTHER: "bucket.s3.amazonaws.com", OSS: "plain.example"}
    answers = [row for remote, name in told_names.items() for row in told(0.5, [name], remote)]
    for at in range(1, 12):
        rows = made_up(generator, generator.choice([1, 30, 200]), at=at)
        out, _ = attribute(stage, flows(*rows), dns(*answers) if at == 1 else NO_DNS)
        assert out.select(DECIDED).to_dicts() == [expected(row, told_names) for row in rows]
    assert (stage.given_up()["lookup"] > 0) is (bound == 5)


@pytest.mark.parametrize("bound", [2**15, 5])
def test_rows_with_one_number_agree_in_what_it_tells(monkeypatch: pytest.MonkeyPatch, bound: int) -> None:
    monkeypatch.setattr(knowledge, "CASES", bound)
    generator = random.Random(11)
    stage = attributor()
    answers = told(0.5, ["bucket.s3.amazonaws.com"], OTHER)
    for at in range(1, 6):
        rows = flows(*made_up(generator, 200, at=at))
        out, _ = attribute(stage, rows, dns(*answers) if at == 1 else NO_DNS)
        for index, columns in SAME.items():
            of_each = out.drop_nulls(index).group_by(index).agg(pl.col(columns).n_unique())
            assert of_each.height > 1, index
            assert of_each.select(pl.max_horizontal(pl.col(columns).max())).item() == 1, index


def test_a_case_is_decided_once() -> None:
    decided: list[Case] = []

    def number(case: Case) -> tuple[int, str]:
        decided.append(case)
        return len(decided), f"a text that is too long for a word of sixteen bytes, {len(decided)}"

    kept = Cases({"number": pl.UInt32, "text": pl.String}, number)
    rows = flows({"remote_address": AWS}, {"remote_address": OSS}, {"remote_address": AWS})
    for batch in range(200):
        # each batch has one network that was there before and one that is new
        facts = Facts(pl.Series([batch, batch + 1], dtype=pl.UInt32), [], [], [], [0])
        ids, told = kept.number(FlowRows(rows), pl.Series([0, 0, 0], dtype=pl.UInt32), facts)
        assert ids.to_list() == [batch, batch + 1, batch]
        assert told["number"].to_list() == list(range(1, batch + 3))
        assert [text.rsplit(" ", 1)[1] for text in told["text"]] == [str(number) for number in told["number"]]
    assert [case.network for case in decided] == list(range(201))
    assert len(kept) == 201


def test_a_claim_that_is_nobodys_makes_no_case_of_its_own() -> None:
    decided: list[Case] = []

    def note(case: Case) -> tuple[bool]:
        decided.append(case)
        return (True,)

    kept = Cases({"one": pl.Boolean}, note)
    ways = [(source, ech) for source in NAME_SOURCES for ech in (True, False)]
    rows = flows(*({"name": "a.example", "name_source": source, "ech": ech} for source, ech in ways))
    found = pl.Series([0] * rows.height, dtype=pl.UInt32)
    networks = pl.Series([4], dtype=pl.UInt32)
    kept.number(FlowRows(rows), found, Facts(networks, [True], [0], [], [0]))
    assert decided == [Case(4, 0, 0, 0, False, False)]
    kept.number(FlowRows(rows), found, Facts(networks, [True], [9], [], [0]))
    assert [(NAME_SOURCES[case.source], case.ech) for case in decided[1:]] == ways
    assert {case.gateway for case in decided[1:]} == {True}


@pytest.mark.parametrize(
    ("networks", "names", "answers", "missing"),
    [([], [0], [0], "remote_id"), ([1], [], [0], "name_id"), ([1], [0], [], "found")],
)
def test_facts_that_a_row_has_none_of_are_refused(
    networks: list[int], names: list[int], answers: list[int], missing: str
) -> None:
    kept = Cases({"one": pl.Boolean}, lambda _: (True,))
    facts = Facts(pl.Series(networks, dtype=pl.UInt32), [], names, [], answers)
    with pytest.raises(ValueError, match=missing):
        kept.number(FlowRows(flows({"name": "a.example"})), pl.Series([0], dtype=pl.UInt32), facts)
