"""The page at ``/``, for whoever has no dashboard: one file, no script, everything escaped."""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from monitor.flow_batch import SCOPES
from monitor.judge.alert import Alert, rfc3339
from monitor.publish.snapshot import Snapshot
from monitor.units import format_bytes

TOP_ROWS = 20
MAX_TEXT = 300  # characters of one value
REFRESH_SECONDS = 15

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
caption { text-align: left; font-size: 1.25rem; font-weight: 600; padding-bottom: .5rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8885; vertical-align: top;
  overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bad { font-weight: 700; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_NUMBER = ' class="number"'


def escaped(value: object) -> str:
    """Make text safe inside HTML; control, direction and other unseen characters become visible."""
    text = str(value)
    seen = "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text[:MAX_TEXT]
    )
    return html.escape(seen + ("…" if len(text) > MAX_TEXT else ""), quote=True)


def overview(snapshot: Snapshot, alerts: Sequence[Alert], ready: tuple[bool, str]) -> str:
    """Write the page: is it watching, what is wrong, who sends to whom."""
    is_ready, reason = ready
    state = "" if is_ready else ' class="bad"'
    open_alerts = sum(alert.is_open for alert in alerts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_SECONDS}">
<title>egress-monitor: {open_alerts} open alerts</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>egress-monitor</h1>
<p{state}>{escaped(reason)}</p>
{_alerts(alerts)}
{_traffic(snapshot)}
{_coverage(snapshot)}
<p><a href="/metrics">metrics</a> · <a href="/api/v1/alerts">alerts as JSON</a></p>
</main>
</body>
</html>
"""


def _alerts(alerts: Sequence[Alert]) -> str:
    newest = sorted(alerts, key=lambda alert: (alert.ended is not None, -alert.began))
    rows = (
        _row(
            escaped(alert.severity),
            f'<a href="/api/v1/alerts/{escaped(quote(alert.id, safe=""))}">{escaped(alert.title)}</a>',
            escaped(alert.workload),
            escaped(alert.provider or "unknown"),
            escaped(", ".join(f"{key} {value}" for key, value in alert.group.items())),
            format_bytes(alert.sent_bytes),
            rfc3339(alert.began)[:19] + "Z",
            "open" if alert.ended is None else rfc3339(alert.ended)[:19] + "Z",
        )
        for alert in newest
    )
    heads = ("Severity", "Alert", "Workload", "Provider", "Group", "Sent", "Began", "Ended")
    return _table("Alerts", heads, rows, numbers={5}, empty="No alert is open, and none ended lately.")


def _traffic(snapshot: Snapshot) -> str:
    largest = sorted(snapshot.traffic, key=lambda row: (-row[1][0], row[0]))[:TOP_ROWS]
    rows = (
        _row(*(escaped(label) for label in key), format_bytes(sent), format_bytes(received), numbers={3, 4})
        for key, (sent, received) in largest
    )
    heads = ("Workload", "Provider", "Country", "Sent", "Received")
    return _table(
        "Who sent most, to whom, since the start", heads, rows, numbers={3, 4}, empty="No traffic yet."
    )


def _coverage(snapshot: Snapshot) -> str:
    counters = snapshot.counters
    numbers: list[tuple[str, float]] = [
        (f"frames at {interface}", frames) for interface, frames in counters.frames.items()
    ]
    numbers += [
        (f"frames lost at {interface}: {reason}", frames)
        for (interface, reason), frames in counters.dropped_frames.items()
    ]
    numbers += [(f"frames in flows: {scope}", counters.scope_frames.get(scope, 0)) for scope in SCOPES]
    numbers.append(("frames in no flow", sum(counters.undecoded_frames.values())))
    numbers.append(("flows open now", counters.flows_open))
    rows = (_row(escaped(what), f"{number:,}", numbers={1}) for what, number in numbers)
    return _table("What was seen", ("What", "Count"), rows, numbers={1}, empty="Nothing yet.")


def _table(caption: str, heads: Sequence[str], rows: Iterable[str], *, numbers: set[int], empty: str) -> str:
    body = "\n".join(rows) or f'<tr><td colspan="{len(heads)}">{empty}</td></tr>'
    cells = "".join(
        f'<th scope="col"{_NUMBER if place in numbers else ""}>{head}</th>'
        for place, head in enumerate(heads)
    )
    head = f"<caption>{caption}</caption>\n<thead><tr>{cells}</tr></thead>"
    return f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>"


def _row(*cells: str, numbers: frozenset[int] | set[int] = frozenset({5})) -> str:
    return (
        "<tr>"
        + "".join(f"<td{_NUMBER if place in numbers else ''}>{cell}</td>" for place, cell in enumerate(cells))
        + "</tr>"
    )
