"""The capture filter and an interface without Ethernet, on a real kernel."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from . import namespaces
from .watching import Watcher, send

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

SEND = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[3])):
    sender.sendto(bytes(1000), (sys.argv[1], int(sys.argv[2])))
"""

# A tun device that answers nothing, with packets written into it as if a peer had sent them.
TUN = """
import fcntl, os, struct, subprocess, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x0001 | 0x1000))  # IFF_TUN, IFF_NO_PI
subprocess.run(["ip", "addr", "add", "10.78.0.1/24", "dev", "tun0"], check=True)
subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
print("up", flush=True)
packet = bytes.fromhex("45000021000040004011000008080808" "0a4e0001" "00351e61000d0000") + b"hello"
for line in sys.stdin:
    for _ in range(int(line)):
        os.write(tun, packet)
    print("sent", flush=True)
"""


def _sent(seen: dict[str, Any], port: int) -> int:
    return sum(row["packets_out"] for row in seen["flows"] if row["remote_port"] == port)


@pytest.mark.parametrize("snap", [False, True])
def test_what_the_filter_refuses_is_no_loss(snap: bool) -> None:
    with namespaces.joined("filter") as spaces:
        watcher = Watcher(spaces, filter="udp port 9999", snap=snap)
        for port, count in (("9999", "30"), ("8888", "50")):
            send(spaces, spaces.backend, SEND, namespaces.CLOUD_ADDRESS, port, count)
        seen = watcher.stop()
    assert (_sent(seen, 9999), _sent(seen, 8888)) == (30, 0)
    assert seen["packets"] == seen["frames"] == {namespaces.INTERFACE: 30}
    assert seen["drops"] == {"ring": 0, "interface": 0}
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
    # 1000 bytes a datagram, UDP and IP headers, whatever was cut
    assert sum(row["bytes_out"] for row in seen["flows"]) == 30 * (1000 + 8 + 20)


@pytest.mark.parametrize("filter", ["", "udp port 53", "ether host 02:00:00:00:00:01"])
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="this kernel has no tun devices")
def test_an_interface_without_ethernet(filter: str) -> None:
    """The frames of a tun device begin with the IP header."""
    with namespaces.joined("tun") as spaces:
        tun = spaces.python(spaces.backend, TUN)
        assert tun.stdin is not None
        assert tun.stdout is not None
        assert tun.stdout.readline() == "up\n"
        watcher = Watcher(spaces, "tun0", filter=filter)
        tun.stdin.write("25\n")
        tun.stdin.flush()
        assert tun.stdout.readline() == "sent\n"
        seen = watcher.stop()
        tun.communicate(timeout=10)
    rows = [row for row in seen["flows"] if (row["local_port"], row["remote_port"]) == (7777, 53)]
    expected = 0 if "ether" in filter else 25
    assert sum(row["packets_in"] for row in rows) == expected
    assert sum(row["bytes_in"] for row in rows) == expected * 33  # 20 of IP, 8 of UDP, "hello"
    assert seen["packets"] == seen["frames"]
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
