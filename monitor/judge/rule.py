"""A rule ready to judge with, made from its file. A rule that cannot be true does not compile."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from monitor import units
from monitor.judge import fields
from monitor.judge.condition import Condition, Vocabulary, parse_condition
from monitor.judge.exceptions import RuleException, parse_exceptions
from monitor.judge.fields import CONNECTIONS, FIELDS, SUMMABLE, Record
from monitor.judge.match import Match, parse_match
from monitor.judge.rule_file import FireFile, MeasureFile, RuleFile
from monitor.yaml_file import Document, nearest

SECOND = 10**9


@dataclass(frozen=True)
class Measure:
    """Sum of a column, or a count of the rows that have a value in it, over the last `window` seconds."""

    what: Literal["sum", "count"]
    of: str
    per: tuple[str, ...]
    window: int

    def expression(self) -> pl.Expr:
        """Give what one row adds."""
        if self.what == "sum":
            return pl.col(self.of).cast(pl.Int64)
        if self.of == CONNECTIONS:
            has_packets = (pl.col("packets_out") + pl.col("packets_in")) > 0
            return (has_packets & (pl.col("first_seen") <= pl.col("started"))).cast(pl.Int64)
        return pl.col(self.of).is_not_null().cast(pl.Int64)

    @property
    def words(self) -> str:
        """The measure for people: ``sum of payload_out over 10m per workload``."""
        per = f" per {', '.join(self.per)}" if self.per else ""
        return f"{self.what} of {self.of} over {units.format_duration(self.window * SECOND)}{per}"


@dataclass(frozen=True)
class Novel:
    """Fires for values of `of` that the group never had, or not for `forget` seconds."""

    of: str
    learn: int  # seconds
    forget: int  # seconds


@dataclass(frozen=True)
class Rule:
    """One rule. It fires where a group's sum over the window is larger than `line`, and is novel if it must.

    `asleep` says why the rule is not judged although it is right; `version` changes with any word of the
    file that judges, `shape` only with what the kept sums are made of.
    """

    id: str
    title: str
    severity: str
    status: str
    mitre: tuple[str, ...]
    runbook: str | None
    record: Record
    match: Match
    measure: Measure
    line: int
    novel: Novel | None
    threshold: int  # as the file says it: `above`, or else the floor
    resolve_after: int  # seconds
    exceptions: tuple[RuleException, ...]
    version: str
    shape: str
    asleep: str | None
    path: Path

    @property
    def group_fields(self) -> tuple[str, ...]:
        """What makes a group: ``per``, and the field that is to be novel."""
        return self.measure.per + ((self.novel.of,) if self.novel else ())

    def expression(self) -> pl.Expr:
        """Give the rows that count, before exceptions: those that match and add something."""
        return self.match.expression() & (self.measure.expression() > 0)


def compile_rule(document: Document, written: RuleFile, vocabulary: Vocabulary, *, published: bool) -> Rule:
    """Check what the words of a rule mean; raises InputError about the first that cannot be."""
    record = written.record
    match = rule_match(document, written, vocabulary)
    measure = _measure(document, written.measure, record)
    line, threshold = _line(document, written.fire, measure)
    here = Vocabulary(vocabulary.providers, None, vocabulary.sanctioned)
    asleep = [
        f"{need} is empty"
        for need in written.needs
        if (need == "published" and not published)
        or (need == "sanctioned_providers" and not vocabulary.sanctioned)
    ]
    return Rule(
        id=written.id,
        title=written.title,
        severity=written.severity,
        status=written.status,
        mitre=tuple(written.mitre),
        runbook=written.runbook,
        record=record,
        match=match,
        measure=measure,
        line=line,
        novel=_novel(document, written.fire, measure, record),
        threshold=threshold,
        resolve_after=written.resolve_after,
        exceptions=parse_exceptions(written.exceptions, match, record, here, document),
        version=_digest({key: value for key, value in document.value.items() if key != "tests"}),
        shape=_digest(
            {
                "record": record,
                "match": document.value["match"],
                "measure": document.value["measure"],
                "of": written.fire.novel.of if written.fire.novel else None,
            }
        ),
        asleep=" and ".join(asleep) or None,
        path=document.path,
    )


def rule_match(document: Document, written: RuleFile, vocabulary: Vocabulary) -> Match:
    """Read the rule's own match; a rule judges ``egress`` unless it names another scope."""
    match = parse_match(written.match, written.record, vocabulary, document, ("match",))
    if "scope" in written.match:
        return match
    egress: Condition = parse_condition(FIELDS[written.record]["scope"], "egress", vocabulary)
    return Match((egress, *match.conditions))


def _measure(document: Document, written: MeasureFile, record: Record) -> Measure:
    if written.sum is not None:
        what, of, known = "sum", written.sum, SUMMABLE[record]
    else:
        what, of, known = "count", str(written.count), fields.countable(record)
    if of not in known:
        raise document.error(("measure", what), f"no record carries {of!r} to {what}{nearest(of, known)}")
    for index, name in enumerate(written.per):
        if name not in fields.groupable(record):
            hint = nearest(name, fields.groupable(record))
            raise document.error(("measure", "per", index), f"no record carries {name!r}{hint}")
        if name in written.per[:index]:
            raise document.error(("measure", "per", index), f"{name!r} stands here twice")
    return Measure("sum" if what == "sum" else "count", of, tuple(written.per), written.window)


def _line(document: Document, written: FireFile, measure: Measure) -> tuple[int, int]:
    is_size = measure.what == "sum" and ("bytes" in measure.of or "payload" in measure.of)
    above = document.value["fire"].get("above")
    if isinstance(above, str) and not is_size and not above.isdecimal():
        raise document.error(("fire", "above"), f"{above!r}: {measure.words} is a number, not a size")
    lines = []
    if written.above is not None:
        lines.append((written.above, written.above))
    if written.novel is not None:
        lines.append((written.novel.floor - 1, written.novel.floor))
    return max(lines)


def _novel(document: Document, written: FireFile, measure: Measure, record: Record) -> Novel | None:
    if written.novel is None:
        return None
    of = written.novel.of
    if of not in fields.groupable(record):
        hint = nearest(of, fields.groupable(record))
        raise document.error(("fire", "novel", "of"), f"no record carries {of!r}{hint}")
    if of in measure.per:
        raise document.error(("fire", "novel", "of"), f"{of!r} already stands in measure.per")
    return Novel(of, written.novel.learn, written.novel.forget)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
