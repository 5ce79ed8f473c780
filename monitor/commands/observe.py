"""What ``learn`` and ``diff`` look at: captures through the real pipeline, or files of flow rows."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from monitor.commands.replay import progress
from monitor.config import Config, parse_network
from monitor.errors import InputError
from monitor.policy.flow_files import files_of, read_flows
from monitor.policy.observed import COLUMNS, Observed
from monitor.replay import ReplayResult, replay


@dataclass(frozen=True)
class Seen:
    """What was observed, and what should be known about it: one line each."""

    observed: Observed
    sources: list[str]
    notes: list[str]
    warnings: list[str]


def observe(config: Config, captures: list[str], flows: list[Path], local: list[str]) -> Seen:
    """Add up captures (as one stream) and files of flow rows; raises InputError where one is wrong."""
    if not captures and not flows:
        raise InputError("nothing to look at: name captures, or files of flow rows with --flows")
    if captures.count("-") > 1:
        raise InputError("standard input (-) can be read only once")
    if local:
        try:
            config = config.with_local([parse_network(text) for text in local])
        except ValueError as error:
            raise InputError(f"--local: {error}") from error
    observed = Observed()
    notes: list[str] = []
    warnings: list[str] = []
    if captures:
        with progress() as on_progress:
            result = replay(
                config, captures, learn=False, state=None, on_progress=on_progress, flows_out=observed
            )
        notes, warnings = _coverage(result), list(result.warnings)
        if result.transit_hint:
            warnings.append(f"which side is ours? {result.transit_hint}")
    for given in flows:
        for path in files_of(given):
            if path != given and not path.exists():
                continue  # the daemon lets the oldest go while this reads
            for rows in read_flows(path, COLUMNS):
                observed.write(rows)
    return Seen(observed, [*captures, *map(str, flows)], notes, warnings)


def _coverage(result: ReplayResult) -> list[str]:
    """Say how much was seen, and which rules minded something in it."""
    counters = result.counters
    undecoded = sum(counters.undecoded_frames.values())
    dropped = sum(counters.dropped_frames.values())
    lines = [f"{sum(counters.frames.values()):,} frames; {undecoded:,} undecoded, {dropped:,} dropped."]
    fired = Counter(
        (alert.severity, alert.rule, alert.workload or "-")
        for alert in result.alerts
        if alert.severity in ("critical", "warning") and not alert.rule.startswith("new-")
    )
    if fired:
        lines.append("Rules fired in this traffic; look at that before you allow it:")
        lines += [
            f"  {severity} {rule}, {workload}: {count:,} times"
            for (severity, rule, workload), count in sorted(fired.items())[:20]
        ]
        if len(fired) > 20:
            lines.append(f"  and {len(fired) - 20:,} more; egress-monitor replay shows them")
    return lines
