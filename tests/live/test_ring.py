"""The ring on a real kernel: counters, stripped VLAN tags, loopback, missing rights."""

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

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
    sys.argv[1].split(","), Config().networks.local, [], 10**9, ring=8 << 20, promiscuous=False
)
capture.start()
print("ready")
threading.Thread(target=lambda: (sys.stdin.readline(), capture.stop()), daemon=True).start()
flows = []
for drain in capture:
    flows += drain.flows.frame.select(
        "protocol", "remote_port", "local_port", "payload_out", "packets_out", "tunnel_id"
    ).rows()
    last = drain
capture.close()
c = last.counters
print(json.dumps({
    "flows": flows, "frames": c.frames, "wire": c.wire_bytes, "packets": c.kernel_packets,
    "ring_drops": sum(n for (_, reason), n in c.dropped_frames.items() if reason == "ring"),
    "overhead": c.overhead_bytes,
    "ip": sum(c.scope_sent_bytes.values()) + sum(c.scope_received_bytes.values()),
    "undecoded": sum(c.undecoded_bytes.values()), "undecoded_frames": sum(c.undecoded_frames.values()),
    "booked": sum(c.scope_frames.values()) + sum(c.undecoded_frames.values()),
}))
"""

SEND = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[3])):
    sender.sendto(bytes(100), (sys.argv[1], int(sys.argv[2])))
"""

# A tagged frame as it stands on the wire, ten times.
SEND_TAGGED = """
import socket
ip = bytes.fromhex("4500002100004000401100000a4e00020a4d0001") + bytes.fromhex("1f401e61000d0000") + b"hello"
frame = bytes.fromhex("ffffffffffff020000000001" "81000064" "0800") + ip
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("far", 0))
for _ in range(10):
    sender.send(frame)
"""


def _watch(spaces: namespaces.Namespaces, interface: str, *send: list[str]) -> dict[str, Any]:
    watcher = spaces.python(spaces.backend, WATCH, interface)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "ready\n"
    for command in send:
        subprocess.run(command, check=True, timeout=30)
    out, _ = watcher.communicate("stop\n", timeout=30)
    found: dict[str, Any] = json.loads(out)
    return found


def test_every_frame_of_the_kernel_is_booked() -> None:
    with namespaces.joined("ring") as spaces:
        command = spaces.command(
            spaces.backend, sys.executable, "-I", "-c", SEND, namespaces.CLOUD_ADDRESS, "9999", "5000"
        )
        seen = _watch(spaces, namespaces.INTERFACE, command)
    assert seen["packets"][namespaces.INTERFACE] == sum(seen["frames"].values()) + seen["ring_drops"]
    assert seen["booked"] == sum(seen["frames"].values())
    sent = [row for row in seen["flows"] if row[1] == 9999]
    # 100 bytes a datagram, as the sender wrote them
    assert sum(row[3] for row in sent) == 5000 * 100
    assert sum(row[4] for row in sent) == 5000


def test_a_tag_that_the_kernel_stripped_is_told() -> None:
    """The kernel takes the tag (IEEE 802.1Q) out of a received frame before any socket sees it."""
    with namespaces.joined("vlan") as spaces:
        send = spaces.command(spaces.cloud, sys.executable, "-I", "-c", SEND_TAGGED)
        seen = _watch(spaces, namespaces.INTERFACE, send)
    tagged = [row for row in seen["flows"] if 7777 in (row[1], row[2])]
    assert tagged
    assert {row[5] for row in tagged} == {100}
    # the tag was on the wire, so it counts there: 14 bytes of Ethernet a frame, and 4 for each tag
    decoded = sum(seen["frames"].values()) - seen["undecoded_frames"]
    assert seen["overhead"] >= 14 * decoded + 4 * 10
    assert sum(seen["wire"].values()) == seen["overhead"] + seen["ip"] + seen["undecoded"]


def test_two_interfaces_are_one_capture() -> None:
    with namespaces.joined("both") as spaces:
        outside = spaces.command(
            spaces.backend, sys.executable, "-I", "-c", SEND, namespaces.CLOUD_ADDRESS, "9999", "70"
        )
        inside = spaces.command(spaces.backend, sys.executable, "-I", "-c", SEND, "127.0.0.1", "7777", "30")
        seen = _watch(spaces, f"{namespaces.INTERFACE},lo", outside, inside)
    for name in (namespaces.INTERFACE, "lo"):
        assert seen["packets"][name] == seen["frames"][name]
    assert sum(row[4] for row in seen["flows"] if row[1] == 9999) == 70
    assert sum(row[4] for row in seen["flows"] if row[0] == 17 and 7777 in (row[1], row[2])) == 30


PROMISCUOUS = WATCH.replace("promiscuous=False", "promiscuous=True")


def test_promiscuous_and_an_interface_that_goes_away_for_a_while() -> None:
    with namespaces.joined("down") as spaces:
        watcher = spaces.python(spaces.backend, PROMISCUOUS, namespaces.INTERFACE)
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "ready\n"
        shown = spaces.run(spaces.backend, "ip", "-d", "link", "show", namespaces.INTERFACE)
        assert "promiscuity 1" in shown
        send = (sys.executable, "-I", "-c", SEND, namespaces.CLOUD_ADDRESS, "9999", "20")
        spaces.run(spaces.backend, *send)
        spaces.run(spaces.backend, "ip", "link", "set", namespaces.INTERFACE, "down")
        time.sleep(1)
        spaces.run(spaces.backend, "ip", "link", "set", namespaces.INTERFACE, "up")
        # the kernel forgets the routes of a link that goes down
        spaces.run(spaces.backend, "ip", "route", "add", "default", "dev", namespaces.INTERFACE)
        time.sleep(1)
        spaces.run(spaces.backend, *send)
        out, _ = watcher.communicate("stop\n", timeout=30)
    seen = json.loads(out)
    assert sum(row[4] for row in seen["flows"] if row[1] == 9999) == 40
    # what the interface itself dropped never came to the ring, so it is no part of the law
    assert seen["packets"][namespaces.INTERFACE] == sum(seen["frames"].values()) + seen["ring_drops"]


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
