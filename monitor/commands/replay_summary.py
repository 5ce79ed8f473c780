"""What a replay says at its end: who sent how much to whom, how we know, which alerts, how complete."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.flow_batch import Counters
from monitor.terminal import LONGEST_LINE, safe
from monitor.units import format_bytes, format_duration

if TYPE_CHECKING:
    from monitor.judge.alert import Alert
    from monitor.replay import ReplayResult

ROWS = 20
HOSTS = 5  # named in a line
OUTSIDE_CATALOGUE = re.compile(r"as\d+")
AS_NAME_SHOWN = 24  # characters; some are whole addresses
SEVERITIES = ("critical", "warning", "info")  # the worst first
STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
EVIDENCE = {
    "dns": "DNS answer",
    "dns_shared": "shared DNS",
    "sni": "TLS SNI",
    "quic_sni": "QUIC SNI",
    "dtls_sni": "DTLS SNI",
    "http_host": "HTTP Host",
    "http_connect": "CONNECT",
    "socks": "SOCKS",
    "prefix": "prefix list",
    "asn": "AS number",
    "none": "-",
}


def show(result: ReplayResult, out: Console) -> None:
    """Print the whole summary."""
    if result.totals.is_empty() and result.transit_hint:
        out.print("No traffic of the local networks was seen.\n")
    else:
        _show_traffic(result.totals, out)
    if result.transit_hint:
        out.print(safe(f"Which side is ours? {result.transit_hint}", "bold yellow"))
        out.print()
    _show_alerts(result.alerts, out)
    _show_encrypted_dns(result.counters.encrypted_dns, out)
    _show_coverage(result.counters, result.span, out)


def _show_traffic(totals: pl.DataFrame, out: Console) -> None:
    if totals.is_empty():
        out.print("Nothing left the local networks.\n")
        return
    out.print(Text("What left, by payload sent", style="bold"))
    keys = ["workload", "provider", "name"]
    # a hundred thousand rows by five columns take longer to sort than a million packets to judge
    heavy = totals.filter(totals["payload_out"] >= totals["payload_out"].top_k(ROWS).min())
    ordered = heavy.sort(["payload_out", "bytes_out", *keys], descending=[True, True, False, False, False])
    shown = ordered.head(ROWS)
    table = _table()
    table.add_column("who", overflow="fold", max_width=22)
    table.add_column("sent", justify="right", no_wrap=True)
    table.add_column("got", justify="right", no_wrap=True)
    table.add_column("conns", justify="right", no_wrap=True)
    table.add_column("to whom", overflow="fold", max_width=18)
    table.add_column("in", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("how we know", no_wrap=True)
    for row in shown.iter_rows(named=True):
        table.add_row(
            safe(row["workload"] or "(others)"),
            format_bytes(row["payload_out"]),
            format_bytes(row["bytes_in"]),
            f"{row['connections']:,}",
            _whom(row["provider"], row["as_name"]),
            safe(row["country"] or "-"),
            safe(row["name"] or "-"),
            EVIDENCE.get(row["evidence"], "-"),
        )
    out.print(table)
    out.print()
    more = len(totals) - ROWS
    if more > 0:
        sent = format_bytes(int(totals["payload_out"].sum()) - int(shown["payload_out"].sum()))
        out.print(f"and {more:,} more rows that sent {sent} together; --flows FILE has them all\n")


def _show_alerts(alerts: list[Alert], out: Console) -> None:
    if not alerts:
        out.print("No alert.\n")
        return
    out.print(Text(f"Alerts: {len(alerts):,}", style="bold"))
    table = _table()
    table.add_column("severity", no_wrap=True)
    table.add_column("rule", overflow="fold")
    table.add_column("who", overflow="fold", max_width=22)
    table.add_column("to whom", overflow="fold", max_width=14)
    table.add_column("sent", justify="right", no_wrap=True)
    table.add_column("began (UTC)", no_wrap=True)
    table.add_column("lasted", no_wrap=True)
    worst_first = sorted(alerts, key=lambda alert: (SEVERITIES.index(alert.severity), alert.began, alert.id))
    for alert in worst_first[:ROWS]:
        table.add_row(
            Text(alert.severity, style=STYLES[alert.severity]),
            safe(alert.rule),
            safe(alert.workload or "-"),
            safe(alert.provider or "-"),
            format_bytes(alert.sent_bytes),
            _moment(alert.began),
            format_duration(max(0, alert.ended - alert.began)) if alert.ended is not None else "open",
        )
    out.print(table)
    out.print()
    if len(alerts) > ROWS:
        out.print(f"and {len(alerts) - ROWS:,} more; --alerts FILE has them all\n")


def _show_encrypted_dns(bytes_by_workload: dict[str, int], out: Console) -> None:
    """One line: whose names may be missing."""
    if not bytes_by_workload:
        return
    heaviest = sorted(bytes_by_workload.items(), key=_largest)
    names = ", ".join(workload for workload, _ in heaviest[:HOSTS])
    more = f" and {len(heaviest) - HOSTS:,} more" if len(heaviest) > HOSTS else ""
    text = f"Names may be missing: {names}{more} asked DNS over TLS, HTTPS or QUIC, where nobody can look in."
    out.print(safe(text, "yellow", longest=LONGEST_LINE))
    out.print()


def _show_coverage(counters: Counters, span: tuple[int, int] | None, out: Console) -> None:
    """One line: how much was seen, and what of it could not be judged."""
    frames = sum(counters.frames.values())
    undecoded = {reason: count for reason, count in counters.undecoded_frames.items() if count}
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(undecoded.items(), key=_largest))
    parts = [
        f"{frames:,} frames, {format_bytes(sum(counters.wire_bytes.values()))} on the wire",
        f"{sum(undecoded.values()):,} undecoded" + (f" ({reasons})" if reasons else ""),
        f"{sum(counters.dropped_frames.values()):,} dropped",
    ]
    evicted = sum(counters.flows_evicted.values())
    if evicted:
        parts.append(f"{evicted:,} flows evicted")
    if counters.late_frames:
        parts.append(f"{counters.late_frames:,} late")
    line = f"Coverage: {'; '.join(parts)}."
    if span is not None and frames:
        line += f" {_moment(span[0])} to {_moment(span[1])} UTC, {format_duration(span[1] - span[0])}."
    out.print(safe(line))


def _whom(provider: str | None, as_name: str | None) -> Text:
    """Name a provider; a network outside the catalogue by its number and what it calls itself."""
    whom = safe(provider or "unknown", "bold")
    if provider and as_name and OUTSIDE_CATALOGUE.fullmatch(provider):
        whom.append_text(safe(f" {as_name[:AS_NAME_SHOWN]}"))
    return whom


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _largest(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _moment(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%d %H:%M}"
