"""A rule in one sentence, for people."""

from monitor import units
from monitor.judge.rule import Rule
from monitor.judge.ways import SECOND, Ways


def in_a_sentence(rule: Rule) -> str:
    """Say what a rule minds: ``Fires for each workload whose ... ``."""
    per = rule.measure.per
    whose = f"each {' and '.join(per)}" if per else "all traffic together"
    rows = "DNS messages" if rule.record == "dns" else "traffic"
    clauses = [one.words for one in rule.match.conditions if one.words != "scope: egress"]
    where = f" with {'; '.join(clauses)}" if clauses else ""
    window = units.format_duration(rule.measure.window * SECOND)
    what = "count" if rule.measure.what == "count" else "sum"
    ways = " and ".join(_ways(rule, rule.ways))
    end = units.format_duration(rule.resolve_after * SECOND) if rule.resolve_after else "0s"
    return (
        f"Looks at {rows}{where}; fires for {whose} when, within {window}, {ways} "
        f"({what} of {rule.measure.of}); ends when that was false for {end}."
    )


def _ways(rule: Rule, ways: Ways) -> list[str]:
    amount = rule.measure.amount
    said = []
    if ways.above is not None:
        said.append(f"it comes to more than {amount(ways.above)}")
    if ways.novel is not None:
        learn = units.format_duration(ways.novel.learn * SECOND) if ways.novel.learn else "0s"
        floor = amount(ways.line + 1)
        new = f"a {ways.novel.of} that it did not use before"
        said.append(f"at least {floor} belong to {new} (learns {learn})")
    if ways.baseline is not None:
        history = units.format_duration(ways.baseline.history * SECOND)
        said.append(
            f"it comes to at least {amount(ways.baseline.floor)} and {float(ways.baseline.deviations):g} "
            f"deviations more than at this hour on the days before (at least {history} of them)"
        )
    if ways.ratio is not None:
        said.append(f"{ways.ratio.of} is more than {float(ways.ratio.above):g} times {ways.ratio.to}")
    if ways.distinct is not None:
        said.append(f"it has more than {ways.distinct.above:,} values of {ways.distinct.of}")
    if ways.periodic is not None:
        low, high = (units.format_duration(bound * SECOND) for bound in ways.periodic.between)
        said.append(
            f"its last {ways.periodic.count} connections began regularly, {low} to {high} apart, "
            f"give or take {ways.periodic.jitter} %"
        )
    return said
