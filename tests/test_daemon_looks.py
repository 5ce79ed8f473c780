"""What the daemon looks at every two seconds may be gone, or not to be had; it captures on."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor import daemon
from monitor.config import Config, load_config
from monitor.errors import InputError
from monitor.publish.courier import CourierCounts
from monitor.publish.outlets import OutletCounts
from monitor.reloads import Reloads


class OverError(Exception):
    """The end of a test's loop."""


class Running:
    """A daemon whose parts do nothing, with what it did."""

    def __init__(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.sides: list[Any] = []
        self.reloaded: list[tuple[Any, ...]] = []
        self.changed: list[set[str]] = []
        monkeypatch.setattr(daemon, "LOOK_EVERY", 0.0)
        publisher = SimpleNamespace(reloaded=lambda *told: self.reloaded.append(told))
        pipeline = SimpleNamespace(canary=None, identity=None, keeper=None, publisher=publisher)
        capture = SimpleNamespace(drain=self._drain, set_sides=lambda local, _: self.sides.append(local))
        outlets = SimpleNamespace(counts=lambda: SimpleNamespace(troubles=dict))
        files = SimpleNamespace(changed=lambda: self.changed.pop(0) if self.changed else set())
        stages = SimpleNamespace(
            pipeline=pipeline, reload=self._not_there, set_rules=self._not_there,
            rules=SimpleNamespace(rules=["a", "b", "c"]), catalogue=SimpleNamespace(files=[]),
        )  # fmt: skip
        parts: list[Any] = [capture, stages, None, outlets, files, Reloads()]
        self.daemon = daemon.Daemon(load_config(config), *parts)
        server: Any = SimpleNamespace(refresh=lambda: False)
        self.daemon._server = server

    def run(self, looks: int) -> None:
        self.looks = looks
        with pytest.raises(OverError):
            self.daemon._loop()

    def _drain(self) -> None:
        if self.looks == 0:
            raise OverError
        self.looks -= 1

    def _not_there(self, *_: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory", "rules/one.yml")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    path = tmp_path / "egress.yml"
    path.write_text("interfaces: [lo]\n")
    monkeypatch.setattr(daemon, "require_trusted_config", lambda _: None)
    return Running(path, monkeypatch)


def test_addresses_that_cannot_be_asked_for_stay_as_they_were(
    running: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    none_left = InputError("lo: Too many open files")
    answers: list[Any] = [["a"], none_left, none_left, ["b"]]

    def own_addresses(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, InputError):
            raise answer
        return answer

    monkeypatch.setattr(daemon, "own_addresses", own_addresses)
    running.run(3)
    (at_last,) = running.sides
    assert at_last[-1] == "b"
    assert capfd.readouterr().err.count("Too many open files") == 1, "said once"


def test_a_reload_names_what_needs_a_restart(running: Running) -> None:
    path = running.daemon.config.path
    assert path is not None
    running.daemon.config = running.daemon._at_start = running.daemon.config.with_interfaces(["eth7"])
    stages: Any = running.daemon._stages
    stages.reload = lambda _: []
    assert running.daemon._take_up({daemon.CONFIGURATION}) == "3 rules at work"
    more = "resolvers: [10.0.0.2]\nevents: [{file: e.jsonl}]\nworkloads: {a: [10.0.0.1]}\n"
    path.write_text(f"interfaces: [lo]\n{more}")
    told = "3 rules at work; what changed in resolvers, events needs a restart"
    # also when it is read once more, as long as it is not at work
    assert [running.daemon._take_up({daemon.CONFIGURATION}) for _ in range(2)] == [told] * 2
    path.write_text("interfaces: [lo]\n")
    assert running.daemon._take_up({daemon.CONFIGURATION}) == "3 rules at work"


def test_a_configuration_that_was_refused_is_tried_again_when_its_files_change(running: Running) -> None:
    """They are not those at work: nobody would look at them."""
    path = running.daemon.config.path
    assert path is not None
    new = path.with_name("new.txt")
    new.write_text("not an addres")
    path.write_text("interfaces: [lo]\nlists: {new: new.txt}\nworkloads: {a: [10.0.0.1]}\n")
    tried: list[str] = []

    def reload(config: Any) -> list[str]:
        tried.append(new.read_text())
        if tried[-1] != "192.0.2.1":
            raise InputError("new.txt:1: 'not an addres' is no address")
        return []

    stages: Any = running.daemon._stages
    stages.reload = reload
    running.changed = [{daemon.CONFIGURATION}]
    running.run(3)
    assert (len(tried), set(running.daemon.config.workloads)) == (1, set())
    new.write_text("192.0.2.1")
    running.run(4)
    assert (len(tried), set(running.daemon.config.workloads)) == (2, {"a"})


def test_a_configuration_that_changes_behind_its_reading_is_read_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = running.daemon.config.path
    assert path is not None
    path.write_text("interfaces: [lo]\nworkloads: {a: [10.0.0.1]}\n")
    read: list[int] = []

    def read_and_written(path: Path) -> Config:
        config = load_config(path)
        read.append(len(config.workloads))
        path.write_text("interfaces: [lo]\nworkloads: {a: [10.0.0.1], b: [10.0.0.2]}\n")
        os.utime(path, ns=(1, 1))  # so that what is written again is no change
        return config

    monkeypatch.setattr(daemon, "load_config", read_and_written)
    stages: Any = running.daemon._stages
    stages.reload = lambda _: []
    running.changed = [{daemon.CONFIGURATION}]
    running.run(4)
    assert (read, set(running.daemon.config.workloads)) == ([1, 2], {"a", "b"})


def test_what_nobody_will_get_any_more_is_told(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    counts = {"1-webhook": CourierCounts(waiting=3), "2-file": CourierCounts(delivered=3)}
    outlets: Any = SimpleNamespace(counts=lambda: OutletCounts(counts, {}))
    running.daemon._outlets = outlets
    running.daemon._tell_undelivered()
    (line,) = capfd.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["to"], told["events_lost"]) == ("not delivered", "events 1-webhook", 3)


@pytest.mark.parametrize("changed", [daemon.CONFIGURATION, daemon.RULES])
def test_a_file_that_goes_while_it_is_read_is_a_reload_that_failed(running: Running, changed: str) -> None:
    running.changed = [{changed}]
    running.run(2)
    what, ok, _, why = running.reloaded[-1]
    assert (what, ok, why) == (changed, False, "rules/one.yml: No such file or directory")
