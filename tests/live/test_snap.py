"""Snap lengths through a real ring: the same names, flows and bytes with and without them."""

import os
import shutil
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import namespaces
from .watching import Watcher, send

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)
CAPTURES = os.environ.get("EGRESS_CAPTURES")
MOST_FRAMES = 60_000
LONGEST = 1514  # that the veth carries

# Frames from a file, each after its length (32 bits, big-endian), as they are onto the wire.
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
    watcher = Watcher(spaces, snap=snap, ring=64 << 20)
    send(spaces, spaces.cloud, SEND_FRAMES, str(path))
    time.sleep(0.2)
    seen = watcher.stop()
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
    assert seen["drops"]["ring"] == 0
    flows: dict[Any, list[Any]] = {}
    for row in seen["flows"]:
        if row["protocol"] not in (6, 17):
            continue  # the kernel's own: neighbours, routers
        ends = [row[end] for end in ("local_address", "local_port", "remote_address", "remote_port")]
        one = flows.setdefault((row["protocol"], *ends), [0, 0, None, None])
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


def _frames(path: Path) -> Iterator[bytes]:
    """Whole frames of a capture in the old format, if it is of Ethernet."""
    data = path.read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\x4d\x3c\xb2\xa1": "<"}.get(data[:4])
    if order is None or len(data) < 24 or struct.unpack_from(f"{order}I", data, 20)[0] != 1:
        return
    at = 24
    while at + 16 <= len(data):
        captured, wire = struct.unpack_from(f"{order}II", data, at + 8)
        frame = data[at + 16 : at + 16 + captured]
        if captured == wire == len(frame) and 14 <= wire <= LONGEST:
            yield frame
        at += 16 + captured


@pytest.mark.skipif(CAPTURES is None, reason="EGRESS_CAPTURES names no captures")
def test_real_captures_give_the_same_names_with_and_without_snap(tmp_path: Path) -> None:
    frames: list[bytes] = []
    played = 0
    root = Path(CAPTURES or "") / "core" / "pcaps"
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        mine = list(_frames(path))
        if mine and len(frames) + len(mine) <= MOST_FRAMES:
            frames += mine
            played += 1
    with namespaces.joined("snapreal") as spaces:
        whole = _bulk_and_names(spaces, frames, False, tmp_path)
        cut = _bulk_and_names(spaces, frames, True, tmp_path)
    named = sum(flow[2] is not None for flow in whole.values())
    print(f"{played} captures, {len(frames)} frames, {len(whole)} flows, {named} of them named")
    assert named > 100
    assert {key: (cut.get(key), flow) for key, flow in whole.items() if cut.get(key) != flow} == {}
