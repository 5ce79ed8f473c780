"""How much was seen, how much was not, and whether zeros may be believed: one value for page and API."""

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.publish.snapshot import Snapshot

MAX_INTERFACES = 100


def coverage_report(snapshot: Snapshot, ready: tuple[bool, str]) -> dict[str, Any]:
    """Give what ``/api/v1/coverage`` answers; `clock` and `last_seen` are seconds since 1970, 0: not yet."""
    counters = snapshot.counters
    names = [*counters.interface_up, *(name for name in counters.frames if name not in counters.interface_up)]
    interfaces = [_interface(name, snapshot) for name in names[:MAX_INTERFACES]]
    is_blind = any(one["blind"] for one in interfaces)
    return {
        "ready": ready[0],
        "reason": ready[1],
        "blind": is_blind,
        "clock": snapshot.clock / 10**9,
        "interfaces": interfaces,
        "frames": sum(counters.frames.values()),
        "wire_bytes": sum(counters.wire_bytes.values()),
        "dropped_frames": sum(counters.dropped_frames.values()),
        "backlog_dropped_frames": sum(counters.backlog_dropped.values()),
        "undecoded": {
            "frames": sum(counters.undecoded_frames.values()),
            "bytes": sum(counters.undecoded_bytes.values()),
            "by_reason": _nonzero(counters.undecoded_frames),
        },
        "scope_frames": dict(counters.scope_frames),
        "flows_open": counters.flows_open,
        "flows_evicted": sum(counters.flows_evicted.values()),
        "merged_ticks": counters.merged_ticks,
        "late_frames": counters.late_frames,
        "given_up": _nonzero(counters.given_up),
        "laws_broken": dict(counters.laws_broken),
        "canary": {
            "last_seen": dict(snapshot.canary.last_seen),
            "sent": snapshot.canary.sent,
            "failed": snapshot.canary.failed,
        },
        "state_saved": snapshot.state_saved,
        "loads_failed": dict(snapshot.load_errors),
        "rules_learning": sum(count.learning for count in snapshot.rule_counts.values()),
        "rules": len(snapshot.rule_counts),
    }


def _interface(name: str, snapshot: Snapshot) -> dict[str, Any]:
    counters = snapshot.counters
    covered = snapshot.coverage.get(name)
    repeated = sum(amount for (of, _), amount in counters.repeated_headers.items() if of == name)
    return {
        "interface": name,
        "up": counters.interface_up.get(name),
        "frames": counters.frames.get(name, 0),
        "seen_bytes": counters.wire_bytes.get(name, 0) + repeated,
        "carried_bytes": counters.interface_bytes.get(name),
        "coverage_ratio": covered.ratio if covered else None,
        "dropped_frames": {
            reason: frames for (of, reason), frames in counters.dropped_frames.items() if of == name
        },
        "blind": _set(covered.blind) if covered else [],
    }


def _set(flags: Mapping[str, bool]) -> Sequence[str]:
    return [name for name, is_set in flags.items() if is_set]


def _nonzero(numbers: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if number}
