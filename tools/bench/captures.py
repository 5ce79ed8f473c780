"""The captures that are measured: a real one repeated, and made ones that have one property each."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LITTLE = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")  # micro- and nanoseconds
HEADER = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")  # Ethernet, microseconds
VLAN = (0x8100, 0x88A8)
# new clients are this far from those of the repetition before, within 10.0.0.0/8; odd, so that it takes
# 2^24 repetitions until an address comes again
STRIDE = 0x0FD3C5
START = 1_700_000_000
CHUNK = 1 << 20  # packets that are made at a time
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: www.example.net\r\nA: bcde\r\n\r\n"  # 60 bytes

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]  # one for each frame


def plain(capture: Path, folder: Path) -> Path:
    """Give the capture decompressed, in `folder` if it has to be written."""
    if capture.suffix != ".zst":
        return capture
    target = folder / capture.stem
    subprocess.run(["zstd", "-q", "-d", "-f", str(capture), "-o", str(target)], check=True)
    return target


class Repeated:
    """A capture that can be written many times over, each time later and with other clients.

    Clients are the addresses in 10.0.0.0/8 and 2001:db8::/32 of the outermost IP header. With
    `new_clients` each repetition has clients that no other has; else the clients of the capture change
    places, so that the flows are new and the hosts are not. Checksums are left as they are. Raises
    ValueError for anything but a little-endian pcap of Ethernet frames.
    """

    def __init__(self, capture: Path, new_clients: bool) -> None:
        """Find the places of all times and clients."""
        self._new_clients = new_clients
        raw = capture.read_bytes()
        if raw[:4] not in LITTLE or raw[20:22] != b"\x01\x00":
            raise ValueError(f"{capture}: not a little-endian pcap of Ethernet frames")
        times: list[int] = []
        v4: list[int] = []
        v6: list[int] = []
        at = 24
        while at + 16 <= len(raw):
            end = at + 16 + int.from_bytes(raw[at + 8 : at + 12], "little")
            if end > len(raw):
                break
            times.append(at)
            _clients(raw, at + 16, end, v4, v6)
            at = end
        self.packets = len(times)
        self.size = at
        self._data = np.frombuffer(bytearray(raw[:at]), dtype=np.uint8)
        self._times = _places(times, 4)
        self._v4 = _places(v4, 3)
        self._v6 = _places(v6, 4)

    def write(self, target: Path, times: int) -> int:
        """Write the capture `times` times; gives the number of packets."""
        data = self._data.copy()
        seconds = data[self._times].copy().view("<u4").reshape(-1)
        span = int(seconds.max()) - int(seconds.min()) + 1
        hosts = data[self._v4].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        interfaces = data[self._v6].copy().view(">u4").reshape(-1)
        with target.open("wb") as file:
            file.write(data[:24].tobytes())
            for turn in range(times):
                data[self._times] = _bytes((seconds + np.uint32(turn * span)).astype("<u4"))
                data[self._v4] = _bytes(self._shifted(hosts, turn))[:, 1:]
                data[self._v6] = _bytes(self._shifted(interfaces, turn))
                file.write(data[24:].tobytes())
        return self.packets * times

    def _shifted(self, clients: Numbers, turn: int) -> Numbers:
        if self._new_clients:
            return (clients + np.uint32(turn * STRIDE % (1 << 24))).astype(">u4")
        pool, places = np.unique(clients, return_inverse=True)
        return pool[(places + turn) % max(1, len(pool))].astype(">u4")


def _clients(raw: bytes, at: int, end: int, v4: list[int], v6: list[int]) -> None:
    """Note where the frame at `at` has clients' addresses: the three bytes, or four, that are shifted."""
    kind = int.from_bytes(raw[at + 12 : at + 14], "big")
    at += 14
    while kind in VLAN:
        kind = int.from_bytes(raw[at + 2 : at + 4], "big")
        at += 4
    if kind == 0x0800 and at + 20 <= end:
        v4.extend(place + 1 for place in (at + 12, at + 16) if raw[place] == 10)
    elif kind == 0x86DD and at + 40 <= end:
        v6.extend(place + 12 for place in (at + 8, at + 24) if raw[place : place + 4] == b"\x20\x01\x0d\xb8")


def _places(starts: list[int], width: int) -> npt.NDArray[np.int64]:
    return np.array(starts, dtype=np.int64).reshape(-1, 1) + np.arange(width)


def _bytes(numbers: Numbers) -> Bytes:
    return numbers.view(np.uint8).reshape(len(numbers), -1)


def frames(count: int, flags: int, payload: int, host: Numbers, port: Numbers, remote: Numbers) -> Bytes:
    """Ethernet frames of TCP over IPv4 from 10.x to `remote`, port 443; one row each, with no checksums."""
    size = 14 + 20 + 20 + payload
    out = np.zeros((count, size), dtype=np.uint8)
    out[:, :14] = np.frombuffer(bytes.fromhex("0200000000010200000000020800"), dtype=np.uint8)
    length = size - 14
    out[:, 14:24] = np.array([0x45, 0, length >> 8, length & 255, 0, 0, 64, 0, 64, 6], dtype=np.uint8)
    out[:, 26] = 10
    out[:, 27:30] = _bytes(host.astype(">u4"))[:, 1:]
    out[:, 30:34] = _bytes(remote.astype(">u4"))
    out[:, 34:36] = _bytes(port.astype(">u2"))
    out[:, 36:38] = np.array([443 >> 8, 443 & 255], dtype=np.uint8)
    out[:, 46:48] = np.array([0x50, flags], dtype=np.uint8)
    return out


def write_frames(target: Path, chunks: Iterator[Bytes], rate: int) -> int:
    """Write rows of bytes as frames, `rate` a second; gives their number."""
    written = 0
    with target.open("wb") as file:
        file.write(HEADER)
        for rows in chunks:
            count, size = rows.shape
            head = np.zeros((count, 4), dtype="<u4")
            place = np.arange(written, written + count, dtype=np.uint64)
            head[:, 0] = START + place // rate
            head[:, 1] = place % rate * 1_000_000 // rate
            head[:, 2:] = size
            file.write(np.hstack([head.view(np.uint8).reshape(count, 16), rows]).tobytes())
            written += count
    return written


def open_flows(packets: int, flows: int) -> Iterator[Bytes]:
    """Segments with 60 bytes of payload, over `flows` connections that are all open at once.

    Each packet is of a connection at random, but for the first `flows`, which go once through all and are
    requests: a flow whose name is known is one that nothing more is looked for in, so what its packets cost
    after that is decoding and the table.
    """
    random = np.random.default_rng(7)
    request = np.frombuffer(REQUEST, dtype=np.uint8)
    for start in range(0, packets, CHUNK):
        count = min(CHUNK, packets - start)
        order = np.arange(start, start + count, dtype=np.uint32)
        flow = np.where(order < flows, order, random.integers(0, flows, count, dtype=np.uint32))
        remote = 0xC6336400 + (flow >> 8) % 251  # 198.51.100.0 and on
        rows = frames(count, 0x10, len(REQUEST), flow >> 10, 1024 + (flow & 1023) * 60, remote)
        rows[: max(0, min(count, flows - start)), -len(REQUEST) :] = request
        yield rows


def random_syns(packets: int) -> Iterator[Bytes]:
    """SYNs from one host to addresses at random, as a scan or a flood has them."""
    random = np.random.default_rng(11)
    for start in range(0, packets, CHUNK):
        count = min(CHUNK, packets - start)
        host = np.full(count, 0x000105, dtype=np.uint32)
        port = random.integers(1024, 65536, count, dtype=np.uint32)
        # 16.0.0.0 to 99.255.255.255: none of them is local
        yield frames(count, 0x02, 0, host, port, random.integers(16 << 24, 100 << 24, count, dtype=np.uint32))


def distinct_remotes(packets: int, remotes: int) -> Iterator[Bytes]:
    """Acknowledgements with 60 bytes of payload from 1 000 hosts to `remotes` addresses in turn."""
    for start in range(0, packets, CHUNK):
        order = np.arange(start, start + min(CHUNK, packets - start), dtype=np.uint32)
        remote = np.uint32(0x14000000) + order % remotes * 17  # 20.0.0.0 and on
        yield frames(len(order), 0x10, 60, order % remotes % 1000, np.full(len(order), 50000), remote)


def room_for(folder: Path, size: int) -> None:
    """Raise OSError where `folder` has not `size` bytes free, and 1 GiB more."""
    free = shutil.disk_usage(folder).free
    if free < size + (1 << 30):
        raise OSError(
            f"{folder}: {size / 1e9:.1f} GB are needed and {free / 1e9:.1f} are free; "
            "choose another folder with TMPDIR, or less with --long"
        )
