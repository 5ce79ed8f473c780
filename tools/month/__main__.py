"""Plays a made month through the shipped rules, with learning on: what was found, how late, what was noise.

    python -m tools.month [--seed 1] [--days 30] [--load 1] [--first-leak 8] [--leak-size 1] [--rules FOLDER]

Exit status 1 where a leak was not found or more than one false page came in a week.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

import polars as pl

from monitor import shipped
from monitor.attribute.catalogue import Catalogue
from monitor.judge import Judge, load_rules
from monitor.judge.alert import Alert
from monitor.judge.rule_file import Need
from monitor.units import format_duration

from . import world
from .events import NORMAL, Events, dns_rows, flow_rows, hourly
from .leaks import Leak, add_leaks
from .normal import add_normal
from .world import DAY, START, Parameters

SECOND = 10**9
CONFIGURED: list[Need] = ["published", "sanctioned_providers", "resolvers"]


@dataclass(frozen=True)
class Found:
    """An alert, when it began (seconds since START), and the leak that it is about; None: it is false."""

    alert: Alert
    began: float
    leak: int | None


def make(month: Parameters) -> tuple[pl.DataFrame, pl.DataFrame, list[Leak]]:
    """Make the flow rows and DNS rows of a month, with a column ``leak`` each, and what was planted."""
    services = world.services(month.customers, month.visitors)
    events = Events(month.seed, month.days)
    add_normal(events, services, month)
    planted = add_leaks(events, month)
    flows = flow_rows(events, {**services, **world.LEAK_SERVICES}, world.PUBLISHED)
    dns = dns_rows(events)
    ticks = pl.concat([frame.select("leak", "tick") for frame in (flows, dns)])
    first = dict(ticks.group_by("leak").agg(pl.col("tick").min().dt.epoch("s") - START).iter_rows())
    return flows, dns, [Leak(number, what, first[number]) for number, what in enumerate(planted)]


def play(flows: pl.DataFrame, dns: pl.DataFrame, days: int, rules: list[Path]) -> list[Found]:
    """Judge a month, an hour at a time; gives each alert once, by its beginning."""
    loaded = load_rules(
        rules,
        sanctioned=world.SANCTIONED,
        providers=Catalogue.load().provider_ids(),
        workloads=None,
        configured=CONFIGURED,
    )
    if loaded.broken:
        raise SystemExit(str(loaded.broken[0]))
    judge = Judge(loaded.rules, learn=True)
    judge.start()
    leaking = dict(flows.filter(pl.col("leak") != NORMAL).select("flow_id", "leak").unique().iter_rows())
    asked = dict(dns.filter(pl.col("leak") != NORMAL).select("domain", "leak").unique().iter_rows())
    found = []
    for hour, (some, questions) in enumerate(zip(hourly(flows, days), hourly(dns, days), strict=True), 1):
        clock = (START + hour * world.HOUR) * SECOND
        for event in judge.judge(some.drop("leak"), questions.drop("leak"), clock):
            if event.kind == "begun":
                owners = {
                    leaking.get(int(flow["flow_id"], 16)) for flow in event.alert.flows if "flow_id" in flow
                }
                owners.add(asked.get(event.alert.group.get("domain")))
                leak = next((owner for owner in sorted(owners - {None})), None)  # type: ignore[type-var]
                found.append(Found(event.alert, event.time / SECOND - START, leak))
    judge.stop()
    return found


def report(found: list[Found], leaks: list[Leak], days: int) -> bool:
    """Print what was found and what was noise; gives whether that is good enough."""
    missed = 0
    print(f"{'leak':57} {'after':>7}  found by")
    for leak in leaks:
        mine = sorted((one.began, one.alert.rule) for one in found if one.leak == leak.number)
        missed += not mine
        first = {rule: began for began, rule in reversed(mine)}
        in_time = sorted(first.items(), key=lambda one: one[1])
        lines = [(rule, _late(began - leak.began)) for rule, began in in_time]
        for place, (rule, late) in enumerate(lines or [("NOT FOUND", "-")]):
            print(f"{leak.what if place == 0 else '':57} {late:>7}  {rule}")
    false = [one for one in found if one.leak is None]
    weeks = -(-days // 7)
    worst = 0
    print()
    for severity in ("critical", "warning", "info"):
        by_week = Counter(int(one.began // (7 * DAY)) for one in false if one.alert.severity == severity)
        counts = [by_week[week] for week in range(weeks)]
        print(f"false, {severity}: {', '.join(map(str, counts))} a week")
        worst = max(counts) if severity == "critical" else worst
    for (severity, rule, workload), count in sorted(
        Counter((one.alert.severity, one.alert.rule, one.alert.workload or "-") for one in false).items()
    ):
        print(f"    {severity} {rule} {workload}: {count}")
    return not missed and worst <= 1


def _late(seconds: float) -> str:
    return format_duration(int(seconds) * SECOND) if seconds >= 1 else "<1s"


def main() -> int:
    """Make, play and report one month."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for one in fields(Parameters):
        kind = type(one.default)
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default)
    parser.add_argument("--rules", type=Path, default=shipped.rules())
    options = vars(parser.parse_args())
    rules = options.pop("rules")
    month = Parameters(**options)
    if month.days < month.first_leak + 8:
        parser.error(f"--days: at least {month.first_leak + 8:g}, so that what takes its time has some")
    flows, dns, leaks = make(month)
    print(f"{flows.height:,} flow rows and {dns.height:,} DNS rows in {month.days} days, seed {month.seed}\n")
    return 0 if report(play(flows, dns, month.days, [rules]), leaks, month.days) else 1


if __name__ == "__main__":
    sys.exit(main())
