"""Everything that alerts go out by, besides the log and the metrics: events, and pushes to Alertmanagers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a replay has none of them, and need not load what talks TLS
    from collections.abc import Sequence

    from monitor.judge.alert import AlertEvent
    from monitor.publish.alertmanager import AlertmanagerPush, PushCounts, Rows
    from monitor.publish.courier import CourierCounts
    from monitor.publish.events import Events


@dataclass(frozen=True)
class OutletCounts:
    """What the metrics show; events by receiver, pushes by Alertmanager."""

    events: dict[str, CourierCounts]
    pushes: dict[str, PushCounts]

    def troubles(self) -> dict[str, str]:
        """Give what failed last, one line each, by receiver."""
        found = {f"events {name}": counts.trouble for name, counts in self.events.items()}
        found |= {f"alertmanager {name}": counts.trouble for name, counts in self.pushes.items()}
        return {name: trouble for name, trouble in found.items() if trouble is not None}


class Outlets:
    """Starts and stops them together, and hands each batch's news over; never waits."""

    def __init__(self, events: Events, push: AlertmanagerPush) -> None:
        self._events = events
        self._push = push

    def start(self) -> None:
        """Begin; raises InputError where a file of events cannot be written."""
        self._events.start()
        self._push.start()

    def stop(self) -> None:
        """End; events that wait are tried once more."""
        self._push.stop()
        self._events.stop()

    def take(self, events: Sequence[AlertEvent], rows: Rows) -> None:
        """Take what happened in a batch, and the alert rows after it."""
        if events:
            self._events.put(events)
        self._push.update(rows)

    def counts(self) -> OutletCounts:
        """Give what was counted so far."""
        return OutletCounts(self._events.counts(), self._push.counts())
