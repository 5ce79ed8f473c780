"""Turns a snapshot into the metric families of the contract (design section 7, docs/metrics.md)."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from monitor.flow_batch import INITIATORS, SCOPES
from monitor.laws import LAWS
from monitor.publish.labels import fold_workload
from monitor.publish.snapshot import Snapshot

_NANOSECONDS = 10**9


class SnapshotCollector(Collector):
    """A custom collector of the official client; `read` gives the snapshot to show."""

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        self.read = read

    def collect(self) -> Iterator[Metric]:
        """Give all families, from one snapshot."""
        snapshot = self.read()
        yield from _traffic(snapshot)
        yield from _alerts(snapshot)
        yield from _rules(snapshot)
        yield from _hot_path(snapshot)
        yield from _own(snapshot)


def _counter(
    name: str, text: str, labels: Iterable[str], rows: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = CounterMetricFamily(name.removesuffix("_total"), text, labels=list(labels))
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(
    name: str, text: str, labels: Iterable[str], rows: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _by(
    numbers: Mapping[str, float], closed_set: Iterable[str] = ()
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Give rows for one label: all of a closed set, so that each series is there from the start."""
    for value in dict.fromkeys([*closed_set, *numbers]):
        yield (value,), numbers.get(value, 0)


def _by_workload(numbers: Mapping[str, int]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Give rows for workloads; hosts without a name are one of them."""
    folded: Counter[str] = Counter()
    for workload, number in numbers.items():
        folded[fold_workload(workload)] += number
    return _by(folded)


def _single(number: float) -> list[tuple[tuple[str, ...], float]]:
    return [((), number)]


def _traffic(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("workload", "provider", "country")
    yield _counter(
        "egress_sent_bytes_total",
        "Bytes that local hosts sent to remote ones, IP header to end of IP payload.",
        labels,
        ((key, sent) for key, (sent, _) in snapshot.traffic),
    )
    yield _counter(
        "egress_received_bytes_total",
        "Bytes that local hosts received from remote ones, IP header to end of IP payload.",
        labels,
        ((key, received) for key, (_, received) in snapshot.traffic),
    )
    yield _counter(
        "egress_connections_total",
        "Connections between local and remote hosts, counted once, when it is known who opened them.",
        ("workload", "provider", "initiator"),
        (
            ((*key, initiator), number)
            for key, numbers in snapshot.connections
            for initiator, number in zip(INITIATORS, numbers, strict=True)
        ),
    )
    yield _counter(
        "egress_attributed_bytes_total",
        "Bytes of egress flows, both directions, by what decided their provider.",
        ("evidence",),
        _by(snapshot.attributed_bytes),
    )


def _alerts(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("rule", "severity", "workload", "provider")
    yield _gauge(
        "egress_alert_active",
        "1 while an alert of this row is open. Alert on the value, never on increase().",
        labels,
        ((key, float(facts.open > 0)) for key, facts in snapshot.alerts),
    )
    yield _gauge(
        "egress_alert_open",
        "How many alerts of this row are open.",
        labels,
        ((key, facts.open) for key, facts in snapshot.alerts),
    )
    yield _gauge(
        "egress_alert_sent_bytes",
        "Payload bytes sent in the open alerts of this row: in the window when each began, and since.",
        labels,
        ((key, facts.sent_bytes) for key, facts in snapshot.alerts),
    )
    yield _gauge(
        "egress_alert_started_timestamp_seconds",
        "When the oldest open alert of this row began; 0 where there was none.",
        labels,
        ((key, facts.started / _NANOSECONDS) for key, facts in snapshot.alerts),
    )
    yield _counter(
        "egress_alerts_fired_total",
        "Alerts that began, alerts that opened again included.",
        ("rule", "severity"),
        ((rule, fired.count) for rule, fired in snapshot.fired),
    )
    yield _gauge(
        "egress_alert_last_fired_timestamp_seconds",
        "When an alert of this rule last began; 0 where none did since the start.",
        ("rule", "severity"),
        ((rule, fired.last / _NANOSECONDS) for rule, fired in snapshot.fired),
    )


def _rules(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.rule_counts.items()
    yield _counter(
        "egress_exception_suppressed_bytes_total",
        "Bytes that the exceptions of this rule took out before it summed.",
        ("rule",),
        (((rule,), count.suppressed_bytes) for rule, count in counts),
    )
    yield _counter(
        "egress_rule_group_overflow_total",
        "Groups of this rule that were judged together as other, because its budget was full.",
        ("rule",),
        (((rule,), count.group_overflow) for rule, count in counts),
    )
    yield _gauge(
        "egress_rule_learning",
        "1 while this rule still learns what is normal and does not fire for it.",
        ("rule",),
        (((rule,), float(count.learning)) for rule, count in counts),
    )
    yield _gauge(
        "egress_state_save_successful",
        "1 where the judge's windows and alerts could be kept the last time; at 0 a restart forgets them.",
        (),
        _single(float(snapshot.state_saved)),
    )


def _hot_path(snapshot: Snapshot) -> Iterator[Metric]:
    counters = snapshot.counters
    yield _counter(
        "egress_flow_sent_bytes_total",
        "Bytes of flows, local to remote; in other scopes, from the side that counts as local.",
        ("scope",),
        _by(counters.scope_sent_bytes, SCOPES),
    )
    yield _counter(
        "egress_flow_received_bytes_total",
        "Bytes of flows, remote to local; in other scopes, to the side that counts as local.",
        ("scope",),
        _by(counters.scope_received_bytes, SCOPES),
    )
    yield _counter(
        "egress_flow_frames_total", "Frames of flows.", ("scope",), _by(counters.scope_frames, SCOPES)
    )
    yield _counter(
        "egress_source_frames_total", "Frames received at the tap.", ("interface",), _by(counters.frames)
    )
    yield _counter(
        "egress_source_wire_bytes_total",
        "Bytes of the frames received at the tap, link headers included.",
        ("interface",),
        _by(counters.wire_bytes),
    )
    yield _counter(
        "egress_source_interface_bytes_total",
        "Bytes that the interface itself counted, received and sent; ours only where offloads are off.",
        ("interface",),
        _by(counters.interface_bytes),
    )
    yield _counter(
        "egress_source_backlog_dropped_total",
        "Frames that a CPU's backlog dropped before any socket saw them, machine-wide, since boot.",
        ("cpu",),
        _by(counters.backlog_dropped),
    )
    yield _counter(
        "egress_source_dropped_frames_total",
        "Frames that were lost before they could be read.",
        ("interface", "reason"),
        counters.dropped_frames.items(),
    )
    yield _counter(
        "egress_law_broken_total",
        "Batches in which a law of counting was broken anew: frames vanished without a number.",
        ("law",),
        _by(counters.laws_broken, LAWS),
    )
    yield _counter(
        "egress_decode_undecoded_frames_total",
        "Frames that belong to no flow, by reason.",
        ("reason",),
        _by(counters.undecoded_frames),
    )
    yield _counter(
        "egress_decode_undecoded_bytes_total",
        "Wire bytes of the frames that belong to no flow, by reason.",
        ("reason",),
        _by(counters.undecoded_bytes),
    )
    yield _counter(
        "egress_decode_overhead_bytes_total",
        "Wire bytes outside the innermost IP packet: link and tunnel headers, padding.",
        (),
        _single(counters.overhead_bytes),
    )
    yield _counter(
        "egress_decode_overclaimed_bytes_total",
        "Bytes that IP headers claim beyond the end of their frame.",
        (),
        _single(counters.overclaimed_bytes),
    )
    yield _counter(
        "egress_decode_faults_total",
        "Faults in frames that still have a flow, by kind.",
        ("kind",),
        _by(counters.faults),
    )
    yield _counter(
        "egress_flow_late_frames_total",
        "Frames older than the tick that they were counted in.",
        (),
        _single(counters.late_frames),
    )
    yield _counter(
        "egress_flow_clamped_times_total",
        "Frames whose time was out of range and was clamped.",
        (),
        _single(counters.clamped_times),
    )
    yield _gauge("egress_flow_open", "Flows in the table now.", (), _single(counters.flows_open))
    yield _counter(
        "egress_flow_evicted_total",
        "Flows that left the table before their end, by reason.",
        ("reason",),
        _by(counters.flows_evicted),
    )
    yield _counter(
        "egress_flow_merged_ticks_total",
        "Ticks that were merged because the drain was late; sums are exact, times of ticks are not.",
        (),
        _single(counters.merged_ticks),
    )
    yield _counter(
        "egress_given_up_total",
        "Things forgotten or dropped because a bound was reached, by what they were (docs/limits.md).",
        ("what",),
        _by(counters.given_up),
    )
    yield _counter(
        "egress_attribute_ignored_answers_total",
        "DNS answers that do not count: not asked for, not from a resolver that is believed, not linked.",
        ("reason",),
        _by(counters.ignored_answers),
    )
    yield _counter(
        "egress_attribute_encrypted_dns_bytes_total",
        "Bytes with resolvers that are asked over TLS, HTTPS or QUIC: names of this workload may be missing.",
        ("workload",),
        _by_workload(counters.encrypted_dns),
    )
    yield _counter(
        "egress_worker_cpu_seconds_total",
        "CPU time of each capture worker.",
        ("worker",),
        _by(counters.worker_cpu_seconds),
    )


def _own(snapshot: Snapshot) -> Iterator[Metric]:
    stages = HistogramMetricFamily(
        "egress_stage_seconds", "Time that one batch took in a stage.", labels=["stage"]
    )
    for stage, value in snapshot.stage_seconds.items():
        stages.add_metric([stage], value.buckets, value.sum)
    yield stages
    yield HistogramMetricFamily(
        "egress_detection_delay_seconds",
        "From the packet that crossed a rule's line to its alert being visible here; live only.",
        buckets=snapshot.detection_delay.buckets,
        sum_value=snapshot.detection_delay.sum,
    )
    if snapshot.log_counts is not None:
        written, lost = snapshot.log_counts
        yield _counter(
            "egress_alert_events_written_total", "Alert events written to the log.", (), _single(written)
        )
        yield _counter(
            "egress_alert_events_lost_total",
            "Alert events that could not be written, for instance to a full disk.",
            (),
            _single(lost),
        )
    yield _gauge(
        "egress_event_clock_timestamp_seconds",
        "The event clock: all whole ticks before it are judged and shown; 0 before the first batch.",
        (),
        _single(snapshot.clock / _NANOSECONDS),
    )
    yield _gauge(
        "egress_reload_successful",
        "1 where the last load worked; at 0 the last good one is still at work.",
        ("what",),
        (((what,), float(ok)) for what, (ok, _) in snapshot.reloads.items()),
    )
    yield _gauge(
        "egress_reload_success_timestamp_seconds",
        "When it was last loaded with success; 0 where it never was.",
        ("what",),
        (((what,), when) for what, (_, when) in snapshot.reloads.items()),
    )
    if snapshot.catalogue_built:
        yield _gauge(
            "egress_catalogue_built_timestamp_seconds",
            "When the catalogue of providers was built.",
            (),
            _single(snapshot.catalogue_built),
        )
    yield InfoMetricFamily("egress_build", "What is running.", value=snapshot.build_info)
