"""``egress-monitor rules learnt``: what rules took for usual while they learnt, to be reviewed by people."""

import json
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.table import Table

from monitor import terminal, yaml_file
from monitor.config import load_config
from monitor.errors import InputError
from monitor.judge.learnt import Learnt
from monitor.judge.state import read_learnt
from monitor.judge.ways import is_size
from monitor.pipeline import JUDGE_FILE
from monitor.units import format_bytes

SHOWN = 10  # values of a group in the table; --json has all that are kept
EVERYBODY = "all traffic"


def show(rule: str | None, config_path: Path | None, state: Path | None, *, as_json: bool) -> None:
    """Print the list, of one rule where that is asked for; raises InputError where there is no state."""
    folder = (state or load_config(config_path).state) / JUDGE_FILE
    learnt = read_learnt(folder)
    if rule is not None:
        known = {one.rule for one in learnt}
        if learnt and rule not in known:
            raise InputError(f"nothing that a rule {rule!r} learnt is kept{yaml_file.nearest(rule, known)}")
        learnt = [one for one in learnt if one.rule == rule]
    if as_json:
        for one in learnt:
            print(json.dumps(one.to_json()))
        return
    out = terminal.console()
    if not learnt:
        out.print("No rule has learnt anything yet: egress_rule_learning is 1 while one learns.")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("rule", "who", "usual is now", "how much", "last"):
        table.add_column(name, overflow="fold", justify="right" if name == "how much" else "left")
    for one in learnt:
        _add(table, one)
    out.print(table)
    groups = "1 group" if len(learnt) == 1 else f"{len(learnt):,} groups"
    out.print()
    out.print(f"{groups}; none of it will raise an alert. What should not be there needs a rule of its own.")


def _add(table: Table, one: Learnt) -> None:
    rule, who = terminal.safe(one.rule), terminal.safe(_words(one.group) or EVERYBODY)
    amount = format_bytes if is_size(one.measure) else "{:,}".format
    if one.way == "baseline":
        hours = "1 hour" if one.hours == 1 else f"{one.hours:,} hours"
        most = f"{amount(one.most)} an hour"
        table.add_row(rule, who, f"{hours} with traffic, at most", most, _day(one.ended))
        return
    rows = [
        (terminal.safe(f"{one.of} {_word(used.value)}"), amount(used.amount), _day(used.last))
        for used in one.used[:SHOWN]
    ]
    more = one.left_out + max(0, len(one.used) - SHOWN)
    if more:
        rows.append((terminal.safe(f"and {more:,} more"), "", ""))
    if not rows:
        rows.append((terminal.safe(f"no {one.of}"), "", _day(one.ended)))
    for what, how_much, last in rows:
        table.add_row(rule, who, what, how_much, last)
        rule = who = terminal.safe("")


def _words(group: dict[str, object]) -> str:
    return ", ".join(_word(value) for value in group.values())


def _word(value: object) -> str:
    return "none" if value is None else str(value)


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
