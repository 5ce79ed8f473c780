"""What a scrape sees: one immutable value, swapped whole, so that a scrape never waits for a batch."""

from dataclasses import dataclass, field

from monitor.canary.watch import CanaryState
from monitor.flow_batch import Counters
from monitor.publish.alert_rows import AlertFacts, AlertKey, Fired, RuleInfo
from monitor.publish.counter_rows import Key, Values
from monitor.publish.coverage import InterfaceCoverage
from monitor.publish.histogram import HistogramValue
from monitor.publish.outlets import OutletCounts


@dataclass(frozen=True)
class RuleCounts:
    """What the judge counts for one rule."""

    suppressed_bytes: int = 0
    group_overflow: int = 0
    learning: bool = False


@dataclass(frozen=True)
class Snapshot:
    """All values of the metrics after one batch. Nobody changes what is in it."""

    build_info: dict[str, str]
    catalogue_built: float  # seconds since 1970; 0: unknown
    clock: int  # event clock, ns since 1970; 0 before the first batch
    traffic: list[tuple[Key, Values]]  # (workload, provider, country) -> sent, received bytes
    connections: list[tuple[Key, Values]]  # (workload, provider) -> by initiator
    attributed_bytes: dict[str, int]  # by evidence
    alerts: list[tuple[AlertKey, AlertFacts]]
    fired: list[tuple[RuleInfo, Fired]]
    rule_counts: dict[str, RuleCounts]  # by rule
    state_saved: bool  # whether the judge could keep its state the last time
    one_way: bool  # whether only one direction is captured
    list_entries: dict[str, int]  # by list of the configuration
    counters: Counters
    coverage: dict[str, InterfaceCoverage]  # by interface; empty in replay
    canary: CanaryState
    stage_seconds: dict[str, HistogramValue]
    detection_delay: HistogramValue
    reloads: dict[str, tuple[bool, float]] = field(default_factory=dict)  # by what: ok, last success
    load_errors: dict[str, str] = field(default_factory=dict)  # by what did not load: why not, one line
    outlets: OutletCounts | None = None  # events and pushes; None: neither is configured
    log_counts: tuple[int, int] | None = None  # alert events written, lost; None: there is no log
