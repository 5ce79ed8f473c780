"""An alert event as a Detection Finding of the Open Cybersecurity Schema Framework.

Class 2004 of https://schema.ocsf.io/1.3.0/classes/detection_finding; in machine form
``events/findings/{finding,detection_finding}.json`` and
``objects/{finding_info,analytic,attack,evidences}.json`` of the repository ocsf/ocsf-schema. What it has no
attribute for stands under ``unmapped``.
"""

from typing import Any

from monitor.judge.alert import AlertEvent
from monitor.publish.ecs import addresses, event_id, in_words

VERSION = "1.3.0"
CLASS = 2004  # Detection Finding
CATEGORY = 2  # Findings
_ACTIVITIES = {"begun": (1, "Create"), "growing": (2, "Update"), "ended": (3, "Close")}
_STATUSES = {"begun": (1, "New"), "growing": (2, "In Progress"), "ended": (4, "Resolved")}
_SEVERITIES = {"info": (1, "Informational"), "warning": (3, "Medium"), "critical": (5, "Critical")}
_RULE = 1  # type_id of analytic
_MILLISECOND = 10**6


def to_ocsf(event: AlertEvent, *, observer: dict[str, str], link: str | None) -> dict[str, Any]:
    """Give the event; the arguments are those of `monitor.publish.ecs.to_ecs`."""
    alert = event.alert
    activity, activity_name = _ACTIVITIES[event.kind]
    status, status_name = _STATUSES[event.kind]
    severity, severity_name = _SEVERITIES[alert.severity]
    product = {"name": "egress-monitor", "vendor_name": "egress-monitor", "version": observer["version"]}
    info: dict[str, Any] = {
        "uid": alert.id,
        "title": alert.title,
        "desc": alert.measure,
        "created_time": alert.began // _MILLISECOND,
        "first_seen_time": alert.began // _MILLISECOND,
        "last_seen_time": alert.last // _MILLISECOND,
        "modified_time": event.time // _MILLISECOND,
        "analytic": {"type_id": _RULE, "type": "Rule", "uid": alert.rule, "version": alert.version},
    }
    if link is not None:
        info["src_url"] = link
    if alert.mitre:
        info["attacks"] = [_attack(technique) for technique in alert.mitre]
    found: dict[str, Any] = {
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": 100 * CLASS + activity,
        "type_name": f"Detection Finding: {activity_name}",
        "time": event.time // _MILLISECOND,
        "start_time": alert.began // _MILLISECOND,
        "end_time": (alert.ended or alert.last) // _MILLISECOND,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "is_alert": event.kind != "ended",
        "message": in_words(event),
        "metadata": {"version": VERSION, "uid": event_id(event), "product": product},
        "finding_info": info,
        "unmapped": {
            "sensor": observer["hostname"],
            "workload": alert.workload,
            "provider": alert.provider,
            "countries": alert.countries,
            "names": alert.names,
            "evidence": alert.evidence,
            "value": alert.value,
            "threshold": alert.threshold,
            "sent_bytes": alert.sent_bytes,
        },
    }
    if alert.workload is not None:
        found["resources"] = [{"name": alert.workload, "type": "workload"}]
    evidences = [one for one in map(_evidence, alert.flows[:5]) if one]
    if evidences:
        found["evidences"] = evidences
    found["observables"] = [
        {"name": "evidences", "type_id": 2, "type": "IP Address", "value": address}
        for address in addresses(alert)[:20]
    ]
    return found


def _attack(technique: str) -> dict[str, Any]:
    whole, _, part = technique.partition(".")
    attack: dict[str, Any] = {"technique": {"uid": whole}}
    if part:
        attack["sub_technique"] = {"uid": technique}
    return attack


def _evidence(flow: dict[str, Any]) -> dict[str, Any]:
    """Give the two ends of a flow."""
    ends = {}
    for end, side in (("src_endpoint", "local"), ("dst_endpoint", "remote")):
        if flow.get(f"{side}_address"):
            ends[end] = {"ip": flow[f"{side}_address"], "port": flow.get(f"{side}_port")}
    name = flow.get("dns_name") or flow.get("name")
    if name and "dst_endpoint" in ends:
        ends["dst_endpoint"]["hostname"] = name
    return ends
