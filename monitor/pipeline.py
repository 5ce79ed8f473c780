"""The whole line on one page: drain -> attribute -> judge -> publish, in that order.

A capture (source, decode and flow, in Rust) gives drains: the flow rows and DNS rows of whole ticks.
Each drain goes once through `Pipeline.step`. `monitor/replay.py` does that for capture files,
`monitor/daemon.py` for live interfaces; both `build` the same stages, so that the same packets give the
same alerts.

This is the one file that knows every stage. What a stage does is in its folder:

=========  =======================  =================================================================
source     monitor/hotpath/         an interface or a capture file -> frames
decode     monitor/hotpath/         a frame -> addresses, ports, lengths, names seen
flow       monitor/hotpath/         packets -> flow rows, cut at ticks of event time
attribute  monitor/attribute/       flow rows -> whose address, whose name, how we know
judge      monitor/judge/           attributed rows -> alerts: begun, growing, ended
publish    monitor/publish/         rows, alerts and counters -> metrics, alert events, pages
=========  =======================  =================================================================
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor._hotpath import first_rows
from monitor.attribute.attributor import Attributor
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.attribute.explain import COLUMNS, as_dicts, explain_flow
from monitor.attribute.workloads import Workloads
from monitor.canary import RULE as CANARY_RULE
from monitor.config import Config, Network
from monitor.errors import InputError
from monitor.flow_batch import Drain
from monitor.flow_rows import DnsRows, FlowRows
from monitor.initiators import Initiators
from monitor.judge.alert import AlertEvent, Explanation
from monitor.judge.engine import Judge
from monitor.judge.lists import AddressLists
from monitor.judge.rule_set import RuleSet
from monitor.laws import Laws
from monitor.named_files import load_lists, load_rules, load_sound_rules, open_databases
from monitor.publish.alert_rows import RuleInfo
from monitor.publish.publisher import Publisher
from monitor.publish.runbooks import read_runbooks

if TYPE_CHECKING:  # what not every run has is loaded by who has it
    from monitor.canary.watch import Canary
    from monitor.evidence.keeper import Keeper
    from monitor.identity.columns import WorkloadIdentity
    from monitor.publish.alert_log import AlertLog
    from monitor.publish.outlets import Outlets

PASSIVE_DNS_FILE = "passive-dns"
INITIATORS_FILE = "initiators"
JUDGE_FILE = "judge"


@dataclass(frozen=True)
class Step:
    """What one drain became."""

    flows: FlowRows
    dns: DnsRows
    events: list[AlertEvent]


class Pipeline:
    """The three stages behind the hot path, in their order."""

    def __init__(
        self,
        attributor: Attributor,
        judge: Judge,
        publisher: Publisher,
        *,
        canary: Canary | None = None,
        keeper: Keeper | None = None,
        identity: WorkloadIdentity | None = None,
    ) -> None:
        self.attributor = attributor
        self.judge = judge
        self.publisher = publisher
        self.canary = canary
        self.keeper = keeper
        self.identity = identity
        self._laws = Laws()
        self._publish_seconds = 0.0

    def step(self, drain: Drain) -> Step:
        """Take one drain through attribute, judge and publish."""
        began = time.perf_counter()
        self._laws.check(drain.counters, done=drain.done)
        flows, dns = self.attributor.attribute(drain.flows, drain.dns)
        attributed = time.perf_counter()
        events = self.judge.judge(flows, dns, drain.clock)
        alerts = self.judge.alerts()
        drain.counters.warnings += self.judge.warnings()
        if self.canary is not None:
            self.canary.see(alerts)
        # that a canary passed is no news to anybody; that none did is
        events = [event for event in events if event.alert.rule != CANARY_RULE]
        self._explain(events, flows)
        if self.keeper is not None:
            self.keeper.note(flows.frame, events, alerts)
            drain.counters.evidence = self.keeper.counters()
            drain.counters.warnings += self.keeper.warnings()
        self.judge.keep(events)
        drain.counters.given_up |= self.attributor.given_up() | self.judge.given_up()
        drain.counters.ignored_answers = self.attributor.ignored_answers()
        drain.counters.encrypted_dns = self.attributor.encrypted_dns()
        if self.identity is not None:
            drain.counters.given_up |= self.identity.given_up()
            drain.counters.identity = dict(self.identity.counts)
        judged = time.perf_counter()
        self.publisher.publish(
            flows,
            events,
            drain.counters,
            clock=drain.clock,
            alerts=[alert for alert in alerts if alert.rule != CANARY_RULE],
            judge_counters=self.judge.counters(),
            stage_seconds={
                "attribute": attributed - began,
                "judge": judged - attributed,
                "publish": self._publish_seconds,
            },
            canary=None if self.canary is None else self.canary.state(),
        )
        self._publish_seconds = time.perf_counter() - judged
        return Step(flows, dns, events)

    def _explain(self, events: list[AlertEvent], flows: FlowRows) -> None:
        """Note how each flow that new alerts keep was attributed, to be told when somebody asks."""
        wanted: dict[int, list[Explanation]] = {}
        for event in events:
            for identity, explanation in event.alert.unexplained:
                wanted.setdefault(identity, []).append(explanation)
        if not wanted:
            return
        # a row has over 60 columns, and most rows are of no alert
        places = first_rows(flows.rows[["flow_id"]], list(wanted))
        rows = flows.select(["flow_id", *COLUMNS], places)
        catalogue = self.attributor.knowledge.catalogue
        for row in rows.iter_rows(named=True):
            answer = self.attributor.answer_of(row["flow_id"])
            for explanation in wanted[row["flow_id"]]:
                explanation.tell = partial(_explained, row, catalogue, answer)


def _explained(row: dict[str, Any], catalogue: Catalogue, answer: Any) -> list[dict[str, Any]]:
    return as_dicts(explain_flow(row, catalogue, answer))


@dataclass
class Stages:
    """The pipeline with what it was built from and what must be closed."""

    pipeline: Pipeline
    rules: RuleSet
    databases: Databases
    state: Path | None
    initiators: Initiators | None

    @property
    def catalogue(self) -> Catalogue:
        """The one at work."""
        return self.pipeline.attributor.knowledge.catalogue

    def start(self) -> list[str]:
        """Take up the kept state; gives one-line warnings."""
        warnings = [str(error) for error in self.rules.broken] + self.rules.warnings
        warnings += self.pipeline.judge.lists.errors + self.databases.stand_ins
        if self.state is not None:
            warning = self.pipeline.attributor.load(self.state / PASSIVE_DNS_FILE)
            warnings += [warning] if warning else []
        self.pipeline.judge.start()
        warnings += self.databases.keep()  # behind the judge, who makes sure that the folder is ours alone
        if self.pipeline.keeper is not None:
            warnings += self.pipeline.keeper.start()
        if self.pipeline.identity is not None:
            self.pipeline.identity.start()
        return warnings

    def step(self, drain: Drain) -> Step:
        """Take a drain through the pipeline, and note what the next run is to know."""
        if drain.opened is not None and self.initiators is not None:
            self.initiators.known = drain.opened
        return self.pipeline.step(drain)

    def keep_evidence(self) -> None:
        """Tell the keeper which rules, lists and catalogue are at work."""
        if self.pipeline.keeper is not None:
            catalogue = self.pipeline.attributor.knowledge.catalogue.version
            self.pipeline.keeper.at_work(self.rules.rules, self.pipeline.judge.lists, catalogue)

    def reload(self, config: Config) -> list[str]:
        """Open, validate, swap: rules, databases, catalogue, workloads and what is published.

        Gives one-line warnings. Raises InputError where anything is wrong; what was at work then stays.
        """
        publisher = self.pipeline.publisher
        what = "databases"
        databases: Databases | None = None
        try:
            catalogue, databases = open_databases(config, self.state)
            what = "rules"
            rules = load_sound_rules(config, catalogue, databases)
            what = "lists"
            lists = load_lists(config)
        except InputError as error:
            if databases is not None:
                databases.stop()
            publisher.reloaded(what, False, time.time(), str(error))
            raise
        self.pipeline.attributor.swap(catalogue, databases)
        self.set_workloads(config)
        self.databases.stop()
        self.databases = databases
        self.pipeline.judge.set_lists(lists)
        self._judge_by(rules)
        publisher.reloaded("databases", True, time.time())
        self._loaded("lists", bool(config.lists))
        return databases.keep()

    def set_rules(self, config: Config) -> None:
        """Judge by the rules of a configuration from the next batch on; raises InputError if one is wrong."""
        self._judge_by(load_sound_rules(config, self.catalogue, self.databases))

    def _judge_by(self, rules: RuleSet) -> None:
        publisher = self.pipeline.publisher
        self.rules = rules
        self.pipeline.judge.set_rules(rules.rules)
        publisher.set_rules(rule_infos(rules))
        publisher.runbooks = read_runbooks(rules.rules)
        self.keep_evidence()
        publisher.reloaded("rules", True, time.time())

    def set_lists(self, config: Config) -> None:
        """Ask the lists of a configuration from the next batch on; raises InputError where one is wrong."""
        self.pipeline.judge.set_lists(load_lists(config))
        self.keep_evidence()
        self.pipeline.publisher.reloaded("lists", True, time.time())

    def set_workloads(self, config: Config) -> None:
        """Use the names of a configuration that was checked, from the next batch on."""
        workloads = Workloads(config.workloads, config.networks.gateways, config.published)
        self.pipeline.attributor.workloads = workloads
        self._loaded("workloads", bool(config.workloads_file))

    def _loaded(self, what: str, is_configured: bool) -> None:
        """Say that it was loaded; also of what is configured no more, where it was wrong before."""
        publisher = self.pipeline.publisher
        if is_configured or what in publisher.snapshot.load_errors:
            publisher.reloaded(what, True, time.time())

    def save(self) -> str | None:
        """Keep what DNS said and who opened flows; the judge keeps its own.

        Returns:
            One line for people where that failed, else None.
        """
        if self.state is None:
            return None
        try:
            self.pipeline.attributor.save(self.state / PASSIVE_DNS_FILE)
            if self.initiators is not None:
                self.initiators.save()
        except OSError as error:
            return f"{self.state}: passive DNS and initiators are not kept: {error.strerror or error}"
        return None

    def stop(self) -> None:
        """Keep the state and close the databases."""
        self.save()
        if self.pipeline.keeper is not None:
            self.pipeline.keeper.stop()
        if self.pipeline.identity is not None:
            self.pipeline.identity.stop()
        self.pipeline.judge.stop()
        self.databases.stop()


def rule_infos(rules: RuleSet) -> list[RuleInfo]:
    """Give what the metrics need to know of each loaded rule; the canary's has metrics of its own."""
    return [RuleInfo(rule.id, rule.severity) for rule in rules.rules if rule.id != CANARY_RULE]


def build(
    config: Config,
    *,
    live: bool,
    learn: bool,
    state: Path | None,
    alert_log: AlertLog | None = None,
    initiators: Initiators | None = None,
    canary: Canary | None = None,
    outlets: Outlets | None = None,
    keeper: Keeper | None = None,
    identity: WorkloadIdentity | None = None,
) -> Stages:
    """Put the stages together as the configuration says; raises InputError where something is wrong."""
    if state is not None:
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(f"{state}: cannot keep state here: {error.strerror or error}") from error
    catalogue, databases = open_databases(config, state if live else None, fall_back=live)
    rules = load_rules(config, catalogue, databases, trusted=live)
    attributor = Attributor(
        catalogue,
        databases,
        config.workloads,
        config.networks.gateways,
        config.published,
        config.resolvers,
        owners=None if identity is None else identity.columns,
    )
    lists = AddressLists(config.lists)
    lists.load_what_can()
    judge = Judge(
        rules.rules,
        learn=learn,
        state=state / JUDGE_FILE if state else None,
        tick=config.tick,
        lists=lists,
    )
    built = databases.built
    publisher = Publisher(
        rule_infos(rules),
        budget=config.metrics.budget,
        hold_seconds=config.metrics.hold / 10**9,
        build_info={"version": version("egress-monitor"), "catalogue": catalogue.version},
        catalogue_built=built.timestamp() if built else 0.0,
        live=live,
        filtered=bool(config.capture.filter),
        alert_log=alert_log,
        outlets=outlets,
    )
    publisher.runbooks = read_runbooks(rules.rules)
    wrong = {"rules": [str(error) for error in rules.broken], "databases": databases.stand_ins}
    for what, lines in (wrong | ({"lists": lists.errors} if config.lists else {})).items():
        publisher.reloaded(what, not lines, time.time(), "; ".join(lines))
    if config.workloads_file:
        publisher.reloaded("workloads", True, time.time())
    if keeper is not None:
        config.check_payload_rules({rule.id for rule in rules.rules})
    line = Pipeline(attributor, judge, publisher, canary=canary, keeper=keeper, identity=identity)
    stages = Stages(line, rules, databases, state, initiators)
    stages.keep_evidence()
    return stages


def gateways(config: Config) -> list[Network]:
    """Give the networks of all gateways, whatever their names."""
    return [network for networks in config.networks.gateways.values() for network in networks]
