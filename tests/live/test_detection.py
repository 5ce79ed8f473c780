"""Live, end to end: bytes to Alibaba Cloud over a veth pair, the alert in /metrics while they still flow."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import namespaces

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

THRESHOLD = 2**20  # of the shipped rule

RECEIVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 443))
print("ready")
connection, _ = listener.accept()
while connection.recv(65536):
    pass
"""

# Sends in steps, says when the byte that crosses the line was given to the kernel, keeps the connection open.
SEND = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 443))
sent = 0
crossed = False
while True:
    connection.sendall(bytes(64 * 1024))
    sent += 64 * 1024
    if sent > int(sys.argv[2]) and not crossed:
        crossed = True
        print("crossed")
    time.sleep(0.05)
"""

ACTIVE = re.compile(
    r'^egress_alert_active\{[^}]*rule="unsanctioned-cloud-alibaba"[^}]*\} ([\d.]+)$', re.MULTILINE
)


def _metrics(spaces: namespaces.Namespaces) -> str:
    fetch = (
        "import urllib.request as u; "
        "print(u.urlopen('http://127.0.0.1:9465/metrics', timeout=5).read().decode())"
    )
    return spaces.run(spaces.backend, sys.executable, "-I", "-c", fetch)


def _is_active(exposition: str) -> bool:
    return any(float(value) == 1 for value in ACTIVE.findall(exposition))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "egress.yml"
    path.write_text(
        f"interfaces: [{namespaces.INTERFACE}]\n"
        f"workloads: {{api: [{namespaces.HOST_ADDRESS}]}}\n"
        f"state: {tmp_path / 'state'}\n",
        encoding="utf-8",
    )
    path.chmod(0o600)
    return path


def test_alert_while_the_connection_is_open(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with namespaces.joined("detect") as spaces:
        daemon = subprocess.Popen(
            spaces.command(
                spaces.backend, sys.executable, "-I", "-m", "monitor", "run", "--config", str(config)
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes = [daemon]
        try:
            _wait_ready(spaces, daemon)
            before = _metrics(spaces)
            assert ACTIVE.findall(before), "each loaded rule has its row from load"
            assert not _is_active(before)
            receiver = spaces.python(spaces.cloud, RECEIVE, namespaces.CLOUD_ADDRESS)
            processes.append(receiver)
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "ready\n"
            sender = spaces.python(spaces.backend, SEND, namespaces.CLOUD_ADDRESS, str(THRESHOLD))
            processes.append(sender)
            assert sender.stdout is not None
            assert sender.stdout.readline() == "crossed\n"
            crossed = time.monotonic()
            while not _is_active(_metrics(spaces)):
                assert time.monotonic() - crossed < 30, "no alert"
                time.sleep(0.05)
            delay = time.monotonic() - crossed
            assert sender.poll() is None, "the connection is still open"
            # told, not asserted: a slow machine is no failure of the code
            with capsys.disabled():
                print(f"\nlive: alert in /metrics {delay:.2f} s after the byte that crossed the line")
            daemon.send_signal(signal.SIGTERM)
            out, err = daemon.communicate(timeout=20)
            assert daemon.returncode == 0, err
            events = [json.loads(line) for line in out.splitlines()]
            begun = [event for event in events if event["kind"] == "begun"]
            assert "unsanctioned-cloud-alibaba" in {event["rule"] for event in begun}
            assert "Traceback" not in err
        finally:
            for process in processes:
                process.kill()
                process.communicate(timeout=10)


def _wait_ready(spaces: namespaces.Namespaces, daemon: "subprocess.Popen[str]") -> None:
    check = "import urllib.request as u; u.urlopen('http://127.0.0.1:9465/-/ready', timeout=2)"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert daemon.poll() is None, daemon.stderr.read() if daemon.stderr else ""
        command = spaces.command(spaces.backend, sys.executable, "-I", "-c", check)
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    raise AssertionError("the daemon did not get ready")
