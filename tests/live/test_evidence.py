"""Live: an alert's capsule while it is open, a monitor that is killed, and what the next one finds."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from monitor.evidence import manifest

from . import namespaces
from .daemons import daemon, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

RULE = "unsanctioned-cloud-alibaba"
SETTINGS = f"interfaces: [{namespaces.INTERFACE}]\nworkloads: {{api: [{namespaces.HOST_ADDRESS}]}}\n"
SEND = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 443))
connection.sendall(bytes(2 << 20))
print("sent")
time.sleep(1000)
"""


def test_a_capsule_while_the_alert_is_open_and_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    processes: list[subprocess.Popen[str]] = []
    with daemon("evidence", tmp_path, SETTINGS) as one:
        try:
            processes.append(one.spaces.receiver())
            processes.append(one.spaces.python(one.spaces.backend, SEND, namespaces.CLOUD_ADDRESS))
            assert until(lambda: bool(one.begun(RULE)), 90)
            event = one.begun(RULE)[0]
            capsule = state / "capsules" / event["capsule"]
            assert event["inspect"].startswith(f"egress-monitor inspect {event['id']}")
            assert until(capsule.exists, 90)
            assert manifest.verify(capsule) == []
            told = manifest.read(capsule)["packets"]
            assert told["count"] == told["of"] > 0
            # as `kill -9` leaves it: nothing was closed
            one.end(signal.SIGKILL)
            for path in (state / "ring").iterdir():
                assert path.stat().st_mode & 0o077 == 0
            one.start()
            assert until(lambda: len(list(state.glob("ring/headers-00-*.pcapng"))) > 1, 90)
            status, err = one.end(signal.SIGTERM)
            assert (status, "Traceback" in err) == (0, False), err
        finally:
            for process in processes:
                process.kill()
                process.communicate(timeout=10)
    assert manifest.verify(capsule) == []
    for path in (state / "ring").iterdir():
        # tshark minds a file that ends within a block
        subprocess.run(["tshark", "-r", str(path)], check=True, capture_output=True)
