"""The attribute stage on hand-made frames; the catalogue and the databases are fakes of a few lines."""

import hashlib
import random
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, cast

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from monitor.attribute.addresses import parse
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA

from .frames import (
    API,
    AWS,
    NO_DNS,
    NO_FLOWS,
    OSS,
    OTHER,
    RESOLVER,
    SECOND,
    START,
    WEB,
    FakeCatalogue,
    FakeDatabases,
    attribute,
    attributor,
    dns,
    flows,
    one,
    row,
    told,
)


def test_the_columns_are_those_of_the_contract_also_for_nothing() -> None:
    for given in ((NO_FLOWS, NO_DNS), (flows({}), dns(*told(0, ["a.example"], AWS)))):
        out, out_dns = attribute(attributor(), *given)
        assert dict(out.schema) == {**FLOW_SCHEMA, **ATTRIBUTED}
        assert dict(out_dns.schema) == {**DNS_SCHEMA, **DNS_ATTRIBUTED}
        assert_frame_equal(out.select(*FLOW_SCHEMA), given[0])
        assert_frame_equal(out_dns.select(*DNS_SCHEMA), given[1])


def test_the_network_alone() -> None:
    assert one(attributor(), {"remote_address": OSS}) == {
        "workload": "api", "country": "CN", "asn": 37963, "as_name": "ALIBABA", "network_provider": "alibaba",
        "service_provider": None, "provider": "alibaba", "category": "cloud", "dns_name": None,
        "evidence": "asn", "confidence": "medium", "disagreement": False, "via": None, "published": False,
        "encrypted_dns": False, "unasked_name": False,
        "process": None, "unit": None, "container": None, "pod": None,
    }  # fmt: skip
    other = one(attributor(), {"remote_address": OTHER})
    assert (other["provider"], other["category"]) == ("as64500", None)
    unknown = one(attributor(), {"remote_address": "192.0.2.9", "local_address": "192.168.7.7"})
    assert (unknown["provider"], unknown["evidence"], unknown["confidence"]) == (None, "none", "none")
    assert unknown["workload"] == "192.168.7.7"


def test_a_dns_answer_decides() -> None:
    found = one(attributor(), {"at": 1}, *told(0.5, ["bucket.s3.amazonaws.com"], AWS))
    assert found["dns_name"] == "bucket.s3.amazonaws.com"
    assert (found["provider"], found["evidence"], found["category"]) == ("aws", "dns", "storage")


def test_in_a_chain_the_catalogued_name_nearest_the_address_decides() -> None:
    chain = ["www.github.com", "x.s3.amazonaws.com", "last.example"]
    found = one(attributor(), {"at": 1, "remote_address": OTHER}, *told(0.5, chain, OTHER))
    assert (found["provider"], found["service_provider"], found["dns_name"]) == (
        "aws",
        "aws",
        "www.github.com",
    )


def test_a_name_that_customers_point_where_they_like_never_decides() -> None:
    chain = ["www.evil.example", "evil.trafficmanager.net"]
    found = one(attributor(), {"at": 1, "remote_address": OSS}, *told(0.5, chain, OSS))
    assert (found["provider"], found["service_provider"], found["evidence"]) == ("alibaba", None, "asn")
    assert found["dns_name"] == "www.evil.example"
    claimed = one(attributor(), {"remote_address": OSS, "name": "evil.trafficmanager.net"})
    assert (claimed["service_provider"], claimed["evidence"]) == (None, "asn")


@pytest.mark.parametrize(
    "forged",
    [
        {"matched": False},
        {"section": "additional"},
        {"rcode": 3},
        {"resolver": "45.0.0.1", "scope": "egress"},  # not a listed resolver
        {"resolver": "224.0.0.251"},  # multicast is nobody's answer
        {"client": WEB},
        {"owner": "unasked.s3.amazonaws.com"},  # no CNAME leads there
    ],
    ids=str,
)
def test_an_answer_that_does_not_count(forged: dict[str, Any]) -> None:
    rows = told(0.5, ["bucket.s3.amazonaws.com"], OSS)
    rows[1] |= {
        key: parse(value) if key in {"client", "resolver"} else value for key, value in forged.items()
    }
    found = one(attributor(), {"at": 1, "remote_address": OSS}, *rows)
    assert (found["dns_name"], found["provider"]) == (None, "alibaba")


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"matched": False}, "unmatched"),
        ({"resolver": "45.0.0.1", "scope": "egress"}, "unlisted"),
        ({"owner": "unasked.s3.amazonaws.com"}, "unlinked"),
        ({}, None),
    ],
    ids=str,
)
def test_why_an_answer_does_not_count_is_counted(forged: dict[str, Any], reason: str | None) -> None:
    rows = told(0.5, ["bucket.s3.amazonaws.com"], OSS)
    rows[1] |= {key: parse(value) if key == "resolver" else value for key, value in forged.items()}
    stage = attributor()
    one(stage, {"at": 1, "remote_address": OSS}, *rows)
    assert stage.ignored_answers() == {"unmatched": 0, "unlisted": 0, "unlinked": 0} | (
        {reason: 1} if reason else {}
    )


def test_a_public_resolver_and_one_in_a_local_public_range_count() -> None:
    for fields in ({"resolver": "8.8.8.8", "scope": "egress"}, {"resolver": "45.0.0.1", "scope": "internal"}):
        rows = told(0.5, ["bucket.s3.amazonaws.com"], AWS, **fields)
        assert one(attributor(), {"at": 1}, *rows)["evidence"] == "dns"


def test_what_strangers_ask_a_server_of_ours_fills_no_memory() -> None:
    stage = attributor()
    stranger = told(0.5, ["a.example"], AWS, client=OTHER, scope="egress")
    gateway = told(0.5, ["b.example"], AWS, resolver="10.0.0.5", scope="egress")
    stage.attribute(NO_FLOWS, dns(*stranger, *gateway))
    assert len(stage.dns_memory) == 1


def test_configured_resolvers_are_the_only_ones() -> None:
    stage = attributor(resolvers=[ip_address("45.0.0.1")])
    rows = told(0.5, ["bucket.s3.amazonaws.com"], AWS, resolver="8.8.8.8", scope="egress")
    assert one(stage, {"at": 1}, *rows)["evidence"] == "prefix"
    rows = told(1.5, ["bucket.s3.amazonaws.com"], AWS, resolver="45.0.0.1", scope="egress")
    assert one(stage, {"at": 2, "flow_id": 2}, *rows)["evidence"] == "dns"
    assert stage.ignored_answers()["unlisted"] == 1


def test_an_answer_counts_from_its_moment_even_in_the_same_batch() -> None:
    out, _ = attribute(
        attributor(),
        flows(*({"at": 0, "started": 0.1 * n, "flow_id": n} for n in range(1, 6))),
        dns(*told(0.3, ["bucket.s3.amazonaws.com"], AWS)),
    )
    assert out["evidence"].to_list() == ["prefix", "prefix", "dns", "dns", "dns"]


def test_the_answer_is_fixed_for_the_flows_life() -> None:
    stage = attributor()
    first = told(0.1, ["a.amazonaws.com"], AWS)
    assert one(stage, {"at": 0, "started": 0.2}, *first)["dns_name"] == "a.amazonaws.com"
    later = told(1.0, ["b.amazonaws.com"], AWS)
    assert one(stage, {"at": 2, "started": 0.2}, *later)["dns_name"] == "a.amazonaws.com"
    assert one(stage, {"at": 2, "flow_id": 2})["dns_name"] == "b.amazonaws.com"
    # an answer that arrives late does not change a flow that was published without it
    assert one(stage, {"at": 3, "flow_id": 3, "remote_address": OTHER})["dns_name"] is None
    late = [row | {"tick": (START + 4) * 1000} for row in told(2.9, ["c.example"], OTHER)]
    assert (
        one(stage, {"at": 4, "started": 3, "flow_id": 3, "remote_address": OTHER}, *late)["dns_name"] is None
    )
    answer = stage.answer_of(1)
    assert answer is not None
    assert answer.time == int((START + 0.1) * SECOND)


def test_an_ended_flow_is_let_go_after_a_minute() -> None:
    stage = attributor()
    one(stage, {"at": 1, "ended": "fin"}, *told(0.5, ["a.amazonaws.com"], AWS))
    one(stage, {"at": 61, "flow_id": 2})
    assert stage.answer_of(1) is not None
    one(stage, {"at": 62, "flow_id": 2})
    assert stage.answer_of(1) is None


def test_a_forwarder_of_ours_counts_for_those_who_ask_it() -> None:
    stage = attributor()
    asks = row(0, question="unseen.example", kind="question", section="question", matched=False, client=WEB)
    upstream = told(0.5, ["a.amazonaws.com"], AWS, client=RESOLVER, resolver="8.8.8.8", scope="egress")
    out, _ = attribute(
        stage,
        flows({"at": 1, "local_address": WEB}, {"at": 1, "local_address": API, "flow_id": 2}),
        dns(asks, *upstream),
    )
    assert out["evidence"].to_list() == ["dns_shared", "prefix"]
    assert out["dns_name"].to_list() == ["a.amazonaws.com", None]


def test_a_recursive_resolver_of_ours_is_believed_for_the_name_it_asked_for_only() -> None:
    stage = attributor(resolvers=[ip_address(RESOLVER)])
    fields = {"client": RESOLVER, "resolver": "45.0.0.1", "scope": "egress"}
    forged = told(0.5, ["www.evil.example", "bucket.s3.amazonaws.com"], OSS, **fields)
    assert one(stage, {"at": 1, "remote_address": OSS}, *forged)["provider"] == "alibaba"
    plain = told(1.5, ["bucket.s3.amazonaws.com"], AWS, **fields)
    assert one(stage, {"at": 2, "flow_id": 2}, *plain)["evidence"] == "dns_shared"


def test_claims() -> None:
    same = one(attributor(), {"name": "bucket.s3.amazonaws.com"})
    assert (same["provider"], same["evidence"], same["category"]) == ("aws", "sni", "storage")
    carried = one(attributor(), {"name": "github.com", "name_source": "quic_sni"})
    assert (carried["provider"], carried["network_provider"]) == ("github", "aws")
    assert (carried["evidence"], carried["category"]) == ("quic_sni", "saas")
    claimed = one(attributor(), {"name": "bucket.s3.amazonaws.com", "remote_address": OSS})
    assert (claimed["provider"], claimed["service_provider"]) == ("alibaba", "aws")
    assert (claimed["disagreement"], claimed["category"]) == (True, "cloud")
    outer = one(attributor(), {"name": "github.com", "ech": True})
    assert (outer["provider"], outer["service_provider"]) == ("aws", "github")


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ({"local_address": WEB, "local_port": 443, "initiator": "remote"}, True),
        ({"local_address": WEB, "local_port": 443, "initiator": "unknown"}, True),
        ({"local_address": WEB, "local_port": 443, "initiator": "local"}, False),
        ({"local_address": WEB, "local_port": 8443, "initiator": "remote"}, False),
        ({"local_address": API, "local_port": 443, "initiator": "remote"}, False),
    ],
)
def test_published(flow: dict[str, Any], expected: bool) -> None:
    assert one(attributor(), flow)["published"] is expected


def test_a_name_seen_later_changes_the_later_rows_only() -> None:
    out, _ = attribute(
        attributor(),
        flows(
            {"remote_address": OTHER}, {"at": 1, "started": 0, "remote_address": OTHER, "name": "github.com"}
        ),
        NO_DNS,
    )
    assert out["service_provider"].to_list() == [None, "github"]


def test_dns_columns() -> None:
    stage = attributor()
    asked = {"kind": "question", "section": "question", "matched": False}
    rows = [
        row(0.1, question="0123456789.tunnel.example", **asked),
        row(0.2, question="0123456789.tunnel.example", **asked, type=28),
        row(0.3, question="0123456789.tunnel.example", **asked, client=WEB),
        row(0.4, question="0123456789.tunnel.example"),
        row(1.5, question=".", **asked),
    ]
    _, out = attribute(stage, NO_FLOWS, dns(*rows))
    assert out.select(*DNS_ATTRIBUTED).rows() == [
        ("api", "tunnel.example", 10, 10, True),
        ("api", "tunnel.example", 10, 0, True),
        ("web", "tunnel.example", 10, 10, True),
        ("api", "tunnel.example", 0, 0, True),
        ("api", "", 0, 0, True),
    ]
    _, again = attribute(stage, NO_FLOWS, dns(rows[0] | {"tick": (START + 9) * 1000}))
    assert again["fresh_question_bytes"].to_list() == [0]


def test_names_asked_in_one_batch_have_the_digests_that_older_states_have() -> None:
    stage = attributor()
    # digests are worked out side by side: names of one block of the hash (128 bytes) and of two, and a rest
    names = [f"{'x' * (number % 60 + 1)}.{'y' * (number // 2 + 1)}.tunnel.example" for number in range(115)]
    asked = {"kind": "question", "section": "question", "matched": False}
    attribute(stage, NO_FLOWS, dns(*(row(0.1, question=name, **asked) for name in [*names, *names])))
    digests = [hashlib.blake2b(parse(API) + name.encode(), digest_size=12).digest() for name in names]
    assert sorted(stage.dns_memory.kept.asked()) == sorted(digests)


def test_a_row_says_whether_the_answers_of_its_resolver_count() -> None:
    rows = [
        row(0.1, question="a.example"),
        row(0.2, question="a.example", resolver="45.0.0.1", scope="egress"),
        row(0.3, question="a.example", resolver="8.8.8.8", scope="egress"),
        row(0.4, question="a.example", resolver="224.0.0.251"),
    ]
    _, out = attribute(attributor(), NO_FLOWS, dns(*rows))
    assert out["listed"].to_list() == [True, False, True, False]
    _, out = attribute(attributor(resolvers=[ip_address("45.0.0.1")]), NO_FLOWS, dns(*rows))
    assert out["listed"].to_list() == [False, True, False, False]


def test_each_address_is_looked_up_once() -> None:
    databases = FakeDatabases()
    stage = attributor(databases=databases)
    for at in range(3):
        stage.attribute(flows(*({"at": at, "flow_id": n, "started": 0} for n in range(50))), NO_DNS)
    assert databases.lookups == 1


def test_a_swap_takes_effect_at_once_and_keeps_what_dns_said() -> None:
    stage = attributor()
    rows = told(0.5, ["bucket.s3.amazonaws.com"], OTHER)
    assert one(stage, {"at": 1, "remote_address": OTHER}, *rows)["provider"] == "aws"

    class Empty(FakeCatalogue):
        names: ClassVar = {}

    stage.swap(cast(Catalogue, Empty()), cast(Databases, FakeDatabases()))
    found = one(stage, {"at": 2, "started": 1, "remote_address": OTHER})
    assert (found["provider"], found["dns_name"]) == ("as64500", "bucket.s3.amazonaws.com")


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    before, after = attributor(), attributor()
    one(before, {"at": 1}, *told(0.5, ["bucket.s3.amazonaws.com"], AWS))
    before.save(path)
    assert after.load(path) is None
    assert one(after, {"at": 9, "flow_id": 2})["evidence"] == "dns"
    path.write_bytes(b"\0")
    assert "damaged" in (attributor().load(path) or "")


def made_up_traffic(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Flows and DNS of 20 ticks, in which answers come before, in and after the flows they are for."""
    rng = random.Random(seed)
    remotes, clients = [AWS, OSS, OTHER, "10.0.0.5"], [API, WEB, RESOLVER, "10.0.3.3"]
    names = [None, "github.com", "bucket.s3.amazonaws.com", "up.aliyuncs.com", "plain.example"]
    flow_rows: list[dict[str, Any]] = []
    dns_rows: list[dict[str, Any]] = []
    for number in range(80):
        begin = rng.uniform(0, 15)
        fixed = {
            "flow_id": number,
            "started": begin,
            "remote_address": rng.choice(remotes),
            "local_address": rng.choice(clients),
            "local_port": rng.choice([443, 50000]),
            "initiator": rng.choice(["local", "remote"]),
        }
        named = rng.choice(names)
        length = rng.randrange(1, 5)
        for step in range(length):
            last = step == length - 1
            flow_rows.append(
                fixed
                | {"at": begin + step, "name": named if step else None, "ended": "fin" if last else None}
            )
    for _ in range(60):
        chain = rng.sample(["github.com", "bucket.s3.amazonaws.com", "up.aliyuncs.com", "plain.example"], 2)
        resolver = rng.choice([RESOLVER, "8.8.8.8", "45.0.0.1"])
        fields = {"client": rng.choice(clients), "resolver": resolver, "scope": "egress"}
        answers = told(rng.uniform(0.1, 19), chain, rng.choice(remotes), **fields)
        late = rng.choice([0, 0, 0, 2])  # a packet that arrives after its tick
        dns_rows += [row | {"tick": row["tick"] + late * 1000} for row in answers]
    by_tick = sorted(flow_rows, key=lambda row: int(row["at"]))
    rng.shuffle(dns_rows)
    return flows(*by_tick), dns(*sorted(dns_rows, key=lambda row: int(row["tick"])))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ticks", [1, 3, 7])
def test_the_result_does_not_depend_on_where_batches_are_cut(seed: int, ticks: int) -> None:
    all_flows, all_dns = made_up_traffic(seed)
    whole, whole_dns = attribute(attributor(), all_flows, all_dns)
    assert whole["evidence"].n_unique() > 4, "the traffic is too plain to tell anything"
    stage, parts, dns_parts = attributor(), [], []
    for first in range(0, 25, ticks):
        since = pl.lit((START + first) * 1000).cast(pl.Datetime("ms", "UTC"))
        within = (pl.col("tick") >= since) & (pl.col("tick") < since + pl.duration(seconds=ticks))
        part, dns_part = attribute(stage, all_flows.filter(within), all_dns.filter(within))
        parts.append(part)
        dns_parts.append(dns_part)
    # what DNS said is numbered batch by batch
    assert_frame_equal(pl.concat(parts).drop("answer_id"), whole.drop("answer_id"))
    assert_frame_equal(pl.concat(dns_parts), whole_dns)
