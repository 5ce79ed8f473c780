"""*Investigation*: one workload and one provider, from the link of an alert to its cause."""

from grafana_foundation_sdk.builders import dashboard as builders

from tools.dashboards.parts import (
    ALERT,
    BYTES,
    BYTES_A_SECOND,
    COUNT,
    DASHED,
    INVESTIGATION,
    OF_PAIR,
    OF_SENSOR,
    PLAIN,
    SHARE,
    SINCE,
    add,
    alerts_link,
    begin,
    lines,
    listing,
    number,
    prose,
    runbook_link,
)  # fmt: skip

STEPS = """\
1. **Is it still going on?** *Sent* below rises while it does.
2. **Who opened the connections?** `remote`: a stranger came to us, so something of ours answers that should
   not. `local`: something of ours sends.
3. **Is it new?** The dashed line is the day before. Nothing there: nobody did this yesterday.
4. **What exactly went where?** [The alerts with their flows and evidence](${external_url}/alerts). On the
   sensor: `egress-monitor explain ALERT`, and `egress-monitor lookup ADDRESS` for how a name was found.
5. **What now?** Each alert links to its runbook. [All runbooks](${external_url}/runbooks).
6. **Could we have missed some?** See the last row, then the sensor dashboard.
"""


def investigation() -> builders.Dashboard:
    """Give the dashboard that links of alerts lead to."""
    one = begin(
        INVESTIGATION,
        "Egress: investigation",
        "One workload and one provider: what went, who began it, since when, and what else they did.",
        ("workload", "provider"),
    )
    _alert(one)
    _traffic(one)
    _neighbours(one)
    _doubts(one)
    return one


def _alert(one: builders.Dashboard) -> None:
    known = f"egress_alert_started_timestamp_seconds{{{OF_PAIR}}} > 0"
    add(
        one,
        "What is said of them",
        prose(
            "From the alert to its cause",
            "The order that finds the cause fastest.",
            STEPS,
            span=10,
            height=9,
        ),
        listing(
            "Their alerts",
            "Open ones (active 1), and those that ended within metrics.hold (2 minutes). Older ones are in "
            "the monitor's alert log.",
            {
                "active": (f"max by ({ALERT}) (egress_alert_active{{{OF_PAIR}}} and {known})", COUNT),
                "sent": (f"max by ({ALERT}) (egress_alert_sent_bytes{{{OF_PAIR}}} and {known})", BYTES),
                "began": (f"1000 * min by ({ALERT}) ({known})", SINCE),
            },
            sort="began",
            empty="No alert of these two now.",
            links={"rule": [alerts_link(), runbook_link()]},
            meaning={"active": {"1": ("open", "dark-red"), "0": ("ended", "dark-green")}},
            span=14,
            height=9,
        ),
    )


def _traffic(one: builders.Dashboard) -> None:
    sent = f"sum(increase(egress_sent_bytes_total{{{OF_PAIR}}}[$__range]))"
    received = f"sum(increase(egress_received_bytes_total{{{OF_PAIR}}}[$__range]))"
    opened = f'egress_connections_total{{{OF_PAIR},initiator="remote"}}'
    add(
        one,
        "What went",
        number("Sent", "Bytes that left in this time range.", sent, BYTES, steps=PLAIN, span=4),
        number("Received", "Bytes that came back in this time range.", received, BYTES, steps=PLAIN, span=4),
        number(
            "Sent for each byte received",
            "Far above 1: an upload, or answers to somebody who asks for much. A browser's download is far "
            "below 1.",
            f"{sent} / clamp_min({received}, 1)",
            COUNT,
            steps=[(None, "blue"), (4, "orange"), (20, "red")],
            span=4,
            decimals=1,
        ),
        number(
            "Opened by strangers",
            "Connections of this time range that the other side opened. Above 0 for a workload that is no "
            "public service: it is exposed.",
            f"sum(increase({opened}[$__range])) or (0 * max(egress_build_info{{{OF_SENSOR}}}))",
            COUNT,
            steps=[(None, "blue"), (1, "orange")],
            span=4,
            decimals=0,
        ),
        number(
            "Share of all that left",
            "Of everything that the sensors saw leave in this time range.",
            f"{sent} / clamp_min(sum(increase(egress_sent_bytes_total{{{OF_SENSOR}}}[$__range])), 1)",
            SHARE,
            steps=PLAIN,
            span=4,
            decimals=1,
        ),
        number(
            "Countries",
            "To how many countries something was sent in this time range.",
            f"count(sum by (country) (increase(egress_sent_bytes_total{{{OF_PAIR}}}[$__range])) > 0)",
            COUNT,
            steps=PLAIN,
            no_value="0",
            span=4,
        ),
        lines(
            "Sent and received",
            "Bytes a second. The day before is 0 where Prometheus has nothing of it.",
            [
                (f"sum(rate(egress_sent_bytes_total{{{OF_PAIR}}}[$__rate_interval]))", "sent"),
                (f"sum(rate(egress_received_bytes_total{{{OF_PAIR}}}[$__rate_interval]))", "received"),
                (
                    f"sum(rate(egress_sent_bytes_total{{{OF_PAIR}}}[$__rate_interval] offset 1d)) or "
                    f"vector(0)",
                    "sent the day before",
                ),
            ],
            BYTES_A_SECOND,
        ).override_by_name("sent the day before", DASHED),
        lines(
            "Connections, by who opened them",
            "local: ours began it. remote: a stranger did. unknown: first seen midstream, as after a restart "
            "of the sensor.",
            [
                (
                    f"sum by (initiator) (rate(egress_connections_total{{{OF_PAIR}}}[$__rate_interval]))",
                    "{{initiator}}",
                )
            ],
            "cps",
        ),
        lines(
            "Sent, by country",
            "Where the addresses of the other end are. A change of country without a deployment is worth a "
            "question.",
            [
                (
                    f"sum by (country) (rate(egress_sent_bytes_total{{{OF_PAIR}}}[$__rate_interval]))",
                    "{{country}}",
                )
            ],
            BYTES_A_SECOND,
            stacked=True,
        ),
        lines(
            "Bytes sent in their open alerts",
            "As the judge counts them: payload, in the rule's window when the alert began, and since. A flat "
            "line is over, though the alert stays open for a while (resolve_after).",
            [(f"max by (rule) (egress_alert_sent_bytes{{{OF_PAIR}}})", "{{rule}}")],
            BYTES,
        ),
    )


def _neighbours(one: builders.Dashboard) -> None:
    add(
        one,
        "What else they did",
        listing(
            "Where else this workload sent to",
            "All destinations of the workload in this time range. The one that does not fit is often the "
            "next alert.",
            {
                "sent": (
                    "sort_desc(topk(50, sum by (workload, provider, country) "
                    "(increase(egress_sent_bytes_total"
                    f'{{{OF_SENSOR},workload=~"$workload"}}[$__range]))))',
                    BYTES,
                )
            },
            sort="sent",
            empty="It sent nothing.",
        ),
        listing(
            "Who else sent to this provider",
            "All workloads that sent there in this time range. Several at once: a common library or a common "
            "intruder.",
            {
                "sent": (
                    "sort_desc(topk(50, sum by (workload, provider, country) "
                    "(increase(egress_sent_bytes_total"
                    f'{{{OF_SENSOR},provider=~"$provider"}}[$__range]))))',
                    BYTES,
                )
            },
            sort="sent",
            empty="Nobody did.",
        ),
    )


def _doubts(one: builders.Dashboard) -> None:
    nothing = f"(0 * max(egress_build_info{{{OF_SENSOR}}}))"
    add(
        one,
        "What may be missing",
        listing(
            "Bytes that exceptions took out",
            "By rule, since the sensor started: what somebody allowed, with a reason, in the rule's file. Is "
            "it what you look for?",
            {
                "excepted": (
                    f"sum by (rule) (egress_exception_suppressed_bytes_total{{{OF_SENSOR}}})",
                    BYTES,
                )
            },
            sort="excepted",
            empty="No rule is loaded.",
        ),
        number(
            "Encrypted DNS",
            "Bytes of this workload with resolvers over TLS, HTTPS or QUIC in this time range. Above 0 its "
            "names may be missing, and only networks are known.",
            "sum(increase(egress_attribute_encrypted_dns_bytes_total"
            f'{{{OF_SENSOR},workload=~"$workload"}}[$__range])) or {nothing}',
            BYTES,
            steps=[(None, "green"), (1, "orange")],
            span=4,
            height=8,
        ),
        number(
            "Sensors blind now",
            "Interfaces and reasons for which nothing may be concluded. 0 is what you want before you say "
            "that nothing went there.",
            f"sum(egress_sensor_blind{{{OF_SENSOR}}})",
            span=4,
            height=8,
        ),
        number(
            "Frames lost",
            "Lost before they could be read, in this time range.",
            f"sum(increase(egress_source_dropped_frames_total{{{OF_SENSOR}}}[$__range]))",
            steps=[(None, "green"), (1, "orange")],
            span=4,
            height=8,
            decimals=0,
        ),
    )
