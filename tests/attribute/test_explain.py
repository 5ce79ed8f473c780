"""The explanation of one flow, with the shipped catalogue."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.attribute.catalogue import Catalogue
from monitor.attribute.dns_memory import Found
from monitor.attribute.explain import COLUMNS, Step, as_dicts, explain_flow
from monitor.flow_batch import ATTRIBUTED

CATALOGUE = Catalogue.load()
STARTED = datetime(2026, 12, 4, 3, 0, tzinfo=UTC)
EPOCH_SECONDS = 1_796_353_200  # date -u -d '2026-12-04 03:00' +%s


def as_lines(steps: Sequence[Step]) -> list[str]:
    """Write the steps for a person, one a line."""
    width = max((len(step.what) for step in steps), default=0)
    return [
        f"{step.what:<{width}}  {step.answer}" + (f"  ({step.why})" if step.why else "") for step in steps
    ]


def flow(**fields: Any) -> dict[str, Any]:
    network = {
        "network_provider": "alibaba",
        "provider": "alibaba",
        "asn": 45102,
        "as_name": "ALIBABA",
        "country": "SG",
    }
    decided = {"evidence": "asn", "confidence": "medium", "disagreement": False}
    claim = {"name": None, "name_source": None, "ech": False, "started": STARTED}
    whole = {**dict.fromkeys(ATTRIBUTED), **network, **decided, **claim, **fields}
    return {name: whole[name] for name in COLUMNS}  # what the pipeline gives


def test_the_moment_is_what_date_says() -> None:
    assert STARTED.timestamp() == EPOCH_SECONDS


def test_a_network_alone() -> None:
    assert as_lines(explain_flow(flow(), CATALOGUE)) == [
        "network   alibaba  (AS45102 ALIBABA, SG)",
        f"provider  alibaba  (the AS is the provider's; confidence medium; catalogue {CATALOGUE.version})",
    ]


def test_the_age_of_the_answer_and_its_chain() -> None:
    chain = ("b.oss-cn-hangzhou.aliyuncs.com", "files.example")
    answer = Found(chain, False, (EPOCH_SECONDS - 90) * 10**9)
    steps = explain_flow(flow(dns_name="files.example", evidence="dns"), CATALOGUE, answer)
    asked = next(step for step in steps if step.what == "asked for")
    assert asked.answer == "files.example -> b.oss-cn-hangzhou.aliyuncs.com"
    assert asked.why == f"told to this client {timedelta(seconds=90)} before the flow began"
    named = next(step for step in steps if step.what == "in DNS")
    assert (named.answer, "storage" in named.why) == ("alibaba", True)
    assert steps[-1].why.startswith("DNS says so")


def test_a_claim_that_the_network_contradicts() -> None:
    given = flow(name="bucket.s3.amazonaws.com", name_source="sni", disagreement=True, ech=True)
    steps = {step.what: step for step in explain_flow(given, CATALOGUE)}
    assert "outer name" in steps["claims"].why
    assert (steps["claimed"].answer, steps["disagreement"].answer) == ("aws", "yes")
    assert steps["provider"].answer == "alibaba"


def test_a_name_that_a_gateway_was_asked_for_is_no_word_about_its_network() -> None:
    """The gateway's own address is of ours: no network carries the name, the gateway goes there."""
    ours = {"network_provider": None, "asn": None, "as_name": None, "country": None, "via": "proxy"}
    asked = {"name": "bucket.s3.amazonaws.com", "name_source": "http_connect"}
    given = flow(**ours, **asked, provider="aws", evidence="http_connect")
    assert explain_flow(given, CATALOGUE)[-1].why.startswith("the gateway was asked for it; ")
    direct = flow(**asked, provider="aws", evidence="http_connect")
    assert explain_flow(direct, CATALOGUE)[-1].why.startswith("this network carries it; ")


def test_text_from_the_wire_cannot_steer_a_terminal() -> None:
    given = flow(name="\x1b[2J\u202e.example", name_source="http_host", dns_name="a\x9b.example")
    for text in (
        *as_lines(explain_flow(given, CATALOGUE)),
        json.dumps(as_dicts(explain_flow(given, CATALOGUE))),
    ):
        assert text.isprintable()


def test_an_unknown_other_end_behind_a_gateway() -> None:
    given = flow(
        network_provider=None, provider=None, asn=None, evidence="none", confidence="none", via="proxy"
    )
    lines = as_lines(explain_flow(given, CATALOGUE))
    assert lines[1] == "gateway   proxy  (the true other end is behind it)"
    assert lines[-1].startswith("provider  unknown  (neither a network nor a DNS answer is known")
