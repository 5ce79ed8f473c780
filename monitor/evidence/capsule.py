"""What a capsule holds: the alert's flows, its explanation, its packets, and the manifest over them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from monitor.evidence import flow_record, manifest
from monitor.evidence.alert_flows import MAX_FLOWS, AlertFlows, as_records, ring_flows
from monitor.judge.alert import rfc3339
from monitor.judge.rule import Rule

FLOWS = "flows.jsonl"
EXPLANATION = "explanation.json"
PACKETS = "packets.pcapng"


@dataclass(frozen=True)
class Versions:
    """What was at work when the alert was judged."""

    monitor: str
    catalogue: str


@dataclass(frozen=True)
class PacketsTold:
    """What came out of the ring, see `_hotpath.Ring.extract`."""

    packets: int
    wire_bytes: int
    span: tuple[int, int] | None
    left_out: int
    oldest: int | None


@dataclass(frozen=True)
class Packets:
    """The packets of a capsule as they came out of the ring; None: there is no ring."""

    file: Path | None = None  # aside; it is moved into the capsule
    told: PacketsTold | None = None


def selection(
    found: AlertFlows, to: Path, *, earlier: Path | None, payload: bool, limit: int
) -> tuple[Any, ...]:
    """Give what the ring is asked for, as `_hotpath.Ring.extract` takes it.

    Args:
        found: the alert, its rule, its flows.
        to: the file for the packets.
        earlier: the capsule of the same alert that the new one takes the place of. What it holds stays.
        payload: take packets with their payload.
        limit: bytes of packets at most.
    """
    before = earlier / PACKETS if earlier is not None else None
    comments = [
        f"packets of alert {found.alert.id}, rule {found.rule.id}",
        "with payload" if payload else "headers, and what names come from; lengths are true",
    ]
    has_one = before is not None and before.is_file()
    return (ring_flows(found.table()), to, before if has_one else None, comments, limit)


def fill(
    folder: Path,
    found: AlertFlows,
    kind: str,
    written: dict[str, Any],
    versions: Versions,
    packets: Packets,
    *,
    earlier: Path | None,
    payload: bool,
    shed: int,
) -> None:
    """Write the files of a capsule into a folder; raises OSError.

    Args:
        folder: empty, and the capsule's own.
        found: the alert, its rule, its flows.
        kind: of the event that the capsule is made for.
        written: the alert as JSON has it, as it was then.
        versions: of what judged.
        packets: what came out of the ring for it.
        earlier: the capsule of the same alert that this one takes the place of. What it holds stays.
        payload: the packets have their payload.
        shed: frames that the ring did not keep, since the start.
    """
    alert, rule = found.alert, found.rule
    table = found.table()
    flows = _with_earlier(as_records(table), earlier)
    # an alert that re-opens again and again would hold more each time
    flows, beyond = flows[:MAX_FLOWS], len(flows[MAX_FLOWS:])
    with (folder / FLOWS).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(flow, ensure_ascii=True) + "\n" for flow in flows)
    text = json.dumps(explanation(written, rule, versions), indent=1, ensure_ascii=True)
    (folder / EXPLANATION).write_text(text + "\n", encoding="ascii")
    if packets.file is not None:
        packets.file.rename(folder / PACKETS)
    about = {
        "alert": alert.id,
        "rule": rule.id,
        "rule_version": rule.version,
        "made_for": kind,
        "event_time": rfc3339(alert.ended or alert.last),
        "monitor": versions.monitor,
        "catalogue": versions.catalogue,
        "flows": {"count": len(flows), "rows_left_out": found.left_out + beyond},
        "packets": _packets(packets.told, flows, table, payload=payload, shed=shed),
    }
    manifest.write(folder, about)


def explanation(written: dict[str, Any], rule: Rule, versions: Versions) -> dict[str, Any]:
    """Give why the alert is there: what the rule says, the sums, the evidence, what did not except it."""
    return {
        "alert": written,
        "rule": {
            "id": rule.id,
            "version": rule.version,
            "title": rule.title,
            "matches": [one.words for one in rule.match.conditions],
            "measures": rule.measure.words,
            "per": list(rule.group_fields),
            "window_seconds": rule.measure.window,
            "resolve_after_seconds": rule.resolve_after,
            "exceptions": [
                {"matches": one.words, "reason": one.reason, "owner": one.owner, "expires": str(one.expires)}
                for one in rule.exceptions
            ],
        },
        "monitor": versions.monitor,
        "catalogue": versions.catalogue,
    }


def _with_earlier(flows: list[dict[str, Any]], earlier: Path | None) -> list[dict[str, Any]]:
    """Add the flows that an earlier capsule has and that the rows on disk have no longer."""
    if earlier is None:
        return flows
    joined = {flow["flow_id"]: flow for flow in flows}
    try:
        lines = (earlier / FLOWS).read_bytes().splitlines()
    except OSError:
        return flows
    for line in lines:
        try:
            old = flow_record.parse(line)
        except ValueError:
            continue  # damaged; `capsule verify` would have told
        new = joined.get(old["flow_id"])
        # of a flow whose first rows have gone the earlier record knows more
        if new is None or (old["first_seen"] < new["first_seen"] and old["bytes_out"] > new["bytes_out"]):
            joined[old["flow_id"]] = old
    return sorted(joined.values(), key=lambda flow: (flow["first_seen"], flow["flow_id"]))


def _packets(
    told: PacketsTold | None, flows: list[dict[str, Any]], table: pl.DataFrame, *, payload: bool, shed: int
) -> dict[str, Any]:
    """Say what packets are there, and from when on, beside what the flows counted."""
    expected = sum(flow["packets_out"] + flow["packets_in"] for flow in flows)
    if told is None:
        return {"count": 0, "of": expected, "note": "no ring is kept"}
    first = None if table.is_empty() else table.select(pl.col("first_seen").min().dt.epoch("ns")).item()
    note = "all packets of the flows"
    if told.packets != expected:
        note = "not all packets of the flows are there"
        if told.oldest is None:
            note += "; the ring held none"
        elif first is not None and told.oldest > first:
            note += f"; the ring reached back to {rfc3339(told.oldest)}"
        if shed:
            note += f"; {shed} frames were not kept since the start"
        if told.left_out:
            note += f"; {told.left_out} had no room in the capsule"
    return {
        "count": told.packets,
        "of": expected,
        "wire_bytes": told.wire_bytes,
        "from": told.span and rfc3339(told.span[0]),
        "to": told.span and rfc3339(told.span[1]),
        "ring_from": rfc3339(told.oldest) if told.oldest is not None else None,
        "left_out": told.left_out,
        "with_payload": payload,
        "note": note,
    }
