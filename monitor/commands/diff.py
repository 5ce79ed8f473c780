"""``egress-monitor diff``: observation against policy, for people and for CI."""

import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from monitor import terminal
from monitor.attribute.catalogue import Catalogue
from monitor.commands.observe import observe
from monitor.config import load_config
from monitor.policy.compare import Difference, New, compare
from monitor.policy.policy_file import Entry, load_policy
from monitor.policy.propose import describe
from monitor.publish.json_text import to_json_text
from monitor.units import format_bytes

SHOWN = 50  # findings in the table; --json has all
_EDGE = ("workload", "initiator", "provider", "country", "via", "name", "protocol", "port", "evidence")


def diff(
    policy_path: Path,
    captures: list[str],
    flow_files: list[Path],
    config_path: Path | None,
    local: list[str],
    *,
    as_json: bool,
) -> int:
    """Print what the policy does not allow; 1 where there is something, else 0."""
    config = load_config(config_path)
    policy = load_policy(
        policy_path,
        providers=set(Catalogue.load(config.catalogue).provider_ids()),
        workloads=set(config.workloads),
        sanctioned=tuple(config.sanctioned_providers),
    )
    seen = observe(config, captures, flow_files, local)
    rows = seen.observed.rows
    warnings = list(seen.warnings)
    if seen.observed.folded:
        warnings.append(
            f"{seen.observed.folded:,} rows of light traffic were folded to keep the bound of memory: "
            "what they sent in a day is not all compared"
        )
    for warning in warnings:
        print(f"egress-monitor: warning: {terminal.visible(warning)}", file=sys.stderr)
    found = compare(rows, policy)
    if as_json:
        print(to_json_text(_as_json(found)))
    else:
        _show(found, policy, terminal.console())
    return int(found.is_new)


def _show(found: Difference, policy: list[Entry], out: Console) -> None:
    if found.new:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in ("who", "to whom", "in", "name", "port", "sent", "conns", "not allowed because"):
            table.add_column(
                column, overflow="fold", justify="right" if column in ("sent", "conns") else "left"
            )
        for new in found.new[:SHOWN]:
            edge = new.edge
            table.add_row(
                terminal.safe(edge["workload"]),
                terminal.safe(
                    ("" if edge["initiator"] == "local" else "from ") + (edge["provider"] or "unknown")
                ),
                terminal.safe(edge["country"] or "-"),
                terminal.safe(edge["name"] or "-"),
                describe(edge),
                format_bytes(edge["payload_out"]),
                f"{edge['connections']:,}",
                terminal.safe(_why(new)),
            )
        out.print(table)
        if len(found.new) > SHOWN:
            out.print(f"and {len(found.new) - SHOWN:,} more; --json has them all")
        out.print()
    for more in found.more[:SHOWN]:
        limit = format_bytes(more.entry.sent_per_day or 0)
        out.print(
            terminal.safe(
                f"{more.entry.where}: {format_bytes(more.sent)} sent on {more.day}, allowed are {limit}"
            )
        )
    for entry in found.unused[:SHOWN]:
        out.print(terminal.safe(f"{entry.where}: not seen this time: {entry.words}", "dim"))
    out.print(
        f"{len(found.new):,} new, {len(found.more):,} times more than allowed; "
        f"{len(policy) - len(found.unused):,} of {len(policy):,} entries were used"
    )


def _why(new: New) -> str:
    if new.nearest is None:
        return f"no entry speaks of {new.edge['workload']}"
    fields = ", ".join(condition.field.name for condition in new.because)
    return f"{fields}: not as in {new.nearest.where}"


def _as_json(found: Difference) -> dict[str, Any]:
    return {
        "new": [
            {
                **{name: new.edge[name] for name in _EDGE},
                "sent_bytes": new.edge["payload_out"],
                "received_bytes": new.edge["payload_in"],
                "connections": new.edge["connections"],
                "first": new.edge["first"].isoformat(),
                "last": new.edge["last"].isoformat(),
                "nearest": new.nearest.where if new.nearest else None,
                "because": [condition.words for condition in new.because],
            }
            for new in found.new
        ],
        "more": [
            {
                "entry": more.entry.where,
                "day": str(more.day),
                "sent_bytes": more.sent,
                "sent_per_day": more.entry.sent_per_day,
            }
            for more in found.more
        ],
        "unused": [{"entry": entry.where, "match": entry.words} for entry in found.unused],
    }
