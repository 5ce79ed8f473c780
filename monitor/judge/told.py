"""An alert of what the engine tells of one."""

from collections.abc import Sequence
from typing import Any

from monitor.judge.alert import Alert, Explanation, Kept, KeptFlows
from monitor.judge.learnt import OTHER
from monitor.judge.rule import Rule

SECOND = 10**9


def alert_of(rule: Rule, told: dict[str, Any], explained: dict[int, Explanation]) -> Alert:
    """Make an alert of what the engine tells of one.

    Args:
        rule: the one that it is of.
        told: what the engine gives (``monitor/hotpath/binding/src/judge_values.rs``).
        explained: how flows were attributed, by `flow_id`: one for each flow, whatever alerts have it. Flows
            that are not there come in.
    """
    fields = rule.group_fields
    values = told["group"]
    if values is None:
        group: dict[str, Any] = dict.fromkeys(fields, OTHER)
    else:
        group = dict(zip(fields, values, strict=True))
        if "flow_id" in group:
            group["flow_id"] = f"{group['flow_id']:016x}"
    return Alert(
        id=told["id"],
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        group=group,
        workload=told["workload"],
        provider=told["provider"],
        began=told["began"],
        last=told["last"],
        ended=told["ended"],
        value=told["value"],
        threshold=rule.ways.threshold,
        measure=rule.measure.words,
        sent_bytes=told["sent_bytes"],
        window=rule.measure.window,
        version=rule.version,
        runbook=rule.runbook,
        mitre=list(rule.mitre),
        reopened=told["reopened"],
        countries=told["countries"],
        names=told["names"],
        evidence=told["evidence"],
        exceptions=_not_applied(rule, told["not_applied"]),
        evaluated=_evaluated(rule, told),
        flows=_kept(told["flows"], explained),
    )


def _kept(flows: Kept, explained: dict[int, Explanation]) -> KeptFlows:
    """Give the flows with their explanations."""
    explanations = []
    for one in flows.identities():
        explanation = explained.get(one)
        if explanation is None:
            explanation = explained[one] = Explanation()
        explanations.append(explanation)
    return KeptFlows(flows, explanations)


def _not_applied(rule: Rule, failing: Sequence[int]) -> list[dict[str, Any]]:
    """Say of each exception why it did not take out the flow that an alert shows first."""
    if not rule.exceptions:
        return []
    return [
        {
            "match": exception.words,
            "reason": exception.reason,
            "owner": exception.owner,
            "expires": str(exception.expires),
            "why_not": exception.why_not(why),
        }
        for exception, why in zip(rule.exceptions, failing, strict=False)
    ]


def _evaluated(rule: Rule, told: dict[str, Any]) -> dict[str, Any]:
    """Say what each way to fire found when all last held, beside what the rule asks for."""
    ratio, distinct, interval, usual = told["found"]
    ways = rule.ways
    found: dict[str, Any] = {}
    if ways.above is not None:
        found["above"] = {"value": told["value"], "above": ways.above}
    if ways.novel is not None:
        found["novel"] = {"of": ways.novel.of, "value": told["value"], "floor": ways.threshold}
    if ways.baseline is not None:
        found["baseline"] = {"value": told["value"], "usual": usual, "floor": ways.baseline.floor}
    if ways.ratio is not None and ratio is not None:
        of, to = ratio
        found["ratio"] = {ways.ratio.of: of, ways.ratio.to: to, "above": float(ways.ratio.above)}
    if ways.distinct is not None:
        found["distinct"] = {"of": ways.distinct.of, "values": distinct, "above": ways.distinct.above}
    if ways.periodic is not None and interval is not None:
        found["periodic"] = {"interval_seconds": round(interval / SECOND, 3), "count": ways.periodic.count}
    return found
