"""``egress-monitor impact``: whom an exposed service answered, and which of them got the data."""

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.text import Text

from monitor import records, terminal
from monitor.commands import capsule as capsules
from monitor.commands.tables import table
from monitor.config import Config, load_config, parse_network
from monitor.errors import InputError
from monitor.evidence import chart, impact_sources, manifest
from monitor.evidence.impact import DATA_ABOVE, Impact, Outsider, assess
from monitor.evidence.impact_page import page
from monitor.evidence.impact_sources import NEEDED, Gathered, Record
from monitor.evidence.keeper import ROWS as ROWS_FOLDER
from monitor.replay import replay
from monitor.terminal import safe
from monitor.units import format_bytes, format_duration, parse_bytes

ROWS = 20


def impact(
    what: list[str],
    config_path: Path | None,
    local: list[str],
    evidence: Path | None,
    above: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Work out the impact of alerts, flow record files or captures; raises InputError."""
    config = load_config(config_path)
    try:
        config = config.with_local([parse_network(text) for text in local]) if local else config
        data_above = parse_bytes(above) if above else DATA_ABOVE
    except ValueError as error:
        raise InputError(str(error)) from error
    flows: dict[str, Record] = {}
    notes: list[str] = []
    captures = []
    about = []
    for one in what:
        path = Path(one)
        if capsules.is_file(path) and impact_sources.is_flow_file(path):
            found = impact_sources.of_file(path)
            about.append(path.name)
        elif one == "-" or capsules.is_file(path):
            captures.append(one)
            about.append(path.name)
            continue
        else:
            folder = capsules.find(one, config_path, evidence)
            faults = manifest.verify(folder)
            notes += [f"{folder.name}/{fault.file} {fault.what}" for fault in faults]
            rows = (evidence or config.state) / ROWS_FOLDER
            found, more = impact_sources.of_capsule(folder, folder.parent, rows)
            notes += more
            manifest_of = manifest.read(folder)
            about.append(f"alert {manifest_of.get('alert')}, {manifest_of.get('rule')}")
        impact_sources.merge(flows, found)
    if captures:
        found, more = _replayed(config, captures)
        notes += more
        impact_sources.merge(flows, found)
    # several capsules of one place say the same
    told = assess(flows.values(), list(dict.fromkeys(notes)), data_above=data_above)
    title = f"Impact: {'; '.join(about)}"
    if html is not None:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        made = f"made {now} by egress-monitor {version('egress-monitor')}"
        try:
            html.write_text(page(told, title, made), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{html}: {error.strerror or error}") from error
    if as_json:
        sys.stdout.write(json.dumps(told.to_json(), ensure_ascii=True) + "\n")
    else:
        _show(told, terminal.console())


class _Sink:
    """Takes the rows of a replay that outsiders opened, and keeps a record a connection."""

    def __init__(self) -> None:
        self.gathered = Gathered()

    def write(self, flows: pl.DataFrame, /) -> None:
        opened = (pl.col("scope") == "egress") & (pl.col("initiator") != "local")
        self.gathered.add(records.readable(flows.filter(opened).select(NEEDED)))


def _replayed(config: Config, captures: list[str]) -> tuple[list[Record], list[str]]:
    sink = _Sink()
    result = replay(config, captures, learn=False, state=None, flows_out=sink)
    hint = [result.transit_hint] if result.transit_hint else []
    return sink.gathered.records(), [*result.warnings, *hint]


def _show(told: Impact, out: Console) -> None:
    for note in told.notes:
        out.print(safe(f"Note: {note}", "yellow", terminal.LONGEST_LINE), soft_wrap=True)
    if told.since is None:
        out.print("No outsider opened a connection that was answered.")
        return
    data = told.who("data")
    got = format_bytes(sum(one.sent_bytes for one in data))
    out.print(f"Answered outsiders since {_moment(told.since)} UTC; last seen {_moment(told.until)}.")
    took = f"{len(data):,} of {len(told.outsiders):,} addresses got data, {got} in all"
    if data:
        out.print(Text(f"{took}, since {_moment(told.first_data)}.", "bold red"))
    else:
        out.print(f"{took}.")
    out.print(safe(f"How it is told: {told.criterion}.", "dim"), soft_wrap=True)
    out.print()
    headings = ("workload", "address", "speaks", "connections", "sent", "since (UTC)")
    services = table("What answered", *headings, numbers={"connections", "sent"})
    for service in told.services[:ROWS]:
        services.add_row(
            safe(service["workload"]), safe(f"{service['address']}:{service['port']}"),
            safe(service["application"]), f"{service['connections']:,}", format_bytes(service["sent_bytes"]),
            _moment(service["since"]),
        )  # fmt: skip
    out.print(services)
    out.print()
    for got in ("data", "little", "nothing"):
        _show_outsiders(told.who(got), f"Who got {got}", out)
    line = told.timeline
    sums = [data + little for data, little in zip(line["data"], line["little"], strict=True)]
    bar = format_duration(round(line["bin_seconds"] * 1e9))
    out.print(Text("Payload sent, by the time that connections began", "bold"))
    out.print(f"|{chart.bars(sums, max(sums))}| from {_moment(line['begins'])} UTC; a block is {bar}")


def _show_outsiders(outsiders: list[Outsider], title: str, out: Console) -> None:
    if not outsiders:
        return
    headings = ("address", "in", "network", "conns", "got", "first (UTC)", "last (UTC)")
    rows = table(title, *headings, numbers={"conns", "got"})
    for one in outsiders[:ROWS]:
        rows.add_row(
            safe(one.address), safe(one.country or "?"), safe(one.network or "?"), f"{one.connections:,}",
            format_bytes(one.sent_bytes), _moment(one.first), _moment(one.last),
        )  # fmt: skip
    out.print(rows)
    if len(outsiders) > ROWS:
        out.print(f"and {len(outsiders) - ROWS:,} more; --json has them all")
    out.print()


def _moment(time: str | None) -> str:
    return f"{time[:10]} {time[11:16]}" if time else "-"
