"""What `inspect` found, put together: conversations with what tshark saw in them, as JSON has it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.evidence.dissection import Dissection

Record = dict[str, Any]


def build(
    source: Path, flows: Sequence[Record], found: Dissection, notes: Sequence[str], capsule: Record | None
) -> Record:
    """Put together what was found.

    Args:
        source: the capture.
        flows: its conversations, see `conversations`.
        found: what tshark told.
        notes: one-line texts for people.
        capsule: manifest and faults, where it is one.
    """
    local = {str(flow["local_address"]) for flow in flows if flow.get("scope") != "transit"}
    return {
        "source": str(source),
        "capsule": capsule,
        "tshark": found.tshark,
        "notes": [*notes, *found.notes],
        "totals": totals(flows),
        "conversations": _with_tcp(flows, found.tcp),
        "dns": _asked(found.dns),
        "handshakes": _handshakes(found, flows),
        "http": _requests(found.http),
        "over_time": over_time(found.series, local),
    }


def totals(flows: Sequence[Record]) -> Record:
    """Sum what went out and came in, and say which way the bulk went."""
    names = ("bytes_out", "bytes_in", "packets_out", "packets_in", "payload_out", "payload_in")
    sums: Record = {name: sum(int(flow[name]) for flow in flows) for name in names}
    sums["connections"] = len(flows)
    sums["bulk"] = bulk(sums["payload_out"], sums["payload_in"])
    return sums


def bulk(out: int, come: int) -> str:
    """Say where most of the payload went: ``out``, ``in``, ``both`` or ``none``."""
    if not out and not come:
        return "none"
    if out >= 4 * come:
        return "out"
    return "in" if come >= 4 * out else "both"


def _with_tcp(flows: Sequence[Record], tcp: Sequence[Record]) -> list[Record]:
    """Add resets and losses to the conversations that they were seen in."""
    seen = {tuple(one["ends"]): one for one in tcp}
    told = []
    for flow in flows:
        over = {6: "tcp", 17: "udp"}.get(flow["protocol"], "other")
        ports = [flow[f"{side}_port"] if over != "other" else "" for side in ("local", "remote")]
        ends = sorted((f"{flow['local_address']}|{ports[0]}", f"{flow['remote_address']}|{ports[1]}"))
        marks: Mapping[str, Any] = seen.get((*ends, over), {})
        told.append(
            {
                **flow,
                "bulk": bulk(flow["payload_out"], flow["payload_in"]),
                "resets": marks.get("resets", 0),
                "retransmissions": marks.get("retransmissions", 0),
                "lost_segments": marks.get("lost_segments", 0),
            }
        )
    return told


def _asked(messages: Sequence[Record]) -> list[Record]:
    """Bring questions and their answers together; the same question of a client stands once."""
    asked: dict[tuple[Any, ...], Record] = {}
    for one in messages:
        client, server = (one["target"], one["source"]) if one["response"] else (one["source"], one["target"])
        key = (client, server, one["name"], one["type"])
        told = asked.setdefault(
            key,
            {
                "time": moment(one["time"]), "client": client, "server": server, "name": one["name"],
                "type": one["type"], "asked": 0, "answered": 0, "rcode": None, "answers": {},
            },
        )  # fmt: skip
        told["answered" if one["response"] else "asked"] += 1
        if one["response"]:
            told["rcode"] = one["rcode"]
            told["answers"] |= dict.fromkeys(one["answers"])
    return [{**one, "answers": list(one["answers"])} for one in asked.values()]


def _handshakes(found: Dissection, flows: Sequence[Record]) -> list[Record]:
    """Bring the two sides of each handshake together; JA4 is our own where tshark has none."""
    fingerprints: dict[tuple[Any, ...], Record] = {}
    for flow in flows:
        ours = (flow["local_address"], str(flow["local_port"]))
        theirs = (flow["remote_address"], str(flow["remote_port"]))
        if flow.get("ja4"):
            fingerprints |= {(*ours, *theirs): flow, (*theirs, *ours): flow}
    told: dict[tuple[Any, ...], Record] = {}
    for hello in found.client_hellos:
        ends = (hello["source"], hello["source_port"], hello["target"], hello["target_port"])
        flow = fingerprints.get(ends, {})
        told[ends] = {
            "time": moment(hello["time"]),
            "client": hello["source"], "client_port": hello["source_port"],
            "server": hello["target"], "server_port": hello["target_port"],
            "over": hello["over"], "name": hello["name"], "offered": hello["versions"],
            "alpn_offered": hello["alpn"], "ja4": hello["ja4"] or flow.get("ja4"),
            "version": None, "cipher": None, "alpn": None, "certificate": None,
        }  # fmt: skip
    for hello in found.server_hellos:
        one = told.get(_back(hello))
        if one is not None:
            one |= {"version": hello["version"], "cipher": hello["cipher"]}
            one["alpn"] = next(iter(hello["alpn"]), None)
    for certificate in found.certificates:
        one = told.get(_back(certificate))
        if one is not None:
            one["certificate"] = {name: certificate[name] for name in ("subject", "issuer", "names")}
    return list(told.values())


def _back(message: Record) -> tuple[Any, ...]:
    """Give the ends of what a server sent, the client first."""
    return tuple(message[name] for name in ("target", "target_port", "source", "source_port"))


def _requests(messages: Sequence[Record]) -> list[Record]:
    """Bring each request and the next response of its connection together."""
    told: list[Record] = []
    waiting: dict[Any, list[Record]] = {}
    for one in messages:
        if "method" in one:
            request = {
                "time": moment(one["time"]), "client": one["source"], "server": one["target"],
                "server_port": one["target_port"], "method": one["method"], "host": one["host"],
                "target": one["asked"], "status": None,
            }  # fmt: skip
            told.append(request)
            waiting.setdefault(one["stream"], []).append(request)
        elif waiting.get(one["stream"]):
            waiting[one["stream"]].pop(0)["status"] = one["status"]
    return told


def over_time(series: Mapping[str, Any], local: set[str]) -> Record:
    """Sum the series of all senders into what went out and what came in."""
    senders = series.get("senders", [])
    bins = len(senders[0]["bytes"]) if senders else 0
    sums: Counter[tuple[str, int]] = Counter()
    for sender in senders:
        way = "out" if sender["address"] in local else "in"
        for place in range(bins):
            sums[f"bytes_{way}", place] += sender["bytes"][place]
            sums[f"packets_{way}", place] += sender["packets"][place]
    return {
        "begins": moment(str(series.get("begins", 0.0))) if bins else None,
        "bin_seconds": series.get("bin_seconds", 0.0),
        **{
            name: [sums[name, place] for place in range(bins)]
            for name in ("bytes_out", "bytes_in", "packets_out", "packets_in")
        },
    }


def moment(epoch: str) -> str:
    """Write seconds since 1970 as RFC 3339, to the microsecond; what is none stays as it is."""
    try:
        return f"{datetime.fromtimestamp(float(epoch), UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    except (ValueError, OverflowError, OSError):
        return epoch
