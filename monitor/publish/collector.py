"""Turns a snapshot into the metric families of the contract (design section 7, docs/metrics.md)."""

from collections.abc import Iterator

from monitor.flow_batch import INITIATORS
from monitor.publish import evidence_metrics, outlet_metrics, source_metrics
from monitor.publish.families import Family, by, counter, gauge, histogram, info, single
from monitor.publish.snapshot import Snapshot

_NANOSECONDS = 10**9


def collect(snapshot: Snapshot) -> Iterator[Family]:
    """Give all families."""
    yield from _traffic(snapshot)
    yield from _alerts(snapshot)
    yield from _rules(snapshot)
    yield from source_metrics.collect(snapshot)
    yield from evidence_metrics.collect(snapshot)
    yield from _own(snapshot)


def _traffic(snapshot: Snapshot) -> Iterator[Family]:
    labels = ("workload", "provider", "country")
    yield counter(
        "egress_sent_bytes_total",
        "Bytes that local hosts sent to remote ones, IP header to end of IP payload.",
        labels,
        ((key, sent) for key, (sent, _) in snapshot.traffic),
    )
    yield counter(
        "egress_received_bytes_total",
        "Bytes that local hosts received from remote ones, IP header to end of IP payload.",
        labels,
        ((key, received) for key, (_, received) in snapshot.traffic),
    )
    yield counter(
        "egress_connections_total",
        "Connections between local and remote hosts, counted once, when it is known who opened them.",
        ("workload", "provider", "initiator"),
        (
            ((*key, initiator), number)
            for key, numbers in snapshot.connections
            for initiator, number in zip(INITIATORS, numbers, strict=True)
        ),
    )
    yield counter(
        "egress_attributed_bytes_total",
        "Bytes of egress flows, both directions, by what decided their provider.",
        ("evidence",),
        by(snapshot.attributed_bytes),
    )


def _alerts(snapshot: Snapshot) -> Iterator[Family]:
    labels = ("rule", "severity", "workload", "provider")
    yield gauge(
        "egress_alert_active",
        "1 while an alert of this row is open. Alert on the value, never on increase().",
        labels,
        ((key, float(facts.open > 0)) for key, facts in snapshot.alerts),
    )
    yield gauge(
        "egress_alert_open",
        "How many alerts of this row are open.",
        labels,
        ((key, facts.open) for key, facts in snapshot.alerts),
    )
    yield gauge(
        "egress_alert_sent_bytes",
        "Payload bytes sent in the open alerts of this row: in the window when each began, and since.",
        labels,
        ((key, facts.sent_bytes) for key, facts in snapshot.alerts),
    )
    yield gauge(
        "egress_alert_started_timestamp_seconds",
        "When the oldest open alert of this row began; 0 where there was none.",
        labels,
        ((key, facts.started / _NANOSECONDS) for key, facts in snapshot.alerts),
    )
    yield counter(
        "egress_alerts_fired_total",
        "Alerts that began, alerts that opened again included.",
        ("rule", "severity"),
        ((rule, fired.count) for rule, fired in snapshot.fired),
    )
    yield gauge(
        "egress_alert_last_fired_timestamp_seconds",
        "When an alert of this rule last began; 0 where none did since the start.",
        ("rule", "severity"),
        ((rule, fired.last / _NANOSECONDS) for rule, fired in snapshot.fired),
    )


def _rules(snapshot: Snapshot) -> Iterator[Family]:
    counts = snapshot.rule_counts.items()
    yield counter(
        "egress_exception_suppressed_bytes_total",
        "Bytes that the exceptions of this rule took out before it summed.",
        ("rule",),
        (((rule,), count.suppressed_bytes) for rule, count in counts),
    )
    yield counter(
        "egress_rule_group_overflow_total",
        "Groups of this rule that were judged together as other, because its budget was full.",
        ("rule",),
        (((rule,), count.group_overflow) for rule, count in counts),
    )
    yield gauge(
        "egress_rule_learning",
        "1 while this rule still learns what is normal and does not fire for it.",
        ("rule",),
        (((rule,), float(count.learning)) for rule, count in counts),
    )
    yield gauge(
        "egress_state_save_successful",
        "1 where the judge's windows and alerts could be kept the last time; at 0 a restart forgets them.",
        (),
        single(float(snapshot.state_saved)),
    )
    yield gauge(
        "egress_capture_one_way",
        "1 while only one direction of the traffic is captured; rules that need both do not judge then.",
        (),
        single(float(snapshot.one_way)),
    )
    yield gauge(
        "egress_list_entries",
        "Addresses, networks and domains of a list that rules can name.",
        ("list",),
        (((name,), float(entries)) for name, entries in snapshot.list_entries.items()),
    )


def _own(snapshot: Snapshot) -> Iterator[Family]:
    yield histogram(
        "egress_stage_seconds",
        "Time that one batch took in a stage.",
        ("stage",),
        (((stage,), value) for stage, value in snapshot.stage_seconds.items()),
    )
    yield histogram(
        "egress_detection_delay_seconds",
        "From the packet that crossed a rule's line to its alert being visible here; live only.",
        (),
        [((), snapshot.detection_delay)],
    )
    if snapshot.log_counts is not None:
        written, lost = snapshot.log_counts
        yield counter(
            "egress_alert_events_written_total", "Alert events written to the log.", (), single(written)
        )
        yield counter(
            "egress_alert_events_lost_total",
            "Alert events that could not be written, for instance to a full disk.",
            (),
            single(lost),
        )
    if snapshot.outlets is not None:
        yield from outlet_metrics.collect(snapshot.outlets)
    yield gauge(
        "egress_event_clock_timestamp_seconds",
        "The event clock: all whole ticks before it are judged and shown; 0 before the first batch.",
        (),
        single(snapshot.clock / _NANOSECONDS),
    )
    yield gauge(
        "egress_reload_successful",
        "1 where the last load worked; at 0 the last good one is still at work.",
        ("what",),
        (((what,), float(ok)) for what, (ok, _) in snapshot.reloads.items()),
    )
    yield gauge(
        "egress_reload_success_timestamp_seconds",
        "When it was last loaded with success; 0 where it never was.",
        ("what",),
        (((what,), when) for what, (_, when) in snapshot.reloads.items()),
    )
    if snapshot.catalogue_built:
        yield gauge(
            "egress_catalogue_built_timestamp_seconds",
            "When the catalogue of providers was built.",
            (),
            single(snapshot.catalogue_built),
        )
    yield info("egress_build", "What is running.", snapshot.build_info)
