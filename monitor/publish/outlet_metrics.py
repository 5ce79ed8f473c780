"""The metric families about alerts on their way out: events and pushes."""

from collections.abc import Iterator

from monitor.publish.families import Family, counter, gauge
from monitor.publish.outlets import OutletCounts


def collect(counts: OutletCounts) -> Iterator[Family]:
    """Give the families of what is configured."""
    if counts.events:
        rows = counts.events.items()
        sink = ("sink",)
        yield counter(
            "egress_events_delivered_total", "Alert events that a receiver took.", sink,
            (((name,), one.delivered) for name, one in rows),
        )  # fmt: skip
        yield counter(
            "egress_events_dropped_total", "Alert events given up: too many waited, or it was refused.", sink,
            (((name,), one.dropped) for name, one in rows),
        )  # fmt: skip
        yield counter(
            "egress_events_retried_total", "Tries to deliver an alert event that failed.", sink,
            (((name,), one.retried) for name, one in rows),
        )  # fmt: skip
        yield gauge(
            "egress_events_waiting", "Alert events that wait for their receiver.", sink,
            (((name,), one.waiting) for name, one in rows),
        )  # fmt: skip
    if counts.pushes:
        pushes = counts.pushes.items()
        yield counter(
            "egress_push_delivered_total", "Pushes of the open alerts that an Alertmanager took.",
            ("alertmanager",), (((name,), one.delivered) for name, one in pushes),
        )  # fmt: skip
        yield counter(
            "egress_push_failed_total", "Pushes of the open alerts that an Alertmanager did not take.",
            ("alertmanager",), (((name,), one.failed) for name, one in pushes),
        )  # fmt: skip
