"""The capture filter, the snap lengths and an interface without Ethernet, on a real kernel."""

import os
import shutil
import struct
import time
from collections.abc import Iterable
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

# Frames from standard input, each after its length (32 bits, big-endian), as they are onto the wire.
SEND_FRAMES = """
import socket, struct, sys
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("far", 0))
data = open(sys.argv[1], "rb").read()
at = 0
while at < len(data):
    (length,) = struct.unpack_from(">I", data, at)
    sender.send(data[at + 4 : at + 4 + length])
    at += 4 + length
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


def _tcp(sequence: int, flags: int, payload: bytes, port: int) -> bytes:
    segment = struct.pack(">HHIIBBHHH", port, 443, sequence, 1, 0x50, flags, 65535, 0, 0) + payload
    ends = bytes([10, 77, 0, 9]), bytes([47, 91, 64, 9])
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 6, 0, *ends)
    return bytes.fromhex("020000000002" "020000000001" "0800") + head + segment


def _hello(name: bytes) -> bytes:
    """Give a ClientHello (RFC 8446 section 4.1.2) whose name stands behind a post-quantum key share."""
    share = struct.pack(">HHHHH", 51, 1222, 1220, 0x11EC, 1216) + bytes(1216)
    padding = struct.pack(">HH", 21, 400) + bytes(400)
    server = struct.pack(">HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    extensions = share + padding + server
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += struct.pack(">H", len(extensions)) + extensions
    return b"\x16\x03\x01" + struct.pack(">HBBH", len(body) + 4, 1, 0, len(body)) + body


def _two_segments() -> list[bytes]:
    """Hellos in two segments, in order and not, and a bulk transfer behind each."""
    frames = []
    for number in range(20):
        port = 40_000 + number
        hello = _hello(f"host{number}.example".encode())
        first = _tcp(1001, 0x10, hello[:1400], port)
        second = _tcp(2401, 0x18, hello[1400:], port)
        frames.append(_tcp(1000, 0x02, b"", port))
        frames += [first, second] if number % 2 else [second, first]
        frames += [_tcp(1001 + len(hello) + 1400 * n, 0x10, b"\x17" * 1400, port) for n in range(20)]
    return frames


def _bulk_and_names(spaces: namespaces.Namespaces, frames: Iterable[bytes], snap: bool, folder: Path) -> Any:
    path = folder / "frames"
    path.write_bytes(b"".join(struct.pack(">I", len(frame)) + frame for frame in frames))
    watcher = Watcher(spaces, snap=snap)
    send(spaces, spaces.cloud, SEND_FRAMES, str(path))
    time.sleep(0.2)
    seen = watcher.stop()
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
    assert seen["drops"]["ring"] == 0
    flows: dict[Any, list[Any]] = {}
    for row in seen["flows"]:
        if row["protocol"] not in (6, 17):
            continue  # the kernel's own: neighbours, routers
        one = flows.setdefault((row["protocol"], row["local_port"], row["remote_port"]), [0, 0, None, None])
        one[0] += row["bytes_out"] + row["bytes_in"]
        one[1] += row["payload_out"] + row["payload_in"]
        one[2] = row["name"] or one[2]
        one[3] = row["application"]
    return flows


def test_two_segment_hellos_give_the_same_names_with_and_without_snap(tmp_path: Path) -> None:
    frames = _two_segments()
    with namespaces.joined("snap") as spaces:
        whole = _bulk_and_names(spaces, frames, False, tmp_path)
        cut = _bulk_and_names(spaces, frames, True, tmp_path)
    assert {flow[2] for flow in whole.values()} == {f"host{number}.example" for number in range(20)}
    assert cut == whole
