"""What the judge gives: alerts, and the events of their life."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, overload

SECOND = 10**9
Kind = Literal["begun", "growing", "ended"]
Flow = dict[str, Any]


@dataclass
class Explanation:
    """How one flow was attributed, told when somebody asks; None: nobody has noted it."""

    tell: Callable[[], list[dict[str, Any]]] | None = None


class Kept(Protocol):
    """Flows as the engine keeps them: small, and written out only when somebody reads them."""

    def identities(self) -> list[int]:
        """Give what tells them apart: of flows their `flow_id`."""

    def to_list(self) -> list[Flow]:
        """Write them out as JSON has them."""


@dataclass(frozen=True)
class KeptFlows:
    """The flows of an alert at one moment, and how each of them was attributed, in the same order.

    The alert holds the explanations themselves, so they live as long as it does, whoever else forgets them.
    """

    kept: Kept
    explanations: list[Explanation]

    def read(self) -> list[Flow]:
        """Write the flows out."""
        flows = self.kept.to_list()
        for explanation, flow in zip(self.explanations, flows, strict=True):
            if explanation.tell is not None:
                flow["attribution"] = explanation.tell()
        return flows


class _Flows:
    """The field ``flows`` of an alert: given as a list or as `KeptFlows`, read as a list."""

    @overload
    def __get__(self, alert: None, owner: type) -> tuple[()]: ...
    @overload
    def __get__(self, alert: "Alert", owner: type) -> list[Flow]: ...
    def __get__(self, alert: "Alert | None", owner: type) -> tuple[()] | list[Flow]:
        if alert is None:
            return ()  # the default of the field
        kept = alert.__dict__["_flows"]
        if isinstance(kept, KeptFlows):
            # not remembered: how they were attributed may be told only after the alert was read first
            return kept.read()
        return list(kept) if isinstance(kept, tuple) else kept

    def __set__(self, alert: "Alert", flows: list[Flow] | tuple[()] | KeptFlows) -> None:
        alert.__dict__["_flows"] = [] if isinstance(flows, tuple) else flows


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
    ended: int | None  # None while open; `why_ended` says where it was not the condition
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
    capsule: str | None = None  # id of its evidence; None: none is kept
    inspect: str | None = None  # the command that opens it
    why_ended: str | None = None  # None: its condition was false for `resolve_after`
    evaluated: dict[str, Any] = field(default_factory=dict)  # what each way to fire found, by its name
    flows: _Flows = _Flows()  # the first few since it began, as JSON has them

    @property
    def is_open(self) -> bool:
        """Whether the condition holds, or held less than `resolve_after` ago."""
        return self.ended is None

    @property
    def flow_ids(self) -> list[int]:
        """What tells its flows apart; cheaper than reading them."""
        kept = self.__dict__["_flows"]
        if isinstance(kept, KeptFlows):
            return kept.kept.identities()
        return [int(flow["flow_id"], 16) for flow in kept if "flow_id" in flow]

    @property
    def unexplained(self) -> list[tuple[int, Explanation]]:
        """Its flows of which nobody has noted how they were attributed: `flow_id`, and where to note it."""
        kept = self.__dict__["_flows"]
        if not isinstance(kept, KeptFlows):
            return []
        both = zip(kept.kept.identities(), kept.explanations, strict=True)
        return [(identity, explanation) for identity, explanation in both if explanation.tell is None]

    def __copy__(self) -> "Alert":
        """Give another alert with the same values: ten times as fast as the usual way."""
        twin = Alert.__new__(Alert)
        twin.__dict__.update(self.__dict__)
        return twin

    def keep_from(self, before: "Alert") -> None:
        """Take over what other stages wrote into an earlier state of the same alert."""
        self.capsule, self.inspect = before.capsule, before.inspect

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> "Alert":
        """Make an alert of what `to_json` gave; raises ValueError, KeyError or TypeError where it is none."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in written.items() if name in known}
        for name in ("began", "last", "ended"):
            values[name] = None if values[name] is None else nanoseconds(values[name])
        return cls(**values)

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


def nanoseconds(written: str) -> int:
    """Read a time that `rfc3339` wrote; raises ValueError."""
    moment, _, rest = written.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    return int(seconds) * SECOND + int(f"{rest:0<9}"[:9])


def rfc3339(nanoseconds: int) -> str:
    """Write a time as RFC 3339 with nanoseconds, UTC."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
