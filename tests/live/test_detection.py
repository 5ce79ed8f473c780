"""Live, end to end: bytes to Alibaba Cloud over a veth pair, the alert in /metrics while they still flow."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from . import namespaces
from .daemons import daemon, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

RULE = "unsanctioned-cloud-alibaba"
THRESHOLD = 2**20  # of the shipped rule
SETTINGS = f"interfaces: [{namespaces.INTERFACE}]\nworkloads: {{api: [{namespaces.HOST_ADDRESS}]}}\n"

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

ACTIVE = re.compile(rf'^egress_alert_active\{{[^}}]*rule="{RULE}"[^}}]*\}} ([\d.]+)$', re.MULTILINE)


def _is_active(exposition: str) -> bool:
    return any(float(value) == 1 for value in ACTIVE.findall(exposition))


def test_alert_while_the_connection_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    processes: list[subprocess.Popen[str]] = []
    with daemon("detect", tmp_path, SETTINGS) as one:
        try:
            before = one.fetch("/metrics")
            assert ACTIVE.findall(before), "each loaded rule has its row from load"
            assert not _is_active(before)
            processes.append(one.spaces.receiver())
            sender = one.spaces.python(
                one.spaces.backend, SEND, namespaces.CLOUD_ADDRESS, str(THRESHOLD)
            )
            processes.append(sender)
            assert sender.stdout is not None
            assert sender.stdout.readline() == "crossed\n"
            crossed = time.monotonic()
            assert until(lambda: _is_active(one.fetch("/metrics"))), "no alert"
            delay = time.monotonic() - crossed
            assert sender.poll() is None, "the connection is still open"
            # told, not asserted: a slow machine is no failure of the code
            with capsys.disabled():
                print(f"\nlive: alert in /metrics {delay:.2f} s after the byte that crossed the line")
            status, err = one.end(signal.SIGTERM)
            assert status == 0, err
            assert "Traceback" not in err
            assert one.begun(RULE)
        finally:
            for process in processes:
                process.kill()
                process.communicate(timeout=10)
