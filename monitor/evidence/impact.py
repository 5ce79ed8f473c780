"""Impact of an exposure: since when a service answered outsiders, who they were, what each of them got.

Works on connections as `conversations` gives them. Only those count that an outsider opened, or of which
it is not known who did.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitor.judge.fields import value
from monitor.units import format_bytes

DATA_ABOVE = 64 * 1024  # bytes of payload: what a banner, a login page or a list of names does not reach
MAX_ADDRESSES = 50_000
BINS = 48  # of the timeline
_TCP = 6

Record = Mapping[str, Any]


@dataclass
class Outsider:
    """One address that a service answered. Times are RFC 3339 text; names come from the wire."""

    address: str
    got: str = "nothing"  # data | little | nothing
    country: str | None = None
    network: str | None = None  # the provider's id, else the name of its autonomous system
    asn: int | None = None
    connections: int = 0
    refused: int = 0  # connections that got no answer but a reset, or none
    sent_bytes: int = 0  # payload to it
    received_bytes: int = 0  # payload from it
    first: str = ""
    last: str = ""
    services: list[str] = field(default_factory=list)  # ``workload address:port application``


@dataclass
class Impact:
    """What an exposure came to."""

    criterion: str
    data_above: int
    since: str | None  # the first answer to an outsider
    first_data: str | None  # the first connection of one that got data
    until: str | None  # the last packet
    services: list[dict[str, Any]]
    outsiders: list[Outsider]  # those that got most first
    left_out: int  # addresses beyond the bound
    countries: dict[str, int]  # payload sent, by country
    networks: dict[str, int]
    timeline: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)

    def who(self, got: str) -> list[Outsider]:
        """Give the outsiders that got ``data``, ``little`` or ``nothing``."""
        return [one for one in self.outsiders if one.got == got]


def assess(flows: Iterable[Record], notes: Sequence[str] = (), *, data_above: int = DATA_ABOVE) -> Impact:
    """Work out the impact.

    Args:
        flows: connections with `ATTRIBUTED`; country and network stay unknown where they have none.
        notes: one-line texts for people, to be passed on.
        data_above: bytes of payload above which an address got data, all of its connections together.
    """
    outsiders: dict[str, Outsider] = {}
    services: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    points: list[tuple[str, str, int]] = []
    answered = []
    opened = [flow for flow in flows if flow.get("scope") == "egress" and flow.get("initiator") != "local"]
    counted = [flow for flow in opened if not flow.get("published")]
    meant = len(opened) - len(counted)
    sent: Counter[str] = Counter()
    for flow in counted:
        sent[str(flow["remote_address"])] += int(flow["payload_out"])
    # those that got most, not those that came first: whoever sends from made-up addresses could hide there
    kept = {address for address, _ in sent.most_common(MAX_ADDRESSES)}
    for flow in counted:
        address = str(flow["remote_address"])
        if address not in kept:
            continue
        one = outsiders.setdefault(address, Outsider(address))
        is_answered = _is_answered(flow)
        _add(one, flow, is_answered)
        if is_answered:
            answered.append(flow["first_seen"])
            service = _service(services, flow)
            words = f"{service['workload']} {service['address']}:{service['port']} {service['application']}"
            if words not in one.services and len(one.services) < 10:
                one.services.append(words)
        points.append((flow["first_seen"], address, int(flow["payload_out"])))
    for one in outsiders.values():
        one.got = "data" if one.sent_bytes > data_above else "little" if one.sent_bytes else "nothing"
    ordered = sorted(outsiders.values(), key=lambda one: (-one.sent_bytes, -one.connections, one.address))
    data = [one for one in ordered if one.got == "data"]
    return Impact(
        criterion=(
            f"an address got data if all of its connections together were sent more than"
            f" {format_bytes(data_above)} of payload; above 0 it got little; without payload, nothing"
        ),
        data_above=data_above,
        since=min(answered, default=None),
        first_data=min((one.first for one in data), default=None),
        until=max((one.last for one in ordered), default=None),
        services=sorted(services.values(), key=lambda service: -service["sent_bytes"]),
        outsiders=ordered,
        left_out=len(sent) - len(kept),
        countries=_sums(ordered, "country"),
        networks=_sums(ordered, "network"),
        timeline=_timeline(points, {one.address for one in data}),
        notes=[*notes, *([f"{meant:,} connections to published services are left out"] if meant else [])],
    )


def _is_answered(flow: Record) -> bool:
    """Tell whether the service took the connection, as rules have it; without TCP: sent any packet."""
    if flow["protocol"] != _TCP:
        return bool(flow["packets_out"])
    return value(flow, "answer") in ("data", "open")


def _add(one: Outsider, flow: Record, is_answered: bool) -> None:
    one.connections += 1
    one.refused += not is_answered
    one.sent_bytes += int(flow["payload_out"])
    one.received_bytes += int(flow["payload_in"])
    one.first = min(one.first or flow["first_seen"], flow["first_seen"])
    one.last = max(one.last, flow["last_seen"])
    one.country = flow.get("country") or one.country
    one.asn = flow.get("asn") or one.asn
    one.network = flow.get("network_provider") or flow.get("as_name") or one.network


def _service(services: dict[tuple[str, str, int, str], dict[str, Any]], flow: Record) -> dict[str, Any]:
    address, port = str(flow["local_address"]), int(flow["local_port"])
    workload = str(flow.get("workload") or address)
    key = (workload, address, port, str(flow["application"]))
    service = services.setdefault(
        key,
        {
            "workload": workload, "address": address, "port": port, "application": str(flow["application"]),
            "connections": 0, "sent_bytes": 0, "since": flow["first_seen"], "until": flow["last_seen"],
        },
    )  # fmt: skip
    service["connections"] += 1
    service["sent_bytes"] += int(flow["payload_out"])
    service["since"] = min(service["since"], flow["first_seen"])
    service["until"] = max(service["until"], flow["last_seen"])
    return service


def _sums(outsiders: Sequence[Outsider], name: str) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for one in outsiders:
        sums[str(getattr(one, name) or "unknown")] += one.sent_bytes
    return dict(sums.most_common())


def _timeline(points: Sequence[tuple[str, str, int]], took_data: set[str]) -> dict[str, Any]:
    """Sum connections and payload by the time that connections began."""
    if not points:
        return {"begins": None, "bin_seconds": 0.0, "data": [], "little": [], "connections": []}
    times = [_seconds(time) for time, _, _ in points]
    begins = min(times)
    width = max((max(times) - begins) / BINS, 1.0)
    data, little, connections = [0] * BINS, [0] * BINS, [0] * BINS
    for time, (_, address, sent) in zip(times, points, strict=True):
        place = min(int((time - begins) / width), BINS - 1)
        connections[place] += 1
        (data if address in took_data else little)[place] += sent
    return {
        "begins": f"{datetime.fromtimestamp(begins, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "bin_seconds": width, "data": data, "little": little, "connections": connections,
    }  # fmt: skip


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time[:19] + "+00:00").timestamp()
