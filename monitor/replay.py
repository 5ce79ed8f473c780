"""A replay: capture files as one stream of packets through the line of `monitor/pipeline.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from monitor.capture import Capture
from monitor.config import Config
from monitor.flow_batch import Counters
from monitor.initiators import Initiators
from monitor.judge.alert import Alert
from monitor.pipeline import INITIATORS_FILE, build, gateways
from monitor.publish.metrics_file import write_metrics
from monitor.spare_collector import spare_collector
from monitor.totals import Totals, TransitWatch

if TYPE_CHECKING:  # what not every run has is loaded by who has it
    from monitor.records import AlertWriter, DnsWriter

MAX_ALERTS = 10_000  # that a result holds; `alerts_out` gets all


class FlowSink(Protocol):
    """What takes the attributed rows of each drain: a record file, or what a policy is learnt from."""

    def write(self, flows: pl.DataFrame, /) -> None:
        """Take the rows of one drain."""


@dataclass(frozen=True)
class ReplayResult:
    """What a replay came to."""

    counters: Counters
    totals: pl.DataFrame  # egress by Totals.KEYS with Totals.SUMS
    alerts: list[Alert]
    span: tuple[int, int] | None  # ns since 1970
    transit_hint: str | None
    warnings: list[str]


def replay(
    config: Config,
    paths: Sequence[str],
    *,
    learn: bool,
    state: Path | None,
    on_progress: Callable[[int, int | None], None] | None = None,
    flows_out: FlowSink | None = None,
    dns_out: DnsWriter | None = None,
    alerts_out: AlertWriter | None = None,
    metrics_path: Path | None = None,
    evidence: Path | None = None,
) -> ReplayResult:
    """Play capture files as one stream of packets; raises InputError where one is no capture.

    `evidence` is a folder for capsules; None: none are made.
    """
    initiators = Initiators.load(state / INITIATORS_FILE) if state else None
    keeper = None
    if evidence is not None:
        from monitor.evidence.keeper import Keeper

        keeper = Keeper(evidence, config.evidence, live=False)
    capture = Capture.of_files(
        paths,
        config.networks.local,
        gateways(config),
        config.tick,
        workers=config.capture.workers,
        memory=config.capture.memory,
        content=config.capture.content,
        initiators=initiators,
        ring_on_disk=keeper.ring if keeper is not None else None,
    )
    stages = build(
        config, live=False, learn=learn, state=state, initiators=initiators, keeper=keeper
    )
    warnings = stages.start()
    totals, transit = Totals(), TransitWatch()
    counters = Counters()
    alerts: dict[str, Alert] = {}
    spare_collector(live=False)
    capture.start()
    try:
        for drain in capture.drains(on_progress or (lambda read, total: None)):
            step = stages.step(drain)
            totals.add(step.flows)
            transit.add(step.flows)
            for event in step.events:
                if event.alert.id in alerts or len(alerts) < MAX_ALERTS:
                    alerts[event.alert.id] = event.alert
            counters = drain.counters
            warnings += drain.counters.warnings
            if flows_out:
                flows_out.write(step.flows.frame)
            if dns_out:
                dns_out.write(step.dns.frame)
            if alerts_out:
                alerts_out.write_events([event.to_json() for event in step.events])
            # the rows' memory serves the next drain
            del drain, step
    finally:
        capture.close()
        stages.stop()
    if keeper is not None:
        # the last capsules were written behind the last drain
        stages.pipeline.publisher.kept_evidence(keeper.counters())
        warnings += keeper.warnings()
    if metrics_path:
        write_metrics(metrics_path, stages.pipeline.publisher.exposition())
    return ReplayResult(counters, totals.rows, list(alerts.values()), totals.span, transit.hint(), warnings)
