"""What judging costs: CPU time of batches of 100,000 flow rows with the shipped rules and with fifty."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from monitor import shipped, yaml_file
from monitor.attribute.catalogue import Catalogue
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge import Judge, Rule, load_rules
from monitor.judge.condition import Vocabulary
from monitor.judge.rule import compile_rule
from monitor.judge.rule_file import RuleFile

ROWS = 100_000
BATCHES = 5
START = 1_780_012_800  # seconds since 1970
SECOND = 10**9
NEEDS: Any = ("published", "sanctioned_providers", "resolvers", "gateways")


def show() -> None:
    """Print a row for the shipped rules and one for fifty."""
    providers = [str(one) for one in Catalogue.load().provider_ids()]
    shipped_rules = load_rules(
        [shipped.rules()], sanctioned=["aws"], providers=providers, workloads=None, configured=NEEDS
    ).rules
    print(f"{'judge':<22}{'rules':>6}{'rows':>10}{'ms a batch':>12}{'ns a row':>10}{'alerts':>8}")
    at_work = [rule for rule in shipped_rules if rule.asleep is None]
    narrow = _made(providers, 50 - len(at_work), narrow=True)
    wide = _made(providers, 50, narrow=False)
    sets = {"shipped": at_work, "shipped, and narrow": at_work + narrow, "all count all": wide}
    for name, rules in sets.items():
        milliseconds, alerts = _measure(rules, providers)
        print(
            f"{name:<22}{len(rules):>6}{ROWS:>10,}{milliseconds:>12.1f}"
            f"{milliseconds * 1e6 / ROWS:>10.0f}{alerts:>8}"
        )


def _measure(rules: Sequence[Rule], providers: Sequence[str]) -> tuple[float, int]:
    """Give the middle CPU time of a batch in milliseconds, and how many alerts began."""
    judge = Judge(rules)
    judge.start()
    chance = random.Random(1)
    empty = pl.DataFrame(schema={**DNS_SCHEMA, **DNS_ATTRIBUTED})
    times, alerts = [], 0
    for number in range(BATCHES):
        frame = _rows(chance, providers, START + 10 * number)
        before = time.process_time()
        events = judge.judge(frame, empty, (START + 10 * number + 10) * SECOND)
        times.append(time.process_time() - before)
        alerts += sum(event.kind == "begun" for event in events)
    return sorted(times)[BATCHES // 2] * 1000, alerts


def _rows(chance: random.Random, providers: Sequence[str], start: int) -> pl.DataFrame:
    """Make a batch of ten ticks: 200 workloads, 5,000 remotes, each of one provider, country and name."""
    known = [providers[chance.randrange(len(providers))] for _ in range(40)]
    remotes = [(bytes(10) + b"\xff\xff" + chance.randbytes(4)) for _ in range(5000)]
    schema = {**FLOW_SCHEMA, **ATTRIBUTED}
    rows = range(ROWS)
    remote = chance.choices(range(5000), k=ROWS)
    provider = [[*known, None][number % 41] for number in remote]
    started = [(start + number * 10 // ROWS) * SECOND for number in rows]
    columns: dict[str, Any] = {
        "tick": [moment // 10**6 for moment in started],
        "started": started,
        "first_seen": started,
        "last_seen": started,
        "flow_id": [chance.getrandbits(64) for _ in rows],
        "scope": chance.choices(["egress", "internal"], [9, 1], k=ROWS),
        "local_address": [bytes(10) + b"\xff\xff\x0a\x00\x00" + bytes([number % 200]) for number in rows],
        "remote_address": [remotes[number] for number in remote],
        "local_port": chance.choices(range(1024, 60_000), k=ROWS),
        "remote_port": chance.choices([443, 443, 80, 53, 8443], k=ROWS),
        "protocol": [6] * ROWS,
        "initiator": chance.choices(["local", "remote", "unknown"], [8, 1, 1], k=ROWS),
        "payload_out": chance.choices([0, 200, 1500, 9000], k=ROWS),
        "payload_in": chance.choices([0, 500, 40_000], k=ROWS),
        "packets_out": [4] * ROWS,
        "packets_in": [4] * ROWS,
        "tcp_flags": [0x18] * ROWS,
        "application": chance.choices(["tls", "http", "unknown"], k=ROWS),
        "name": [f"host-{number % 2000}.example.com" for number in remote],
        "workload": [f"workload-{number % 200}" for number in rows],
        "country": [("US", "DE", "CN", None)[number % 4] for number in remote],
        "provider": provider,
        "network_provider": provider,
        "category": [("cloud", "storage", "cdn", None)[number % 41 % 4] for number in remote],
        "evidence": [("dns", "sni", "prefix")[number % 41 % 3] for number in remote],
        "published": chance.choices([False, True], [9, 1], k=ROWS),
    }
    zero = {name: [0] * ROWS for name in schema if name.endswith(("_out", "_in"))}
    no = {name: [False] * ROWS for name, dtype in schema.items() if dtype == pl.Boolean}
    filled = {**zero, **no, **columns}
    nothing = [None] * ROWS
    return pl.DataFrame({name: filled.get(name, nothing) for name in schema}, schema=schema)


def _made(providers: Sequence[str], count: int, *, narrow: bool) -> list[Rule]:
    """Make rules of all ways to fire: each about one provider, or about nearly all rows."""
    fires: list[dict[str, Any]] = [
        {"above": "1GiB"},
        {"novel": {"of": "country", "floor": "1GiB"}},
        {"baseline": {"floor": "1GiB"}},
        {"ratio": {"of": "payload_out", "to": "payload_in", "above": 1000, "floor": "1GiB"}},
        {"distinct": {"of": "remote_port", "above": 100}},
    ]
    rules = []
    for number in range(count):
        rule = {
            "id": f"rule-{number}",
            "title": "One of fifty",
            "severity": "info",
            "match": {
                "provider": providers[number] if narrow else {"not": providers[number]},
                "local_port": f"{number}-",
            },
            "measure": {
                "sum": "payload_out",
                "per": ["workload", "provider"][: 1 + number % 2],
                "window": "10m",
            },
            "fire": fires[number % len(fires)],
            "tests": [],
        }
        document = yaml_file.parse(json.dumps(rule), Path(f"{number}.yml"))
        written = yaml_file.validate(document, RuleFile)
        rules.append(compile_rule(document, written, Vocabulary(providers, None, ())))
    return rules


if __name__ == "__main__":
    show()
