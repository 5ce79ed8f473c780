"""A rule ready to judge with, made from its file. A rule that cannot be true does not compile."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from monitor.judge import fields
from monitor.judge.condition import Condition, Vocabulary, parse_condition
from monitor.judge.exceptions import RuleException, parse_exceptions
from monitor.judge.fields import FIELDS, SUMMABLE, Record
from monitor.judge.match import Match, parse_match
from monitor.judge.rule_file import MeasureFile, Need, RuleFile
from monitor.judge.ways import Measure, Ways, compile_ways
from monitor.yaml_file import Document, nearest

# what a rule is about that says nothing of `scope`; flows and DNS rows have the same
EGRESS: Condition = parse_condition(FIELDS["flows"]["scope"], "egress", Vocabulary((), None, ()))
_BY_CAPTURE = "both_directions"  # not a key of the configuration: found while capturing


@dataclass(frozen=True)
class Rule:
    """One rule. It fires where all of `ways` hold for a group.

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
    ways: Ways
    resolve_after: int  # seconds
    exceptions: tuple[RuleException, ...]
    version: str
    shape: str
    asleep: str | None
    two_way: bool  # it means nothing where only one direction is captured
    path: Path

    @cached_property
    def group_fields(self) -> tuple[str, ...]:
        """What makes a group: ``per``, and the field that is to be novel."""
        return self.measure.per + ((self.ways.novel.of,) if self.ways.novel else ())

    @property
    def lists(self) -> frozenset[str]:
        """The names of the lists that its match and its exceptions ask."""
        matches = [self.match, *(exception.match for exception in self.exceptions)]
        return frozenset(name for match in matches for one in match.conditions for name in one.lists)



def compile_rule(document: Document, written: RuleFile, vocabulary: Vocabulary) -> Rule:
    """Check what the words of a rule mean; raises InputError about the first that cannot be."""
    record = written.record
    match = rule_match(document, written, vocabulary)
    measure = _measure(document, written.measure, record)
    ways = compile_ways(document, written.fire, measure, record)
    anywhere = vocabulary.without_workloads()  # an exception for a workload that is not here does no harm
    rule = Rule(
        id=written.id,
        title=written.title,
        severity=written.severity,
        status=written.status,
        mitre=tuple(written.mitre),
        runbook=written.runbook,
        record=record,
        match=match,
        measure=measure,
        ways=ways,
        resolve_after=written.resolve_after,
        exceptions=parse_exceptions(written.exceptions, match, record, anywhere, document),
        version=_digest({key: value for key, value in document.value.items() if key != "tests"}),
        shape=_digest(
            {
                "record": record,
                "match": document.value["match"],
                "measure": document.value["measure"],
                "of": ways.novel.of if ways.novel else None,
                **({"ratio": [ways.ratio.of, ways.ratio.to]} if ways.ratio else {}),
                **({"distinct": ways.distinct.of} if ways.distinct else {}),
            }
        ),
        asleep=None,
        two_way=ways.ratio is not None or _BY_CAPTURE in written.needs,
        path=document.path,
    )
    return _put_to_sleep(rule, written.needs, vocabulary)


def _put_to_sleep(rule: Rule, needs: list[Need], vocabulary: Vocabulary) -> Rule:
    """Say why the rule cannot be judged with this configuration, if so."""
    reasons = [
        f"{need} is empty" for need in needs if need != _BY_CAPTURE and need not in vocabulary.configured
    ]
    reasons += [
        f"the configuration has no list {name!r}{nearest(name, vocabulary.lists)}"
        for name in sorted(rule.lists - vocabulary.lists)
    ]
    return rule if not reasons else Rule(**{**vars(rule), "asleep": " and ".join(reasons)})


def rule_match(document: Document, written: RuleFile, vocabulary: Vocabulary) -> Match:
    """Read the rule's own match; a rule judges ``egress`` unless it names another scope."""
    match = parse_match(written.match, written.record, vocabulary, document, ("match",))
    if "scope" in written.match:
        return match
    return Match((EGRESS, *match.conditions))


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


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
