"""What the judge gives: alerts, and the events of their life."""

import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

SECOND = 10**9
Kind = Literal["begun", "growing", "ended"]


@dataclass
class Alert:
    """One group that a rule minds. Times are nanoseconds since 1970, event time.

    Everything is JSON as it is: addresses are text, a missing value is None. Names come from the wire and
    may hold anything; who prints them escapes them.
    """

    id: str  # 16 hex digits; stays when the alert re-opens
    rule: str
    title: str
    severity: str
    group: dict[str, Any]  # the values of `per` (and of the novel field)
    workload: str | None  # the one that most of the alert's bytes came from when it began; frozen
    provider: str | None  # the one that most of them went to when it began; frozen
    began: int  # newest packet of the tick that crossed the line
    last: int  # newest packet since
    ended: int | None  # None while open
    value: int  # the largest that the measure has been
    threshold: int
    measure: str  # in words
    sent_bytes: int  # payload sent: in the window when it began, and since
    window: int  # seconds
    version: str  # of the rule, a hash of what its file says
    runbook: str | None
    mitre: list[str]
    reopened: int = 0
    countries: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    exceptions: list[dict[str, Any]] = field(default_factory=list)  # that did not apply, and why not
    flows: list[dict[str, Any]] = field(default_factory=list)  # the first few since it began
    capsule: str | None = None  # id of its evidence; None: none is kept
    inspect: str | None = None  # the command that opens it

    @property
    def is_open(self) -> bool:
        """Whether the condition holds, or held less than `resolve_after` ago."""
        return self.ended is None

    def snapshot(self) -> "Alert":
        """Give a copy that stays as it is."""
        copies: dict[str, Any] = {
            name: list(getattr(self, name)) for name in ("countries", "names", "evidence", "exceptions")
        }
        return replace(self, group=dict(self.group), flows=[dict(flow) for flow in self.flows], **copies)

    def to_json(self) -> dict[str, Any]:
        """Give the alert with its times as RFC 3339 text."""
        written = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("began", "last", "ended"):
            written[name] = None if written[name] is None else rfc3339(written[name])
        return written


@dataclass(frozen=True)
class AlertEvent:
    """Something that happened to an alert, with the alert as it was then.

    ``growing`` comes when the value or the bytes sent have doubled since the last event. `time` is of the
    packet that made it so; for ``ended``, when the condition had been false for `resolve_after`.
    """

    kind: Kind
    time: int
    alert: Alert

    def to_json(self) -> dict[str, Any]:
        """Give the event as one flat record: ``kind``, ``time`` and what `Alert.to_json` gives."""
        return {"kind": self.kind, "time": rfc3339(self.time), **self.alert.to_json()}


def alert_id(rule: str, group: dict[str, Any], began: int) -> str:
    """Give the id of an alert that begins: the same rows give the same id."""
    text = json.dumps([rule, group, began], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rfc3339(nanoseconds: int) -> str:
    """Write a time as RFC 3339 with nanoseconds, UTC."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
