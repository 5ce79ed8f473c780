"""The page at ``/``, for whoever has no dashboard: what was seen, what fired, who sends to whom, what is new.

The whole page is made here, also what the script puts in later: it fetches the same page anew and takes over
the sections marked ``data-live``, so that text from the network becomes markup in one place, escaped. Without
the script the page loads itself anew.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.judge.alert import Alert
from monitor.publish.destinations import WINDOW, Destination, Summary, Sums
from monitor.publish.page_alerts import alerts_section
from monitor.publish.page_text import (
    EVIDENCE,
    age,
    count,
    escaped,
    facts,
    isolated,
    link,
    moment,
    part,
    share,
    table,
)
from monitor.publish.runbooks import Runbooks
from monitor.units import format_bytes

TOP_ROWS = 20
REFRESH_SECONDS = 15  # without the script

# the script and the style are files of ours; nothing inline, nothing from elsewhere
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Shown:
    """What a page is made of."""

    alerts: Sequence[Alert]  # those that the filters chose
    filters: Mapping[str, str]  # by label name
    coverage: Mapping[str, Any]  # of `coverage_report`
    destinations: Summary
    runbooks: Runbooks


def overview(shown: Shown) -> str:
    """Write the page at ``/``."""
    sections = [
        _coverage(shown.coverage),
        alerts_section(shown.alerts, shown.filters, shown.runbooks, fold=not shown.filters),
        _destinations(shown.destinations),
        _new(shown.destinations),
    ]
    return _page("egress-monitor", shown, sections)


def alerts_page(shown: Shown) -> str:
    """Write the page that links of alerts lead to: those that were chosen, and whether it is watching."""
    sections = [
        alerts_section(shown.alerts, shown.filters, shown.runbooks),
        _coverage(shown.coverage),
    ]
    return _page("Alerts - egress-monitor", shown, sections)


def _page(title: str, shown: Shown, sections: Sequence[str]) -> str:
    number = sum(alert.is_open for alert in shown.alerts)
    body = "\n".join(sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS}"></noscript>
<title>{f"({number}) " if number else ""}{escaped(title)}</title>
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/page.css">
<script src="static/page.js" defer></script>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header>
<p class="name"><a href="./">egress-monitor</a></p>
<nav aria-label="Pages"><ul>
<li><a href="./">Overview</a></li>
<li><a href="alerts">Alerts</a></li>
<li><a href="runbooks">Runbooks</a></li>
<li><a href="metrics">Metrics</a></li>
</ul></nav>
<p id="live" hidden><button type="button" id="pause" aria-pressed="false">Pause updates</button>
<span id="updated"></span></p>
</header>
<main id="content" tabindex="-1">
<h1>{escaped(title.partition(" - ")[0])}</h1>
<p id="summary" role="status" aria-live="polite" class="{_state(shown)}">{_summary(shown)}</p>
{body}
</main>
<footer><p>The same for programs: {link("api/v1/coverage", "coverage")},
{link("api/v1/alerts", "alerts")}, {link("api/v1/destinations", "destinations")}.
IP geolocation by DB-IP, CC BY 4.0.</p></footer>
</body>
</html>
"""


def _state(shown: Shown) -> str:
    watching = shown.coverage["ready"] and not shown.coverage["blind"]
    return "good" if watching and not any(alert.is_open for alert in shown.alerts) else "bad"


def _summary(shown: Shown) -> str:
    """One line that a screen reader says when it changes, so nothing in it may change each second."""
    coverage = shown.coverage
    if not coverage["ready"]:
        watching = f"Not ready: {escaped(coverage['reason'])}."
    elif coverage["blind"]:
        names = ", ".join(
            f"{isolated(one['interface'])} ({escaped(', '.join(one['blind']))})"
            for one in coverage["interfaces"]
            if one["blind"]
        )
        watching = f"BLIND on {names}: that nothing shows means nothing."
    else:
        interfaces, rules = count(len(coverage["interfaces"]), "interface"), count(coverage["rules"], "rule")
        watching = f"Watching {interfaces} with {rules}."
    number = sum(alert.is_open for alert in shown.alerts)
    critical = sum(alert.is_open and alert.severity == "critical" for alert in shown.alerts)
    fired = f"{count(number, 'open alert')}, {critical:,} critical." if number else "No open alert."
    return f"{watching} {fired}"


def _coverage(coverage: Mapping[str, Any]) -> str:
    rows = [
        (
            isolated(one["interface"]),
            {True: "up", False: "<strong>down</strong>", None: "-"}[one["up"]],
            f"{one['frames']:,}",
            format_bytes(one["seen_bytes"]),
            "-" if one["carried_bytes"] is None else format_bytes(one["carried_bytes"]),
            "-" if one["coverage_ratio"] is None else share(one["coverage_ratio"]),
            _lost(one["dropped_frames"]),
            f"<strong>{escaped(', '.join(one['blind']))}</strong>" if one["blind"] else "no",
        )
        for one in coverage["interfaces"]
    ]
    heads = ("Interface", "State", "Frames", "Seen", "It carried", "Last minute", "Lost frames", "Blind")
    interfaces = table(
        "interfaces", "Interfaces, since the start", heads, rows, numbers=frozenset({2, 3, 4, 5}),
        empty="No frame yet.",
    )  # fmt: skip
    return f"""<section id="coverage" aria-labelledby="coverage-head" data-live>
<h2 id="coverage-head">What was seen</h2>
{interfaces}
{facts(_sums(coverage))}
</section>"""


def _lost(frames: Mapping[str, int]) -> str:
    lost = [f"{escaped(reason)} {number:,}" for reason, number in frames.items() if number]
    return f"<strong>{', '.join(lost)}</strong>" if lost else "none"


def _sums(coverage: Mapping[str, Any]) -> list[tuple[str, str]]:
    undecoded = coverage["undecoded"]
    reasons = ", ".join(f"{escaped(reason)} {number:,}" for reason, number in undecoded["by_reason"].items())
    of_all = undecoded["bytes"] / coverage["wire_bytes"] if coverage["wire_bytes"] else 0.0
    broken = sum(coverage["laws_broken"].values())
    given_up = ", ".join(f"{escaped(what)} {number:,}" for what, number in coverage["given_up"].items())
    backlog = count(coverage["backlog_dropped_frames"], "frame")
    failed = "; ".join(f"{escaped(what)}: {escaped(why)}" for what, why in coverage["loads_failed"].items())
    return [
        (
            "Not decoded",
            f"{count(undecoded['frames'], 'frame')}, {share(of_all)} of the bytes"
            + (f" ({reasons})" if reasons else ""),
        ),
        ("Lost in CPU backlogs", f"{backlog} since this machine booted"),
        ("Laws of counting", f"<strong>broken {broken:,} times</strong>" if broken else "hold"),
        ("Canary", _canary(coverage["canary"]["last_seen"])),
        ("Judged up to", moment(int(coverage["clock"]) * 10**9)),
        ("Open flows", f"{coverage['flows_open']:,}"),
        ("Evicted flows", f"{coverage['flows_evicted']:,}" if coverage["flows_evicted"] else ""),
        ("Merged ticks", f"{coverage['merged_ticks']:,}" if coverage["merged_ticks"] else ""),
        ("Given up at a bound", given_up),
        ("State", "" if coverage["state_saved"] else "<strong>could not be kept; a restart forgets</strong>"),
        ("Could not be loaded", f"<strong>{failed}</strong>" if failed else ""),
        ("Rules that still learn", str(coverage["rules_learning"]) if coverage["rules_learning"] else ""),
    ]


def _canary(last_seen: Mapping[str, float]) -> str:
    if not last_seen:
        return "none is expected"
    now = time.time()
    return ", ".join(
        f"{isolated(who)}: seen {age(now - when)} ago"
        if when
        else f"<strong>{isolated(who)}: not seen yet</strong>"
        for who, when in last_seen.items()
    )


def _destinations(summary: Summary) -> str:
    rows = [_destination(key, sums) for key, sums in summary.top]
    rest = summary.total - len(summary.top)
    notes = []
    if rest > 0:
        notes.append(f"and {rest:,} more destinations")
    if summary.others != Sums():
        notes.append(f"{format_bytes(summary.others.sent_bytes)} went to ones too small to be kept apart")
    heads = ("Who", "To whom", "Country", "Name", "Sent", "Received", "Connections", "How we know")
    listed = table(
        "destinations", f"Who sent most, to whom, in the last {WINDOW // 60} minutes", heads, rows,
        numbers=frozenset({4, 5, 6}), empty="Nothing left in the last hour.",
    )  # fmt: skip
    note = f"<p>{'; '.join(notes)}.</p>" if notes else ""
    return f"""<section id="destinations" aria-labelledby="destinations-head" data-live>
<h2 id="destinations-head">Top destinations</h2>
{listed}
{note}
</section>"""


def _destination(key: Destination, sums: Sums) -> Sequence[str]:
    whom = isolated(key.provider or "unknown")
    if key.as_name and (key.provider or "").removeprefix("as").isdigit():
        whom += f" {isolated(key.as_name)}"
    return (
        isolated(key.workload),
        whom,
        escaped(key.country or "-"),
        isolated(key.name or "-"),
        format_bytes(sums.sent_bytes),
        format_bytes(sums.received_bytes),
        f"{sums.connections:,}",
        f"{escaped(EVIDENCE.get(key.evidence or 'none', key.evidence))}, {escaped(key.confidence or 'none')}",
    )


def _new(summary: Summary) -> str:
    rows = [
        (
            isolated(one.workload),
            isolated(one.provider or "unknown"),
            escaped(one.country or "-"),
            moment(one.first),
        )
        for one in summary.new
    ]
    listed = table(
        "new", "First sent to in the last 24 hours", ("Who", "To whom", "Country", "First"), rows,
        empty="Nothing new.",
    )  # fmt: skip
    return f"""<section id="new" aria-labelledby="new-head" data-live>
<h2 id="new-head">What is new</h2>
{listed}
<p>Watched since {moment(summary.since)}; what was before is not known here. Rules that learn keep what they
learnt over a restart, and their alerts are above.</p>
</section>"""


def runbooks_page(runbooks: Runbooks) -> str:
    """Write the list of runbooks."""
    rules = "".join(
        f"<li>{link(f'runbooks/{part(rule)}', rule)}: {escaped(title)}</li>"
        for rule, (title, _) in sorted(runbooks.rules.items())
    )
    files = "".join(f"<li>{link(f'runbooks/{part(name)}', name)}</li>" for name in sorted(runbooks.files))
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Runbooks - egress-monitor</title><link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/page.css"></head>
<body><header><p class="name"><a href="./">egress-monitor</a></p></header>
<main id="content"><h1>Runbooks</h1>
<h2>By rule</h2><ul>{rules or "<li>No rule that is loaded has one.</li>"}</ul>
<h2>All that come with the monitor</h2><ul>{files}</ul></main></body>
</html>
"""
