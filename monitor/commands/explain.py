"""``egress-monitor explain``: why an alert fired, out of the state, offline and without rules."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor import terminal
from monitor.config import load_config
from monitor.errors import InputError
from monitor.judge.alert import Alert, rfc3339
from monitor.judge.state import read_alerts
from monitor.judge.ways import is_size
from monitor.pipeline import JUDGE_FILE
from monitor.units import format_bytes

SHORTEST = 4  # digits of an id that are enough to ask for it


def explain(wanted: str, config_path: Path | None, state: Path | None, *, as_json: bool) -> None:
    """Print all that was kept of an alert; raises InputError where there is none, or several begin so."""
    folder = (state or load_config(config_path).state) / JUDGE_FILE
    digits = wanted.strip().lower()
    if not SHORTEST <= len(digits) <= 16 or any(digit not in "0123456789abcdef" for digit in digits):
        raise InputError(f"{wanted!r} is not an alert's id: 16 hex digits, or the first {SHORTEST} or more")
    found = read_alerts(folder, digits)
    if not found:
        raise InputError(f"{folder}: no alert {digits!r} is kept here; they are kept 90 days after their end")
    if len(found) > 1:
        ids = ", ".join(alert.id for alert in found[:5])
        raise InputError(f"{len(found)} alerts begin with {digits!r}: {ids}")
    if as_json:
        print(json.dumps(found[0].to_json()))
        return
    show(found[0], terminal.console())


def show(alert: Alert, out: Console) -> None:
    """Print an alert for people."""
    out.print(terminal.safe(f"{alert.severity}: {alert.title}", "bold"))
    table = Table.grid(padding=(0, 2))
    for what, text in _lines(alert):
        table.add_row(Text(what, style="bold"), terminal.safe(text))
    out.print(table)
    for number, flow in enumerate(alert.flows, 1):
        out.print()
        out.print(terminal.safe(f"flow {number} of {len(alert.flows)}: {_flow(flow)}"))
        for step in flow.get("attribution", []):
            told = ", ".join(f"{key}: {value}" for key, value in step.items())
            out.print(terminal.safe(f"  {told}", "dim"))


def _lines(alert: Alert) -> list[tuple[str, str]]:
    group = ", ".join(f"{name}={value}" for name, value in alert.group.items()) or "all traffic"
    state = "open" if alert.ended is None else f"ended {rfc3339(alert.ended)}"
    state += f", because {alert.why_ended}" if alert.why_ended else ""
    again = f", re-opened {alert.reopened} times" if alert.reopened else ""
    lines = [
        ("alert", f"{alert.id}, {state}{again}"),
        ("rule", f"{alert.rule}, version {alert.version}"),
        ("group", group),
        ("began", rfc3339(alert.began)),
        ("newest", rfc3339(alert.last)),
        ("why", f"the {alert.measure} came to {_amount(alert, alert.value)}"),
    ]
    lines += [("", _way(alert, name, found)) for name, found in alert.evaluated.items()]
    lines += [
        ("sent", f"{format_bytes(alert.sent_bytes)} of payload"),
        ("mostly from", alert.workload or "unknown"),
        ("mostly to", alert.provider or "unknown"),
        ("countries", ", ".join(alert.countries) or "unknown"),
        ("names", ", ".join(alert.names) or "none seen"),
        ("evidence", ", ".join(alert.evidence) or "none"),
    ]
    for exception in alert.exceptions:
        why = exception.get("why_not") or "the flow shown first is of another tick"
        lines.append(("not excepted", f"{exception['match']} ({exception['owner']}): {why}"))
    if alert.mitre:
        lines.append(("mitre", ", ".join(alert.mitre)))
    lines.append(("runbook", alert.runbook or "none"))
    if alert.capsule:
        lines.append(("packets", alert.inspect or f"egress-monitor inspect {alert.id}"))
    return lines


def _way(alert: Alert, name: str, found: dict[str, Any]) -> str:
    match name:
        case "above":
            return f"above {_amount(alert, found['above'])}"
        case "novel":
            floor = _amount(alert, found["floor"])
            return f"a {found['of']} that this group did not use before, with at least {floor}"
        case "baseline":
            return f"at this hour at most {_amount(alert, found['usual'] or 0)} is usual for this group"
        case "ratio":
            sums = [f"{column} {found[column]:,}" for column in found if column != "above"]
            return f"{' against '.join(sums)}: more than {found['above']:g} times as much"
        case "distinct":
            return f"{found['values']:,} values of {found['of']}, more than {found['above']:,}"
        case "periodic":
            return f"the last {found['count']} connections began every {found['interval_seconds']:g} s"
    return f"{name}: {found}"


def _amount(alert: Alert, value: int) -> str:
    what, _, rest = alert.measure.partition(" of ")
    return format_bytes(value) if what == "sum" and is_size(rest.split(" ")[0]) else f"{value:,}"


def _flow(flow: dict[str, Any]) -> str:
    if "flow_id" not in flow:
        return ", ".join(f"{name}={value}" for name, value in flow.items() if value is not None)
    name = flow.get("dns_name") or flow.get("name")
    who = f"{flow['local_address']}:{flow['local_port']} ({flow['workload']})"
    whom = f"{flow['remote_address']}:{flow['remote_port']}" + (f" ({name})" if name else "")
    return (
        f"{who} - {whom}, {flow['application']}, opened by {flow['initiator']}, "
        f"{format_bytes(flow['payload_out'])} out, {format_bytes(flow['payload_in'])} in, "
        f"first seen {flow['first_seen']}"
    )
