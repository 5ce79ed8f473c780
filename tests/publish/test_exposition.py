"""Our writer of the text formats against the official client's: byte for byte the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from monitor.publish.exposition import ExpositionWriter

# what Prometheus 2.42, Prometheus 3 and curl ask for
ACCEPTS = [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4",
    "text/plain;version=0.0.4",
    "*/*",
]


class Odd(Collector):
    """Families with all that needs care."""

    def collect(self) -> Iterator[Metric]:
        counter = CounterMetricFamily("odd_bytes", 'back\\slash "quoted"\nline', labels=["b", "a"])
        for number, text in enumerate(['a"b', "a\\b", "a\nb", "é", "", "plain"]):
            counter.add_metric([text, "x"], 10.0**number * 1.5)
        counter.add_metric(["large", "x"], 2.0**53)
        counter.add_metric(["largest", "x"], 1.23456789012345678e22)
        yield counter
        gauge = GaugeMetricFamily("odd_gauge", "", labels=["a"])
        for text, value in (("inf", float("inf")), ("nan", float("nan")), ("minus", -1e9), ("small", 1e-7)):
            gauge.add_metric([text], value)
        yield gauge
        yield GaugeMetricFamily("odd_single", "One.", value=3)
        created = CounterMetricFamily("odd_created", "With a time.", labels=["a"])
        created.add_metric(["x"], 1, created=1234.5)
        yield created
        yield CounterMetricFamily("odd_empty", "None.", labels=["a"])


@pytest.mark.parametrize("accept", ACCEPTS)
def test_it_writes_what_the_official_writer_writes(given: Any, accept: str) -> None:
    publisher = given.publisher(hold_seconds=0)
    alert = given.alert()
    rows = [{"workload": f"w{one % 7}", "provider": f"p{one}", "bytes_out": one} for one in range(50)]
    given.publish(publisher, *rows, alerts=[alert], events=[given.event("begun", alert)])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(publisher.collector)
    registry.register(Odd())
    encoder, content_type = choose_encoder(accept)
    writer = ExpositionWriter()
    for _ in range(2):  # with label texts that are new, and with those that are kept
        assert writer.write(registry.collect(), encoder, content_type) == encoder(registry)
    given.publish(publisher, {"workload": "w1", "provider": "p1", "bytes_out": 10**12})
    assert writer.write(registry.collect(), encoder, content_type) == encoder(registry)


def test_the_metrics_of_the_process_are_there() -> None:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    encoder, content_type = choose_encoder("*/*")
    written = ExpositionWriter().write(registry.collect(), encoder, content_type)
    assert b"process_resident_memory_bytes " in written
