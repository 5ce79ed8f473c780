"""From the first byte to the page: the daemon, Prometheus and Alertmanager as they are, on a veth pair."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from . import namespaces, programs
from .namespaces import CLOUD_ADDRESS, HOST_ADDRESS, INTERFACE

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None,
        reason="needs root and iproute2 for network namespaces",
    ),
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
        reason="prometheus and prometheus-alertmanager are not installed",
    ),
]

MIRRORED_ADDRESS = "10.77.0.77"  # of a host whose traffic a mirror would show
BATCH_ADDRESS = "10.77.0.9"
MANY = [f"10.77.0.{number}" for number in range(100, 140)]  # hosts without a name
THRESHOLD = 2**20  # of the shipped rule, in ten minutes

RECEIVE = """
import socket, sys, threading
listener = socket.create_server((sys.argv[1], 443), backlog=100)
print("ready")
def read(connection):
    while connection.recv(1 << 20):
        pass
    connection.close()
while True:
    threading.Thread(target=read, args=(listener.accept()[0],), daemon=True).start()
"""

# Sends so many bytes from each of these addresses; prints when it gave the byte over the line to the kernel.
SEND = """
import socket, sys, time
for source in sys.argv[3].split(","):
    connection = socket.create_connection((sys.argv[1], 443), source_address=(source, 0))
    sent, rest = 0, int(sys.argv[2])
    while sent < rest:
        piece = min(64 * 1024, rest - sent)
        connection.sendall(bytes(piece))
        before, sent = sent, sent + piece
        if before <= 1 << 20 < sent:
            print(source, time.time())
    connection.close()
"""

# Another host's canaries, until it is killed: what a mirror of its traffic would show.
CANARY = """
import sys, time
from ipaddress import ip_address
from monitor.canary import sender
print("ready")
while True:
    sender.send("far", ip_address(sys.argv[1]), "0123456789abcdef-0.egress-canary.invalid")
    time.sleep(1)
"""


class Daemon:
    """The daemon in the backend's namespace, to be killed and started again."""

    def __init__(self, spaces: namespaces.Namespaces, folder: Path) -> None:
        self.spaces = spaces
        self.alerts = folder / "alerts.jsonl"
        self.config = folder / "egress.yml"
        self.config.write_text(
            f"interfaces: [{INTERFACE}]\n"
            f"workloads: {{api: [{HOST_ADDRESS}], batch: [{BATCH_ADDRESS}]}}\n"
            f"state: {folder / 'state'}\n"
            f"canary: {{every: 1s, expect_from: {{web-1: {MIRRORED_ADDRESS}}}}}\n"
        )
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        arguments = ("run", "--config", str(self.config), "--alerts", str(self.alerts))
        command = self.spaces.command(
            self.spaces.backend, sys.executable, "-I", "-m", "monitor", *arguments
        )
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 30
        while "ready" not in self.fetch("/-/ready"):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the daemon did not get ready"
            time.sleep(0.1)

    def end(self, number: int) -> str:
        assert self.process is not None
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=20)
        return err

    def fetch(self, path: str) -> str:
        code = (
            "import sys, urllib.request as u\n"
            "try: print('ready', u.urlopen(sys.argv[1], timeout=5).read().decode())\n"
            "except OSError as error: print(error)\n"
        )
        url = f"http://127.0.0.1:9465{path}"
        return self.spaces.run(self.spaces.backend, sys.executable, "-I", "-c", code, url)

    def begun(self, workload: str) -> bool:
        lines = self.alerts.read_text().splitlines() if self.alerts.exists() else []
        events = [json.loads(line) for line in lines]
        return any(
            event["kind"] == "begun" and event["workload"] == workload
            and event["rule"] == "unsanctioned-cloud-alibaba" for event in events
        )  # fmt: skip

    def delay_at(self, share: float) -> tuple[float, int]:
        """Give the bucket in which this share of the detection delays is, and how many there are."""
        found = re.findall(
            r'^egress_detection_delay_seconds_bucket\{le="([^"]+)"\} ([\d.]+)$', self.fetch("/metrics"), re.M
        )
        counts = [(float(bound), float(number)) for bound, number in found]
        total = counts[-1][1]
        return next(bound for bound, number in counts if number >= share * total), int(total)


@contextmanager
def everything(folder: Path) -> Iterator[tuple[namespaces.Namespaces, Daemon, programs.Programs]]:
    # the canary's absence is told sooner, all else is as it is shipped
    sooner = ("(egress_canary_last_seen_timestamp_seconds) > 120\n        for: 1m",
              "(egress_canary_last_seen_timestamp_seconds) > 10\n        for: 5s")  # fmt: skip
    folder.chmod(0o700)
    with namespaces.joined("alert") as spaces:
        for address in (BATCH_ADDRESS, *MANY):
            spaces.run(spaces.backend, "ip", "addr", "add", f"{address}/24", "dev", INTERFACE)
        daemon = Daemon(spaces, folder)
        with programs.running(spaces, folder, sooner) as others:
            try:
                daemon.start()
                yield spaces, daemon, others
            finally:
                if daemon.process is not None and daemon.process.poll() is None:
                    daemon.process.kill()
                    daemon.process.communicate()


def _start(spaces: namespaces.Namespaces, space: str, code: str, *arguments: str) -> Any:
    process = spaces.python(space, code, *arguments)
    assert process.stdout is not None
    return process


def _ready(process: Any) -> Any:
    assert process.stdout.readline() == "ready\n"
    return process


def test_from_the_byte_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started: list[Any] = []

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\nlive: {text}", end="")

    with everything(tmp_path) as (spaces, daemon, others):
        try:
            started.append(_ready(_start(spaces, spaces.cloud, RECEIVE, CLOUD_ADDRESS)))
            started.append(_ready(_start(spaces, spaces.cloud, CANARY, MIRRORED_ADDRESS)))
            others.wait(lambda: others.came("Watchdog"), 60, "the way to the webhook does not work")
            others.wait(lambda: _canaries(daemon), 30, "canaries are not seen")
            _page_of_five_megabytes(spaces, daemon, others, say)
            _page_though_killed(spaces, daemon, others, say)
            _many(spaces, daemon, others, say)
            assert not others.came("EgressCanaryMissing")
            assert not others.came("EgressSensorBlind")
            _stopped_canary(started[1], others, say)
            _interface_down(spaces, others, say)
            assert "Traceback" not in daemon.end(signal.SIGTERM)
        finally:
            for process in started:
                process.kill()
                process.communicate()


def _canaries(daemon: Daemon) -> bool:
    """Whether those of the interface and of the other host were seen."""
    line = r"^egress_canary_from_last_seen_\w+\{[^}]+\} ([\d.e+]+)$"
    seen = re.findall(line, daemon.fetch("/metrics"), re.M)
    return len(seen) == 2 and all(float(when) > 0 for when in seen)


def _page_of_five_megabytes(
    spaces: namespaces.Namespaces, daemon: Daemon, others: programs.Programs, say: Callable[[str], None]
) -> None:
    sender = _start(spaces, spaces.backend, SEND, CLOUD_ADDRESS, "5000000", HOST_ADDRESS)
    crossed = float(sender.communicate(timeout=30)[0].split()[1])
    labels = {"rule": "unsanctioned-cloud-alibaba", "workload": "api", "provider": "alibaba"}
    others.wait(lambda: others.came("EgressDetected", **labels), 60, "no page")
    (page,) = others.came("EgressDetected", **labels)
    assert page["receiver"] == "page"
    assert page["labels"]["severity"] == "critical"
    assert "instance" not in page["labels"]
    assert "sent in this alert so far" in page["annotations"]["description"]
    say(f"{page['came'] - crossed:.2f} s from the byte over the line to the webhook (scraped every second)")


def _page_though_killed(
    spaces: namespaces.Namespaces, daemon: Daemon, others: programs.Programs, say: Callable[[str], None]
) -> None:
    sender = _start(spaces, spaces.backend, SEND, CLOUD_ADDRESS, "3000000", BATCH_ADDRESS)
    crossed = float(sender.communicate(timeout=30)[0].split()[1])
    deadline = time.monotonic() + 30
    while not daemon.begun("batch"):
        assert time.monotonic() < deadline, "no alert"
        time.sleep(0.01)
    was_told = bool(others.came("EgressDetected", workload="batch"))
    daemon.end(signal.SIGKILL)
    daemon.start()
    others.wait(lambda: others.came("EgressDetected", workload="batch"), 60, "killed, and no page")
    (page,) = others.came("EgressDetected", workload="batch")
    say(
        f"{page['came'] - crossed:.2f} s where the daemon was killed as the alert began"
        f"{', after the page' if was_told else ''}"
    )


def _many(
    spaces: namespaces.Namespaces, daemon: Daemon, others: programs.Programs, say: Callable[[str], None]
) -> None:
    _start(spaces, spaces.backend, SEND, CLOUD_ADDRESS, "1300000", ",".join(MANY)).communicate(timeout=60)
    others.wait(lambda: daemon.delay_at(1)[1] >= len(MANY), 30, "not all alerts began")
    bound, count = daemon.delay_at(0.99)
    say(f"the daemon's own share: 99 % of {count} detections within {bound} s")
    others.wait(lambda: others.came("EgressDetected", workload="unnamed"), 60, "no page")
    # each page came once, and nothing was resolved by the restart
    for workload in ("api", "batch", "unnamed"):
        assert len(others.came("EgressDetected", workload=workload)) == 1
    assert not others.came("EgressDetected", status="resolved")


def _stopped_canary(canary: Any, others: programs.Programs, say: Callable[[str], None]) -> None:
    canary.kill()
    stopped = time.time()
    others.wait(lambda: others.came("EgressCanaryMissing"), 120, "nobody misses the canary")
    page = others.came("EgressCanaryMissing")[0]
    assert page["receiver"] == "page"
    took = page["came"] - stopped
    say(f"{took:.2f} s from the last canary to the page (10 s and 5 s instead of 2 min and 1 min)")


def _interface_down(
    spaces: namespaces.Namespaces, others: programs.Programs, say: Callable[[str], None]
) -> None:
    spaces.run(spaces.cloud, "ip", "link", "set", "far", "down")
    went = time.time()
    others.wait(lambda: others.came("EgressSensorBlind", reason="down"), 120, "nobody misses the interface")
    page = others.came("EgressSensorBlind", reason="down")[0]
    assert page["receiver"] == "page"
    say(f"{page['came'] - went:.2f} s from the interface down to the page\n")
