"""Runs a rule's own tests through the engine that judges, at each load."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor._hotpath import Rows, RuleEngine, batch_of_rows
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge.case_capture import ReadCapture, capture_rows
from monitor.judge.case_rows import SECOND, Row, RowError, parse_rows, parse_value
from monitor.judge.condition import Vocabulary
from monitor.judge.engine_rules import to_engine
from monitor.judge.exceptions import parse_exceptions
from monitor.judge.fields import FIELDS, NONE, Field, Record, column_kind
from monitor.judge.lists import AddressLists
from monitor.judge.match import Match
from monitor.judge.rule import EGRESS, Rule, rule_match
from monitor.judge.rule_file import FIRST_DAY, LAST_DAY, CaseFile, RuleFile
from monitor.yaml_file import Document, nearest

MAX_CAPTURES = 20  # of a rule: each costs some 10 ms of CPU time at each load, and at most ten times that
MAX_TRIED = 100  # rows of a test that are tried, in their order, for one that fires alone
_FLOW_ID = Field("flow_id", "number", largest=2**64 - 1)  # groups may be made of it, no match names it
USUAL_START = datetime(2026, 1, 1, tzinfo=UTC)
_KINDS: dict[Record, dict[str, str]] = {
    "flows": {name: column_kind(dtype) for name, dtype in {**FLOW_SCHEMA, **ATTRIBUTED}.items()},
    "dns": {name: column_kind(dtype) for name, dtype in {**DNS_SCHEMA, **DNS_ATTRIBUTED}.items()},
}
_TICK = ("tick", "seconds")  # as rows of tests have it


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
    group: Mapping[str, Any]  # of the alert that is expected; what is not named may be anything
    source: str | None  # the capture that `rows` are of

    def meets(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether alerts of these groups are what the test expects."""
        if self.expected == "quiet":
            return not groups
        return any(all(group.get(name) == value for name, value in self.group.items()) for group in groups)


@dataclass(frozen=True)
class CaseResult:
    """What a test gave. `most`: the largest sum that any group came to; `about` the rows, for people."""

    name: str
    expected: str
    got: str
    most: int
    about: str = ""

    @property
    def passed(self) -> bool:
        """Whether the rule did what the test expects."""
        return self.expected == self.got


def compile_cases(
    document: Document,
    written: RuleFile,
    rule: Rule,
    providers: Collection[str],
    captures: ReadCapture | None,
) -> list[Case]:
    """Read a rule's tests; raises InputError, also where none fires or none stays quiet.

    Without `captures` the tests that have a capture are left out.
    """
    expected = {case.expect for case in written.tests}
    for outcome in ("fires", "quiet"):
        if outcome not in expected:
            raise document.error(("tests",), f"tests: at least one must expect {outcome!r}")
    with_capture = [index for index, case in enumerate(written.tests) if case.capture is not None]
    if len(with_capture) > MAX_CAPTURES:
        place = ("tests", with_capture[MAX_CAPTURES], "capture")
        raise document.error(place, f"tests: at most {MAX_CAPTURES} of a rule have a capture")
    cases = []
    for index, case in enumerate(written.tests):
        _check_keys(document, case, rule, index)
        if case.capture is not None and captures is None:
            continue
        as_here = _rule_of(document, written, rule, case, providers)
        start = int(_start(case, rule).timestamp())
        before = start - rule.ways.memory(rule.measure.window)
        if case.capture is not None and captures is not None:
            rows = capture_rows(document, case, index, rule.record, captures, start)
        else:
            rows = _rows(document, case, rule, rule.record, index, providers, start)
        cases.append(
            Case(
                case.name,
                as_here,
                start,
                tuple(_rows(document, case, rule, "learnt", index, providers, before)),
                tuple(rows),
                case.expect,
                index,
                _lists(document, case, rule, index),
                _group(document, case, rule, index, providers),
                case.capture,
            )
        )
    return cases


def _check_keys(document: Document, case: CaseFile, rule: Rule, index: int) -> None:
    """Raise InputError where the keys of a test do not go together."""
    other = "dns" if rule.record == "flows" else "flows"
    if getattr(case, other):
        raise document.error(("tests", index, other), f"this rule judges {rule.record}, not {other}")
    if case.capture is not None and getattr(case, rule.record):
        message = f"a test has {rule.record} or a capture that gives them, not both"
        raise document.error(("tests", index, "capture"), message)
    if case.capture is None and case.config is not None:
        message = "config: only a capture is read with it; rows are written as they are judged"
        raise document.error(("tests", index, "config"), message)
    if case.capture is None and not getattr(case, rule.record):
        raise document.error(("tests", index), f"a test needs {rule.record}, the rows to judge, or a capture")
    if case.learnt and not (rule.ways.novel or rule.ways.baseline):
        raise document.error(("tests", index, "learnt"), "only a rule with 'novel' or 'baseline' learns")
    if case.group and case.expect == "quiet":
        raise document.error(("tests", index, "group"), "a test that stays quiet has no alert, so no group")


def _group(
    document: Document, case: CaseFile, rule: Rule, index: int, providers: Collection[str]
) -> dict[str, Any]:
    """Read which group is expected to fire, with the values that alerts have."""
    group = {}
    for name, value in case.group.items():
        place = ("tests", index, "group", name)
        if name not in rule.group_fields:
            hint = nearest(str(name), rule.group_fields)
            raise document.error(place, f"the rule makes no groups by {name!r}{hint}")
        try:
            field = FIELDS[rule.record].get(name, _FLOW_ID)
            group[name] = parse_value(field, value, Vocabulary(providers, None, ()))
        except ValueError as error:
            raise document.error(place, str(error)) from error
    return group


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
    day = min(max(min(expiries), FIRST_DAY), LAST_DAY)
    return datetime.combine(day - timedelta(days=1), datetime.min.time(), UTC)


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
    try:
        rows = list(parse_rows(getattr(case, key), rule.record, providers, start))
    except RowError as error:
        raise document.error(("tests", index, key, error.place), str(error)) from error
    return sorted(rows, key=lambda row: int(row["tick"]))


def run_cases(cases: Sequence[Case]) -> list[CaseResult]:
    """Run tests, in their order."""
    return [_result(case) for case in cases]


def _result(case: Case) -> CaseResult:
    (groups,), most = _run(case, [case.rule])
    got = "fires" if groups else "quiet"
    expected = case.expected
    if groups and case.group and not case.meets(groups):
        expected = f"fires for {_in_words(case.group)}"
        got = f"fires for {'; '.join(_in_words(group) for group in groups[:3])}"
    return CaseResult(case.name, expected, got, most, _about(case))


def _in_words(group: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {NONE if value is None else value}" for name, value in group.items())


def _about(case: Case) -> str:
    """Say what a capture gave, by scope: the usual mistake is in what is local."""
    if case.source is None:
        return ""
    scopes = Counter(str(row["scope"]) for row in case.rows)
    counts = ", ".join(f"{count:,} of scope {scope}" for scope, count in sorted(scopes.items()))
    rows = "1 row" if len(case.rows) == 1 else f"{len(case.rows):,} rows"
    return f"; {case.source} gives {rows}: {counts}"


def untested(rule: Rule, cases: Sequence[Case]) -> list[str]:
    """Give the conditions of a rule's match that no test needs, in words.

    Each is left out in turn, and at least one test must then give something else than it expects.
    """
    names = {one.field.name for one in rule.match.conditions}
    minded: set[str] = set()
    for case in cases:
        without = [_without(case.rule, name) for name in names - minded]
        groups, _ = _run(case, without)
        minded |= {one.id for one, fired in zip(without, groups, strict=True) if not case.meets(fired)}
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
        for row in case.rows[:MAX_TRIED]:
            above = replace(case, rows=({**row, measure.of: line + 1},))
            (fired,), most = _run(above, [case.rule])
            if fired:
                (at_line,), least = _run(replace(case, rows=({**row, measure.of: line},)), [case.rule])
                return [
                    CaseResult("made: one above the line fires", "fires", "fires", most),
                    CaseResult(
                        "made: at the line it stays quiet", "quiet", "fires" if at_line else "quiet", least
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


def _run(case: Case, rules: Sequence[Rule]) -> tuple[list[list[dict[str, Any]]], int]:
    """Judge a test's rows by some rules: the groups that each fired for, and the largest sum of the first."""
    engine = RuleEngine((1, 2), learns=True, bounds={})
    engine.set_lists(case.lists.ready)
    engine.set_rules([to_engine(rule) for rule in rules])
    record = case.rule.record
    rows = (*case.learnt, *case.rows)
    batch, empty = _batch(rows, record), batch_of_rows([_TICK], [])
    flows, dns = (batch, empty) if record == "flows" else (empty, batch)
    last = max((int(row["tick"]) for row in rows), default=case.start)
    events, _ = engine.judge(flows, dns, last)
    groups: list[list[dict[str, Any]]] = [[] for _ in rules]
    for kind, when, alert in events:
        if kind == "begun" and when >= case.start * SECOND:
            values = alert["group"] or ()  # none: what had no room
            groups[alert["rule"]].append(dict(zip(case.rule.group_fields, values, strict=False)))
    return groups, engine.totals()[0][2] if rules else 0


def _batch(rows: Sequence[Row], record: Record) -> Rows:
    """Give the rows without columns that no row has a value in: to the engine that is the same, and less."""
    told = {name for row in rows for name, value in row.items() if value is not None}
    columns = [(name, kind) for name, kind in _KINDS[record].items() if name in told and name != _TICK[0]]
    return batch_of_rows([_TICK, *columns], rows)


def explain(result: CaseResult, rule: Rule) -> str:
    """Say in one line what a failed test expected and got."""
    if result.got == "quiet":
        saw = f"the largest {rule.measure.words} was {rule.measure.amount(result.most)}"
    else:
        saw = f"the {rule.measure.words} came to {rule.measure.amount(result.most)}"
    return f"test {result.name!r} expects {result.expected!r} and got {result.got!r}: {saw}{result.about}"
