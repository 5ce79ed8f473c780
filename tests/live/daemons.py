"""A daemon in a network namespace of its own, as tests start, ask, signal and end it."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor import shipped

from . import namespaces

URL = "http://127.0.0.1:9465"


class Daemon:
    """One daemon in a namespace of its own."""

    def __init__(self, spaces: namespaces.Namespaces, folder: Path) -> None:
        self.spaces = spaces
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self._alerts = folder / "alerts.jsonl"

    def command(self, *arguments: str) -> list[str]:
        return self.spaces.command(
            self.spaces.backend, sys.executable, "-I", "-m", "monitor", "run", *arguments
        )

    def start(self) -> None:
        """Start it, and wait until it is ready. Its alerts go to a file."""
        arguments = self.command("--config", str(self.folder / "egress.yml"), "--alerts", str(self._alerts))
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while "ready" not in self.fetch("/-/ready"):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the daemon did not get ready"
            time.sleep(0.2)

    def fetch(self, path: str, method: str = "GET") -> str:
        """Give "ready" or the status of an error, and the body."""
        code = (
            "import sys, urllib.request as u, urllib.error as e\n"
            "asked = u.Request(sys.argv[1], method=sys.argv[2])\n"
            "try: answer = u.urlopen(asked, timeout=65); print('ready', answer.read().decode())\n"
            "except e.HTTPError as error: print(error.code, error.read().decode())\n"
            "except OSError as error: print(error)\n"
        )
        command = self.spaces.command(
            self.spaces.backend, sys.executable, "-I", "-c", code, URL + path, method
        )
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def begun(self, rule: str) -> list[dict[str, Any]]:
        """Give the events of alerts of a rule that began."""
        lines = self._alerts.read_text(encoding="utf-8").splitlines() if self._alerts.exists() else []
        events = [json.loads(line) for line in lines]
        return [event for event in events if (event["kind"], event["rule"]) == ("begun", rule)]

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


def until(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until something holds; False where it does not within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False
