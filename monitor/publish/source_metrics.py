"""The metric families about what was seen and what was not: source, decode and flow."""

from collections import Counter
from collections.abc import Iterator, Mapping

from monitor.flow_batch import SCOPES
from monitor.laws import LAWS
from monitor.publish.families import Family, Row, by, counter, gauge, single
from monitor.publish.labels import fold_workload
from monitor.publish.snapshot import Snapshot


def collect(snapshot: Snapshot) -> Iterator[Family]:
    """Give what was seen, what was not, and what the hot path holds."""
    counters = snapshot.counters
    yield counter(
        "egress_flow_sent_bytes_total",
        "Bytes of flows, local to remote; in other scopes, from the side that counts as local.",
        ("scope",),
        by(counters.scope_sent_bytes, SCOPES),
    )
    yield counter(
        "egress_flow_received_bytes_total",
        "Bytes of flows, remote to local; in other scopes, to the side that counts as local.",
        ("scope",),
        by(counters.scope_received_bytes, SCOPES),
    )
    yield counter(
        "egress_flow_frames_total", "Frames of flows.", ("scope",), by(counters.scope_frames, SCOPES)
    )
    yield counter(
        "egress_source_frames_total", "Frames received at the tap.", ("interface",), by(counters.frames)
    )
    yield counter(
        "egress_source_wire_bytes_total",
        "Bytes of the frames received at the tap, link headers included.",
        ("interface",),
        by(counters.wire_bytes),
    )
    yield counter(
        "egress_source_superframes_total",
        "Frames that stand for several on the wire, because the kernel cuts or joins them elsewhere.",
        ("interface",),
        by(counters.superframes),
    )
    yield counter(
        "egress_source_repeated_header_bytes_total",
        "Header bytes that the segments of super-frames have on the wire beyond what was seen.",
        ("interface", "basis"),
        counters.repeated_headers.items(),
    )
    yield counter(
        "egress_source_interface_bytes_total",
        "Bytes that the interface itself counted since the start, received and sent.",
        ("interface",),
        by(counters.interface_bytes),
    )
    yield counter(
        "egress_source_interface_resets_total",
        "Times that the interface's own counters began anew.",
        ("interface",),
        by(counters.interface_resets),
    )
    yield gauge(
        "egress_source_interface_up",
        "1 while the interface is there, switched on and has a carrier.",
        ("interface",),
        (((name,), float(is_up)) for name, is_up in counters.interface_up.items()),
    )
    yield from _coverage(snapshot)
    yield counter(
        "egress_source_backlog_dropped_total",
        "Frames that a CPU's backlog dropped before any socket saw them, machine-wide, since boot.",
        ("cpu",),
        by(counters.backlog_dropped),
    )
    yield counter(
        "egress_source_dropped_frames_total",
        "Frames that were lost before they could be read.",
        ("interface", "reason"),
        counters.dropped_frames.items(),
    )
    yield counter(
        "egress_law_broken_total",
        "Batches in which a law of counting was broken anew: frames vanished without a number.",
        ("law",),
        by(counters.laws_broken, LAWS),
    )
    yield counter(
        "egress_decode_undecoded_frames_total",
        "Frames that belong to no flow, by reason.",
        ("reason",),
        by(counters.undecoded_frames),
    )
    yield counter(
        "egress_decode_undecoded_bytes_total",
        "Wire bytes of the frames that belong to no flow, by reason.",
        ("reason",),
        by(counters.undecoded_bytes),
    )
    yield counter(
        "egress_decode_overhead_bytes_total",
        "Wire bytes outside the innermost IP packet: link and tunnel headers, padding.",
        (),
        single(counters.overhead_bytes),
    )
    yield counter(
        "egress_decode_overclaimed_bytes_total",
        "Bytes that IP headers claim beyond the end of their frame.",
        (),
        single(counters.overclaimed_bytes),
    )
    yield counter(
        "egress_decode_faults_total",
        "Faults in frames that still have a flow, by kind.",
        ("kind",),
        by(counters.faults),
    )
    yield counter(
        "egress_flow_late_frames_total",
        "Frames older than the tick that they were counted in.",
        (),
        single(counters.late_frames),
    )
    yield counter(
        "egress_flow_clamped_times_total",
        "Frames whose time was out of range and was clamped.",
        (),
        single(counters.clamped_times),
    )
    yield gauge("egress_flow_open", "Flows in the table now.", (), single(counters.flows_open))
    yield counter(
        "egress_flow_evicted_total",
        "Flows that left the table before their end, by reason.",
        ("reason",),
        by(counters.flows_evicted),
    )
    yield counter(
        "egress_flow_merged_ticks_total",
        "Ticks that were merged because the drain was late; sums are exact, times of ticks are not.",
        (),
        single(counters.merged_ticks),
    )
    yield counter(
        "egress_given_up_total",
        "Things forgotten or dropped because a bound was reached, by what they were (docs/limits.md).",
        ("what",),
        by(counters.given_up),
    )
    yield counter(
        "egress_attribute_ignored_answers_total",
        "DNS answers that do not count: not asked for, not from a resolver that is believed, not linked.",
        ("reason",),
        by(counters.ignored_answers),
    )
    yield counter(
        "egress_attribute_encrypted_dns_bytes_total",
        "Bytes with resolvers that are asked over TLS, HTTPS or QUIC: names of this workload may be missing.",
        ("workload",),
        _by_workload(counters.encrypted_dns),
    )
    yield counter(
        "egress_identity_connections_total",
        "Connections of this host, by whether the process that owns them was seen (workload_identity).",
        ("outcome",),
        by(counters.identity),
    )
    yield counter(
        "egress_worker_cpu_seconds_total",
        "CPU time of each capture worker.",
        ("worker",),
        by(counters.worker_cpu_seconds),
    )


def _by_workload(numbers: Mapping[str, int]) -> Iterator[Row]:
    """Give rows for workloads; hosts without a name are one of them."""
    folded: Counter[str] = Counter()
    for workload, number in numbers.items():
        folded[fold_workload(workload)] += number
    return by(folded)


def _coverage(snapshot: Snapshot) -> Iterator[Family]:
    yield gauge(
        "egress_source_coverage_ratio",
        "Share of the bytes that the interface carried in the last minute that was seen, 0 to 1.",
        ("interface",),
        (((name,), one.ratio) for name, one in snapshot.coverage.items() if one.ratio is not None),
    )
    yield gauge(
        "egress_sensor_blind",
        "1 while nothing may be concluded from what this interface did not show, by reason.",
        ("interface", "reason"),
        (
            ((name, reason), float(is_blind))
            for name, one in snapshot.coverage.items()
            for reason, is_blind in one.blind.items()
        ),
    )
    canary = snapshot.canary
    if canary.last_seen:
        yield gauge(
            "egress_canary_last_seen_timestamp_seconds",
            "When the canary that is the longest away was last seen by its rule; 0: not yet.",
            (),
            single(min(canary.last_seen.values())),
        )
        yield gauge(
            "egress_canary_from_last_seen_timestamp_seconds",
            "When the canary of this interface or host was last seen by its rule; 0: not yet.",
            ("from",),
            (((who,), when) for who, when in canary.last_seen.items()),
        )
        yield counter("egress_canary_sent_total", "Canaries that were sent.", (), single(canary.sent))
        yield counter(
            "egress_canary_failed_total", "Canaries that could not be sent.", (), single(canary.failed)
        )
