"""Pushes the present alerts to Alertmanagers, for who has no Prometheus rules (Alertmanager API v2).

The API: ``api/v2/openapi.yaml`` of the repository prometheus/alertmanager, ``POST /api/v2/alerts`` with a
list of ``postableAlert``. It wants the present state again and again: an alert whose ``endsAt`` has passed
is over. So all alerts go out every minute with an ``endsAt`` four minutes ahead, and again at once when one
begins or ends; ended ones for a quarter of an hour more, so that one lost message does not keep a page
open. Labels are those of the shipped rule `EgressDetected`, so the same routes serve both ways.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from monitor.config_delivery import AlertmanagerConfig
from monitor.judge.alert import rfc3339
from monitor.publish.alert_rows import AlertFacts, AlertKey
from monitor.publish.json_text import to_json_text
from monitor.publish.post import RefusedError, post
from monitor.units import format_bytes

EVERY = 60.0  # seconds between two pushes of the same state
AHEAD = 240.0  # seconds that an open alert is good for
ENDED = 900.0  # seconds that an ended one is told
RETRY = 5.0  # seconds after a push that failed
MAX_ALERTS = 500  # in one push
LAST_SECONDS = 1.0  # for pushes under way at the end, of all Alertmanagers together
_SECOND = 10**9

Rows = Sequence[tuple[AlertKey, AlertFacts]]


@dataclass
class PushCounts:
    """Pushes to one Alertmanager; `trouble` is why the last one failed."""

    delivered: int = 0
    failed: int = 0
    trouble: str | None = None


@dataclass
class _Known:
    facts: AlertFacts  # as they were while it was open
    ended: float | None = None  # wall time in seconds


@dataclass
class _Peer:
    config: AlertmanagerConfig
    counts: PushCounts = field(default_factory=PushCounts)
    due: float = 0.0  # monotonic seconds


class AlertmanagerPush:
    """Keeps every Alertmanager told. `update` is called after each batch and never waits."""

    def __init__(
        self,
        alertmanagers: Sequence[AlertmanagerConfig],
        *,
        external_url: str | None,
        wall: Callable[[], float] = time.time,
        send: Callable[..., None] = post,
    ) -> None:
        self._peers = [_Peer(config) for config in alertmanagers]
        self._external_url = external_url
        self._wall = wall
        self._send = send
        self._known: dict[AlertKey, _Known] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start a thread for each Alertmanager: one that hangs does not delay the others."""
        for number, peer in enumerate(self._peers, 1):
            thread = threading.Thread(target=self._run, args=(peer,), name=f"push-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End; Alertmanager closes what is open by itself after its time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        until = time.monotonic() + LAST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._threads.clear()

    def update(self, rows: Rows) -> None:
        """Take the alert rows as they are now; what begins or ends is pushed at once."""
        now = self._wall()
        is_open = {key: facts for key, facts in rows if facts.open}
        with self._changed:
            is_news = False
            for key, facts in is_open.items():
                old = self._known.get(key)
                is_news |= old is None or old.ended is not None
                self._known[key] = _Known(facts)
            for key, known in list(self._known.items()):
                if key in is_open:
                    continue
                if known.ended is None:
                    known.ended = now
                    is_news = True
                elif now - known.ended > ENDED:
                    del self._known[key]
            if is_news:
                for peer in self._peers:
                    peer.due = 0.0
                self._changed.notify_all()

    def counts(self) -> dict[str, PushCounts]:
        """Give the counts by Alertmanager, numbered from 1 in the order of the configuration."""
        with self._changed:
            return {
                str(number): PushCounts(peer.counts.delivered, peer.counts.failed, peer.counts.trouble)
                for number, peer in enumerate(self._peers, 1)
            }

    def _run(self, peer: _Peer) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or time.monotonic() >= peer.due,
                    max(0.0, peer.due - time.monotonic()),
                )
                if self._stopping:
                    return
                if time.monotonic() < peer.due:
                    continue
                peer.due = time.monotonic() + EVERY
                alerts = self.alerts()
            failure = None
            for first in range(0, len(alerts), MAX_ALERTS):
                body = to_json_text(alerts[first : first + MAX_ALERTS]).encode("ascii")
                try:
                    self._send(f"{peer.config.url}/api/v2/alerts", peer.config, body, "application/json")
                except RefusedError as error:  # by this one; the next may be taken
                    failure = str(error)
                except OSError as error:
                    failure = str(error)
                    break
            with self._changed:
                if failure is None:
                    peer.counts.delivered += bool(alerts)
                else:
                    peer.counts.failed += 1
                    peer.due = min(peer.due, time.monotonic() + RETRY)
                peer.counts.trouble = failure

    def alerts(self) -> list[dict[str, Any]]:
        """Give the present state as the API takes it."""
        return [self._postable(key, known) for key, known in self._known.items()]

    def _postable(self, key: AlertKey, known: _Known) -> dict[str, Any]:
        facts = known.facts
        now = self._wall()
        # a clock that was set back: an end in the future is none, and an end before the start is refused
        ends = now + AHEAD if known.ended is None else min(known.ended, now)
        started = min(facts.started, int(min(ends, now) * _SECOND))
        postable: dict[str, Any] = {
            "labels": {"alertname": "EgressDetected", **key._asdict()},
            "annotations": {
                "summary": f"{key.rule}: {key.workload} sends data to {key.provider}",
                "description": f"{format_bytes(facts.sent_bytes)} sent in this alert so far, "
                f"{facts.open} open.",
            },
            "startsAt": rfc3339(started),
            "endsAt": rfc3339(int(ends * _SECOND)),
        }
        if self._external_url is not None:
            asked = urlencode({"rule": key.rule, "workload": key.workload, "provider": key.provider})
            postable["generatorURL"] = f"{self._external_url}/alerts?{asked}"
            postable["annotations"] |= {
                "link": f"{self._external_url}/alerts?{asked}",
                "runbook_url": f"{self._external_url}/runbooks/{key.rule}",
            }
        if facts.capsule is not None:
            postable["annotations"] |= {"capsule": facts.capsule, "inspect": facts.inspect}
        return postable
