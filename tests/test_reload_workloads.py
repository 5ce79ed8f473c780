"""A file of workloads that changes while the daemon runs, and then a rule about one of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor import daemon
from monitor.config import Config, load_config
from monitor.reloads import Reloads


class OverError(Exception):
    """The end of the test's loop."""


def test_rules_are_read_with_the_workloads_that_are_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(daemon, "require_trusted_config", lambda _: None)
    settings, pods = tmp_path / "egress.yml", tmp_path / "pods.txt"
    settings.write_text("interfaces: [lo]\nworkloads_file: pods.txt\n")
    pods.write_text("10.77.0.1 shop\n")
    changes = [{daemon.WORKLOADS}, {daemon.RULES}]
    taken: list[tuple[str, Config]] = []

    def drain() -> None:
        if not changes:
            raise OverError

    stages = SimpleNamespace(
        pipeline=SimpleNamespace(
            canary=None, identity=None, keeper=None, publisher=SimpleNamespace(reloaded=lambda *_: None)
        ),
        rules=SimpleNamespace(rules=[]),
        set_workloads=lambda config: taken.append((daemon.WORKLOADS, config)),
        set_rules=lambda config: taken.append((daemon.RULES, config)),
    )
    parts: list[Any] = [
        SimpleNamespace(drain=drain, set_sides=lambda *_: None), stages, None,
        SimpleNamespace(counts=lambda: SimpleNamespace(troubles=dict)),
        SimpleNamespace(changed=lambda: changes.pop(0)), Reloads(),
    ]  # fmt: skip
    one = daemon.Daemon(load_config(settings), *parts)
    server: Any = SimpleNamespace(refresh=lambda: False)
    one._server = server
    pods.write_text("10.77.0.1 shop\n10.77.0.2 cart\n")
    with pytest.raises(OverError):
        one._loop()
    assert [what for what, _ in taken] == [daemon.WORKLOADS, daemon.RULES]
    assert [set(config.workloads) for _, config in taken] == [{"shop", "cart"}] * 2
