"""The daemon's life: two at once, a port in use, a reload that is wrong, a kill at the worst moment."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor import shipped

from . import namespaces

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

URL = "http://127.0.0.1:9465"


class Daemon:
    """One daemon in a namespace of its own."""

    def __init__(self, spaces: namespaces.Namespaces, folder: Path) -> None:
        self.spaces = spaces
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> list[str]:
        return self.spaces.command(
            self.spaces.backend, sys.executable, "-I", "-m", "monitor", "run", *arguments
        )

    def start(self) -> None:
        arguments = self.command("--config", str(self.folder / "egress.yml"))
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while "ready" not in self.fetch("/-/ready"):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the daemon did not get ready"
            time.sleep(0.2)

    def fetch(self, path: str) -> str:
        """Give the status and the body."""
        code = (
            "import sys, urllib.request as u, urllib.error as e\n"
            "try: answer = u.urlopen(sys.argv[1], timeout=5); print('ready', answer.read().decode())\n"
            "except e.HTTPError as error: print(error.code, error.read().decode())\n"
            "except OSError as error: print(error)\n"
        )
        command = self.spaces.command(self.spaces.backend, sys.executable, "-I", "-c", code, URL + path)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; give the exit status and what was written to standard error."""
        assert self.process is not None
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


@contextmanager
def daemon(tag: str, folder: Path, settings: str = "interfaces: [lo]\n") -> Iterator[Daemon]:
    """Start a daemon with these settings, and state and rules in `folder`."""
    rules = folder / "rules"
    shutil.copytree(shipped.rules(), rules)
    (folder / "egress.yml").write_text(
        f"{settings}state: {folder / 'state'}\nrules: [rules]\n", encoding="utf-8"
    )
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    with namespaces.joined(tag) as spaces:
        one = Daemon(spaces, folder)
        try:
            one.start()
            yield one
        finally:
            if one.process is not None and one.process.poll() is None:
                one.process.kill()
                one.process.communicate()


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


def test_after_a_kill_it_starts_again(tmp_path: Path) -> None:
    with daemon("kill", tmp_path) as one:
        one.end(signal.SIGKILL)
        one.start()
        status, err = one.end(signal.SIGTERM)
        assert status == 0
        assert "Traceback" not in err


def _until(one: Daemon, line: str) -> bool:
    return until(lambda: line in one.fetch("/metrics"))


def until(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until something holds; False where it does not within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False
