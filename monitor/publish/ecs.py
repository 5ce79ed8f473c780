"""An alert event in the Elastic Common Schema.

Field names and types: https://www.elastic.co/docs/reference/ecs/ecs-field-reference, and in machine form
``generated/elasticsearch/composable/component/*.json`` of the repository elastic/ecs. The allowed values of
``event.kind``, ``event.category`` and ``event.type`` are on the same site under "ECS categorization
fields". What ECS has no field for stands under ``egress_monitor``.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from monitor.judge.alert import Alert, AlertEvent, rfc3339

VERSION = "8.17.0"
MAX_RELATED = 20

# the scale of Elastic's own detection engine (low, medium, high, critical)
SEVERITIES = {"info": 21, "warning": 47, "critical": 99}
_TYPES = {"begun": ["start", "info"], "growing": ["info"], "ended": ["end", "info"]}
_TRANSPORTS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}


def to_ecs(event: AlertEvent, *, observer: dict[str, str], link: str | None) -> dict[str, Any]:
    """Give the event as a nested document.

    Args:
        event: what happened.
        observer: ``hostname`` and ``version`` of this monitor.
        link: where people find the alert; None: not known.
    """
    alert = event.alert
    return _without_nothing(
        {
            "@timestamp": rfc3339(event.time),
            "ecs": {"version": VERSION},
            "message": in_words(event),
            "event": {
                "kind": "alert",
                "category": ["network", "intrusion_detection"],
                "type": _TYPES[event.kind],
                "action": f"alert-{event.kind}",
                "id": event_id(event),
                "module": "egress_monitor",
                "dataset": "egress_monitor.alert",
                "provider": "egress-monitor",
                "severity": SEVERITIES[alert.severity],
                "reason": alert.title,
                "start": rfc3339(alert.began),
                "end": None if alert.ended is None else rfc3339(alert.ended),
                "reference": alert.runbook,
                "url": link,
            },
            "rule": {
                "id": alert.rule,
                "name": alert.title,
                "version": alert.version,
                "ruleset": "egress-monitor",
                "reference": alert.runbook,
            },
            "threat": _threat(alert.mitre),
            "observer": {"type": "ids", "vendor": "egress-monitor", "product": "egress-monitor", **observer},
            "service": {"name": alert.workload},
            "network": {"direction": "outbound", **_transport(alert)},
            "source": _side(alert, "local") | {"bytes": alert.sent_bytes},
            "destination": _side(alert, "remote"),
            "related": {
                "ip": addresses(alert)[:MAX_RELATED],
                "hosts": alert.names[:MAX_RELATED],
            },
            "egress_monitor": {
                "alert_id": alert.id,
                "event": event.kind,
                "severity": alert.severity,
                "workload": alert.workload,
                "provider": alert.provider,
                "countries": alert.countries,
                "evidence": alert.evidence,
                "measure": alert.measure,
                "value": alert.value,
                "threshold": alert.threshold,
                "window_seconds": alert.window,
                "sent_bytes": alert.sent_bytes,
                "reopened": alert.reopened,
                "capsule": alert.capsule,
            },
        }
    )


def in_words(event: AlertEvent) -> str:
    """Say in one line what happened."""
    alert = event.alert
    what = {"begun": "began", "growing": "grows", "ended": "ended"}[event.kind]
    return (
        f"{alert.severity} alert {what}: {alert.title}: {alert.workload or 'somebody'} to "
        f"{alert.provider or 'somebody unknown'}, {alert.sent_bytes} bytes sent"
    )


def event_id(event: AlertEvent) -> str:
    """Name this event: the same when it is sent twice."""
    return f"{event.alert.id}-{event.kind}-{event.time}"


def addresses(alert: Alert) -> list[str]:
    """Give the addresses of the sampled flows, each once."""
    found: dict[str, None] = {}
    for flow in alert.flows:
        for name in ("local_address", "remote_address", "client", "resolver"):
            address = _address(flow.get(name))
            if address is not None:
                found[address] = None
    return list(found)


def _address(value: object) -> str | None:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        return None


def _first(alert: Alert) -> dict[str, Any]:
    return alert.flows[0] if alert.flows else {}


def _side(alert: Alert, side: str) -> dict[str, Any]:
    """Give one end of the first sampled flow."""
    flow = _first(alert)
    address = _address(flow.get(f"{side}_address"))
    found: dict[str, Any] = {"address": address, "ip": address, "port": flow.get(f"{side}_port") or None}
    if side == "remote":
        found["domain"] = flow.get("dns_name") or flow.get("name")
        found["geo"] = {"country_iso_code": flow.get("country")}
        found["as"] = {"number": flow.get("asn"), "organization": {"name": flow.get("as_name")}}
    return found


def _transport(alert: Alert) -> dict[str, Any]:
    flow = _first(alert)
    protocol = flow.get("protocol")
    address = _address(flow.get("remote_address"))
    application = flow.get("application")
    return {
        "transport": _TRANSPORTS.get(protocol) if isinstance(protocol, int) else None,
        "iana_number": None if protocol is None else str(protocol),
        "protocol": None if application == "unknown" else application,
        "type": None if address is None else "ipv6" if ":" in address else "ipv4",
    }


def _threat(techniques: Sequence[str]) -> dict[str, Any] | None:
    """Give ATT&CK's techniques; a sub-technique stands beside the technique that it belongs to."""
    if not techniques:
        return None
    whole = list(dict.fromkeys(one.partition(".")[0] for one in techniques))
    parts = [one for one in techniques if "." in one]
    technique: dict[str, Any] = {"id": whole}
    if parts:
        technique["subtechnique"] = {"id": parts}
    return {"framework": "MITRE ATT&CK", "technique": technique}


def _without_nothing(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not known: ECS has no word for that."""
    kept: dict[str, Any] = {}
    for name, value in document.items():
        inner = _without_nothing(value) if isinstance(value, dict) else value
        if inner is not None and inner != {} and inner != []:
            kept[name] = inner
    return kept
