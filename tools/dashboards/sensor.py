"""*Sensor*: whether it sees, how late it is, what it holds, and whether it can be believed."""

from grafana_foundation_sdk.builders import dashboard as builders

from tools.dashboards import upkeep
from tools.dashboards.parts import (
    BYTES,
    BYTES_A_SECOND,
    COUNT,
    FRAMES_A_SECOND,
    OF_SENSOR,
    SECONDS,
    SENSOR,
    SHARE,
    add,
    begin,
    increase,
    lines,
    listing,
    number,
    or_none,
    rate,
)

NO_YES = {"0": ("no", "dark-green"), "1": ("BLIND", "dark-red")}


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
    upkeep.bounds(one)
    upkeep.loads(one)
    upkeep.ways_out(one)
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
                (rate("egress_source_interface_bytes_total"), "carried"),
                (
                    f"{rate('egress_source_wire_bytes_total')}"
                    f" + ({rate('egress_source_repeated_header_bytes_total')} or vector(0))",
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
            [(rate("egress_source_frames_total", "instance, interface"), "{{instance}} {{interface}}")],
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
            increase("egress_canary_failed_total"),
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
                    rate("egress_source_dropped_frames_total", "instance, interface, reason"),
                    "{{instance}} {{interface}} {{reason}}",
                )
            ],
            FRAMES_A_SECOND,
        ),
        lines(
            "Frames lost in the CPUs' backlogs",
            "Frames that the kernel dropped before any socket saw them, for the whole machine. Raise "
            "net.core.netdev_max_backlog, or spread the interrupts.",
            [(rate("egress_source_backlog_dropped_total", "instance"), "{{instance}}")],
            FRAMES_A_SECOND,
        ),
        lines(
            "Frames not decoded, by reason",
            "Frames that belong to no flow. not_ip (ARP, LLDP and the like) is normal. Others in numbers: a "
            "tunnel that is not opened, or a capture that cuts frames off.",
            [
                (
                    or_none(f"({rate('egress_decode_undecoded_frames_total', 'reason')} > 0)", "reason"),
                    "{{reason}}",
                )
            ],
            FRAMES_A_SECOND,
        ),
        lines(
            "Faults in frames that have a flow",
            "Counted, and no byte lost. A burst of one kind is a broken device, or somebody who tries what "
            "the decoder does with it.",
            [(or_none(f"({rate('egress_decode_faults_total', 'kind')} > 0)", "kind"), "{{kind}}")],
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
                    f"time() - max by (instance) (egress_event_clock_timestamp_seconds{{{OF_SENSOR}}} > 0)",
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
            [(rate("egress_worker_cpu_seconds_total", "instance, worker"), "{{instance}} {{worker}}")],
            SHARE,
        ),
        lines(
            "CPU of the whole daemon",
            "CPU seconds a second: workers, attribute, judge, publish and HTTP.",
            [(rate("process_cpu_seconds_total", "instance"), "{{instance}}")],
            SHARE,
        ),
    )
