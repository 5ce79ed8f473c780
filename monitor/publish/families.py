"""Makers of metric families from rows of label values and a number."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Row = tuple[tuple[str, ...], float]


def counter(name: str, text: str, labels: Iterable[str], rows: Iterable[Row]) -> Metric:
    """Give a counter family with one series a row."""
    family = CounterMetricFamily(name.removesuffix("_total"), text, labels=list(labels))
    for values, number in rows:
        family.add_metric(values, number)
    return family


def gauge(name: str, text: str, labels: Iterable[str], rows: Iterable[Row]) -> Metric:
    """Give a gauge family with one series a row."""
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for values, number in rows:
        family.add_metric(values, number)
    return family


def by(numbers: Mapping[str, float], closed_set: Iterable[str] = ()) -> Iterator[Row]:
    """Give rows for one label: all of a closed set, so that each series is there from the start."""
    for value in dict.fromkeys([*closed_set, *numbers]):
        yield (value,), numbers.get(value, 0)


def single(number: float) -> list[Row]:
    """Give the one row of a family without labels."""
    return [((), number)]
