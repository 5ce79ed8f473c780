"""Batches and rules for the tests of the judge, made of the rows that rule tests are made of."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge import Rule, RuleSet, load_rules
from monitor.judge.case_rows import Row, parse_row

PROVIDERS = {"alibaba", "aws", "google", "dropbox", "hetzner", "ovh", "mega", "github"}
START = 1_780_012_700  # seconds since 1970: 2026-05-28T23:58:20Z, 100 s before midnight
SECOND = 10**9
MIB = 2**20

# a rule over what a workload usually sends, and the tests that one over the first time must have
BASELINE: dict[str, Any] = {
    "match": {},
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "10m"},
    "fire": {"baseline": {"floor": 2000, "history": "3d"}},
    "resolve_after": "10m",
    "tests": [
        {
            "name": "f",
            "learnt": [{"payload_out": 3000, "repeat": 80, "every": "1h"}],
            "flows": [{"payload_out": "9MiB"}],
            "expect": "fires",
        },
        {"name": "q", "flows": [{"payload_out": "9MiB"}], "expect": "quiet"},
    ],
}
NOVEL_TESTS: list[dict[str, Any]] = [
    {
        "name": "f",
        "learnt": [{"country": "US", "payload_out": 1}],
        "flows": [{"country": "CN", "payload_out": 1000}],
        "expect": "fires",
    },
    {"name": "q", "flows": [{"country": "CN", "payload_out": 1000}], "expect": "quiet"},
]

NO_FLOWS = pl.DataFrame(schema={**FLOW_SCHEMA, **ATTRIBUTED})
NO_DNS = pl.DataFrame(schema={**DNS_SCHEMA, **DNS_ATTRIBUTED})


def flow(tick: int = 0, flow_id: int = 1, **written: Any) -> Row:
    """Give a flow row; `tick` in seconds after START."""
    return {**parse_row(written, "flows", PROVIDERS, START + tick), "flow_id": flow_id}


def question(tick: int = 0, **written: Any) -> Row:
    """Give a DNS row; `tick` in seconds after START."""
    return parse_row(written, "dns", PROVIDERS, START + tick)


def batch(rows: Iterable[Mapping[str, Any]], empty: pl.DataFrame = NO_FLOWS) -> pl.DataFrame:
    """Make a batch of rows, in the order of ticks; types and columns as `empty` has them."""
    ordered = sorted(rows, key=lambda row: row["tick"])
    columns = {name: [_moment(row[name], dtype) for row in ordered] for name, dtype in empty.schema.items()}
    return pl.DataFrame(columns, schema=empty.schema)


# of which a number gives the value throughout a batch
_NUMBERED = {
    "local_id": ["local_address", "workload"],
    "name_id": ["name"],
    "case_id": [
        "country", "asn", "as_name", "network_provider", "service_provider", "provider", "category",
        "evidence", "confidence", "disagreement",
    ],
}  # fmt: skip


def numbered(flows: pl.DataFrame, step: int = 1) -> pl.DataFrame:
    """Give the rows with the numbers that the stages before give them; `case_id` goes up by `step`."""
    steps = {"case_id": step}
    numbers = [
        ((pl.struct(columns).rank("dense") - 1) * steps.get(number, 1)).cast(pl.UInt32).alias(number)
        for number, columns in _NUMBERED.items()
    ]
    named = pl.when(pl.col("name").is_not_null()).then(pl.col("name_id")).alias("name_id")
    return flows.with_columns(numbers).with_columns(named)


def _moment(value: Any, dtype: pl.DataType) -> Any:
    # a tick is written in seconds, other times in nanoseconds
    return value * 1000 if value is not None and dtype == pl.Datetime("ms", "UTC") else value


def at(seconds: float) -> int:
    """Give the event clock so many seconds after START."""
    return round((START + seconds) * SECOND)


RULE: dict[str, Any] = {
    "id": "a-rule",
    "title": "A rule",
    "severity": "warning",
    "match": {"any_provider": "alibaba"},
    "measure": {"sum": "payload_out", "per": ["workload"], "window": "10m"},
    "fire": {"above": "1MiB"},
    "tests": [
        {"name": "fires", "flows": [{"provider": "alibaba", "payload_out": "2MiB"}], "expect": "fires"},
        {"name": "quiet", "flows": [{"provider": "aws", "payload_out": "2MiB"}], "expect": "quiet"},
    ],
}
LOOSE_TESTS = [
    {"name": "f", "flows": [{"provider": "alibaba", "payload_out": "9GiB"}], "expect": "fires"},
    {"name": "q", "flows": [{"provider": "aws", "payload_out": 0}], "expect": "quiet"},
]


def load(folder: Path, *rules: Mapping[str, Any] | str, **options: Any) -> RuleSet:
    """Write rules, each given by what differs from RULE or as text, and load the folder."""
    for number, rule in enumerate(rules):
        text = rule if isinstance(rule, str) else json.dumps({**RULE, **rule}, indent=1)
        (folder / f"{number:02}.yml").write_text(text)
    vocabulary = {"sanctioned": [], "providers": PROVIDERS, "workloads": {"api", "web"}, **options}
    return load_rules([folder], **vocabulary)


def rule(folder: Path, **differs: Any) -> Rule:
    """Give one rule that must load."""
    found = load(folder, differs)
    assert not found.broken, found.broken
    return found.rules[0]
