"""Alert events to the receivers of the configuration, each by a courier of its own."""

import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from monitor.config_delivery import EventsConfig
from monitor.errors import InputError
from monitor.judge.alert import AlertEvent, rfc3339
from monitor.publish.courier import Courier, CourierCounts
from monitor.publish.ecs import to_ecs
from monitor.publish.json_text import to_json_text
from monitor.publish.line_file import LineFile
from monitor.publish.ocsf import to_ocsf
from monitor.publish.post import post
from monitor.publish.syslog import MAX_DATAGRAM, SyslogSender, message, shortened

Form = Callable[..., dict[str, Any]]
_FORMS: dict[str, Form] = {"ecs": to_ecs, "ocsf": to_ocsf}
_LONGEST = 1024  # characters of a text: what ECS's mappings index (ignore_above)
_LONGEST_NAME = 255  # of a member of a list; no name of DNS is longer (RFC 1035 section 2.3.4)
_MOST = 20  # members of a list
_HEAD = 512  # bytes left for the head of a syslog message


class Receiver:
    """One receiver: how an event is written for it, and how that is sent."""

    def __init__(self, config: EventsConfig, name: str) -> None:
        self.config = config
        self.courier = Courier(name, self._send)
        self._file = LineFile(str(config.file)) if config.file else None
        self._syslog = SyslogSender(config.syslog) if config.syslog else None

    def start(self) -> None:
        """Begin; raises InputError where a file cannot be written."""
        if self._file is not None:
            try:
                self._file.open()
            except OSError as error:
                raise InputError(f"events: {self._file.path}: {error.strerror or error}") from error
        self.courier.start()

    def stop(self) -> None:
        """End, with a last try for what waits."""
        self.courier.stop()
        if self._file is not None:
            self._file.close()
        if self._syslog is not None:
            self._syslog.close()

    def line(self, event: AlertEvent, document: dict[str, Any]) -> bytes:
        """Write an event for this receiver."""
        if self.config.syslog is None:
            return to_json_text(document).encode("ascii")
        is_stream = self.config.syslog.startswith("tcp:")
        text = to_json_text(document) if is_stream else shortened(document, MAX_DATAGRAM - _HEAD)
        return message(
            text,
            time=rfc3339(event.time),
            facility=self.config.facility_number,
            severity=event.alert.severity,
            kind=event.kind,
        )

    def _send(self, line: bytes) -> None:
        if self._file is not None:
            self._file.append(line)
        elif self._syslog is not None:
            self._syslog.send(line)
        elif self.config.webhook is not None:
            post(self.config.webhook, self.config, line, "application/json")


class Events:
    """All receivers. `put` never waits; `counts` may be called by any thread."""

    def __init__(
        self, receivers: Sequence[EventsConfig], *, version: str, external_url: str | None
    ) -> None:
        self._receivers = [
            Receiver(config, f"{place}-{config.kind}") for place, config in enumerate(receivers, 1)
        ]
        self._observer = {"hostname": socket.gethostname(), "version": version}
        self._external_url = external_url

    def start(self) -> None:
        """Begin; raises InputError where a file cannot be written."""
        for receiver in self._receivers:
            receiver.start()

    def stop(self) -> None:
        """End; what waits is tried once more, by all at the same time: state must still be kept after it."""
        for receiver in self._receivers:
            receiver.courier.begin_stop()
        for receiver in self._receivers:
            receiver.stop()

    def put(self, events: Sequence[AlertEvent]) -> None:
        """Hand events over to all couriers."""
        for event in events:
            link = alert_link(self._external_url, event.alert.id)
            written: dict[str, dict[str, Any]] = {}
            for receiver in self._receivers:
                form = receiver.config.form
                if form not in written:
                    written[form] = bounded(_FORMS[form](event, observer=self._observer, link=link))
                receiver.courier.put(receiver.line(event, written[form]))

    def counts(self) -> dict[str, CourierCounts]:
        """Give the counts by receiver."""
        return {receiver.courier.name: receiver.courier.counts() for receiver in self._receivers}


def bounded(document: dict[str, Any]) -> dict[str, Any]:
    """Cut what an attacker may have made long: texts, and lists with their texts."""
    cut: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            cut[name] = bounded(value)
        elif isinstance(value, str):
            cut[name] = value[:_LONGEST]
        elif isinstance(value, list):
            cut[name] = [_member(one) for one in value[:_MOST]]
        else:
            cut[name] = value
    return cut


def _member(value: Any) -> Any:
    if isinstance(value, dict):
        return bounded(value)
    return value[:_LONGEST_NAME] if isinstance(value, str) else value


def alert_link(external_url: str | None, identity: str) -> str | None:
    """Give where people find an alert."""
    return None if external_url is None else f"{external_url}/api/v1/alerts/{quote(identity)}"
