"""Runs a rule's own tests, in plain Python: a whole pack in a few milliseconds, at each load.

It says the same as `engine.Judge` on the same rows; the tests of the project hold one against the other.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from monitor import units
from monitor.judge.case_rows import Row, RowError, parse_rows
from monitor.judge.condition import Vocabulary
from monitor.judge.exceptions import parse_exceptions
from monitor.judge.fields import CONNECTIONS
from monitor.judge.rule import Rule, rule_match
from monitor.judge.rule_file import CaseFile, RuleFile
from monitor.judge.ways import Measure
from monitor.yaml_file import Document

USUAL_START = datetime(2026, 1, 1, tzinfo=UTC)


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
    return [CaseResult(case.name, case.expected, *_run(case)) for case in cases]


def _run(case: Case) -> tuple[str, int]:
    rule = case.rule
    windows: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    known: set[tuple[object, ...]] = set()
    began: dict[tuple[object, ...], int] = {}
    most, fired = 0, False
    for tick, key, added in _counted(case):
        if rule.ways.novel and tick < began.setdefault(key[:-1], tick) + rule.ways.novel.learn:
            known.add(key)
        if key in known:
            continue
        window = [entry for entry in windows.get(key, []) if entry[0] > tick - rule.measure.window]
        windows[key] = [*window, (tick, added)]
        total = sum(value for _, value in windows[key])
        most = max(most, total)
        fired = fired or total > rule.ways.line
    return "fires" if fired else "quiet", most


def _counted(case: Case) -> Iterator[tuple[int, tuple[object, ...], int]]:
    """Give tick, group and what it adds, for each row that counts."""
    rule = case.rule
    for row in (*case.learnt, *case.rows):
        tick = int(row["tick"])
        added = measured(rule.measure, row)
        key = tuple(row[name] for name in rule.group_fields)
        if added <= 0 or not rule.match.holds(row) or (rule.ways.novel and key[-1] is None):
            continue
        if not any(exception.covers(row, tick) for exception in rule.exceptions):
            yield tick, key, added


def measured(measure: Measure, row: Row) -> int:
    """Give what one row adds: the same as `Measure.expression`."""
    if measure.what == "sum":
        return int(row[measure.of])
    if measure.of == CONNECTIONS:
        return int(row["packets_out"] + row["packets_in"] > 0 and row["first_seen"] <= row["started"])
    return int(row[measure.of] is not None)


def explain(result: CaseResult, rule: Rule) -> str:
    """Say in one line what a failed test expected and got."""
    if result.got == "quiet":
        saw = f"the largest {rule.measure.words} was {_amount(rule, result.most)}"
    else:
        saw = f"the {rule.measure.words} came to {_amount(rule, result.most)}"
    return f"test {result.name!r} expects {result.expected!r} and got {result.got!r}: {saw}"


def _amount(rule: Rule, value: int) -> str:
    is_size = rule.measure.what == "sum" and "packets" not in rule.measure.of
    return units.format_bytes(value) if is_size else str(value)
