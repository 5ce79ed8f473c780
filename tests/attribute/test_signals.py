"""What the attribute stage notices beside the provider: proxies, encrypted DNS, names nobody asked for."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from monitor.attribute import encrypted_dns

from .frames import (
    AWS,
    NO_DNS,
    OSS,
    OTHER,
    WEB,
    attribute,
    attributor,
    dns,
    flows,
    one,
    told,
)


def test_what_a_proxy_is_asked_for_is_judged_as_if_it_were_the_other_end() -> None:
    proxy = {"remote_address": "10.0.0.5", "name_source": "http_connect"}
    named = one(attributor(), proxy | {"name": "bucket.aliyuncs.com"})
    assert (named["via"], named["provider"], named["evidence"]) == ("proxy", "alibaba", "http_connect")
    assert (named["category"], named["confidence"], named["network_provider"]) == ("storage", "medium", None)
    address = one(attributor(), proxy | {"name": OSS})
    assert (address["provider"], address["network_provider"]) == ("alibaba", "alibaba")
    assert address["country"] == "CN"
    assert (address["via"], address["evidence"]) == ("proxy", "asn")
    # to anybody else such a name is only a claim, and the address is known
    direct = one(attributor(), {"remote_address": AWS, "name_source": "http_host", "name": OSS})
    assert (direct["provider"], direct["country"]) == ("aws", "US")


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ({"remote_port": 853, "application": "tls"}, True),  # RFC 7858
        ({"remote_port": 853, "application": "quic"}, True),  # RFC 9250
        ({"remote_port": 853, "application": "http"}, False),
        ({"remote_address": "8.8.8.8", "application": "tls"}, True),
        ({"remote_address": "8.8.8.8", "remote_port": 53, "application": "dns"}, False),
        ({"name": "dns.google", "application": "tls"}, True),
        ({"name": "ab12cd.dns.nextdns.io", "application": "tls"}, True),
        ({"name": "notdns.google", "application": "tls"}, False),
        ({"application": "tls"}, False),
    ],
    ids=str,
)
def test_resolvers_that_are_asked_out_of_sight(flow: dict[str, Any], expected: bool) -> None:
    assert one(attributor(), flow)["encrypted_dns"] is expected


def test_a_resolver_known_by_the_answer_that_led_to_it() -> None:
    told_of = told(0.5, ["mozilla.cloudflare-dns.com"], OTHER)
    flow = {"at": 1, "remote_address": OTHER, "application": "quic", "bytes_out": 30, "bytes_in": 12}
    stage = attributor()
    assert one(stage, flow, *told_of)["encrypted_dns"]
    assert stage.encrypted_dns() == {"api": 42}


def test_bytes_with_such_resolvers_are_counted_by_workload() -> None:
    stage = attributor()
    asked = {"remote_port": 853, "application": "tls", "bytes_out": 100, "bytes_in": 10}
    stage.attribute(
        flows(
            asked | {"local_address": "10.9.9.9"},
            asked | {"local_address": WEB},
            asked | {"local_address": "10.0.1.7"},  # api, as the next one is
            asked,
            {"bytes_out": 5000},  # to nobody who answers DNS
        ),
        NO_DNS,
    )
    stage.attribute(flows({}, asked | {"local_address": "10.9.9.9", "bytes_in": 0}), NO_DNS)
    assert stage.encrypted_dns() == {"10.9.9.9": 210, "web": 110, "api": 220}


def test_workloads_past_the_bound_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted_dns, "WORKLOADS", 2)
    stage = attributor()
    asked = {"remote_port": 853, "application": "quic", "bytes_out": 1}
    stage.attribute(flows(*(asked | {"local_address": f"10.9.9.{n}"} for n in range(5))), NO_DNS)
    assert stage.encrypted_dns() == {"10.9.9.0": 1, "10.9.9.1": 1, "other": 3}


def habit_rows(count: int, *, at: int, asked: bool) -> list[dict[str, Any]]:
    """Named connections of one client, one a second from `at`, to an address that it asked for or not."""
    remote = AWS if asked else OTHER
    return [
        {"at": at + n, "flow_id": 1000 * at + n, "remote_address": remote, "name": "a.example"}
        for n in range(count)
    ]


def test_a_name_that_was_not_asked_for_stands_out_where_names_usually_are() -> None:
    learnt = [row for at in range(20) for row in habit_rows(1, at=at + 1, asked=True)]
    later = {"at": 30, "flow_id": 9, "remote_address": OTHER, "name": "s3.amazonaws.com"}
    others: list[dict[str, Any]] = [{"flow_id": 10, "local_address": WEB}, {"flow_id": 11, "name": None}]
    rows = flows(*learnt, later, *(later | other for other in others))
    out, _ = attribute(attributor(), rows, dns(*told(0.5, ["a.example"], AWS)))
    assert out["unasked_name"].to_list() == [*[False] * 20, True, False, False]
    # one batch or many
    stage = attributor()
    answer = dns(*told(0.5, ["a.example"], AWS))
    parts = [
        attribute(stage, rows.slice(n, 1), answer if n == 0 else NO_DNS)[0] for n in range(rows.height)
    ]
    assert pl.concat(parts)["unasked_name"].to_list() == out["unasked_name"].to_list()


def test_no_name_stands_out_without_a_habit_and_habits_fade() -> None:
    few = [row for at in range(19) for row in habit_rows(1, at=at + 1, asked=True)]
    unasked = {"flow_id": 9, "remote_address": OTHER, "name": "s3.amazonaws.com"}
    answer = told(0.5, ["a.example"], AWS)
    out, _ = attribute(attributor(), flows(*few, unasked | {"at": 30}), dns(*answer))
    assert not out["unasked_name"].any()
    # a client whose names never had answers (its resolver is asked out of sight) never stands out
    blind = [row for at in range(40) for row in habit_rows(1, at=at + 1, asked=False)]
    out, _ = attribute(attributor(), flows(*blind), NO_DNS)
    assert not out["unasked_name"].any()
    # the habit of a day holds on the day after it, and not on the one after that
    many = [row for at in range(20) for row in habit_rows(1, at=at + 1, asked=True)]
    day = 86_400
    later = [unasked | {"at": 30 + day}, unasked | {"at": 30 + 2 * day + day, "flow_id": 10}]
    out, _ = attribute(attributor(), flows(*many, *later), dns(*answer))
    assert out["unasked_name"].to_list()[-2:] == [True, False]


def test_habits_survive_a_restart(tmp_path: Path) -> None:
    stage = attributor()
    many = [row for at in range(20) for row in habit_rows(1, at=at + 1, asked=True)]
    stage.attribute(flows(*many), dns(*told(0.5, ["a.example"], AWS)))
    stage.save(tmp_path / "dns")
    again = attributor()
    assert again.load(tmp_path / "dns") is None
    later = {"at": 30, "flow_id": 9, "remote_address": OTHER, "name": "s3.amazonaws.com"}
    assert one(again, later)["unasked_name"] is True


def test_a_habit_of_a_run_whose_clock_was_ahead_is_none(tmp_path: Path) -> None:
    year = 365 * 86_400
    stage = attributor()
    many = [row for at in range(20) for row in habit_rows(1, at=year + at + 1, asked=True)]
    stage.attribute(flows(*many), dns(*told(year + 0.5, ["a.example"], AWS)))
    stage.save(tmp_path / "dns")
    again = attributor()
    assert again.load(tmp_path / "dns") is None
    now = {"at": 30, "flow_id": 9, "remote_address": OTHER, "name": "s3.amazonaws.com"}
    assert one(again, now)["unasked_name"] is False
