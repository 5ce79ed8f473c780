"""Cardinality under attack: a million destinations, names made to break things, scrapes meanwhile."""

import re
import statistics
import threading
import time
from typing import Any

import httpx
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA
from monitor.publish.http import HttpServer
from monitor.publish.labels import fold_provider, fold_workload, folded

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


def test_both_ways_of_folding_agree() -> None:
    texts = [*HOSTILE, "api", "web-1", "aws", "as64500", "as-path", "10.0.0.1.example", None]
    frame = pl.DataFrame({"workload": texts, "provider": texts, "country": texts})
    found = frame.select(folded("workload"), folded("provider"), folded("country"))
    assert found["workload"].to_list() == [fold_workload(text) for text in texts]
    assert found["provider"].to_list() == [fold_provider(text) for text in texts]
    assert set(found["country"]) == {"none"}


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


def test_scrapes_at_the_full_budget(given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Told, not asserted: how long a scrape takes, alone and eight at once, while batches come."""
    publisher = given.publisher(hold_seconds=0, budget=2000)
    rows = [
        {"flow_id": n, "workload": f"w{n % 60}", "provider": f"p{n}", "country": "DE", "bytes_out": n}
        for n in range(2500)
    ]
    flows = given.flows(*rows)
    given.flows = lambda *_: flows
    alerts, ready = (publisher.alerts, publisher.alert), (True, "")
    server = HttpServer(publisher, *alerts, lambda: ready, "127.0.0.1:0", requests=10_000)
    server.start()
    stop = threading.Event()
    batches: list[float] = []

    def work() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            given.now = time.monotonic()
            given.publish(publisher)
            batches.append(time.perf_counter() - began)
            stop.wait(0.2)

    times: dict[str, list[float]] = {"alone": [], "eight at once": []}

    def scrape(into: str, how_often: int) -> None:
        with httpx.Client() as client:
            for _ in range(how_often):
                began = time.perf_counter()
                answer = client.get(f"http://{server.address}/metrics")
                times[into].append(time.perf_counter() - began)
                assert answer.status_code == 200
                assert answer.text.endswith("\n")
                time.sleep(0.25)

    try:
        given.publish(publisher)
        assert len(given.samples(publisher, SENT)) >= 1800
        alone_batches = []
        for _ in range(5):
            began = time.perf_counter()
            given.publish(publisher)
            alone_batches.append(time.perf_counter() - began)
        worker = threading.Thread(target=work)
        worker.start()
        scrape("alone", 8)
        several = [threading.Thread(target=scrape, args=("eight at once", 6)) for _ in range(8)]
        for thread in several:
            thread.start()
        for thread in several:
            thread.join()
        stop.set()
        worker.join()
    finally:
        stop.set()
        server.stop()
    with capsys.disabled():
        for how, seconds in times.items():
            print(f"\nscrape of a full budget, {how}: median {statistics.median(seconds) * 1000:.0f} ms,"
                  f" longest {max(seconds) * 1000:.0f} ms", end="")  # fmt: skip
        print(f"\na batch: {statistics.median(alone_batches) * 1000:.0f} ms without scrapes,"
              f" {statistics.median(batches) * 1000:.0f} ms among them", end="")  # fmt: skip
