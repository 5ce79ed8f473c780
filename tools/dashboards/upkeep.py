"""*Sensor*, second half: what it holds and gave up, what is loaded, and what is on its way out."""

from grafana_foundation_sdk.builders import dashboard as builders

from tools.dashboards.parts import (
    A_SECOND,
    BYTES,
    COUNT,
    GOOD_BELOW_1,
    OF_SENSOR,
    PLAIN,
    SECONDS,
    SINCE,
    add,
    increase,
    lines,
    listing,
    number,
    or_none,
    rate,
)

FAILED_OK = {"0": ("FAILED", "dark-red"), "1": ("ok", "dark-green")}


def bounds(one: builders.Dashboard) -> None:
    """Add what the tables hold, and what went at their bounds."""
    add(
        one,
        "What it holds, and what it had to give up",
        lines(
            "Flows open",
            "Flows in the table. Its bound is capture.memory.flows; at the bound the oldest give way.",
            [(f"sum by (instance) (egress_flow_open{{{OF_SENSOR}}})", "{{instance}}")],
            COUNT,
            span=8,
        ),
        lines(
            "Memory",
            "Resident memory of the daemon. It is bounded: docs/limits.md has the sum of all tables.",
            [(f"max by (instance) (process_resident_memory_bytes{{{OF_SENSOR}}})", "{{instance}}")],
            BYTES,
            span=8,
        ),
        lines(
            "Given up at a bound, by what",
            "Things forgotten or dropped because a table was full. Names or answers may be missing then; "
            "bytes are not. docs/limits.md names each bound.",
            [(or_none(f"({rate('egress_given_up_total', 'what')} > 0)", "what"), "{{what}}")],
            A_SECOND,
            span=8,
        ),
        number(
            "Flows evicted",
            "Flows that left the table before their end, in this time range. Their bytes are counted; who "
            "opened them is remembered.",
            increase("egress_flow_evicted_total"),
            steps=[(None, "green"), (1, "orange")],
            decimals=0,
        ),
        number(
            "Ticks merged",
            "Ticks judged together because the drain was late, in this time range. Sums stay exact; times of "
            "ticks do not.",
            increase("egress_flow_merged_ticks_total"),
            steps=[(None, "green"), (1, "orange")],
            decimals=0,
        ),
        number(
            "Late frames",
            "Frames older than the tick that they count in, in this time range.",
            increase("egress_flow_late_frames_total"),
            steps=[(None, "green"), (1000, "orange")],
            decimals=0,
        ),
        number(
            "Times out of range",
            "Frames whose time was clamped, in this time range. Above 0: a clock jumped.",
            increase("egress_flow_clamped_times_total"),
            steps=[(None, "green"), (1, "orange")],
            decimals=0,
        ),
        number(
            "Groups over budget",
            "Groups judged together as 'other', since the start. Somebody makes many: a scan, or a flood "
            "meant to hide one.",
            f"sum(egress_rule_group_overflow_total{{{OF_SENSOR}}})",
            steps=[(None, "green"), (1, "orange")],
        ),
        number(
            "Super-frames",
            "Frames of this time range that stand for several on the wire (TSO, GRO). No fault.",
            increase("egress_source_superframes_total"),
            steps=PLAIN,
            decimals=0,
        ),
        number(
            "DNS ignored",
            "Not asked for, from nobody's resolver, or not linked to the question, in this time range. A "
            "flood of them is somebody who wants to plant names.",
            increase("egress_attribute_ignored_answers_total"),
            steps=[(None, "green"), (1000, "orange")],
            decimals=0,
        ),
        number(
            "Counter resets",
            "Times that an interface was removed and came back, since the start.",
            f"sum(egress_source_interface_resets_total{{{OF_SENSOR}}})",
            steps=[(None, "green"), (1, "orange")],
        ),
    )


def loads(one: builders.Dashboard) -> None:
    """Add what is loaded, how old it is, and whether the state is kept."""
    add(
        one,
        "What is loaded, and is it kept?",
        listing(
            "Loads",
            "FAILED: the new file was not taken, the last good one is at work. `egress-monitor check` names "
            "file, line and what is wrong.",
            {
                "state": (f"min by (instance, what) (egress_reload_successful{{{OF_SENSOR}}})", COUNT),
                "last good": (
                    f"1000 * min by (instance, what) (egress_reload_success_timestamp_seconds{{{OF_SENSOR}}} "
                    f"> 0)",
                    SINCE,
                ),
            },
            sort="state",
            ascending=True,
            empty="NO SENSOR",
            meaning={"state": FAILED_OK},
            span=8,
        ),
        listing(
            "Versions",
            "What runs where. Sensors with different catalogues name the same address differently.",
            {"sensors": (f"sum by (instance, version, catalogue) (egress_build_info{{{OF_SENSOR}}})", COUNT)},
            sort="instance",
            ascending=True,
            empty="NO SENSOR",
            span=7,
        ),
        number(
            "Catalogue's age",
            "Of the provider catalogue, the oldest of all sensors. Clouds move their addresses: over 90 "
            "days, take a newer release or your own databases.",
            f"time() - min(egress_catalogue_built_timestamp_seconds{{{OF_SENSOR}}})",
            SECONDS,
            steps=[(None, "green"), (90 * 86400, "orange")],
            no_value="unknown",
            height=8,
            decimals=0,
        ),
        number(
            "State kept",
            "FAILED: windows, open alerts and what was learnt would be lost in a restart. Is the disk of "
            "`state` full?",
            f"min(egress_state_save_successful{{{OF_SENSOR}}})",
            meaning={"0": ("FAILED", "red"), "1": ("ok", "green")},
            steps=[(None, "red")],
            height=8,
        ),
        number(
            "Alert events lost",
            "Events that could not be written to the alert log in this time range. Detection and metrics go "
            "on.",
            increase("egress_alert_events_lost_total"),
            steps=GOOD_BELOW_1,
            no_value="no log",
            height=8,
            decimals=0,
        ),
    )


def ways_out(one: builders.Dashboard) -> None:
    """Add alert events, pushes to Alertmanagers, and evidence."""
    nothing = f"(0 * max(egress_build_info{{{OF_SENSOR}}}))"
    add(
        one,
        "Alerts on their way, and evidence",
        lines(
            "Alert events that wait, by receiver",
            "Events for files, syslog and webhooks that were not taken yet. A line that climbs: the receiver "
            "is down; at the bound the oldest go. 0 where no receiver is configured.",
            [
                (
                    or_none(
                        f"sum by (instance, sink) (egress_events_waiting{{{OF_SENSOR}}})", "instance", "sink"
                    ),
                    "{{instance}} {{sink}}",
                )
            ],
            COUNT,
            span=8,
        ),
        number(
            "Events given up",
            "Events that no receiver got, because too many waited, in this time range. The alert log and "
            "/api/v1/alerts still have them.",
            f"{increase('egress_events_dropped_total')} or {nothing}",
            span=4,
            height=8,
            decimals=0,
        ),
        number(
            "Pushes that failed",
            "Pushes to Alertmanagers that were not taken, in this time range. Each minute tries anew; while "
            "all fail, nobody is paged this way. 0 where none is configured.",
            f"{increase('egress_push_failed_total')} or {nothing}",
            span=4,
            height=8,
            decimals=0,
        ),
        lines(
            "Evidence on disk",
            "Bytes of the ring of packets and of capsules. 0: none is kept.",
            [
                (
                    or_none(
                        f"sum by (instance, what) (egress_evidence_bytes{{{OF_SENSOR}}})", "instance", "what"
                    ),
                    "{{instance}} {{what}}",
                )
            ],
            BYTES,
            span=8,
        ),
        number(
            "Evidence reaches back",
            "Age of the oldest packet that is still in the ring. An alert looked at later than this has only "
            "its capsule.",
            f"time() - min(egress_evidence_oldest_timestamp_seconds{{{OF_SENSOR}}} > 0)",
            SECONDS,
            steps=PLAIN,
            no_value="none is kept",
            span=6,
            decimals=0,
        ),
        number(
            "Frames that evidence left out",
            "Frames not kept because the disk was slower than the wire, in this time range. Detection saw "
            "them; only the evidence lacks them.",
            f"{increase('egress_evidence_shed_frames_total')} or {nothing}",
            steps=[(None, "green"), (1, "orange")],
            span=6,
            decimals=0,
        ),
        number(
            "Capsules made",
            "Of alerts of this time range. One is packets, flows and explanation of one alert, with hashes.",
            f"{increase('egress_evidence_capsules_total')} or {nothing}",
            steps=PLAIN,
            span=6,
            decimals=0,
        ),
        number(
            "Evidence lost",
            "Capsules and packets that could not be written in this time range. Is the disk full?",
            f"{increase('egress_evidence_lost_total')} or {nothing}",
            span=6,
            decimals=0,
        ),
    )
