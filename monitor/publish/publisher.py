"""The publish stage: takes what a batch gave, shows it to whoever scrapes, and logs alert events."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from monitor.canary.watch import CanaryState
from monitor.flow_batch import Counters, EvidenceCounters
from monitor.flow_rows import AnyRows, FlowRows
from monitor.judge.alert import Alert, AlertEvent
from monitor.judge.engine import Counters as JudgeCounters
from monitor.publish.alert_log import AlertLog
from monitor.publish.alert_rows import AlertRows, RuleInfo
from monitor.publish.collector import collect
from monitor.publish.coverage import COLUMNS as COVERAGE_COLUMNS
from monitor.publish.coverage import Coverage, InterfaceCoverage
from monitor.publish.destinations import COLUMNS as DESTINATION_COLUMNS
from monitor.publish.destinations import Destinations
from monitor.publish.exposition import ExpositionWriter
from monitor.publish.histogram import Histogram
from monitor.publish.outlets import Outlets
from monitor.publish.runbooks import Runbooks
from monitor.publish.snapshot import RuleCounts, Snapshot
from monitor.publish.traffic import Traffic

STAGES = ("attribute", "judge", "publish")
STAGE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds
DELAY_BOUNDS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)  # seconds
ALERT_SHARE = 10  # alert rows: one for this many rows of traffic
RELOADABLE = ("catalogue", "configuration", "databases", "lists", "rules", "web_config", "workloads")

# memory at the default budget of 2000: rows and remembered values under 6 MB, undecided flows 0.5 MB


class Publisher:
    """Owns the counters and rows that `/metrics` shows; they start at 0 with the process.

    One thread publishes. `snapshot`, `alerts` and `exposition` may be used by any thread: they read the
    last finished batch and never wait. With `live` false (replay) nothing is held at 0 and no detection delay
    is measured, because event time says nothing about a scraper's time.
    """

    def __init__(
        self,
        rules: Sequence[RuleInfo],
        *,
        budget: int = 2000,
        hold_seconds: float = 120,
        build_info: Mapping[str, str],
        catalogue_built: float,
        live: bool = True,
        filtered: bool = False,
        alert_log: AlertLog | None = None,
        outlets: Outlets | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        hold = hold_seconds if live else 0.0
        self.live = live
        self.alert_log = alert_log
        self.outlets = outlets
        self._monotonic = monotonic
        self._wall = wall
        self._build_info = dict(build_info)
        self._catalogue_built = catalogue_built
        self._traffic = Traffic(budget=budget, hold=hold)
        self._alerts = AlertRows(rules, budget=max(1, budget // ALERT_SHARE), hold=hold)
        self._rules = tuple(rules)
        self._judged = JudgeCounters({}, {}, {}, None)
        self._shown_alerts: list[Alert] = []
        self._counters = Counters()
        self._clock = 0
        self._coverage = Coverage(filtered=filtered)
        self._covered: dict[str, InterfaceCoverage] = {}
        self._canary = CanaryState()
        self.destinations = Destinations()
        self.runbooks = Runbooks()  # replaced whole when rules are loaded
        self._stages = {stage: Histogram(STAGE_BOUNDS) for stage in STAGES}
        self._delay = Histogram(DELAY_BOUNDS)
        self._reloads: dict[str, tuple[bool, float]] = {}
        self._load_errors: dict[str, str] = {}
        self._writing = threading.Lock()  # publish, set_rules and reloaded may come from two threads
        self.snapshot = self._take_snapshot()

    def publish(
        self,
        flows: AnyRows,
        events: Sequence[AlertEvent],
        counters: Counters,
        *,
        clock: int,
        alerts: Sequence[Alert],
        judge_counters: JudgeCounters,
        stage_seconds: Mapping[str, float],
        canary: CanaryState | None = None,
    ) -> None:
        """Take one batch and show it.

        Args:
            flows: of the batch, in tick order.
            events: what happened to alerts in this batch.
            counters: of the hot path, totals since the start.
            clock: the event clock, ns since 1970.
            alerts: all that are open after the batch; ended ones may stand there too.
            judge_counters: the judge's totals by rule.
            stage_seconds: what a stage took for this batch (``publish``: for the one before).
            canary: when canaries were last seen; None: there is none.
        """
        rows = FlowRows.of(flows)
        with self._writing:
            now = self._monotonic()
            self._alerts.update(events, alerts, now)
            self._traffic.reserve(self._alerts.open_pairs())
            self._traffic.add(rows, now)
            self._counters = counters.copied()
            self._clock = clock
            if self.live:
                self._covered = self._coverage.update(rows.select(COVERAGE_COLUMNS), counters, now)
                self.destinations.add(rows.select(DESTINATION_COLUMNS), clock)
                self._counters.given_up["destination"] = self.destinations.forgotten
            self._canary = canary or self._canary
            self._judged = judge_counters
            self._shown_alerts = list(alerts)
            for stage, seconds in stage_seconds.items():
                self._stages[stage].observe(seconds)
            if self.live:
                self._observe_delays(events)
            self.snapshot = self._take_snapshot()
        if self.alert_log is not None and events:
            self.alert_log.write(events)
        if self.outlets is not None:
            self.outlets.take(events, self.snapshot.alerts)

    def set_rules(self, rules: Sequence[RuleInfo]) -> None:
        """Take the rules that are loaded now; a rule that left loses its rows, not its counts."""
        with self._writing:
            self._rules = tuple(rules)
            self._alerts.set_rules(rules)
            self.snapshot = self._take_snapshot()

    def kept_evidence(self, kept: EvidenceCounters) -> None:
        """Show what evidence counts behind the last batch."""
        with self._writing:
            self._counters.evidence = kept
            self.snapshot = self._take_snapshot()

    def reloaded(self, what: str, ok: bool, when: float, why: str = "") -> None:
        """Say how a load of one of `RELOADABLE` went, and why not; `when` in seconds since 1970."""
        if what not in RELOADABLE:
            raise ValueError(f"{what!r} is not one of {', '.join(RELOADABLE)}")
        with self._writing:
            _, last = self._reloads.get(what, (False, 0.0))
            self._reloads[what] = (ok, when if ok else last)
            if ok:
                self._load_errors.pop(what, None)
            else:
                self._load_errors[what] = why
            self.snapshot = self._take_snapshot()

    def alerts(self) -> list[Alert]:
        """Give the alerts of the last batch, for other threads: the judge changes its own list meanwhile."""
        return self._shown_alerts

    def alert(self, identity: str) -> Alert | None:
        """Give one of `alerts` by its id."""
        return next((alert for alert in self._shown_alerts if alert.id == identity), None)

    def exposition(self) -> bytes:
        """Give the metrics in the text format of Prometheus, version 0.0.4."""
        return ExpositionWriter().write(collect(self.snapshot))

    def _observe_delays(self, events: Sequence[AlertEvent]) -> None:
        now = self._wall()
        for event in events:
            if event.kind == "begun":
                self._delay.observe(max(0, now - event.time) / 10**9)

    def _take_snapshot(self) -> Snapshot:
        now = self._monotonic()
        return Snapshot(
            build_info=self._build_info,
            catalogue_built=self._catalogue_built,
            clock=self._clock,
            traffic=self._traffic.bytes.shown(now),
            connections=self._traffic.connections.shown(now),
            attributed_bytes=dict(self._traffic.attributed_bytes),
            alerts=self._alerts.shown(),
            fired=self._alerts.fired(),
            rule_counts={rule.id: _counts(rule.id, self._judged) for rule in self._rules},
            state_saved=self._judged.state_error is None,
            one_way=self._judged.one_way,
            list_entries=dict(self._judged.lists),
            counters=self._counters,
            coverage=self._covered,
            canary=self._canary,
            stage_seconds={stage: histogram.value() for stage, histogram in self._stages.items()},
            detection_delay=self._delay.value(),
            reloads=dict(self._reloads),
            load_errors=dict(self._load_errors),
            outlets=None if self.outlets is None else self.outlets.counts(),
            log_counts=None if self.alert_log is None else (self.alert_log.written, self.alert_log.lost),
        )


def _counts(rule: str, judged: JudgeCounters) -> RuleCounts:
    return RuleCounts(
        judged.suppressed_bytes.get(rule, 0),
        judged.group_overflow.get(rule, 0),
        judged.learning.get(rule, False),
    )
