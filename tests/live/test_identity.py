"""A daemon that says which process of its own host sent the data."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from .daemons import Daemon, daemon, until
from .namespaces import CLOUD_ADDRESS

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

SETTINGS = "interfaces: [watched]\nworkload_identity: true\nworkloads: {api: [10.77.0.1]}\n"

TAKE = """
import socket, sys
with socket.create_server((sys.argv[1], 443)) as server:
    print("ready", flush=True)
    while True:
        taken, _ = server.accept()
        while taken.recv(1 << 16):
            pass
"""
# 1.6 MB in some 8 s, so that the process is known before the alert; first a connection too short to be seen
GIVE = """
import ctypes, socket, sys, time
ctypes.CDLL(None).prctl(15, b"exfil\\x1b[2J", 0, 0, 0)  # PR_SET_NAME
socket.create_connection((sys.argv[1], 443)).close()
with socket.create_connection((sys.argv[1], 443)) as cloud:
    for _ in range(80):
        cloud.sendall(bytes(20_000))
        time.sleep(0.1)
"""


def alert_flows(one: Daemon) -> list[dict[str, Any]]:
    """The sample flows of the alert about Alibaba, empty before there is one."""
    listed = json.loads(one.fetch("/api/v1/alerts").removeprefix("ready "))["alerts"]
    for alert in listed:
        if alert["rule"] == "unsanctioned-cloud-alibaba":
            found = json.loads(one.fetch(f"/api/v1/alerts/{alert['id']}").removeprefix("ready "))
            flows: list[dict[str, Any]] = found["flows"]
            return flows
    return []


def count(one: Daemon, outcome: str) -> float:
    line = f'egress_identity_connections_total{{outcome="{outcome}"}} '
    values = [text.removeprefix(line) for text in one.fetch("/metrics").splitlines() if text.startswith(line)]
    return float(values[0]) if values else 0.0


def test_the_alert_names_the_process(tmp_path: Path) -> None:
    with daemon("identity", tmp_path, SETTINGS) as one:
        spaces = one.spaces
        cloud = spaces.python(spaces.cloud, TAKE, CLOUD_ADDRESS)
        try:
            assert cloud.stdout is not None
            assert cloud.stdout.readline() == "ready\n"
            spaces.run(spaces.backend, sys.executable, "-I", "-c", GIVE, CLOUD_ADDRESS)
            assert until(lambda: bool(alert_flows(one)))
        finally:
            cloud.kill()
            cloud.communicate()
        processes = {flow["process"] for flow in alert_flows(one)}
        assert processes == {"exfil\\u{1b}[2J"}
        assert until(lambda: count(one, "found") >= 1)
        status, err = one.end(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in err
