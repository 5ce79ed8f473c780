"""Live: an alert's capsule while it is open, a monitor that is killed, and what the next one finds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.evidence import manifest

from . import namespaces

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

RECEIVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 443))
print("ready")
connection, _ = listener.accept()
while connection.recv(65536):
    pass
"""
SEND = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 443))
connection.sendall(bytes(2 << 20))
print("sent")
time.sleep(1000)
"""


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def test_a_capsule_while_the_alert_is_open_and_after_a_kill(tmp_path: Path) -> None:
    config, state, alerts = tmp_path / "egress.yml", tmp_path / "state", tmp_path / "alerts.jsonl"
    config.write_text(
        f"interfaces: [{namespaces.INTERFACE}]\nworkloads: {{api: [{namespaces.HOST_ADDRESS}]}}\n"
        f"state: {state}\n",
        encoding="ascii",
    )
    config.chmod(0o600)
    command = [sys.executable, "-I", "-m", "monitor", "run", "-c", str(config), "--alerts", str(alerts)]

    def begun() -> list[dict[str, str]]:
        lines = alerts.read_text(encoding="ascii").splitlines() if alerts.exists() else []
        return [event for event in map(json.loads, lines) if event["rule"] == "unsanctioned-cloud-alibaba"]

    with namespaces.joined("evidence") as spaces:
        processes: list[subprocess.Popen[str]] = []
        try:
            receiver = spaces.python(spaces.cloud, RECEIVE, namespaces.CLOUD_ADDRESS)
            processes.append(receiver)
            assert receiver.stdout is not None
            receiver.stdout.readline()
            daemon = subprocess.Popen(
                spaces.command(spaces.backend, *command), stderr=subprocess.DEVNULL, text=True
            )
            processes.append(daemon)
            wait(lambda: bool(list(state.glob("ring/headers-00-*.pcapng"))) or daemon.poll() is not None)
            assert daemon.poll() is None
            processes.append(spaces.python(spaces.backend, SEND, namespaces.CLOUD_ADDRESS))
            wait(lambda: bool(begun()))
            event = begun()[0]
            capsule = state / "capsules" / event["capsule"]
            assert event["inspect"].startswith(f"egress-monitor inspect {event['id']}")
            wait(capsule.exists)
            assert manifest.verify(capsule) == []
            told = manifest.read(capsule)["packets"]
            assert told["count"] == told["of"] > 0
            # as `kill -9` leaves it: nothing was closed
            daemon.send_signal(signal.SIGKILL)
            daemon.wait(timeout=20)
            for path in (state / "ring").iterdir():
                assert path.stat().st_mode & 0o077 == 0
            again = subprocess.Popen(
                spaces.command(spaces.backend, *command), stderr=subprocess.PIPE, text=True
            )
            processes.append(again)
            wait(lambda: len(list(state.glob("ring/headers-00-*.pcapng"))) > 1)
            again.send_signal(signal.SIGTERM)
            _, err = again.communicate(timeout=60)
            assert (again.returncode, "Traceback" in err) == (0, False), err
        finally:
            for process in processes:
                process.kill()
                process.communicate(timeout=10)
    assert manifest.verify(capsule) == []
    for path in (state / "ring").iterdir():
        # tshark minds a file that ends within a block
        subprocess.run(["tshark", "-r", str(path)], check=True, capture_output=True)
