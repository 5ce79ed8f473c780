"""``egress-monitor check``: what would run, or what is wrong; one line a finding."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.text import Text

from monitor import interfaces, terminal, yaml_file
from monitor.commands import rules
from monitor.config import Config, load_config
from monitor.config_delivery import HttpTarget
from monitor.errors import InputError
from monitor.evidence.in_words import kept_in_words
from monitor.memory_bound import memory_bound
from monitor.named_files import open_databases
from monitor.publish import listening
from monitor.publish.web_config import load_web_config
from monitor.trusted import require_trusted_config

Verdict = Literal["ok", "note", "wrong"]
MARKS: dict[Verdict, Text] = {
    "ok": Text("ok   ", "green"),
    "note": Text("note ", "yellow"),
    "wrong": Text("WRONG", "bold red"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; a note is not wrong, but the reader should know it."""

    verdict: Verdict
    what: str
    text: str


def check(config_path: Path | None, asked: list[str]) -> int:
    """Print all findings; 1 where one is wrong. Raises InputError for a wrong configuration file."""
    config = load_config(config_path)
    config = config.with_interfaces(list(dict.fromkeys([*config.interfaces, *asked])))
    out = terminal.console()
    is_wrong = False
    for finding in _findings(config):
        is_wrong |= finding.verdict == "wrong"
        what = Text(f"{finding.what:<14}")
        text = terminal.safe(finding.text, longest=terminal.LONGEST_LINE)
        out.print(MARKS[finding.verdict], what, text, soft_wrap=True)
    return int(is_wrong)


def _findings(config: Config) -> Iterator[Finding]:
    yield Finding("ok", "configuration", f"{config.path or 'none, all defaults'}")
    yield _attempt("permissions", lambda: _permissions(config))
    yield from _databases(config)
    yield from _rules(config)
    yield _attempt("state", lambda: _state(config.state))
    yield _evidence(config)
    yield _listen(config.listen)
    web_config = config.web_config
    if web_config:
        yield _attempt("web_config", lambda: _web_config(web_config))
    yield from (Finding("note", "capture", note) for note in config.capture.notes())
    yield from _interfaces(config)
    yield from _workloads(config)
    yield from _identity(config)
    yield from _outlets(config)


def _attempt(what: str, look: Callable[[], str]) -> Finding:
    """Make a finding of what ``look`` says, or of the InputError that it raises."""
    try:
        return Finding("ok", what, look())
    except InputError as error:
        return Finding("wrong", what, str(error))


def _permissions(config: Config) -> str:
    require_trusted_config(config)
    return "only root and this user can change what judges"


def _databases(config: Config) -> Iterator[Finding]:
    try:
        catalogue, databases = open_databases(config, config.state, fall_back=True)
    except InputError as error:
        yield Finding("wrong", "databases", str(error))
        return
    try:
        yield from (Finding("wrong", "databases", line) for line in databases.stand_ins)
        for info in databases.sources():
            yield Finding("ok", "databases", f"{info.role}: {info.path.name}, data of {info.built:%Y-%m-%d}")
        stale = databases.stale(datetime.now(UTC))
    finally:
        databases.stop()
    if stale:
        yield Finding("note", "databases", stale)
    yield Finding("ok", "catalogue", f"{len(catalogue.providers)} providers, version {catalogue.version}")


def _rules(config: Config) -> Iterator[Finding]:
    try:
        found = rules.load(config, config.rules, trusted=True)
    except InputError as error:
        yield Finding("wrong", "rules", str(error))
        return
    tests = sum(len(results) for results in found.results.values())
    loaded = f"{len(found.rules)} with {tests} tests, from {', '.join(map(str, config.rules))}"
    yield Finding("ok" if found.rules else "wrong", "rules", loaded)
    ways = [rule.ways for rule in found.rules]
    evidence = config.evidence if config.evidence.enabled else None
    bound = memory_bound(config.capture, ways, max(1, len(config.interfaces)), evidence)
    yield Finding("ok", "memory", f"at most {bound >> 20} MiB, whatever comes (docs/limits.md)")
    for broken in found.broken:
        yield Finding("wrong", "rules", str(broken))
    for warning in found.warnings:
        yield Finding("note", "rules", warning)
    for rule in found.rules:
        if rule.asleep:
            yield Finding("note", "rules", f"{rule.id} is asleep: {rule.asleep}")


def _state(folder: Path) -> str:
    """Look whether state can be kept; nothing is made here."""
    place = folder
    while not os.path.exists(place) and place != place.parent:  # nor what this user may not look at
        place = place.parent
    if not os.path.isdir(place):
        raise InputError(f"{place}: not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: this user cannot write in {place}; set `state` or give it the right")
    return f"{folder}" if place == folder else f"{folder}, will be made"


def _evidence(config: Config) -> Finding:
    kept = config.evidence
    if not kept.enabled:
        return Finding("note", "evidence", "off: alerts have no capsules")
    # payload is what a reader of this must not miss
    return Finding("note" if kept.payload_for else "ok", "evidence", kept_in_words(kept))


def _web_config(path: Path) -> str:
    load_web_config(path)
    return str(path)


def _listen(listen: str) -> Finding:
    try:
        listener = listening.bind(listen)
    except InputError as error:
        # a daemon that runs already holds the place, and is no reason to fail
        is_in_use = getattr(error.__cause__, "errno", None) == errno.EADDRINUSE
        return Finding("note" if is_in_use else "wrong", "listen", str(error))
    is_unix = listener.family == socket.AF_UNIX
    listener.close()
    if is_unix:
        Path(listen.removeprefix("unix:")).unlink(missing_ok=True)
    return Finding("ok", "listen", f"{listen} is free")


def _interfaces(config: Config) -> Iterator[Finding]:
    if not config.interfaces:
        known = ", ".join(interfaces.names())
        yield Finding("note", "interfaces", f"none is configured; `run` needs --interface, one of {known}")
        return
    can_open = interfaces.can_open_raw_sockets()
    if can_open:
        yield Finding("ok", "rights", "this process may open raw sockets (CAP_NET_RAW)")
    else:
        give = "run as root, or under systemd with AmbientCapabilities=CAP_NET_RAW"
        yield Finding("wrong", "rights", f"CAP_NET_RAW is missing, so `run` cannot capture: {give}")
    found: dict[str, interfaces.Interface] = {}
    for index, name in enumerate(config.interfaces):
        try:
            found[name] = interfaces.inspect(name)
        except OSError:
            message = f"there is no interface {name!r}{yaml_file.nearest(name, interfaces.names())}"
            yield Finding("wrong", "interfaces", _where(config, index, message))
            continue
        state = "up" if found[name].is_up else "down"
        yield Finding("ok" if found[name].is_up else "note", "interfaces", f"{name} is {state}")
        if found[name].offloads:
            are_on = ", ".join(found[name].offloads)
            yield Finding("note", "offloads", f"{name}: {are_on} on; {_OFFLOAD_NOTE}")
    for name, interface in found.items():
        for below in interface.below:
            if below in found:
                text = f"{name} is stacked on {below}: its packets would be counted twice; watch one of them"
                yield Finding("wrong", "interfaces", text)


_OFFLOAD_NOTE = (
    "packets are seen joined, so frames differ from the interface's own count; bytes and rules are right"
)


def _where(config: Config, index: int, message: str) -> str:
    return str(config.error(("interfaces", index), message)) if config.path else message


def _workloads(config: Config) -> Iterator[Finding]:
    if config.workloads:
        yield Finding("ok", "workloads", f"{len(config.workloads)} named")
    else:
        yield Finding("note", "workloads", "none is named; traffic is told apart by address only")
    if not config.sanctioned_providers:
        yield Finding("note", "providers", "sanctioned_providers is empty; rules that need it sleep")
    if not config.published:
        yield Finding("note", "published", "empty; the rule about bulk answers to strangers sleeps")
    if not config.resolvers:
        yield Finding("note", "resolvers", "empty; only private and well-known resolvers are believed")


def _identity(config: Config) -> Iterator[Finding]:
    if not config.workload_identity:
        return
    if config.capture.promiscuous:
        text = "capture.promiscuous sees other hosts too; only connections of this one can have an owner"
        yield Finding("note", "identity", text)
    missing = [name for name, number in _IDENTITY_RIGHTS if not interfaces.has_right(number)]
    if missing:
        text = f"{' and '.join(missing)} missing: processes of others, or in containers, are not seen"
        yield Finding("note", "identity", text)
    else:
        yield Finding("ok", "identity", "this process may see whose each connection is")


# linux/capability.h: to read the /proc of others, and to enter the network namespaces of containers
_IDENTITY_RIGHTS = (("CAP_SYS_PTRACE", 19), ("CAP_SYS_ADMIN", 21))


def _outlets(config: Config) -> Iterator[Finding]:
    for number, one in enumerate(config.alertmanagers, 1):
        yield _target(f"alertmanager {number}", one, one.url)
    if config.alertmanagers:
        text = (
            "alerts are pushed directly: if Prometheus has the rule EgressDetected too, that is a mistake, "
            "since each would end what the other keeps open"
        )
        yield Finding("note", "alertmanagers", text)
    for number, receiver in enumerate(config.events, 1):
        what = f"events {number}"
        if receiver.file is not None:
            path = receiver.file
            is_writable = os.access(path if os.path.exists(path) else path.parent, os.W_OK)
            text = str(path) if is_writable else f"{path}: cannot be written"
            yield Finding("ok" if is_writable else "wrong", what, text)
        else:
            yield _target(what, receiver, str(receiver.syslog or receiver.webhook))
    if config.canary.enabled is False and not config.canary.expect_from:
        yield Finding("note", "canary", "off: nothing tells when detection itself has stopped")


def _target(what: str, target: HttpTarget, where: str) -> Finding:
    """Look whether the files are there; nothing is sent."""
    for name, path in target:
        if isinstance(path, Path) and not os.access(path, os.R_OK):
            return Finding("wrong", what, f"{name}: {path}: cannot be read")
    is_open = where.startswith("http:") and (target.username or target.bearer_token_file)
    if is_open:
        return Finding("note", what, f"{where}: the password goes there without TLS")
    return Finding("ok", what, where)
