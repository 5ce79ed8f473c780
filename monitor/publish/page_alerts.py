"""The alerts of the page: each with why it fired, its flows with how we know, and what to do next."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.judge.alert import Alert
from monitor.publish.page_text import EVIDENCE, count, escaped, facts, isolated, link, moment, part, table
from monitor.publish.runbooks import Runbooks
from monitor.units import format_bytes

SHOWN = 50  # alerts on a page; the API has up to 1000
FLOWS = 4  # flows of one alert; the API has the others
WORDS = 10  # names, countries and the like of one alert
BYTES = re.compile(r"sum of \w*(bytes|payload)")  # what a rule measures, in words
SEVERITIES = ("critical", "warning", "info")  # the worst first


def open_first(alerts: Sequence[Alert]) -> list[Alert]:
    """Give open alerts before ended ones, the worst first, then the newest."""
    return sorted(
        alerts,
        key=lambda alert: (
            not alert.is_open,
            SEVERITIES.index(alert.severity) if alert.severity in SEVERITIES else len(SEVERITIES),
            -alert.began,
            alert.id,
        ),
    )


def alerts_section(
    alerts: Sequence[Alert], filters: Mapping[str, str], runbooks: Runbooks, *, fold: bool = False
) -> str:
    """Write the alerts; `filters` are those that chose them, by label name.

    With `fold` those that ended are out of the way until they are asked for.
    """
    ordered = open_first(alerts)
    unfolded = [alert for alert in ordered[:SHOWN] if alert.is_open or not fold]
    # who follows a link to one alert wants to read it
    is_asked_for = bool(filters) and len(ordered) == 1
    shown = "\n".join(_alert(alert, runbooks, unfold=is_asked_for) for alert in unfolded)
    ended = [alert for alert in ordered[:SHOWN] if fold and not alert.is_open]
    if ended:
        listed = "\n".join(_alert(alert, runbooks) for alert in ended)
        head = f"<summary>{count(len(ended), 'alert')} that ended lately</summary>"
        shown += f'\n<details id="ended" class="ended">{head}\n{listed}</details>'
    parts = [
        '<section id="alerts" aria-labelledby="alerts-head" data-live>',
        f'<h2 id="alerts-head">{_head(ordered)}</h2>',
    ]
    if filters:
        chosen = ", ".join(f"{escaped(name)} {isolated(value)}" for name, value in filters.items())
        parts.append(f"<p>Only those with {chosen}. {link('alerts', 'Show all')}.</p>")
    parts.append(shown or '<p class="empty">No alert is open, and none ended lately.</p>')
    if len(ordered) > SHOWN:
        more = link("api/v1/alerts", "all as JSON", dict(filters))
        parts.append(f"<p>and {len(ordered) - SHOWN:,} more: {more}.</p>")
    return "\n".join([*parts, "</section>"])


def _head(alerts: Sequence[Alert]) -> str:
    number = sum(alert.is_open for alert in alerts)
    return f"Alerts: {number:,} open" if alerts else "Alerts"


def _alert(alert: Alert, runbooks: Runbooks, *, unfold: bool = False) -> str:
    identity = escaped(alert.id)
    state = "open" if alert.is_open else "ended"
    why = f", because {escaped(alert.why_ended)}" if alert.why_ended else ""
    when = "open" if alert.ended is None else f"ended {moment(alert.ended)}{why}"
    severity = alert.severity if alert.severity in SEVERITIES else "info"
    return f"""<details id="alert-{identity}" class="alert {severity} {state}"{" open" if unfold else ""}>
<summary><span class="badge">{escaped(alert.severity)}</span>
<span class="what">{escaped(alert.title)}</span>
<span class="who">{isolated(alert.workload or "unknown")} → {isolated(alert.provider or "unknown")}</span>
<span class="much">{format_bytes(alert.sent_bytes)} sent</span>
<span class="when">{when}, began {moment(alert.began)}</span>
</summary>
{_why(alert)}
{_flows(alert)}
{_exceptions(alert)}
{_next(alert, runbooks)}
</details>"""


def _why(alert: Alert) -> str:
    group = ", ".join(f"{escaped(key)} {isolated(value)}" for key, value in alert.group.items())
    return facts(
        [
            ("Rule", escaped(alert.rule)),
            ("Measured", escaped(alert.measure)),
            ("Largest value", _value(alert.value, alert.measure)),
            ("Threshold", _value(alert.threshold, alert.measure)),
            ("Group", group),
            ("Names", _words(alert.names)),
            ("Countries", _words(alert.countries)),
            ("How we know", _words([EVIDENCE.get(one, one) for one in alert.evidence])),
            ("Newest packet", moment(alert.last)),
            ("Opened again", str(alert.reopened) if alert.reopened else ""),
            ("MITRE ATT&amp;CK", _words(alert.mitre)),
        ]
    )


def _value(number: int, measure: str) -> str:
    return format_bytes(number) if BYTES.match(measure) else f"{number:,}"


def _words(texts: Sequence[str]) -> str:
    shown = ", ".join(isolated(text) for text in texts[:WORDS])
    return shown + (f" and {len(texts) - WORDS:,} more" if len(texts) > WORDS else "")


def _flows(alert: Alert) -> str:
    flows = [flow for flow in alert.flows if "remote_address" in flow]
    if not flows:
        return ""
    heads = ("Flow", "From", "To", "Opened by", "Sent", "Received", "Name", "How we know")
    rows = [
        (
            escaped(flow.get("flow_id", "")),
            _end(flow, "local"),
            _end(flow, "remote"),
            escaped(flow.get("initiator") or "unknown"),
            format_bytes(int(flow.get("bytes_out") or 0)),
            format_bytes(int(flow.get("bytes_in") or 0)),
            isolated(flow.get("dns_name") or flow.get("name") or "-"),
            _attribution(flow),
        )
        for flow in flows[:FLOWS]
    ]
    caption = "Its first flows" if len(flows) > FLOWS else "Its flows"
    return table(
        f"flows-{escaped(alert.id)}", caption, heads, rows, numbers=frozenset({4, 5}), empty="None is kept."
    )


def _end(flow: Mapping[str, Any], side: str) -> str:
    address, port = str(flow.get(f"{side}_address")), flow.get(f"{side}_port")
    bracketed = f"[{address}]" if ":" in address else address
    return f'<bdi class="end">{escaped(bracketed)}:{escaped(port)}</bdi>'


def _attribution(flow: Mapping[str, Any]) -> str:
    steps = flow.get("attribution") or []
    said = "".join(
        f"<li>{escaped(step.get('what'))}: {isolated(step.get('answer'))}"
        + (f" <small>{isolated(step['why'])}</small>" if step.get("why") else "")
        + "</li>"
        for step in steps[:WORDS]
    )
    plain = f"{flow.get('evidence') or 'none'}, confidence {flow.get('confidence') or 'none'}"
    return f'<ul class="steps">{said}</ul>' if said else escaped(plain)


def _exceptions(alert: Alert) -> str:
    said = "".join(
        f"<li>{escaped(', '.join(f'{key}: {value}' for key, value in one.items()))}</li>"
        for one in alert.exceptions[:WORDS]
    )
    return f"<h3>Exceptions that did not apply</h3><ul>{said}</ul>" if said else ""


def _next(alert: Alert, runbooks: Runbooks) -> str:
    json = link(f"api/v1/alerts/{part(alert.id)}", "all of it as JSON")
    items = [f"On the sensor: <code>egress-monitor explain {escaped(alert.id)}</code>, or {json}"]
    if alert.capsule is not None:
        opens = alert.inspect or f"egress-monitor inspect {alert.id}"
        items.append(
            f"Its packets are kept in capsule {escaped(alert.capsule)}: <code>{escaped(opens)}</code>"
        )
    page = runbooks.address(alert.rule)
    if page is not None:
        items.append(f"What to do: {link(page, 'the runbook')}")
    elif alert.runbook:
        items.append(f"What to do: the runbook {escaped(alert.runbook)}, beside the rule")
    return "<h3>Next</h3><ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
