"""The ring on a real kernel: counters, stripped VLAN tags, loopback, missing rights."""

import os
import shutil
import subprocess
import sys

import pytest

from . import namespaces

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

# Captures until a line comes on standard input, then prints sums; runs inside the namespace.
WATCH = """
import json, sys, threading
from monitor.capture import Capture
from monitor.config import Config
capture = Capture.of_interfaces(
    [sys.argv[1]], Config().networks.local, [], 10**9, ring=8 << 20, promiscuous=False
)
capture.start()
print("ready")
threading.Thread(target=lambda: (sys.stdin.readline(), capture.stop()), daemon=True).start()
flows = []
for drain in capture:
    flows += drain.flows.select(
        "protocol", "remote_port", "local_port", "payload_out", "packets_out", "tunnel_id"
    ).rows()
    last = drain
capture.close()
c = last.counters
print(json.dumps({
    "flows": flows, "frames": c.frames, "wire": c.wire_bytes, "packets": c.kernel_packets,
    "drops": sum(c.dropped_frames.values()), "overhead": c.overhead_bytes,
    "booked": sum(c.scope_frames.values()) + sum(c.undecoded_frames.values()),
}))
"""

SEND = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[3])):
    sender.sendto(bytes(100), (sys.argv[1], int(sys.argv[2])))
"""


def _watch(spaces: namespaces.Namespaces, interface: str, *send: list[str]) -> dict:  # type: ignore[type-arg]
    import json

    watcher = spaces.python(spaces.backend, WATCH, interface)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "ready\n"
    for command in send:
        subprocess.run(command, check=True, timeout=30)
    out, _ = watcher.communicate("stop\n", timeout=30)
    found: dict = json.loads(out)  # type: ignore[type-arg]
    return found


def test_every_frame_of_the_kernel_is_booked() -> None:
    with namespaces.joined("ring") as spaces:
        command = spaces.command(
            spaces.backend, sys.executable, "-I", "-c", SEND, namespaces.CLOUD_ADDRESS, "9999", "5000"
        )
        seen = _watch(spaces, namespaces.INTERFACE, command)
    assert seen["packets"][namespaces.INTERFACE] == sum(seen["frames"].values()) + seen["drops"]
    assert seen["booked"] == sum(seen["frames"].values())
    sent = [row for row in seen["flows"] if row[1] == 9999]
    # 100 bytes a datagram, as the sender wrote them
    assert sum(row[3] for row in sent) == 5000 * 100
    assert sum(row[4] for row in sent) == 5000


def test_a_tag_that_the_kernel_stripped_is_told() -> None:
    with namespaces.joined("vlan") as spaces:
        for name, device, address in (
            (spaces.backend, namespaces.INTERFACE, "10.78.0.1"),
            (spaces.cloud, "far", "10.78.0.2"),
        ):
            link = ("link", "add", "link", device, "name", "tagged", "type", "vlan", "id", "100")
            spaces.run(name, "ip", *link)
            spaces.run(name, "ip", "addr", "add", f"{address}/24", "dev", "tagged")
            spaces.run(name, "ip", "link", "set", "tagged", "up")
        command = spaces.command(spaces.backend, sys.executable, "-I", "-c", SEND, "10.78.0.2", "7777", "10")
        seen = _watch(spaces, namespaces.INTERFACE, command)
    tagged = [row for row in seen["flows"] if row[1] == 7777]
    assert tagged
    assert {row[5] for row in tagged} == {100}


def test_loopback_shows_each_packet_once() -> None:
    with namespaces.joined("loop") as spaces:
        command = spaces.command(spaces.backend, sys.executable, "-I", "-c", SEND, "127.0.0.1", "7777", "50")
        seen = _watch(spaces, "lo", command)
    sent = [row for row in seen["flows"] if 7777 in (row[1], row[2]) and row[0] == 17]
    assert sum(row[4] for row in sent) == 50


def test_missing_right_is_one_line() -> None:
    """Without CAP_NET_RAW: the capability and how to give it, exit status 2."""
    with namespaces.joined("right") as spaces:
        done = subprocess.run(
            spaces.command(
                spaces.backend, "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw",
                sys.executable, "-I", "-m", "monitor", "run", "--interface", namespaces.INTERFACE,
            ),
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "CAP_NET_RAW" in done.stderr
    assert "setcap" in done.stderr
    assert len(done.stderr.splitlines()) == 1
