"""The rows of alerts: what Prometheus's alert rules read (design section 7).

Each loaded rule has the row ``workload="other", provider="other"`` at 0 from load. Another row appears
with its alert, stays at 1 while one of its alerts is open, then at 0 for `hold` seconds, and leaves.
Past the budget an alert is counted in its rule's row ``other``. An alert keeps its row for its life.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from monitor.judge.alert import Alert, AlertEvent
from monitor.publish.labels import OTHER, fold_provider, fold_workload

_OTHERS = (OTHER, OTHER)


class RuleInfo(NamedTuple):
    """What the metrics need to know of a loaded rule."""

    id: str
    severity: str


class AlertKey(NamedTuple):
    """The labels of an alert row."""

    rule: str
    severity: str
    workload: str
    provider: str


@dataclass(frozen=True)
class AlertFacts:
    """The values of an alert row; the facts stay while the row is held at 0, for annotations."""

    open: int = 0  # alerts open in this row
    sent_bytes: int = 0  # sum over them
    started: int = 0  # ns since 1970, of the oldest of them; 0: there was none
    capsule: str | None = None  # of the one that sent most, of those that have one
    inspect: str | None = None  # the command that opens it


@dataclass
class Fired:
    """How often a rule fired since the start, and when last (ns since 1970; 0: never)."""

    count: int = 0
    last: int = 0


class _Row:
    """The open alerts of a row, added up anew in each batch."""

    __slots__ = ("began", "most", "open", "sent")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin with none."""
        self.open, self.sent, self.began = 0, 0, 0
        self.most: Alert | None = None  # sent most of those that have a capsule

    def add(self, alert: Alert) -> None:
        """Take one more."""
        if not self.open or alert.began < self.began:
            self.began = alert.began
        self.open += 1
        self.sent += alert.sent_bytes
        if alert.capsule is not None and (self.most is None or alert.sent_bytes > self.most.sent_bytes):
            self.most = alert

    def facts(self) -> AlertFacts:
        """Give what the row shows."""
        most = self.most
        capsule, inspect = (None, None) if most is None else (most.capsule, most.inspect)
        return AlertFacts(self.open, self.sent, self.began, capsule, inspect)


class AlertRows:
    """Rows of alerts within a budget; times are seconds of a clock that never goes back."""

    def __init__(self, rules: Sequence[RuleInfo], *, budget: int, hold: float) -> None:
        self.budget = budget
        self.hold = hold
        self._rules: tuple[RuleInfo, ...] = ()
        self._rows: dict[AlertKey, AlertFacts] = {}
        self._leaves_at: dict[AlertKey, float] = {}
        self._open: dict[AlertKey, _Row] = {}  # those that have an open alert
        self._row_of: dict[str, _Row] = {}  # by alert id, while the alert is open
        self._fired: dict[RuleInfo, Fired] = {}
        self.set_rules(rules)

    def set_rules(self, rules: Sequence[RuleInfo]) -> None:
        """Take the rules that are loaded now; the counts of a rule that left are kept for its return."""
        self._rules = tuple(rules)
        for rule in rules:
            self._fired.setdefault(rule, Fired())

    def update(self, events: Iterable[AlertEvent], alerts: Iterable[Alert], now: float) -> None:
        """Take what happened in a batch, and all alerts that are open after it.

        Alerts that have ended may stand in `alerts` too; an alert that is missing there has ended.
        """
        for event in events:
            if event.kind == "begun":
                fired = self._fired.setdefault(RuleInfo(event.alert.rule, event.alert.severity), Fired())
                fired.count += 1
                fired.last = max(fired.last, event.time)
        row_before, self._row_of = self._row_of, {}
        for row in self._open.values():
            row.clear()
        used = {key for key in self._rows if key[2:] != _OTHERS}
        # alerts are many where a rule fires for many hosts without a name, rows are few: so nothing is made
        # for an alert, and its row is found by its id alone, not by four labels
        for alert in alerts:
            if alert.ended is None:
                row = row_before.get(alert.id) or self._take_row(alert, used)
                self._row_of[alert.id] = row
                row.add(alert)
        self._open = {key: row for key, row in self._open.items() if row.open}
        self._show({key: row.facts() for key, row in self._open.items()}, now)

    def open_pairs(self) -> frozenset[tuple[str, str]]:
        """Give workload and provider of all rows with an open alert, as label values."""
        return frozenset((key.workload, key.provider) for key, row in self._rows.items() if row.open)

    def shown(self) -> list[tuple[AlertKey, AlertFacts]]:
        """Give all rows, the row ``other`` of each loaded rule included."""
        rows = {AlertKey(rule.id, rule.severity, OTHER, OTHER): AlertFacts() for rule in self._rules}
        rows.update(self._rows)
        return list(rows.items())

    def fired(self) -> list[tuple[RuleInfo, Fired]]:
        """Give how often each loaded rule fired."""
        return [(rule, Fired(self._fired[rule].count, self._fired[rule].last)) for rule in self._rules]

    def _take_row(self, alert: Alert, used: set[AlertKey]) -> "_Row":
        workload, provider = fold_workload(alert.workload), fold_provider(alert.provider)
        key = AlertKey(alert.rule, alert.severity, workload, provider)
        if key not in used:
            if len(used) < self.budget:
                used.add(key)
            else:
                key = AlertKey(alert.rule, alert.severity, *_OTHERS)
        return self._open.setdefault(key, _Row())

    def _show(self, facts: dict[AlertKey, AlertFacts], now: float) -> None:
        for key, old in list(self._rows.items()):
            if key in facts:
                self._leaves_at.pop(key, None)
                continue
            if key not in self._leaves_at:
                self._leaves_at[key] = now + self.hold
                self._rows[key] = replace(old, open=0)
            if now >= self._leaves_at[key]:
                del self._rows[key], self._leaves_at[key]
        self._rows.update(facts)
