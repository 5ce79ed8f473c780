"""Frames that the kernel loses: in the ring, in a CPU's backlog, and where they are counted."""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import namespaces
from .daemons import daemon
from .watching import Watcher, send

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

# Datagrams of 1000 bytes; prints nothing.
FLOOD = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[3])):
    sender.sendto(bytes(1000), (sys.argv[1], int(sys.argv[2])))
"""

# One call of the kernel that makes 40 datagrams at once (udp(7), UDP_SEGMENT): the receiving side's
# backlog gets them before it can work on the first.
BURSTS = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.IPPROTO_UDP, 103, 1000)
for _ in range(int(sys.argv[3])):
    sender.sendto(bytes(40_000), (sys.argv[1], int(sys.argv[2])))
"""

BACKLOG = Path("/proc/sys/net/core/netdev_max_backlog")


def test_a_ring_that_overflows_loses_by_number() -> None:
    """The reader is stopped while more comes than the ring holds: 2 MiB, some 1900 frames of 1042 bytes."""
    with namespaces.joined("full") as spaces:
        watcher = Watcher(spaces, ring=1 << 20)
        watcher.process.send_signal(signal.SIGSTOP)
        send(spaces, spaces.backend, FLOOD, namespaces.CLOUD_ADDRESS, "9999", "5000")
        watcher.process.send_signal(signal.SIGCONT)
        seen = watcher.stop()
    received = sum(row["packets_out"] for row in seen["flows"] if row["remote_port"] == 9999)
    frames = seen["frames"][namespaces.INTERFACE]
    assert seen["drops"]["ring"] > 0
    assert 0 < received < 5000
    # nothing else is lost on this way, so what was sent was either received or dropped
    assert seen["packets"][namespaces.INTERFACE] == frames + seen["drops"]["ring"]
    assert frames + seen["drops"]["ring"] >= 5000
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}


def test_drops_of_the_ring_are_in_the_metrics(tmp_path: Path) -> None:
    with daemon("drops", tmp_path, f"interfaces: [{namespaces.INTERFACE}]\ncapture: {{ring: 1MiB}}\n") as one:
        assert one.process is not None
        one.process.send_signal(signal.SIGSTOP)
        send(one.spaces, one.spaces.backend, FLOOD, namespaces.CLOUD_ADDRESS, "9999", "5000")
        one.process.send_signal(signal.SIGCONT)
        line = r'egress_source_dropped_frames_total\{interface="watched",reason="ring"\} ([\d.e+]+)'
        deadline = time.monotonic() + 20
        while not any(float(found) > 0 for found in re.findall(line, one.fetch("/metrics"))):
            assert time.monotonic() < deadline, "drops are not in the metrics"
            time.sleep(0.2)
        shown = one.fetch("/metrics")
        for law in ("frames", "bytes", "kernel"):
            assert f'egress_law_broken_total{{law="{law}"}} 0.0' in shown
        status, err = one.end(signal.SIGTERM)
    assert status == 0
    assert "law of" not in err


@contextmanager
def _short_backlog() -> Iterator[None]:
    """Let the backlog hold almost nothing; the setting is the whole machine's, so only for a moment."""
    before = BACKLOG.read_text()
    try:
        BACKLOG.write_text("2")
        yield
    finally:
        BACKLOG.write_text(before)


def test_frames_that_die_in_the_backlog_are_told() -> None:
    """They never reach the ring: `tp_drops` stays 0, the CPU's and the interface's counters tell."""
    with namespaces.joined("backlog") as spaces:
        # the sender's kernel cuts a burst into its datagrams before it gives them to the other side
        spaces.run(spaces.cloud, "ip", "link", "set", "far", "gso_max_segs", "1")
        watcher = Watcher(spaces)
        with _short_backlog():
            send(spaces, spaces.cloud, BURSTS, namespaces.HOST_ADDRESS, "7777", "5")
        time.sleep(1.5)  # the counters are read with the tick after
        seen = watcher.stop()
        dropped = namespaces.link_statistics(spaces)["rx"]["dropped"]
    received = sum(row["packets_in"] for row in seen["flows"] if row["local_port"] == 7777)
    assert received < 5 * 40
    assert seen["drops"]["ring"] == 0
    assert seen["drops"]["interface"] == dropped == 5 * 40 - received
    assert sum(seen["backlog"].values()) >= dropped
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
