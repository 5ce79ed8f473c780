"""``egress-monitor inspect``: an alert's capsule or a capture, dissected, as a person would want it."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor import pipeline, terminal
from monitor.commands import capsule as capsules
from monitor.commands.tables import table
from monitor.config import load_config, parse_network
from monitor.errors import InputError
from monitor.evidence import chart, conversations, dissection, manifest, report
from monitor.evidence.capsule import PACKETS
from monitor.terminal import safe
from monitor.units import format_bytes, format_duration

ROWS = 20
SHOWN = 70  # characters of a name asked for; those of tunnels are long
ARROWS = {"out": "→ out", "in": "← in", "both": "↔", "none": "-"}


def inspect(
    what: str, config_path: Path | None, local: list[str], evidence: Path | None, seconds: int, as_json: bool
) -> None:
    """Dissect a capture file, a capsule, or the capsule of an alert; raises InputError."""
    config = load_config(config_path)
    if local:
        try:
            config = config.with_local([parse_network(text) for text in local])
        except ValueError as error:
            raise InputError(f"--local: {error}") from error
    notes: list[str] = []
    about: dict[str, Any] | None = None
    source = Path(what)
    if capsules.is_file(source):
        flows, notes = conversations.of_capture(source, config, pipeline.gateways(config))
    else:
        folder = capsules.find(what, config_path, evidence)
        flows = conversations.of_capsule(folder)
        faults = [{"file": fault.file, "what": fault.what} for fault in manifest.verify(folder)]
        about = {"folder": str(folder), "manifest": manifest.read(folder), "faults": faults}
        source = folder / PACKETS
    if source.is_file():
        found = dissection.dissect(source, conversations.decode_as(flows), seconds=seconds)
    else:
        found = dissection.Dissection(notes=["the capsule holds no packets"])
    told = report.build(source, flows, found, notes, about)
    if as_json:
        sys.stdout.write(json.dumps(told, ensure_ascii=True) + "\n")
    else:
        _show(told, terminal.console())


def _show(told: dict[str, Any], out: Console) -> None:
    if told["capsule"]:
        _show_capsule(told["capsule"], out)
    for note in told["notes"]:
        out.print(safe(f"Note: {note}", "yellow"), soft_wrap=True)
    sums = told["totals"]
    out.print(
        f"{sums['connections']:,} connections, {format_bytes(sums['payload_out'])} of payload out, "
        f"{format_bytes(sums['payload_in'])} in; the bulk went: {ARROWS[sums['bulk']]}\n"
    )
    _show_conversations(told["conversations"], out)
    _show_chart(told["over_time"], out)
    _show_dns(told["dns"], out)
    _show_handshakes(told["handshakes"], out)
    _show_http(told["http"], out)


def _show_capsule(about: dict[str, Any], out: Console) -> None:
    told = about["manifest"]
    packets = told.get("packets", {})
    out.print(safe(f"Capsule of alert {told.get('alert')}, rule {told.get('rule')}", "bold"))
    out.print(safe(f"{packets.get('count')} of {packets.get('of')} packets: {packets.get('note')}"))
    for fault in about["faults"]:
        out.print(safe(f"CHANGED: {fault['file']} {fault['what']}", "bold red"), soft_wrap=True)
    if not about["faults"]:
        out.print("All files are as they were written.")
    out.print()


def _show_conversations(flows: list[dict[str, Any]], out: Console) -> None:
    rows = table("Who talked", "us, them", "speaks", "out", "in", "bulk", "resets", "again")
    for flow in flows[:ROWS]:
        opened = {"local": " → ", "remote": " ← "}.get(flow["initiator"], " - ")
        ends = _end(flow["local_address"], flow["local_port"])
        ends.append(opened).append_text(_end(flow["remote_address"], flow["remote_port"]))
        if flow.get("name"):
            ends.append("\n  ").append_text(safe(str(flow["name"])))
        rows.add_row(
            ends,
            safe(str(flow["application"])),
            format_bytes(flow["bytes_out"]),
            format_bytes(flow["bytes_in"]),
            ARROWS[flow["bulk"]],
            str(flow["resets"] or "-"),
            str(flow["retransmissions"] or "-"),
        )
    _print(rows, len(flows), out)


def _show_chart(series: dict[str, Any], out: Console) -> None:
    if not series["bytes_out"]:
        return
    width = float(series["bin_seconds"])
    out.print(Text("Over time", style="bold"))
    for way, label in (("out", "out"), ("in", "in ")):
        values = series[f"bytes_{way}"]
        largest = max(*series["bytes_out"], *series["bytes_in"])
        packets = sum(series[f"packets_{way}"])
        line = f"{label} |{chart.bars(values, largest)}| {format_bytes(sum(values))}, {packets:,} packets"
        out.print(Text(line), soft_wrap=True)
    span = format_duration(round(width * len(series["bytes_out"]) * 1e9))
    block = format_duration(max(1, round(width * 1e9)))
    out.print(safe(f"     from {series['begins']}, {span}; a block is {block}"))
    out.print()


def _show_dns(asked: list[dict[str, Any]], out: Console) -> None:
    rows = table("DNS", "client", "asked", "type", "times", "answer")
    for one in asked[:ROWS]:
        answer = ", ".join(one["answers"]) or one["rcode"] or "(no answer)"
        name, kind = safe(one["name"] or "?", longest=SHOWN), safe(one["type"] or "?")
        rows.add_row(safe(one["client"]), name, kind, str(one["asked"]), safe(answer))
    _print(rows, len(asked), out)


def _show_handshakes(hellos: list[dict[str, Any]], out: Console) -> None:
    if not hellos:
        return
    out.print(Text("Handshakes", style="bold"))
    shown = Counter(tuple(_handshake(one)) for one in hellos)
    for lines, times in shown.most_common(ROWS):
        again = f"  ({times} times)" if times > 1 else ""
        out.print(safe(f"{lines[0]}{again}"), soft_wrap=True)
        for line in lines[1:]:
            out.print(safe(f"    {line}", longest=terminal.LONGEST_LINE), soft_wrap=True)
    if len(shown) > ROWS:
        out.print(f"and {len(shown) - ROWS:,} more; --json has them all")
    out.print()


def _handshake(one: dict[str, Any]) -> list[str]:
    """Give a handshake as lines: who with whom, what they agreed on, whose certificate."""
    server = f"{one['server']}:{one['server_port']}"
    lines = [f"{one['client']} → {server}  {one['name'] or '(no name)'}"]
    version = one["version"] or (f"offers {one['offered'][0]}" if one["offered"] else "version not seen")
    alpn = one["alpn"] or "/".join(one["alpn_offered"][:5])
    over = "" if one["over"] == "tls" else f" over {one['over'].upper()}"
    words = [f"{version}{over}", one["cipher"], f"ALPN {alpn}" if alpn else None]
    words.append(f"JA4 {one['ja4']}" if one["ja4"] else None)
    lines.append(", ".join(word for word in words if word))
    certificate = one["certificate"]
    if certificate:
        names = ", ".join(dict.fromkeys([certificate["subject"] or "?", *certificate["names"][:5]]))
        lines.append(f"certificate of {names}, issued by {certificate['issuer'] or '?'}")
    return lines


def _show_http(requests: list[dict[str, Any]], out: Console) -> None:
    rows = table("HTTP", "time", "client", "server", "request", "host", "status")
    for one in requests[:ROWS]:
        asked = f"{one['method']} {one['target'] or '(path not kept)'}"
        rows.add_row(
            safe(one["time"][:19]),
            safe(one["client"]),
            _end(one["server"], one["server_port"]),
            safe(asked),
            safe(one["host"] or "-"),
            safe(one["status"] or "-"),
        )
    _print(rows, len(requests), out)


def _print(shown: Table, count: int, out: Console) -> None:
    if not count:
        return
    out.print(shown)
    if count > ROWS:
        out.print(f"and {count - ROWS:,} more; --json has them all")
    out.print()


def _end(address: Any, port: Any) -> Text:
    return safe(f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}")
