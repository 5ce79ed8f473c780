"""The daemon's life around the line: start, drains, reload, what is kept, a clean end."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from monitor import canary, pipeline
from monitor.canary.watch import Canary
from monitor.capture import Capture, own_addresses
from monitor.capture_filter import compile_filter
from monitor.config import Config, Network, load_config
from monitor.errors import InputError
from monitor.evidence.keeper import Keeper
from monitor.identity.columns import WorkloadIdentity
from monitor.identity.owners import Owners
from monitor.initiators import Initiators
from monitor.log import make_log
from monitor.publish.alert_log import STANDARD_OUTPUT, AlertLog
from monitor.publish.alertmanager import AlertmanagerPush
from monitor.publish.events import Events
from monitor.publish.http import HttpServer
from monitor.publish.outlets import Outlets
from monitor.reloads import Reloads
from monitor.spare_collector import spare_collector
from monitor.terminal import visible
from monitor.totals import TransitWatch
from monitor.trusted import require_trusted_config
from monitor.watched_files import WatchedFiles

if TYPE_CHECKING:
    from types import FrameType


# what can be read anew
CATALOGUE, CONFIGURATION, LISTS, WORKLOADS = "catalogue", "configuration", "lists", "workloads"
RULES = "rules"

# keys of the configuration that are looked at once, when the daemon starts
AT_START = (
    "interfaces", "workload_identity", "resolvers", "state", "listen", "external_url", "web_config", "http",
    "tick", "metrics", "capture", "canary", "alertmanagers", "events", "evidence",
)  # fmt: skip

SAVE_EVERY = 60.0  # seconds between two times that passive DNS is kept
DOUBT_EVERY = 600.0  # seconds of traffic after which the local side is doubted, if most is transit
LOOK_EVERY = 2.0  # seconds between two looks at the interfaces' own addresses and at the files that judge


def run(config: Config, alerts: Path | None) -> None:
    """Watch live interfaces until SIGTERM or SIGINT; raises InputError where that cannot begin.

    Alert events are appended to the file `alerts`, or written to standard output where it is None.
    """
    reloads = Reloads()
    # from now on: one that comes while rules are tested must not end the start
    signal.signal(signal.SIGHUP, lambda *_: reloads.want())
    files = WatchedFiles(watched(config))
    alert_log = AlertLog(str(alerts or STANDARD_OUTPUT))
    outlets = make_outlets(config)
    initiators = Initiators.load(config.state / pipeline.INITIATORS_FILE)
    keeper = Keeper(config.state, config.evidence, live=True) if config.evidence.enabled else None
    payload_for = config.evidence.payload_for if keeper is not None else []
    capture = Capture.of_interfaces(
        config.interfaces,
        config.networks.local,
        pipeline.gateways(config),
        config.tick,
        ring=config.capture.ring,
        promiscuous=config.capture.promiscuous,
        busy_poll=config.capture.busy_poll,
        snap=config.capture.snaps and not payload_for,
        superframe_sizes=config.capture.superframes == "exact",
        filter=compile_filter(canary.let_pass(config.capture.filter)),
        workers=config.capture.workers,
        memory=config.capture.memory,
        content=config.capture.content,
        initiators=initiators,
        ring_on_disk=keeper.ring if keeper is not None else None,
    )
    stages = pipeline.build(
        config,
        live=True,
        learn=True,
        state=config.state,
        alert_log=alert_log,
        initiators=initiators,
        canary=make_canary(config),
        outlets=outlets,
        keeper=keeper,
        identity=WorkloadIdentity(Owners()) if config.workload_identity else None,
    )
    spare_collector(live=True)
    files.also(CATALOGUE, stages.catalogue.files)
    Daemon(config, capture, stages, alert_log, outlets, files, reloads).run()


def make_canary(config: Config) -> Canary:
    """Make the canary as the configuration says: on a mirror none is sent, unless that is asked for."""
    asked = config.canary.enabled
    sends = not config.capture.promiscuous if asked is None else asked
    return Canary(
        config.interfaces if sends else [],
        every=config.canary.every / 10**9,
        expect_from=config.canary.expect_from,
        addresses=own_addresses,
    )


def watched(config: Config) -> dict[str, list[Path]]:
    """Give the files that are read again when they change, by what they are for."""
    paths: dict[str, list[Path]] = {CONFIGURATION: [config.path] if config.path else [], CATALOGUE: []}
    for place, path in config.chosen_files():
        if place[0] != "web_config":  # its own server reads it
            what = WORKLOADS if place[0] == "workloads_file" else str(place[0])
            paths.setdefault(what, []).append(path)
    return paths


def make_outlets(config: Config) -> Outlets:
    """Make what alerts go out by, besides the log and the metrics."""
    return Outlets(
        Events(config.events, version=version("egress-monitor"), external_url=config.external_url),
        AlertmanagerPush(config.alertmanagers, external_url=config.external_url),
    )


class Daemon:
    """Runs a pipeline over a live capture; one thread steps, the web server has its own."""

    def __init__(
        self,
        config: Config,
        capture: Capture,
        stages: pipeline.Stages,
        alert_log: AlertLog,
        outlets: Outlets,
        files: WatchedFiles,
        reloads: Reloads,
    ) -> None:
        self.config = config
        self._at_start = config
        self._capture = capture
        self._stages = stages
        self._alert_log = alert_log
        self._outlets = outlets
        self._troubles: dict[str, str] = {}
        self._addresses_trouble = ""
        self._server: HttpServer | None = None
        self._is_told_to_stop = False
        self._reloads = reloads
        self._seen_first = threading.Event()
        self._canary = stages.pipeline.canary
        self._files = files
        self._refused: WatchedFiles | None = None  # those of a configuration that could not be taken up
        self._log = make_log()

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT; raises InputError where something cannot begin."""
        line = self._stages.pipeline
        self._server = HttpServer(
            line.publisher,
            line.publisher.alerts,
            line.publisher.alert,
            self._ready,
            self.config.listen,
            self.config.web_config,
            reload=self._reloads.wait if self.config.http.reload else None,
            external_url=self.config.external_url,
            requests=self.config.http.requests,
        )
        # what was started is stopped in the opposite order, and nothing else: another daemon's state stays
        with ExitStack() as started:
            started.callback(self._capture.close)
            for warning in [*self.config.capture.notes(), *self._stages.start()]:
                self._log.warning("not as it should be", what=visible(warning))
            started.callback(self._stages.stop)
            self._alert_log.start()
            started.callback(self._alert_log.stop)
            self._outlets.start()
            started.callback(self._tell_undelivered)
            started.callback(self._outlets.stop)
            self._server.start()
            started.callback(self._server.stop)
            started.callback(self._reloads.close)
            self._watch_signals()
            self._capture.set_sides(self._local(), pipeline.gateways(self.config))
            self._capture.start()
            if self._stages.pipeline.keeper is not None:
                self._log.info("evidence", kept=self._stages.pipeline.keeper.in_words())
            self._log.info(
                "watching",
                interfaces=self.config.interfaces,
                rules=len(self._stages.rules.rules),
                listen=self._server.address,
                state=str(self.config.state),
                canary=self._canary.interfaces if self._canary else [],
            )
            self._loop()

    def _loop(self) -> None:
        saved = looked = doubted = time.monotonic()
        transit = TransitWatch()
        local = self._local()
        blind: set[str] = set()  # workloads whose names will be missing; the counter has a bound
        stopping = False
        while True:
            drain = self._capture.drain()
            if drain is not None:
                step = self._stages.step(drain)
                self._seen_first.set()
                transit.add(step.flows)
                for warning in drain.counters.warnings:
                    self._log.warning("capture", what=visible(warning))
                for workload in drain.counters.encrypted_dns.keys() - blind:
                    blind.add(workload)
                    self._log.warning("names will be missing: encrypted DNS", workload=visible(workload))
                for event in step.events:
                    self._log.info("alert", event_kind=event.kind, id=event.alert.id, rule=event.alert.rule)
                if drain.done:
                    self._log_end(drain.counters.frames, drain.counters.dropped_frames)
                    return
            if self._is_told_to_stop and not stopping:
                stopping = True
                self._capture.stop()
            asked = self._reloads.take()
            if asked is not None:
                self._reloads.tell(asked, self._take_up({CONFIGURATION}))
            now = time.monotonic()
            if self._canary is not None and not stopping:
                self._canary.tick(now)
            if now - saved >= SAVE_EVERY:
                saved = now
                trouble = self._stages.save()
                if trouble:
                    self._log.warning("state", what=trouble)
            if now - doubted >= DOUBT_EVERY:
                doubted = now
                hint = transit.hint()
                if hint:
                    self._log.warning("sides", what=hint)
                transit = TransitWatch()
            if now - looked >= LOOK_EVERY:
                looked = now
                changed = self._files.changed()
                if changed:
                    self._take_up(changed)
                elif self._refused is not None and self._refused.changed():
                    # what was wrong may be right now; that configuration still waits
                    self._take_up({CONFIGURATION})
                identity = self._stages.pipeline.identity
                trouble = None if identity is None else identity.trouble()
                if trouble:
                    self._log.warning("workload_identity", what=trouble)
                self._tell_troubles()
                self._refresh_web()
                local = self._follow_addresses(local)

    def _follow_addresses(self, local: list[Network]) -> list[Network]:
        """Look whether the interfaces have other addresses now; gives the local networks at work."""
        try:
            found = self._local()
        except InputError as error:  # such as no file left; what was known is better than no capture
            if str(error) != self._addresses_trouble:
                self._log.warning("local addresses", what=visible(str(error)))
            self._addresses_trouble = str(error)
            return local
        self._addresses_trouble = ""
        if found != local:
            self._capture.set_sides(found, pipeline.gateways(self.config))
            self._log.info("local addresses changed", count=len(found))
        return found

    def _take_up(self, changed: set[str]) -> str | InputError:
        """Take up what changed, or tell why not.

        Configuration, rules, databases and workloads are read anew where it is the configuration. Where
        something is wrong, what was at work stays at work, and ``egress_reload_successful`` says so.
        """
        try:
            outcome: str | InputError = self._read_anew(changed)
            self._log.info("reload", outcome=outcome)
        except InputError as error:
            outcome = error
            self._log.warning("reload", outcome=f"nothing was changed: {visible(str(error))}")
        return outcome

    def _read_anew(self, changed: set[str]) -> str:
        """Open, validate, swap; gives one line for people, raises InputError where something is wrong."""
        publisher = self._stages.pipeline.publisher
        what = next((one for one in (WORKLOADS, LISTS, RULES) if changed == {one}), CONFIGURATION)
        before = WatchedFiles(watched(self.config))
        try:
            config = load_config(self.config.path) if self.config.path else self.config
            files = WatchedFiles(watched(config))
            require_trusted_config(config)
            if what == LISTS:
                self._stages.set_lists(config)
            elif what == RULES:
                # a database that is wrong at this moment must not keep a rule from being mended
                self._stages.set_rules(self.config)
            elif what == CONFIGURATION:
                self._refused = files
                publisher.reloaded(what, True, time.time())
                for warning in self._stages.reload(config):
                    self._log.warning("not as it should be", what=visible(warning))
        except (InputError, OSError) as error:
            # OSError: a file went between two looks at it
            told = error if isinstance(error, InputError) else _in_words(error)
            publisher.reloaded(what, False, time.time(), str(told))
            raise told from None
        if what == LISTS:
            return f"{len(config.lists)} lists at work"
        if what == RULES:
            return f"{len(self._stages.rules.rules)} rules at work"
        if what == WORKLOADS:
            self._stages.set_workloads(config)
            # rules that name them may come next
            self.config = self.config.model_copy(update={"workloads": config.workloads})
            return f"{len(config.workloads)} workloads at work"
        self.config = config.with_interfaces(self.config.interfaces)
        files.also(CATALOGUE, self._stages.catalogue.files)
        self._files, self._refused = files, None
        if before.changed_until(files):
            self._reloads.want()  # it was written anew behind our reading
        self._capture.set_sides(self._local(), pipeline.gateways(self.config))
        waiting = config.changed_since(self._at_start, AT_START)
        at_work = f"{len(self._stages.rules.rules)} rules at work"
        return f"{at_work}; what changed in {', '.join(waiting)} needs a restart" if waiting else at_work

    def _refresh_web(self) -> None:
        """Take up a web configuration or a certificate that changed, or tell why not."""
        assert self._server is not None
        publisher = self._stages.pipeline.publisher
        try:
            if self._server.refresh():
                publisher.reloaded("web_config", True, time.time())
                self._log.info("web_config", outcome="read again")
        except InputError as error:
            publisher.reloaded("web_config", False, time.time(), str(error))
            self._log.warning("web_config", outcome=f"nothing was changed: {visible(str(error))}")

    def _tell_troubles(self) -> None:
        """Say once what an outlet began to fail with, and once that it works again."""
        troubles = self._outlets.counts().troubles()
        for name, trouble in troubles.items():
            if self._troubles.get(name) != trouble:
                self._log.warning("not delivered", to=name, why=visible(trouble))
        for name in self._troubles.keys() - troubles.keys():
            self._log.info("delivered again", to=name)
        self._troubles = troubles

    def _tell_undelivered(self) -> None:
        """Say at the end what nobody will get any more; the log of alerts has it."""
        for name, counts in self._outlets.counts().events.items():
            if counts.waiting:
                self._log.warning("not delivered", to=f"events {name}", events_lost=counts.waiting)

    def _ready(self) -> tuple[bool, str]:
        if not self._seen_first.is_set():
            return False, "the first tick is not over yet"
        if not self._stages.rules.rules:
            return False, "no rule is loaded"
        return True, f"capturing; {len(self._stages.rules.rules)} rules loaded"

    def _local(self) -> list[Network]:
        """Give the configured networks and the interfaces' own addresses."""
        own = [address for name in self.config.interfaces for address in own_addresses(name)]
        hosts = [ip_network(address) for address in self.config.canary.expect_from.values()]
        return [*self.config.networks.local, *hosts, *own]

    def _watch_signals(self) -> None:
        # no lock may be taken here, as in `Reloads.want`
        def stop(number: int, frame: FrameType | None) -> None:
            self._is_told_to_stop = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _log_end(self, frames: dict[str, int], dropped: dict[tuple[str, str], int]) -> None:
        self._log.info("stopped", frames=sum(frames.values()), dropped=sum(dropped.values()))


def _in_words(error: OSError) -> InputError:
    return InputError(f"{error.filename}: {error.strerror or error}" if error.filename else str(error))
