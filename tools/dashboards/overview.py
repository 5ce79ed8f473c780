"""*Overview*: is anything wrong, who sends to whom, what is new, and how much was seen."""

from grafana_foundation_sdk.builders import dashboard as builders

from tools.dashboards.parts import (
    ALERT,
    BYTES,
    BYTES_A_SECOND,
    COUNT,
    OF_PAIR,
    OF_SENSOR,
    OVERVIEW,
    PLAIN,
    SECONDS,
    SHARE,
    SINCE,
    add,
    alerts_link,
    begin,
    investigation_link,
    lines,
    listing,
    number,
    runbook_link,
)  # fmt: skip

# one a sensor that answers, 0 where it does not; `up` is there while it does not answer too
BLIND = f"""
clamp_max(
  sum(egress_sensor_blind{{{OF_SENSOR}}}) + sum(up{{{OF_SENSOR}}} == bool 0)
  or sum(up{{{OF_SENSOR}}} == bool 0), 1)
"""
LOST = f"""
sum(increase(egress_source_dropped_frames_total{{{OF_SENSOR}}}[$__range]))
  / clamp_min(
    sum(increase(egress_source_frames_total{{{OF_SENSOR}}}[$__range]))
    + sum(increase(egress_source_dropped_frames_total{{{OF_SENSOR}}}[$__range])), 1)
"""
UNDECODED = f"""
sum(increase(egress_decode_undecoded_bytes_total{{{OF_SENSOR}}}[$__range]))
  / clamp_min(sum(increase(egress_source_wire_bytes_total{{{OF_SENSOR}}}[$__range])), 1)
"""
UNNAMED = f"""
sum(increase(egress_attributed_bytes_total{{{OF_SENSOR},evidence="none"}}[$__range]))
  / clamp_min(sum(increase(egress_attributed_bytes_total{{{OF_SENSOR}}}[$__range])), 1)
"""


def _active(severity: str) -> str:
    rows = f'max by ({ALERT}) (egress_alert_active{{{OF_PAIR},severity="{severity}"}})'
    other = f'max by ({ALERT}) (egress_alert_active{{{OF_SENSOR},severity="{severity}",workload="other"}})'
    return f"sum({rows} or {other}) or (0 * max(egress_build_info{{{OF_SENSOR}}}))"


def _largest(label: str) -> str:
    """Give the rate of the 12 that sent most in the range; without a choice a hundred lines hide them."""
    return f"""
    sum by ({label}) (rate(egress_sent_bytes_total{{{OF_PAIR}}}[$__rate_interval]))
      and on ({label})
    topk(12, sum by ({label}) (increase(egress_sent_bytes_total{{{OF_PAIR}}}[$__range] @ end())))
    """


def overview() -> builders.Dashboard:
    """Give the dashboard to begin with."""
    one = begin(
        OVERVIEW,
        "Egress: overview",
        "Who sends data out of the backend, to whom, what fired, and how much of everything was watched.",
        ("workload", "provider"),
    )
    _coverage(one)
    _alerts(one)
    _traffic(one)
    _news(one)
    return one


def _coverage(one: builders.Dashboard) -> None:
    add(
        one,
        "Coverage: may you believe what is below?",
        number(
            "Sensors",
            "BLIND: an interface is down, silent, lossy or one-way, or a sensor does not answer. Then the "
            "absence of alerts below means nothing. The sensor dashboard says which and why.",
            BLIND,
            meaning={"0": ("WATCHING", "green"), "1": ("BLIND", "red")},
            no_value="NO SENSOR",
            steps=[(None, "red")],
            span=4,
        ),
        number(
            "Seen of carried",
            "Of the bytes that the interfaces themselves counted in the last minute, the share that was "
            "seen; the worst interface. No value: they carried nothing, or a capture filter is set.",
            f"min(egress_source_coverage_ratio{{{OF_SENSOR}}})",
            SHARE,
            steps=[(None, "red"), (0.9, "orange"), (0.98, "green")],
            no_value="idle",
            decimals=1,
        ),
        number(
            "Frames lost",
            "Frames lost before they could be read, of all in this time range. Byte counts are too low by "
            "about this share. Above 1 %: more capture.ring or capture.workers.",
            LOST,
            SHARE,
            steps=[(None, "green"), (0.001, "orange"), (0.01, "red")],
        ),
        number(
            "Bytes not decoded",
            "Bytes of frames that belong to no flow, of all bytes in this time range. ARP and the like are "
            "well under 1 %. Much more: the sensor dashboard tells the reasons.",
            UNDECODED,
            SHARE,
            steps=[(None, "green"), (0.01, "orange"), (0.1, "red")],
        ),
        number(
            "Laws broken",
            "Above 0 the monitor cannot account for what it saw: a fault of its own. Do not conclude "
            "anything from what it did not see; its log has the numbers.",
            f"sum(egress_law_broken_total{{{OF_SENSOR}}})",
        ),
        number(
            "Canary seen",
            "Time since the marked packet that each sensor sends was seen by its rule: the proof that the "
            "whole line works. Over 5 minutes: detection is dead, whatever else is green.",
            f"time() - min(egress_canary_last_seen_timestamp_seconds{{{OF_SENSOR}}})",
            SECONDS,
            steps=[(None, "green"), (180, "orange"), (300, "red")],
            no_value="none expected",
            decimals=0,
        ),
        number(
            "Bytes that nobody could name",
            "Share of the bytes of this time range whose provider nothing told: no DNS answer, no name, no "
            "prefix, no AS number. Databases that are old or missing make it large.",
            UNNAMED,
            SHARE,
            steps=[(None, "green"), (0.05, "orange"), (0.2, "red")],
            span=5,
        ),
    )


def _alerts(one: builders.Dashboard) -> None:
    active = f"egress_alert_active{{{OF_PAIR}}} == 1"
    add(
        one,
        "Alerts",
        *(
            number(
                f"Open: {severity}",
                f"Rows of open {severity} alerts now. Each is a rule, a workload and a provider; the list "
                "beside it has them.",
                _active(severity),
                steps=[(None, "green"), (1, colour)],
                span=2,
                height=8,
            )
            for severity, colour in (("critical", "red"), ("warning", "orange"), ("info", "blue"))
        ),
        listing(
            "Open alerts",
            "What fires now, the worst first. Click a rule for the alerts with their flows and evidence, a "
            "workload for its investigation. workload=other: more alerts than rows; the link shows all. Two "
            "sensors that see the same transfer are one row, with the larger number.",
            {
                "sent": (f"max by ({ALERT}) (egress_alert_sent_bytes{{{OF_PAIR}}} and {active})", BYTES),
                "open": (f"max by ({ALERT}) (egress_alert_open{{{OF_PAIR}}} and {active})", COUNT),
                "began": (
                    f"1000 * min by ({ALERT}) (egress_alert_started_timestamp_seconds{{{OF_PAIR}}} and "
                    f"{active})",
                    SINCE,
                ),
            },
            sort="severity",
            ascending=True,
            empty="No alert is open.",
            links={
                "rule": [alerts_link(), runbook_link()],
                "workload": [investigation_link()],
                "provider": [investigation_link()],
            },
            meaning={
                "severity": {
                    "critical": ("critical", "dark-red"),
                    "warning": ("warning", "dark-orange"),
                    "info": ("info", "dark-blue"),
                }
            },
            span=18,
        ),
    )


def _traffic(one: builders.Dashboard) -> None:
    add(
        one,
        "What leaves",
        lines(
            "Sent, by provider",
            "Bytes a second that left, by who runs the other end; the 12 largest of this time range. "
            "unlisted: networks outside the catalogue. none: unknown. other: what has no row of its own.",
            [(_largest("provider"), "{{provider}}")],
            BYTES_A_SECOND,
            stacked=True,
        ),
        lines(
            "Sent, by country",
            "The same by the country of the remote address (ISO 3166). An address of a content network is "
            "near the client, not near its owner.",
            [(_largest("country"), "{{country}}")],
            BYTES_A_SECOND,
            stacked=True,
        ),
        listing(
            "Who sent most, to whom",
            "All of this time range, by sent bytes. Much sent and little received is an upload or an answer "
            "to somebody who asked for much; click through to see who opened the connections.",
            {
                "sent": (
                    "sort_desc(topk(50, sum by (workload, provider, country)"
                    f" (increase(egress_sent_bytes_total{{{OF_PAIR}}}[$__range]))))",
                    BYTES,
                ),
                "received": (
                    "sum by (workload, provider, country)"
                    f" (increase(egress_received_bytes_total{{{OF_PAIR}}}[$__range])) and topk(50, "
                    "sum by (workload, provider, country)"
                    f" (increase(egress_sent_bytes_total{{{OF_PAIR}}}[$__range])))",
                    BYTES,
                ),
            },
            sort="sent",
            empty="Nothing left in this time range.",
            links={"workload": [investigation_link()], "provider": [investigation_link()]},
            span=24,
            height=9,
        ),
    )


def _news(one: builders.Dashboard) -> None:
    key = "workload, provider, country"
    times = ("1d", "2d", "7d")
    before = " or ".join(
        f"sum by ({key}) (egress_sent_bytes_total{{{OF_PAIR}}} offset {ago}) > 0" for ago in times
    )
    add(
        one,
        "What is new",
        listing(
            "Sent to in this time range, and not a day, two days or a week before",
            "New pairs of workload and destination. A first deployment fills this list, and so does a sensor "
            "that was down at those times. A new country for a database is worth a look at any hour.",
            {
                "sent": (
                    f"sort_desc(topk(50, (sum by ({key}) "
                    f"(increase(egress_sent_bytes_total{{{OF_PAIR}}}[$__range])) > 0) unless on ({key}) "
                    f"({before})))",
                    BYTES,
                )
            },
            sort="sent",
            empty="Nothing new.",
            links={"workload": [investigation_link()], "provider": [investigation_link()]},
            span=12,
        ),
        listing(
            "What fired in this time range",
            "How often each rule's alerts began, ended ones included. Click a rule for its "
            "runbook: what to do.",
            {
                "fired": (
                    "sort_desc(round(sum by (rule, severity) (increase(egress_alerts_fired_total"
                    f"{{{OF_SENSOR}}}[$__range]))) > 0)",
                    COUNT,
                )
            },
            sort="fired",
            empty="Nothing fired.",
            links={"rule": [runbook_link()]},
            span=8,
        ),
        number(
            "Rules that still learn",
            "Rules that learn what is normal and do not fire for it yet. After 7 days this is 0; a sensor "
            "that lost its state learns again.",
            f"sum(max by (rule) (egress_rule_learning{{{OF_SENSOR}}}))",
            steps=[*PLAIN],
            span=4,
            height=8,
        ),
    )
