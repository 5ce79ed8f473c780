"""Our writer of the text formats against the official client's: byte for byte the same."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from monitor.publish.collector import collect
from monitor.publish.exposition import ExpositionWriter
from monitor.publish.families import Family, counter, gauge, histogram, info
from monitor.publish.histogram import Histogram

from .serving import Serve, get

# what Prometheus 2.42, Prometheus 3 and curl ask for
ACCEPTS = [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4",
    "text/plain;version=0.0.4",
    "*/*",
]


class Official(Collector):
    """The same families for the official writer."""

    def __init__(self, families: Sequence[Family]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        for family in self.families:
            metric = Metric(family.name, family.text, family.kind)
            for suffix, labels, rows in family.groups:
                for values, number in rows:
                    metric.add_sample(family.name + suffix, dict(zip(labels, values, strict=True)), number)
            yield metric


def odd() -> Iterator[Family]:
    """Give families with all that needs care."""
    texts = ['a"b', "a\\b", "a\nb", "é", "", "plain"]
    numbers: list[float] = [0, 7, 999_999, 1_000_000, 1_000_001, 12_345_600, 10**14 + 1, 10**15, 2**53, 2**64]
    numbers += [-1, -12_345_678, True, 0.0, 1.5, 999_999.5, 1_234_567.25, 1e15, 1e16, 1.23456789012345678e22]
    numbers += [1e-7, -1e9, float("inf"), float("-inf"), float("nan")]
    rows = [((text, "x"), number) for text, number in zip(texts * 9, numbers, strict=False)]
    rows = [((f"{place}{text}", x), number) for place, ((text, x), number) in enumerate(rows)]
    yield counter("odd_bytes_total", 'back\\slash "quoted"\nline', ("b", "a"), rows)
    yield gauge("odd_gauge", "", ("a",), [((str(number),), number) for number in numbers])
    yield gauge("odd_single", "One.", (), [((), 3)])
    yield counter("odd_empty", "None.", ("a",), [])
    found = Histogram((0.001, 0.5, 2.5))
    for seconds in (0.0001, 0.4, 9.0, 1_234_567.0):
        found.observe(seconds)
    yield histogram("odd_seconds", "Several.", ("stage",), [((one,), found.value()) for one in ("b", "a")])
    yield histogram("odd_delay_seconds", "One.", (), [((), found.value())])
    yield info("odd_build", "What.", {"version": '1.2"3', "built": "x"})


@pytest.mark.parametrize("accept", ACCEPTS)
def test_it_writes_what_the_official_writer_writes(given: Any, accept: str) -> None:
    publisher = given.publisher(hold_seconds=0)
    alert = given.alert()
    rows = [{"workload": f"w{one % 7}", "provider": f"p{one}", "bytes_out": one**4} for one in range(50)]
    given.publish(publisher, *rows, alerts=[alert], events=[given.event("begun", alert)])
    encoder, content_type = choose_encoder(accept)
    is_open = content_type.startswith("application/openmetrics-text")
    writer = ExpositionWriter()

    def ours() -> bytes:
        return writer.write([*collect(publisher.snapshot), *odd()], is_open=is_open)

    def official() -> bytes:
        return bytes(encoder(Official([*collect(publisher.snapshot), *odd()])))

    for _ in range(2):  # with lines that are new, and with those that are kept
        assert ours() == official()
    # one number changes, a row comes, and with the alert its row goes
    given.publish(publisher, {"workload": "w1", "provider": "p1", "bytes_out": 10**12}, {"workload": "new"})
    assert ours() == official()


def test_the_metrics_of_the_process_are_there(serve: Serve) -> None:
    families = text_string_to_metric_families(get(serve(), "/metrics").text)
    found = {sample.name: sample.value for family in families for sample in family.samples}
    # the official client's: this process's memory is more than its interpreter's, its start is past
    assert found["process_resident_memory_bytes"] > 10**7
    assert found["process_cpu_seconds_total"] <= sum(os.times()[:2])
    assert found["process_open_fds"] > 3
