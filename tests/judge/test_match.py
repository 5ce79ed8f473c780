"""What a match says, in Python and in the engine alike; the expected values are design section 6's words."""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from monitor._hotpath import Rows, RuleEngine
from monitor.errors import InputError
from monitor.judge.condition import Vocabulary
from monitor.judge.engine_rules import conditions_of, to_engine
from monitor.judge.match import Match, parse_match
from monitor.yaml_file import Document

from .frames import NO_DNS, NO_FLOWS, PROVIDERS, START, batch, flow, question, rule

WORDS = Vocabulary(PROVIDERS, {"api", "web"}, ("aws", "google"))
with tempfile.TemporaryDirectory() as folder:
    RULE_OF_ALL = rule(Path(folder))
FILE = Document(Path("rule.yml"), {}, {})


def matching(said: dict[str, Any], record: Any = "flows", *, proven: bool = False) -> Match:
    return parse_match(said, record, WORDS, FILE, ("match",), proven=proven)


def by_engine(match: Match, rows: Sequence[dict[str, Any]], empty: pl.DataFrame = NO_FLOWS) -> list[bool]:
    """Ask the engine which rows match: by a rule that fires for each of them apart."""
    own = "flow_id" if empty is NO_FLOWS else "query_id"
    numbered = [{**row, "tick": START, own: number} for number, row in enumerate(rows)]
    spec = {
        **to_engine(RULE_OF_ALL),
        "record": "flows" if empty is NO_FLOWS else "dns",
        "conditions": [] if match.proven else conditions_of(match),
        "exceptions": [("excepted", 2**40, conditions_of(match))] if match.proven else [],
        "measure": ("count", "scope"),
        "per": [own],
        "line": 0,
    }
    engine = RuleEngine((3, 4), learns=False, bounds={})
    engine.set_rules([spec])
    frames = (batch(numbered, empty), NO_DNS) if empty is NO_FLOWS else (NO_FLOWS, batch(numbered, empty))
    flow_rows, dns_rows = (Rows(frame, [], []) for frame in frames)
    events, _ = engine.judge(flow_rows, dns_rows, START + 1)
    fired = {alert["group"][0] for _, _, alert in events}
    return [(number in fired) != match.proven for number in range(len(rows))]


def both(match: Match, row: dict[str, Any], empty: pl.DataFrame = NO_FLOWS) -> bool:
    assert by_engine(match, [row], empty) == [match.holds(row)]
    return match.holds(row)


@pytest.mark.parametrize(
    ("said", "row", "expected"),
    [
        ({}, {}, True),
        ({"workload": "api"}, {"workload": "api"}, True),
        ({"workload": ["api", "web"]}, {"workload": "db"}, False),
        ({"workload": "a*"}, {"workload": "api"}, True),
        ({"workload": "a?"}, {"workload": "api"}, False),
        ({"name": "*.alicdn.com"}, {"name": "IMG.alicdn.com"}, True),
        ({"name": "*.alicdn.com"}, {"name": "alicdn.com"}, False),
        ({"name": "a.b"}, {"name": "axb"}, False),
        ({"name": "a*b"}, {"name": "a\n.b"}, True),
        ({"name": "a*b"}, {"name": "ab\n"}, False),
        ({"local_port": "27017-27019"}, {"local_port": 27019}, True),
        ({"local_port": "27017-27019"}, {"local_port": 27020}, False),
        ({"local_port": [443, "8000-"]}, {"local_port": 65535}, True),
        ({"local_port": [443, 80, 8080]}, {"local_port": 81}, False),
        ({"payload_out": "1KiB-2KiB"}, {"payload_out": 1024}, True),
        ({"protocol": "udp"}, {"protocol": 17}, True),
        ({"tunnel": ["gre", "vxlan"]}, {"tunnel": "vxlan"}, True),
        ({"tunnel": ["gre", "vxlan"]}, {"tunnel": "vlan"}, False),
        ({"tunnel": "none"}, {}, True),
        ({"tunnel": "vxlan", "tunnel_id": "5-7"}, {"tunnel": "vxlan", "tunnel_id": 8}, False),
        ({"remote_address": "203.0.113.0/24"}, {"remote_address": "203.0.113.255"}, True),
        ({"remote_address": "203.0.113.0/24"}, {"remote_address": "203.0.114.0"}, False),
        ({"remote_address": ["2001:db8::/32", "192.0.2.1"]}, {"remote_address": "2001:db8::1"}, True),
        ({"remote_address": {"not": "192.0.2.1"}}, {"remote_address": "192.0.2.1"}, False),
        ({"published": False}, {"published": True}, False),
        ({"category": "storage"}, {"category": "storage"}, True),
        # negation never matches what is missing; 'none' is how to say it
        ({"country": {"not": "US"}}, {"country": "CN"}, True),
        ({"country": {"not": "US"}}, {"country": "none"}, False),
        ({"country": "none"}, {"country": "none"}, True),
        ({"country": ["US", "none"]}, {"country": "none"}, True),
        ({"country": {"not": "none"}}, {"country": "none"}, False),
        ({"country": {"not": "none"}}, {"country": "US"}, True),
        ({"country": {"not": ["US", "none"]}}, {"country": "CN"}, True),
        ({"category": {"not": "storage"}}, {}, False),
        ({"evidence": "none"}, {"evidence": "none"}, True),
        # what a server's certificate names, the client did not name
        ({"name": "none"}, {"name": "a.b", "name_source": "certificate"}, True),
        ({"name": "none"}, {"name": "a.b", "name_source": "sni"}, False),
        ({"name": "none"}, {"name": "none"}, True),
        ({"name": "a.b"}, {"name": "a.b", "name_source": "certificate"}, True),
        # any_provider: one of the two is enough, and with 'not' one that is known and other
        ({"any_provider": "alibaba"}, {"network_provider": "alibaba", "service_provider": "aws"}, True),
        ({"any_provider": "alibaba"}, {"network_provider": "aws", "service_provider": "alibaba"}, True),
        ({"any_provider": {"not": "aws"}}, {"network_provider": "aws", "service_provider": "aws"}, False),
        ({"any_provider": {"not": "aws"}}, {"network_provider": "aws", "service_provider": "mega"}, True),
        ({"any_provider": {"not": "aws"}}, {"network_provider": "aws"}, False),
        ({"any_provider": {"not": "aws"}}, {}, False),
        ({"any_provider": "none"}, {}, True),
        ({"any_provider": "none"}, {"network_provider": "aws"}, False),
        ({"any_provider": ["mega", "none"]}, {"network_provider": "aws"}, False),
        ({"provider": {"not": "sanctioned"}}, {"provider": "google"}, False),
        ({"provider": {"not": "sanctioned"}}, {"provider": "as64500"}, True),
        ({"provider": "as645*"}, {"provider": "as64500"}, True),
        # an unknown initiator is any and unknown, never local or remote
        ({"initiator": "any"}, {"initiator": "unknown"}, True),
        ({"initiator": "unknown"}, {"initiator": "unknown"}, True),
        ({"initiator": "local"}, {"initiator": "unknown"}, False),
        ({"initiator": "remote"}, {"initiator": "unknown"}, False),
        ({"initiator": {"not": "local"}}, {"initiator": "unknown"}, True),
    ],
)
def test_conditions(said: dict[str, Any], row: dict[str, Any], expected: bool) -> None:
    assert both(matching(said), flow(**row)) is expected


# RFC 9293: FIN 1, SYN 2, RST 4, PSH 8, ACK 16
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"payload_out": 1}, "data"),
        ({"packets_in": 2, "packets_out": 1, "tcp_flags": 2 + 16}, "open"),
        ({"packets_in": 1, "packets_out": 3, "tcp_flags": 2 + 16}, "open"),
        ({"packets_in": 2, "packets_out": 1, "tcp_flags": 2 + 16 + 4}, "open"),
        ({"packets_in": 1, "packets_out": 1, "tcp_flags": 2 + 16 + 4}, "refused"),
        ({"packets_in": 3, "packets_out": 3, "tcp_flags": 2 + 16 + 4}, "refused"),
        ({"packets_in": 1, "packets_out": 0, "tcp_flags": 2}, "none"),
        ({"packets_in": 1, "packets_out": 1, "tcp_flags": 16}, "none"),
        ({"payload_out": 9, "protocol": 17, "tcp_flags": 0}, "data"),
    ],
)
def test_what_the_local_side_answered(row: dict[str, Any], expected: str) -> None:
    for word in ("data", "open", "refused", "none"):
        assert both(matching({"answer": word}), flow(**row)) is (word == expected)


@pytest.mark.parametrize(
    ("said", "row", "expected"),
    [
        ({"name": "*.a.com"}, {"name": "x.a.com", "evidence": "dns"}, True),
        ({"name": "*.a.com"}, {"name": "x.a.com", "evidence": "dns_shared"}, True),
        ({"name": "*.a.com"}, {"name": "x.a.com", "evidence": "sni"}, False),
        ({"name": "*.a.com"}, {"name": "x.a.com", "dns_name": "x.b.com", "evidence": "dns"}, False),
        ({"name": {"not": "*.a.com"}}, {"name": "x.b.com", "evidence": "sni"}, False),
        ({"service_provider": "aws"}, {"service_provider": "aws", "evidence": "sni"}, False),
        ({"any_provider": "aws"}, {"service_provider": "aws", "evidence": "http_host"}, False),
        ({"any_provider": "aws"}, {"service_provider": "aws", "evidence": "dns"}, True),
        ({"any_provider": "aws"}, {"network_provider": "aws", "evidence": "sni"}, True),
    ],
)
def test_an_exception_takes_no_bare_claim(said: dict[str, Any], row: dict[str, Any], expected: bool) -> None:
    assert both(matching(said, proven=True), flow(**row)) is expected


def test_dns_rows_have_their_own_fields() -> None:
    row = question(domain="Tunnel.example", question="aaaa.tunnel.example")
    assert both(matching({"domain": "tunnel.example", "resolver": "10.0.0.0/8"}, "dns"), row, NO_DNS)
    assert not both(matching({"kind": "answer"}, "dns"), row, NO_DNS)


def test_patterns_are_the_same_in_python_and_in_the_engine() -> None:
    chance = random.Random(4)
    names = ["".join(chance.choices("ab.", k=chance.randrange(1, 9))) for _ in range(200)]
    rows = [flow(name=name) for name in names]
    found = 0
    for _ in range(150):
        glob = "*" + "".join(chance.choices("ab.?**", k=chance.randrange(1, 7)))
        match = matching({"name": glob})
        holds = [match.holds(row) for row in rows]
        assert by_engine(match, rows) == holds, glob
        found += sum(holds)
    assert 1000 < found < 25_000


def test_a_pattern_of_many_stars_is_not_tried_in_all_ways() -> None:
    """A name of 200 labels can be shared among 20 stars in 10^27 ways; somebody else chooses it."""
    match = matching({"name": "*a." * 20 + "example.com"})
    assert not both(match, flow(name="a." * 200 + "evil"))
    assert both(match, flow(name="a." * 200 + "example.com"))


def test_python_and_polars_agree_on_random_rows() -> None:
    chance = random.Random(1)
    names = ["a.example", "b.example", "A.EXAMPLE", "none"]
    who = ["aws", "google", "alibaba", "mega", "none"]
    rows = [
        flow(
            name=chance.choice(names),
            dns_name=chance.choice(names),
            network_provider=chance.choice(who),
            service_provider=chance.choice(who),
            country=chance.choice(["US", "CN", "none"]),
            evidence=chance.choice(["dns", "sni", "none"]),
            local_port=chance.randrange(6),
            remote_address=f"10.0.{chance.randrange(3)}.1",
            payload_out=chance.randrange(3),
            packets_in=chance.randrange(3),
            packets_out=chance.randrange(3),
            tcp_flags=chance.randrange(32),
        )
        for _ in range(400)
    ]
    values: dict[str, list[Any]] = {
        "name": ["a.*", "a.example", "b.example", "none", "?.example"],
        "any_provider": [*who, "sanctioned", "a*"],
        "service_provider": who,
        "country": ["US", "CN", "none"],
        "local_port": [1, 2, "2-4", "4-"],
        "remote_address": ["10.0.1.0/24", "10.0.2.1", "10.0.0.0/23"],
        "answer": ["data", "open", "refused", "none"],
    }
    for _ in range(300):
        said: dict[str, Any] = {}
        for field in chance.sample(sorted(values), chance.randrange(1, 4)):
            some = chance.sample(values[field], chance.randrange(1, 3))
            said[field] = {"not": some} if chance.random() < 0.4 else some
        match = matching(said, proven=chance.random() < 0.3)
        assert by_engine(match, rows) == [match.holds(row) for row in rows], said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"workloads": "api"}, "unknown field 'workloads'; did you mean 'workload'?"),
        ({"flow_id": 1}, "unknown field 'flow_id'"),
        ({"workload": "apj"}, "the configuration has no workload 'apj'; did you mean 'api'?"),
        ({"provider": "alibabba"}, "the catalogue has no provider 'alibabba'; did you mean 'alibaba'?"),
        ({"any_provider": {"not": "sanctionned"}}, "did you mean 'sanctioned'?"),
        ({"initiator": "remte"}, "initiator is never 'remte'; did you mean 'remote'?"),
        ({"initiator": "re*"}, "initiator takes whole words"),
        ({"country": "cn"}, "'cn' is not a country code of ISO 3166-1, like CN; did you mean 'CN'?"),
        ({"country": False}, 'write "NO" in quotes for Norway'),
        ({"local_port": 70000}, "no record carries 70000 as local_port; the largest is 65535"),
        ({"local_port": "9-1"}, "the range 9-1 is empty"),
        ({"local_port": "https"}, "'https' is not a number"),
        ({"protocol": "tpc"}, "did you mean 'tcp'?"),
        ({"remote_address": "10.0.0.1/8"}, "did you mean 10.0.0.0/8?"),
        ({"remote_address": "example.com"}, "is not a network"),
        ({"published": "yes"}, "'yes' is not true or false"),
        ({"name": None}, "write 'none' to match what is missing"),
        ({"name": []}, "an empty list matches nothing"),
        ({"name": {"nto": "a"}}, "unknown key 'nto' in a condition"),
        ({"name": {"not": "any"}}, "'any' stands alone"),
        ({"name": [{"not": "a"}]}, "'not' stands around the whole list"),
    ],
)
def test_what_cannot_be_true_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        matching(said)
    assert message in str(error.value)
    assert str(error.value).startswith("rule.yml:1: ")
