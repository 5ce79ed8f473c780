"""Makers of metric families: what one is called and means, its series as label values and a number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from monitor.publish.histogram import HistogramValue

Row = tuple[tuple[str, ...], float]
Kind = Literal["counter", "gauge", "histogram", "info"]


class Group(NamedTuple):
    """Series of one name and one set of labels; `rows` may be read once."""

    suffix: str  # what is added to the family's name
    labels: tuple[str, ...]
    rows: Iterable[Row]


class Family(NamedTuple):
    """One family as OpenMetrics 1.0 has it: a counter's name is without its ``_total``."""

    name: str
    kind: Kind
    text: str
    groups: Sequence[Group]


def counter(name: str, text: str, labels: Iterable[str], rows: Iterable[Row]) -> Family:
    """Give a counter family with one series a row."""
    return Family(name.removesuffix("_total"), "counter", text, [Group("_total", tuple(labels), rows)])


def gauge(name: str, text: str, labels: Iterable[str], rows: Iterable[Row]) -> Family:
    """Give a gauge family with one series a row."""
    return Family(name, "gauge", text, [Group("", tuple(labels), rows)])


def histogram(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], HistogramValue]]
) -> Family:
    """Give a histogram family with one histogram a row."""
    groups = []
    for values, one in rows:
        buckets = [((*values, bound), number) for bound, number in one.buckets]
        groups += [
            Group("_bucket", (*labels, "le"), buckets),
            Group("_count", labels, [(values, one.buckets[-1][1])]),
            Group("_sum", labels, [(values, one.sum)]),
        ]
    return Family(name, "histogram", text, groups)


def info(name: str, text: str, values: Mapping[str, str]) -> Family:
    """Give a family of one series, always 1, whose labels say something; its name ends in ``_info``."""
    return Family(name, "info", text, [Group("_info", tuple(values), [(tuple(values.values()), 1)])])


def by(numbers: Mapping[str, float], closed_set: Iterable[str] = ()) -> Iterator[Row]:
    """Give rows for one label: all of a closed set, so that each series is there from the start."""
    for value in dict.fromkeys([*closed_set, *numbers]):
        yield (value,), numbers.get(value, 0)


def single(number: float) -> list[Row]:
    """Give the one row of a family without labels."""
    return [((), number)]
