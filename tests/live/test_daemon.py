"""The daemon's life: two at once, a port in use, a reload that is wrong, a kill at the worst moment."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .daemons import Daemon, daemon, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)


def test_a_second_daemon_is_refused_in_one_line(tmp_path: Path) -> None:
    with daemon("two", tmp_path) as first:
        state = sorted((tmp_path / "state").rglob("*"))
        again = subprocess.run(
            first.command("--config", str(tmp_path / "egress.yml")),
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
        assert "another egress-monitor is using this state" in again.stderr
        other = tmp_path / "other.yml"
        other.write_text(f"interfaces: [lo]\nstate: {tmp_path / 'other'}\n", encoding="utf-8")
        other.chmod(0o600)
        port = subprocess.run(
            first.command("--config", str(other)), capture_output=True, text=True, timeout=30, check=False
        )
        assert (port.returncode, len(port.stderr.splitlines())) == (2, 1)
        assert "127.0.0.1:9465 is already in use" in port.stderr
        assert sorted((tmp_path / "state").rglob("*")) == state
        status, err = first.end(signal.SIGTERM)
        assert status == 0
        assert "Traceback" not in err


def test_a_wrong_reload_leaves_the_old_at_work(tmp_path: Path) -> None:
    with daemon("reload", tmp_path) as one:
        rule = tmp_path / "rules" / "exposed-data-store.yml"
        good = rule.read_text(encoding="utf-8")
        rule.write_text(good.replace("severity:", "severty:"), encoding="utf-8")
        assert one.process is not None
        one.process.send_signal(signal.SIGHUP)
        assert _until(one, 'egress_reload_successful{what="rules"} 0.0')
        assert 'rule="exposed-data-store"' in one.fetch("/metrics")
        rule.write_text(good, encoding="utf-8")
        one.process.send_signal(signal.SIGHUP)
        assert _until(one, 'egress_reload_successful{what="rules"} 1.0')
        status, err = one.end(signal.SIGTERM)
        assert status == 0
        assert "unknown key 'severty'; did you mean 'severity'?" in err


def test_a_reload_over_http_says_what_came_of_it(tmp_path: Path) -> None:
    with daemon("post", tmp_path, "interfaces: [lo]\nhttp: {reload: true}\n") as one:
        rule = tmp_path / "rules" / "exposed-data-store.yml"
        good = rule.read_text(encoding="utf-8")
        rule.write_text(good.replace("severity:", "severty:"), encoding="utf-8")
        refused = one.fetch("/-/reload", "POST")
        assert refused.startswith("500 ")
        assert "exposed-data-store.yml:" in refused
        assert "did you mean 'severity'?" in refused
        assert 'rule="exposed-data-store"' in one.fetch("/metrics")
        rule.write_text(good, encoding="utf-8")
        assert "rules at work" in one.fetch("/-/reload", "POST")
        assert _until(one, 'egress_reload_successful{what="rules"} 1.0')
        assert one.end(signal.SIGTERM)[0] == 0


def test_after_a_kill_it_starts_again(tmp_path: Path) -> None:
    with daemon("kill", tmp_path) as one:
        one.end(signal.SIGKILL)
        one.start()
        status, err = one.end(signal.SIGTERM)
        assert status == 0
        assert "Traceback" not in err


def _until(one: Daemon, line: str) -> bool:
    return until(lambda: line in one.fetch("/metrics"))
