"""Cardinality under attack: a million destinations, names made to break things, scrapes meanwhile."""

import random
import re
import socket
import subprocess
import threading
from contextlib import ExitStack
from typing import Any

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA
from monitor.publish.exposition import ExpositionWriter
from monitor.publish.http import HttpServer
from monitor.publish.labels import fold_provider, fold_workload
from monitor.publish.publisher import Publisher
from monitor.publish.traffic import Traffic

from .serving import Serve, get

HOSTILE = [
    'a"b', "a\nb", "a\\b", 'x"} 1\negress_alert_active{rule="forged"} 1', "\x00", "\x1b[31m", "\u2028\u202e",
    "x" * 10_000, "10.0.0.1\n", "api\n", "as64500\n", "", " ", "é", "<script>", "a" * 64, "2001:db8::1",
    "10.0.0.1",
]  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
SENT = "egress_sent_bytes_total"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_the_network_says_is_never_a_label(given: Any, text: str) -> None:
    publisher = given.publisher(hold_seconds=0)
    alert = given.alert(workload=text, provider=text, rule=given.rules[0].id)
    columns = ("workload", "provider", "country", "name", "dns_name")
    row = dict.fromkeys(columns, text) | {"bytes_out": 7}
    given.publish(publisher, row, alerts=[alert], events=[given.event("begun", alert)])
    shown = publisher.exposition().decode()
    families = list(text_string_to_metric_families(shown))
    values = {value for family in families for sample in family.samples for value in sample.labels.values()}
    plain = {value for value in values if NAME.fullmatch(value)} | {"+Inf"}
    assert values == plain
    assert "forged" not in shown
    assert sum(given.samples(publisher, SENT).values()) == 7
    workloads = {key[2] for key in given.samples(publisher, SENT)}
    assert workloads == {"unnamed", "other"}


def test_folding_keeps_what_the_contract_names_and_nothing_else() -> None:
    """The sets of the contract (design section 7), as regular expressions."""
    chance = random.Random(7)
    made = ["".join(chance.choices("aAzZ09.-_s:\n é", k=chance.randrange(1, 6))) for _ in range(3000)]
    made += [f"as{text}" for text in made[:200]] + ["a" * length for length in (62, 63, 64)]
    made += ["api", "web-1", "aws", "as64500", "as-path", "10.0.0.1.example", "10.0.0.1"]
    for text in [*HOSTILE, *made]:
        workload = re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text)
        address = re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", text)
        assert fold_workload(text) == (text if workload and not address else "unnamed"), text
        provider = re.fullmatch("[a-z0-9][a-z0-9._-]{0,62}", text)
        network = re.fullmatch("as[0-9]+", text)
        assert fold_provider(text) == (text if provider and not network else "unlisted"), text
    assert (fold_workload(None), fold_provider(None)) == ("unnamed", "none")


def _many(given: Any, number: int, first: int) -> pl.DataFrame:
    """Give flows to that many destinations of as many networks, each with a name of its own."""
    base = given.flows({"bytes_out": 3, "bytes_in": 1})
    ids = pl.int_range(first, first + number, eager=True)
    names = "n" + ids.cast(pl.String) + ('\n"' + "x" * 200)
    columns = {
        "flow_id": ids.cast(pl.UInt64),
        "workload": pl.Series([f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in ids]),
        "provider": "as" + ids.cast(pl.String),
        "name": names, "dns_name": names,
        "remote_address": ids.cast(pl.String).cast(pl.Binary),
    }  # fmt: skip
    schema = FLOW_SCHEMA | ATTRIBUTED
    rows = base.select(pl.all().repeat_by(number).explode())
    flows: pl.DataFrame = rows.with_columns(**columns).select(schema.keys()).cast(dict(schema))
    return flows


def test_a_million_destinations_take_one_row(given: Any) -> None:
    publisher = given.publisher(hold_seconds=0)
    for first in range(0, 1_000_000, 250_000):
        flows = _many(given, 250_000, first)
        before = given.flows
        given.flows = lambda *_, flows=flows: flows
        given.publish(publisher)
        given.flows = before
    assert given.samples(publisher, SENT) == {
        ("US", "unlisted", "unnamed"): 3_000_000.0, ("other", "other", "other"): 0.0,
    }  # fmt: skip
    assert len(publisher.exposition()) < 40_000


HEAVIEST = {"workload": "w39", "provider": "p2499", "country": "DE"}  # of those below, and 2499 bytes


def _full(given: Any) -> Publisher:
    """Give a publisher all of whose rows of traffic are in use."""
    publisher: Publisher = given.publisher(hold_seconds=0, budget=2000)
    plain = {"country": "DE"}
    rows = [plain | {"workload": f"w{n % 60}", "provider": f"p{n}", "bytes_out": n} for n in range(2500)]
    given.publish(publisher, *rows)
    assert len(given.samples(publisher, SENT)) >= 1800
    return publisher


def _curl(server: HttpServer, *options: str) -> subprocess.Popen[bytes]:
    """Scrape from a process of its own."""
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "30", *options]
    return subprocess.Popen([*command, f"http://{server.address}/metrics"], stdout=subprocess.PIPE)


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
def test_a_batch_is_written_once_however_many_scrape(
    given: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    publisher = _full(given)
    server = serve(publisher=publisher)
    written = []
    write = ExpositionWriter.write

    def counted(self: ExpositionWriter, *families: Any, **options: Any) -> bytes:
        written.append(publisher.snapshot)
        return write(self, *families, **options)

    monkeypatch.setattr(ExpositionWriter, "write", counted)
    for batch in range(3):
        for way in ("identity", "gzip"):
            headers = ("--header", f"Accept: {accept}", "--header", f"Accept-Encoding: {way}")
            several = [_curl(server, "--compressed", *headers) for _ in range(8)]
            texts = {one.communicate()[0] for one in several}
            assert len(texts) == 1
            assert texts.pop().count(SENT.encode() + b"{") >= 1800
        assert len(written) == batch + 1
        given.publish(publisher, HEAVIEST | {"bytes_out": 1})
    # nobody asks, nothing is written
    given.publish(publisher)
    assert len({id(snapshot) for snapshot in written}) == len(written) == 3


def test_a_long_batch_keeps_no_scrape_waiting(
    given: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = _full(given)
    server = serve(publisher=publisher)
    is_counting, may_go_on = threading.Event(), threading.Event()
    add = Traffic.add

    def long(self: Traffic, *given: Any) -> None:
        add(self, *given)
        is_counting.set()
        assert may_go_on.wait(60)

    monkeypatch.setattr(Traffic, "add", long)
    line = threading.Thread(target=given.publish, args=(publisher, HEAVIEST | {"bytes_out": 7}))
    line.start()
    try:
        assert is_counting.wait(60)
        texts = [one.communicate()[0].decode() for one in [_curl(server) for _ in range(8)]]
        assert line.is_alive()  # all were answered while the batch was not done
    finally:
        may_go_on.set()
        line.join(60)
    assert {_sent(text) for text in texts} == {2499}
    assert _sent(_curl(server).communicate()[0].decode()) == 2499 + 7


def test_who_does_not_read_an_answer_holds_nobody_up(given: Any, serve: Serve) -> None:
    publisher = _full(given)
    server = serve(publisher=publisher)
    host, _, port = server.address.rpartition(":")
    with ExitStack() as several:
        for _ in range(20):
            lazy = several.enter_context(socket.socket())
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect((host, int(port)))
            lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        given.publish(publisher, HEAVIEST | {"bytes_out": 7})
        text = _curl(server).communicate()[0].decode()
        assert _sent(text) == 2499 + 7
        assert lazy.recv(16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("version", ["x", "1.x", "", "1.0.0.0", "9" * 5000])
def test_any_version_can_be_asked_for(serve: Serve, version: str) -> None:
    accept = f"application/openmetrics-text; version={version}, text/plain; version={version}"
    assert get(serve(), "/metrics", headers={"Accept": accept}).status_code == 200


def _sent(text: str) -> float:
    samples = [one for found in text_string_to_metric_families(text) for one in found.samples]
    return float(next(one.value for one in samples if one.name == SENT and one.labels == HEAVIEST))
