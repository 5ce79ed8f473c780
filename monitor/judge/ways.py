"""The ways to fire, ready to judge with: what the words below ``fire`` mean for a rule's measure."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from monitor import units
from monitor.judge import fields
from monitor.judge.fields import SUMMABLE, Record
from monitor.judge.fire_file import FireFile
from monitor.yaml_file import Document, nearest

SECOND = 10**9
DAY = 86_400


@dataclass(frozen=True)
class Measure:
    """Sum of a column, or a count of the rows that have a value in it, over the last `window` seconds."""

    what: Literal["sum", "count"]
    of: str
    per: tuple[str, ...]
    window: int

    @cached_property
    def words(self) -> str:
        """The measure for people: ``sum of payload_out over 10m per workload``."""
        per = f" per {', '.join(self.per)}" if self.per else ""
        return f"{self.what} of {self.of} over {units.format_duration(self.window * SECOND)}{per}"

    @property
    def is_size(self) -> bool:
        """Whether it is a number of bytes."""
        return self.what == "sum" and is_size(self.of)

    def amount(self, value: int) -> str:
        """Write a value of it for people."""
        return units.format_bytes(value) if self.is_size else f"{value:,}"


@dataclass(frozen=True)
class Novel:
    """Fires for values of `of` that the group never had, or not for `forget` seconds."""

    of: str
    learn: int  # seconds
    forget: int  # seconds


@dataclass(frozen=True)
class Baseline:
    """Fires where the sum is this many deviations above what the group did at this hour before."""

    deviations: Fraction
    floor: int
    history: int  # seconds that a group must have been known


@dataclass(frozen=True)
class Ratio:
    """Fires where the sum of `of` is at least `floor` and more than `above` times the sum of `to`."""

    of: str
    to: str
    above: Fraction
    floor: int


@dataclass(frozen=True)
class Distinct:
    """Fires where more than `above` values of `of` are in the window."""

    of: str
    above: int


@dataclass(frozen=True)
class Periodic:
    """Fires where the last `count` connections began regularly, each `between` so many seconds apart."""

    count: int
    jitter: int  # per cent
    between: tuple[int, int]  # seconds


@dataclass(frozen=True)
class Ways:
    """All that must hold for a group. `line`: the measure must be larger; -1 where nothing is said of it."""

    line: int
    threshold: int  # as the file says it: `above`, else a floor, else the number that is looked for
    above: int | None
    novel: Novel | None
    baseline: Baseline | None
    ratio: Ratio | None
    distinct: Distinct | None
    periodic: Periodic | None

    @property
    def names(self) -> list[str]:
        """The ways that the rule uses, in the order of the documentation."""
        all_ways = ("above", "novel", "baseline", "ratio", "distinct", "periodic")
        return [name for name in all_ways if getattr(self, name) is not None]


    def memory(self, window: int) -> int:
        """Give how long before its rows a test begins to learn: whole days for what is asked by the hour."""
        learn = self.novel.learn if self.novel else 0
        if self.baseline is None:
            return learn + window
        return -(-(max(learn, self.baseline.history) + window) // DAY) * DAY


def compile_ways(document: Document, written: FireFile, measure: Measure, record: Record) -> Ways:
    """Check what is said below ``fire``; raises InputError about the first that cannot be."""
    above = document.value["fire"].get("above")
    if isinstance(above, str) and not measure.is_size and not above.isdecimal():
        raise document.error(("fire", "above"), f"{above!r}: {measure.words} is a number, not a size")
    lines: list[tuple[int, int]] = []  # line and threshold
    if written.above is not None:
        lines.append((written.above, written.above))
    novel = baseline = ratio = distinct = periodic = None
    if written.novel is not None:
        of = _grouped(document, "novel", written.novel.of, measure, record)
        novel = Novel(of, written.novel.learn, written.novel.forget)
        lines.append((written.novel.floor - 1, written.novel.floor))
    if written.baseline is not None:
        baseline = Baseline(**dict(written.baseline))
        lines.append((baseline.floor - 1, baseline.floor))
    others = []
    if written.ratio is not None:
        ratio = Ratio(**dict(written.ratio))
        for key, name in (("of", ratio.of), ("to", ratio.to)):
            if name not in SUMMABLE[record]:
                hint = nearest(name, SUMMABLE[record])
                raise document.error(("fire", "ratio", key), f"no record carries {name!r} to sum{hint}")
        if ratio.of == ratio.to:
            raise document.error(("fire", "ratio", "to"), f"{ratio.of!r} to itself is always 1")
        others.append(ratio.floor)
    if written.distinct is not None:
        of = _grouped(document, "distinct", written.distinct.of, measure, record)
        distinct = Distinct(of, written.distinct.above)
        others.append(distinct.above)
    if written.periodic is not None:
        periodic = Periodic(**dict(written.periodic))
        if periodic.between[0] * (periodic.count - 1) > measure.window:
            shortest = units.format_duration(periodic.between[0] * (periodic.count - 1) * SECOND)
            message = f"{periodic.count} starts take at least {shortest}, and the window is shorter"
            raise document.error(("fire", "periodic"), message)
        others.append(periodic.count)
    line, threshold = max(lines) if lines else (-1, others[0])
    return Ways(line, threshold, written.above, novel, baseline, ratio, distinct, periodic)


def is_size(column: str) -> bool:
    """Tell whether a column counts bytes."""
    return "bytes" in column or "payload" in column


def _grouped(document: Document, way: str, of: str, measure: Measure, record: Record) -> str:
    known = fields.groupable(record)
    if of not in known:
        raise document.error(("fire", way, "of"), f"no record carries {of!r}{nearest(of, known)}")
    if of in measure.per:
        raise document.error(("fire", way, "of"), f"{of!r} already stands in measure.per")
    return of
