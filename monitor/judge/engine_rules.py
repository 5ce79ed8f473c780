"""Rules as the engine takes them (`monitor._hotpath.RuleEngine`): plain dictionaries."""

from typing import Any

from monitor.judge.condition import Condition
from monitor.judge.match import Match
from monitor.judge.rule import Rule


def to_engine(rule: Rule) -> dict[str, Any]:
    """Give a rule for the engine; the keys are those of ``judgecore::spec::Rule``."""
    ways = rule.ways
    baseline, ratio = ways.baseline, ways.ratio
    return {
        "id": rule.id,
        "record": rule.record,
        "shape": rule.shape,
        "two_way": rule.two_way,
        "conditions": conditions_of(rule.match),
        "exceptions": [(one.words, one.ends, conditions_of(one.match)) for one in rule.exceptions],
        "measure": (rule.measure.what, rule.measure.of),
        "per": list(rule.measure.per),
        "window": rule.measure.window,
        "line": ways.line,
        "resolve_after": rule.resolve_after,
        "novel": ways.novel and (ways.novel.of, ways.novel.learn, ways.novel.forget),
        "baseline": baseline and (*baseline.deviations.as_integer_ratio(), baseline.floor, baseline.history),
        "ratio": ratio and (ratio.of, ratio.to, *ratio.above.as_integer_ratio(), ratio.floor),
        "distinct": ways.distinct and (ways.distinct.of, ways.distinct.above),
        "periodic": ways.periodic and (ways.periodic.count, ways.periodic.jitter, *ways.periodic.between),
    }


def conditions_of(match: Match) -> list[dict[str, Any]]:
    """Give the conditions of a match for the engine."""
    return [_condition(one) for one in match.conditions]


def _condition(one: Condition) -> dict[str, Any]:
    is_address = one.field.kind == "address"
    return {
        "field": one.field.name,
        "negated": one.negated,
        "everything": one.everything,
        "missing": one.missing,
        "host": one.field.kind == "host",
        "exact": [word for word in one.exact if isinstance(word, str)],
        "flags": [word for word in one.exact if isinstance(word, bool)],
        "globs": list(one.globs),
        "numbers": [] if is_address else list(one.ranges),
        "addresses": list(one.ranges) if is_address else [],
        "lists": list(one.lists),
    }
