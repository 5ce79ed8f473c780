"""Runs a rule's own tests through the engine that judges, at each load."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor._hotpath import RuleEngine, batch_of_rows
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge.case_rows import Row, RowError, parse_rows
from monitor.judge.condition import Vocabulary
from monitor.judge.engine_rules import to_engine
from monitor.judge.exceptions import parse_exceptions
from monitor.judge.fields import Record, column_kind
from monitor.judge.lists import AddressLists
from monitor.judge.match import Match
from monitor.judge.rule import EGRESS, Rule, rule_match
from monitor.judge.rule_file import CaseFile, RuleFile
from monitor.yaml_file import Document

SECOND = 10**9
DAY = 86_400
USUAL_START = datetime(2026, 1, 1, tzinfo=UTC)
_COLUMNS: dict[Record, list[tuple[str, str]]] = {
    "flows": [(name, column_kind(dtype)) for name, dtype in {**FLOW_SCHEMA, **ATTRIBUTED}.items()],
    "dns": [(name, column_kind(dtype)) for name, dtype in {**DNS_SCHEMA, **DNS_ATTRIBUTED}.items()],
}


@dataclass(frozen=True)
class Case:
    """One test, ready to run: the rule as this test's configuration makes it, and rows in tick order."""

    name: str
    rule: Rule
    start: int  # seconds since 1970: where `rows` begin
    learnt: tuple[Row, ...]
    rows: tuple[Row, ...]
    expected: str
    index: int
    lists: AddressLists


@dataclass(frozen=True)
class CaseResult:
    """What a test gave. `most`: the largest sum that any group came to."""

    name: str
    expected: str
    got: str
    most: int

    @property
    def passed(self) -> bool:
        """Whether the rule did what the test expects."""
        return self.expected == self.got


def compile_cases(
    document: Document, written: RuleFile, rule: Rule, providers: Collection[str]
) -> list[Case]:
    """Read a rule's tests; raises InputError, also where none fires or none stays quiet."""
    expected = {case.expect for case in written.tests}
    for outcome in ("fires", "quiet"):
        if outcome not in expected:
            raise document.error(("tests",), f"tests: at least one must expect {outcome!r}")
    cases = []
    for index, case in enumerate(written.tests):
        as_here = _rule_of(document, written, rule, case, providers)
        start = int(_start(case, rule).timestamp())
        before = start - rule.ways.memory(rule.measure.window)
        cases.append(
            Case(
                case.name,
                as_here,
                start,
                tuple(_rows(document, case, rule, "learnt", index, providers, before)),
                tuple(_rows(document, case, rule, rule.record, index, providers, start)),
                case.expect,
                index,
                _lists(document, case, rule, index),
            )
        )
    return cases


def _rule_of(
    document: Document, written: RuleFile, rule: Rule, case: CaseFile, providers: Collection[str]
) -> Rule:
    """Give the rule with the test's own list of sanctioned providers: the user's must not fail a test."""
    vocabulary = Vocabulary(providers, None, tuple(case.sanctioned))
    match = rule_match(document, written, vocabulary)
    exceptions = parse_exceptions(written.exceptions, match, rule.record, vocabulary, document)
    return replace(rule, match=match, exceptions=exceptions)


def _start(case: CaseFile, rule: Rule) -> datetime:
    """Give when a test takes place: before any exception expires, so that time fails no test."""
    if case.at is not None:
        return case.at
    expiries = [exception.expires for exception in rule.exceptions]
    if not expiries:
        return USUAL_START
    return datetime.combine(min(expiries) - timedelta(days=1), datetime.min.time(), UTC)


def _lists(document: Document, case: CaseFile, rule: Rule, index: int) -> AddressLists:
    for name in case.lists:
        if name not in rule.lists:
            raise document.error(("tests", index, "lists"), f"the rule asks no list {name!r}")
    try:
        return AddressLists.of_words(case.lists)
    except ValueError as error:
        raise document.error(("tests", index, "lists"), str(error)) from error


def _rows(
    document: Document,
    case: CaseFile,
    rule: Rule,
    key: str,
    index: int,
    providers: Collection[str],
    start: int,
) -> list[Row]:
    other = "dns" if rule.record == "flows" else "flows"
    if getattr(case, other):
        raise document.error(("tests", index, other), f"this rule judges {rule.record}, not {other}")
    if key == "learnt" and case.learnt and not (rule.ways.novel or rule.ways.baseline):
        raise document.error(("tests", index, key), "only a rule with 'novel' or 'baseline' learns")
    if key == rule.record and not getattr(case, key):
        raise document.error(("tests", index), f"a test needs {key}, the rows to judge")
    try:
        rows = list(parse_rows(getattr(case, key), rule.record, providers, start))
    except RowError as error:
        raise document.error(("tests", index, key, error.place), str(error)) from error
    return sorted(rows, key=lambda row: int(row["tick"]))


def run_cases(cases: Sequence[Case]) -> list[CaseResult]:
    """Run tests, in their order."""
    results = []
    for case in cases:
        fired, most = _run(case, [case.rule])
        results.append(CaseResult(case.name, case.expected, "fires" if fired[0] else "quiet", most))
    return results


def untested(rule: Rule, cases: Sequence[Case]) -> list[str]:
    """Give the conditions of a rule's match that no test needs, in words.

    Each is left out in turn, and at least one test must then give something else than it expects.
    """
    names = {one.field.name for one in rule.match.conditions}
    minded: set[str] = set()
    for case in cases:
        without = [_without(case.rule, name) for name in names - minded]
        fired, _ = _run(case, without)
        expected = case.expected == "fires"
        minded |= {one.id for one, did in zip(without, fired, strict=True) if did != expected}
    clauses = [one for one in rule.match.conditions if one.field.name not in minded and one != EGRESS]
    return [one.words for one in clauses]


def generated(rule: Rule, cases: Sequence[Case]) -> list[CaseResult]:
    """Make two tests of a rule's own: at the line it stays quiet, one above it fires.

    They are made of a row that fires alone, where the rule sums a column and asks for nothing but `above`.
    """
    measure, line = rule.measure, rule.ways.line
    named = {one.field.name for one in rule.match.conditions}
    if rule.ways.names != ["above"] or measure.what != "sum" or measure.of in named:
        return []
    for case in (case for case in cases if case.expected == "fires"):
        for row in case.rows:
            above = replace(case, rows=({**row, measure.of: line + 1},))
            fired, most = _run(above, [case.rule])
            if fired[0]:
                at_line, least = _run(replace(case, rows=({**row, measure.of: line},)), [case.rule])
                return [
                    CaseResult("made: one above the line fires", "fires", "fires", most),
                    CaseResult(
                        "made: at the line it stays quiet", "quiet", "fires" if at_line[0] else "quiet", least
                    ),
                ]
    if any(case.expected == "fires" for case in cases):
        return [CaseResult("made: one above the line fires", "fires", "quiet", line)]
    return []


def _without(rule: Rule, name: str) -> Rule:
    """Give the rule without what it says of a field, under that field's name."""
    kept = tuple(one for one in rule.match.conditions if one.field.name != name)
    if name == EGRESS.field.name:
        kept = (EGRESS, *kept)  # as where nothing is said of it
    return replace(rule, id=name, match=Match(kept))


def _run(case: Case, rules: Sequence[Rule]) -> tuple[list[bool], int]:
    """Judge a test's rows by some rules: which of them fired, and the largest sum of the first."""
    engine = RuleEngine((1, 2), learns=True, bounds={})
    engine.set_lists(case.lists.ready)
    engine.set_rules([to_engine(rule) for rule in rules])
    record = case.rule.record
    rows = [_as_moments(row) for row in (*case.learnt, *case.rows)]
    empty = batch_of_rows(_COLUMNS["dns" if record == "flows" else "flows"], [])
    batch = batch_of_rows(_COLUMNS[record], rows)
    flows, dns = (batch, empty) if record == "flows" else (empty, batch)
    last = max((int(row["tick"]) for row in (*case.learnt, *case.rows)), default=case.start)
    events, _ = engine.judge(flows, dns, last)
    fired = {alert["rule"] for kind, when, alert in events if kind == "begun" and when >= case.start * SECOND}
    most = engine.totals()[0][2] if rules else 0
    return [place in fired for place in range(len(rules))], most


def _as_moments(row: Row) -> dict[str, Any]:
    # a tick is written in seconds, other times in nanoseconds
    return {**row, "tick": row["tick"] * SECOND}


def explain(result: CaseResult, rule: Rule) -> str:
    """Say in one line what a failed test expected and got."""
    if result.got == "quiet":
        saw = f"the largest {rule.measure.words} was {rule.measure.amount(result.most)}"
    else:
        saw = f"the {rule.measure.words} came to {rule.measure.amount(result.most)}"
    return f"test {result.name!r} expects {result.expected!r} and got {result.got!r}: {saw}"
