"""``egress-monitor rules``: run the tests that rules carry, list rules, show one."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from monitor import terminal, yaml_file
from monitor.attribute.catalogue import Catalogue
from monitor.commands.replay_summary import STYLES
from monitor.config import Config, load_config
from monitor.errors import InputError
from monitor.judge.in_words import in_a_sentence
from monitor.judge.rule import Rule
from monitor.judge.rule_schema import rule_schema
from monitor.judge.rule_set import RuleSet
from monitor.judge.selftest import generated, untested
from monitor.judge.state import read_suppressed
from monitor.named_files import read_rules
from monitor.pipeline import JUDGE_FILE
from monitor.units import format_bytes, format_duration

SECOND = 10**9


def load(config: Config, paths: list[Path], *, trusted: bool = False) -> RuleSet:
    """Load rules as the daemon would, their tests included; never raises for what is in a rule file.

    `trusted`: as the daemon does, refuse captures that other users can write.
    """
    catalogue = Catalogue.load(config.catalogue)
    config.check_providers(set(catalogue.provider_ids()))
    return read_rules(config, paths, catalogue, trusted=trusted)


def test(paths: list[Path], config_path: Path | None) -> int:
    """Run the rules' own tests; 1 where one fails, 2 where a rule cannot be loaded at all."""
    config = load_config(config_path)
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    found = load(config, paths or config.rules)
    out = terminal.console()
    results = [(rule, result) for rule, each in found.results.items() for result in each]
    results += [
        (loaded.id, result)
        for loaded in found.rules
        for result in generated(loaded, found.cases[loaded.id])
    ]
    for rule, result in results:
        mark = Text("ok  ", "green") if result.passed else Text("FAIL", "bold red")
        out.print(mark, terminal.safe(rule), terminal.safe(result.name, "dim"))
    for line in [*map(str, found.broken), *found.warnings]:
        print(f"egress-monitor: {terminal.visible(line)}", file=sys.stderr)
    passed = sum(result.passed for _, result in results)
    rules = f"{len(found.rules)} rules right, {len(found.broken)} broken"
    out.print(f"{passed} of {len(results)} tests passed; {rules}")
    failing = {rule for rule, result in results if not result.passed}
    for loaded in found.rules:
        for clause in untested(loaded, found.cases[loaded.id]):
            failing.add(loaded.id)
            line = f"{loaded.path}: this clause is not tested: {clause}; without it all tests give the same"
            print(f"egress-monitor: {terminal.visible(line)}", file=sys.stderr)
    # a rule with a failing test is among the broken ones; the others cannot be read
    broken = {rule for rule, result in results if not result.passed}
    return 2 if len(found.broken) > len(broken) else 1 if failing else 0


def list_all(config_path: Path | None) -> None:
    """Print a table of the rules that would be loaded, and on standard error why others would not."""
    config = load_config(config_path)
    found = load(config, config.rules)
    suppressed = read_suppressed(config.state / JUDGE_FILE)
    table = Table.grid(padding=(0, 2))
    for rule in sorted(found.rules, key=lambda rule: rule.id):
        note = f"{rule.title} (asleep: {rule.asleep})" if rule.asleep else rule.title
        severity = Text(rule.severity, STYLES[rule.severity])
        table.add_row(Text(rule.id, "bold"), severity, Text(rule.status), terminal.safe(note))
        for exception in rule.exceptions:
            taken = suppressed.get(rule.id, {}).get(exception.words)
            text = f"except {exception.words}, until {exception.expires}: {_lately(taken)}"
            table.add_row("", "", "", terminal.safe(text, "dim"))
    terminal.console().print(table)
    for error in found.broken:
        print(f"egress-monitor: {terminal.visible(str(error))}", file=sys.stderr)


def _lately(taken: tuple[int, dict[int, int]] | None) -> str:
    """Say what an exception took out in the last 7 days with traffic that is kept, and in all."""
    if taken is None:
        return "took out nothing yet"
    total, days = taken
    newest = max(days, default=0)
    week = sum(sent for day, sent in days.items() if day > newest - 7)
    day = datetime.fromtimestamp(newest * 86_400, UTC).date()
    return f"took out {format_bytes(week)} in the 7 days to {day}, {format_bytes(total)} in all"


def schema() -> None:
    """Print the JSON Schema of a rule file, for editors."""
    print(json.dumps(rule_schema(), indent=2))


def show(rule_id: str, config_path: Path | None) -> None:
    """Print one rule in words; raises InputError where there is none of this id."""
    config = load_config(config_path)
    found = load(config, config.rules)
    by_id = {rule.id: rule for rule in found.rules}
    rule = by_id.get(rule_id)
    if rule is None:
        raise InputError(f"no rule {rule_id!r} is loaded{yaml_file.nearest(rule_id, by_id)}")
    out = terminal.console()
    out.print(terminal.safe(rule.title, "bold"))
    out.print(terminal.safe(in_a_sentence(rule)))
    table = Table.grid(padding=(0, 2))
    for what, text in _lines(rule):
        table.add_row(Text(what, style="bold"), terminal.safe(text))
    out.print(table)
    runbook = rule.path.parent / rule.runbook if rule.runbook else None
    if runbook is not None and runbook.is_file():
        out.print()
        for line in runbook.read_text(encoding="utf-8").splitlines():
            out.print(terminal.safe(line))


def _lines(rule: Rule) -> list[tuple[str, str]]:
    is_size = rule.measure.what == "sum" and "packets" not in rule.measure.of
    line = format_bytes(rule.ways.threshold) if is_size else f"{rule.ways.threshold:,}"
    lines = [
        ("id", rule.id),
        ("severity", f"{rule.severity}, {rule.status}"),
        ("file", str(rule.path)),
        *(("match", condition.words) for condition in rule.match.conditions),
        ("measure", rule.measure.words),
        ("fires", f"{'from' if rule.ways.novel else 'above'} {line}"),
    ]
    if rule.ways.novel:
        learn = format_duration(rule.ways.novel.learn * SECOND)
        lines.append(("", f"for a {rule.ways.novel.of} that the group never had; learns {learn} first"))
    lines.append(("ends", f"when that was false for {format_duration(rule.resolve_after * SECOND)}"))
    lines += [
        ("except", f"{exception.words}: {exception.reason} ({exception.owner}, until {exception.expires})")
        for exception in rule.exceptions
    ]
    if rule.asleep:
        lines.append(("asleep", f"not judged: {rule.asleep}"))
    if rule.mitre:
        lines.append(("mitre", ", ".join(rule.mitre)))
    return lines
