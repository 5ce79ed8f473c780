"""*Sensor*: whether it sees, how late it is, what it holds, and whether it can be believed."""

from grafana_foundation_sdk.builders import dashboard as builders

from tools.dashboards.parts import (
    A_SECOND,
    BYTES,
    BYTES_A_SECOND,
    COUNT,
    FRAMES_A_SECOND,
    GOOD_BELOW_1,
    OF_SENSOR,
    PLAIN,
    SECONDS,
    SENSOR,
    SHARE,
    SINCE,
    add,
    begin,
    lines,
    listing,
    number,
)  # fmt: skip

NO_YES = {"0": ("no", "dark-green"), "1": ("BLIND", "dark-red")}
FAILED_OK = {"0": ("FAILED", "dark-red"), "1": ("ok", "dark-green")}


def _rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}{{{OF_SENSOR}}}[$__rate_interval]))"


def _increase(metric: str) -> str:
    return f"sum(increase({metric}{{{OF_SENSOR}}}[$__range]))"


def sensor() -> builders.Dashboard:
    """Give the dashboard about the monitor itself."""
    one = begin(
        SENSOR,
        "Egress: sensor",
        "Whether the monitor sees everything, is in time, stays within its bounds and can account for "
        "itself.",
    )
    _watching(one)
    _drops(one)
    _laws(one)
    _delays(one)
    _bounds(one)
    _loads(one)
    return one


def _watching(one: builders.Dashboard) -> None:
    add(
        one,
        "Does it see?",
        listing(
            "Blind, and why",
            "down: no carrier. silent: no frame though there should be some. missed: under 90 % of what the "
            "interface carried. dropped: over 10 % lost. one_way: a mirror that shows only one direction. "
            "While one is set, zeros mean nothing.",
            {
                "blind": (
                    f"max by (instance, interface, reason) (egress_sensor_blind{{{OF_SENSOR}}})",
                    COUNT,
                )
            },
            sort="blind",
            empty="NO SENSOR",
            meaning={"blind": NO_YES},
            span=8,
        ),
        lines(
            "Seen of what each interface carried",
            "Share of the bytes of the last minute, against the kernel's own counter. Gaps: it carried "
            "nothing, or a capture filter is set.",
            [
                (
                    f"min by (instance, interface) (egress_source_coverage_ratio{{{OF_SENSOR}}})",
                    "{{instance}} {{interface}}",
                )
            ],
            SHARE,
            span=8,
            top=1,
        ),
        lines(
            "Carried and seen",
            "Bytes a second as the interface counts them, and as seen: at the tap, with the headers that "
            "segments of super-frames repeat. The two lines should lie on each other.",
            [
                (_rate("egress_source_interface_bytes_total"), "carried"),
                (
                    f"{_rate('egress_source_wire_bytes_total')}"
                    f" + ({_rate('egress_source_repeated_header_bytes_total')} or vector(0))",
                    "seen",
                ),
            ],
            BYTES_A_SECOND,
            span=8,
        ),
        lines(
            "Frames",
            "Frames a second at the tap, by interface. A flat zero on a busy interface: the mirror sends "
            "nothing, or the cable is out.",
            [(_rate("egress_source_frames_total", "instance, interface"), "{{instance}} {{interface}}")],
            FRAMES_A_SECOND,
        ),
        lines(
            "Canary, by where it comes from",
            "Seconds since the canary of each interface or host passed the whole line. It saws between 0 and "
            "canary.every; a line that climbs is a dead detector.",
            [
                (
                    "time() - max by (instance, from)"
                    f" (egress_canary_from_last_seen_timestamp_seconds{{{OF_SENSOR}}} > 0)",
                    "{{instance}} {{from}}",
                )
            ],
            SECONDS,
            span=8,
        ),
        number(
            "Canaries that failed",
            "Canaries that could not be sent in this time range: the interface has no address, or is down.",
            _increase("egress_canary_failed_total"),
            no_value="none sent here",
            span=4,
            height=8,
            decimals=0,
        ),
    )


def _drops(one: builders.Dashboard) -> None:
    add(
        one,
        "What was lost",
        lines(
            "Frames lost, by reason",
            "ring: the kernel's ring was full; more capture.ring or capture.workers. interface: the card or "
            "its driver dropped them. Byte counts are too low by this much.",
            [
                (
                    _rate("egress_source_dropped_frames_total", "instance, interface, reason"),
                    "{{instance}} {{interface}} {{reason}}",
                )
            ],
            FRAMES_A_SECOND,
        ),
        lines(
            "Frames lost in the CPUs' backlogs",
            "Frames that the kernel dropped before any socket saw them, for the whole machine. Raise "
            "net.core.netdev_max_backlog, or spread the interrupts.",
            [(f"{_rate('egress_source_backlog_dropped_total', 'instance')} or vector(0)", "{{instance}}")],
            FRAMES_A_SECOND,
        ),
        lines(
            "Frames not decoded, by reason",
            "Frames that belong to no flow. not_ip (ARP, LLDP and the like) is normal. Others in numbers: a "
            "tunnel that is not opened, or a capture that cuts frames off.",
            [(f"{_rate('egress_decode_undecoded_frames_total', 'reason')} > 0 or vector(0)", "{{reason}}")],
            FRAMES_A_SECOND,
        ),
        lines(
            "Faults in frames that have a flow",
            "Counted, and no byte lost. A burst of one kind is a broken device, or somebody who tries what "
            "the decoder does with it.",
            [(f"{_rate('egress_decode_faults_total', 'kind')} > 0 or vector(0)", "{{kind}}")],
            FRAMES_A_SECOND,
        ),
    )


def _laws(one: builders.Dashboard) -> None:
    add(
        one,
        "Can it account for itself?",
        number(
            "Laws broken",
            "Batches in which a law of counting was broken anew, since the start. Above 0: a fault of the "
            "monitor; its log has the numbers.",
            f"sum(egress_law_broken_total{{{OF_SENSOR}}})",
            span=4,
            height=7,
        ),
        number(
            "Frames unaccounted for",
            "Frames at the tap, less those in flows, less those not decoded. The law of frames: 0, to the "
            "frame.",
            f"abs(sum(egress_source_frames_total{{{OF_SENSOR}}}) - "
            f"sum(egress_flow_frames_total{{{OF_SENSOR}}}) - "
            f"sum(egress_decode_undecoded_frames_total{{{OF_SENSOR}}}))",
            span=4,
            height=7,
        ),
        number(
            "Bytes unaccounted for",
            "Bytes at the tap and claimed beyond it, less those of flows, overhead and frames not decoded. "
            "The law of bytes: 0, to the byte.",
            f"abs(sum(egress_source_wire_bytes_total{{{OF_SENSOR}}})"
            f" + sum(egress_decode_overclaimed_bytes_total{{{OF_SENSOR}}})"
            f" - sum(egress_flow_sent_bytes_total{{{OF_SENSOR}}})"
            f" - sum(egress_flow_received_bytes_total{{{OF_SENSOR}}})"
            f" - sum(egress_decode_overhead_bytes_total{{{OF_SENSOR}}})"
            f" - sum(egress_decode_undecoded_bytes_total{{{OF_SENSOR}}}))",
            BYTES,
            span=4,
            height=7,
        ),
        lines(
            "Bytes of flows, by scope",
            "egress: ours with the outside, what is judged. internal: ours among each other. transit: two "
            "outsides. Mostly transit: networks.local is wrong, and detection is blind.",
            [
                (
                    "sum by (scope) (rate(egress_flow_sent_bytes_total"
                    f"{{{OF_SENSOR}}}[$__rate_interval]) + rate(egress_flow_received_bytes_total"
                    f"{{{OF_SENSOR}}}[$__rate_interval]))",
                    "{{scope}}",
                )
            ],
            BYTES_A_SECOND,
            height=7,
            stacked=True,
        ),
    )


def _delays(one: builders.Dashboard) -> None:
    delays = f"sum by (le) (increase(egress_detection_delay_seconds_bucket{{{OF_SENSOR}}}[$__range]))"
    stage = f"egress_stage_seconds_{{}}{{{{{OF_SENSOR}}}}}[$__rate_interval]"
    add(
        one,
        "How late is it?",
        number(
            "Detection delay, half",
            "From the packet that crossed a rule's line to the alert being in /metrics: half of the alerts "
            "of this time range were faster.",
            f"histogram_quantile(0.5, {delays}) >= 0",
            SECONDS,
            steps=[(None, "green"), (2, "orange"), (10, "red")],
            no_value="no alert",
            span=4,
            height=7,
        ),
        number(
            "Detection delay, 99 %",
            "The same, and 99 of 100 were faster. Over 2 s the daemon is slower than it promises.",
            f"histogram_quantile(0.99, {delays}) >= 0",
            SECONDS,
            steps=[(None, "green"), (2, "orange"), (10, "red")],
            no_value="no alert",
            span=4,
            height=7,
        ),
        lines(
            "Judging lags behind now",
            "Now less the event clock. One or two seconds are the tick. A line that climbs: the machine is "
            "too busy, or the daemon hangs.",
            [
                (
                    f"time() - max by (instance) (egress_event_clock_timestamp_seconds{{{OF_SENSOR}}})",
                    "{{instance}}",
                )
            ],
            SECONDS,
            span=8,
            height=7,
        ),
        lines(
            "Time of a batch, by stage",
            "Mean seconds a batch in each stage behind the hot path. Together they must stay well below the "
            "tick (1 s), else ticks are merged.",
            [
                (
                    f"sum by (stage) (rate({stage.format('sum')})) / sum by (stage) "
                    f"(rate({stage.format('count')}))",
                    "{{stage}}",
                )
            ],
            SECONDS,
            span=8,
            height=7,
        ),
        lines(
            "CPU of the capture workers",
            "CPU seconds a second of each worker. Near 1 a worker is full and its ring overflows: more "
            "capture.workers.",
            [(_rate("egress_worker_cpu_seconds_total", "instance, worker"), "{{instance}} {{worker}}")],
            SHARE,
        ),
        lines(
            "CPU of the whole daemon",
            "CPU seconds a second: workers, attribute, judge, publish and HTTP.",
            [(_rate("process_cpu_seconds_total", "instance"), "{{instance}}")],
            SHARE,
        ),
    )


def _bounds(one: builders.Dashboard) -> None:
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
            [(f"{_rate('egress_given_up_total', 'what')} > 0 or vector(0)", "{{what}}")],
            A_SECOND,
            span=8,
        ),
        number(
            "Flows evicted",
            "Flows that left the table before their end, in this time range. Their bytes are counted; who "
            "opened them is remembered.",
            _increase("egress_flow_evicted_total"),
            steps=[(None, "green"), (1, "orange")],
            decimals=0,
        ),
        number(
            "Ticks merged",
            "Ticks judged together because the drain was late, in this time range. Sums stay exact; times of "
            "ticks do not.",
            _increase("egress_flow_merged_ticks_total"),
            steps=[(None, "green"), (1, "orange")],
            decimals=0,
        ),
        number(
            "Late frames",
            "Frames older than the tick that they count in, in this time range.",
            _increase("egress_flow_late_frames_total"),
            steps=[(None, "green"), (1000, "orange")],
            decimals=0,
        ),
        number(
            "Times out of range",
            "Frames whose time was clamped, in this time range. Above 0: a clock jumped.",
            _increase("egress_flow_clamped_times_total"),
            steps=[(None, "green"), (1, "orange")],
            decimals=0,
        ),
        number(
            "Groups over a rule's budget",
            "Groups judged together as 'other', since the start. Somebody makes many: a scan, or a flood "
            "meant to hide one.",
            f"sum(egress_rule_group_overflow_total{{{OF_SENSOR}}})",
            steps=[(None, "green"), (1, "orange")],
        ),
        number(
            "Super-frames",
            "Frames of this time range that stand for several on the wire (TSO, GRO). No fault.",
            _increase("egress_source_superframes_total"),
            steps=PLAIN,
            decimals=0,
        ),
        number(
            "DNS answers that do not count",
            "Not asked for, from nobody's resolver, or not linked to the question, in this time range. A "
            "flood of them is somebody who wants to plant names.",
            _increase("egress_attribute_ignored_answers_total"),
            steps=[(None, "green"), (1000, "orange")],
            decimals=0,
        ),
        number(
            "Interface counters begun anew",
            "Times that an interface was removed and came back, since the start.",
            f"sum(egress_source_interface_resets_total{{{OF_SENSOR}}})",
            steps=[(None, "green"), (1, "orange")],
        ),
    )


def _loads(one: builders.Dashboard) -> None:
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
            _increase("egress_alert_events_lost_total"),
            steps=GOOD_BELOW_1,
            no_value="no log",
            height=8,
            decimals=0,
        ),
    )
