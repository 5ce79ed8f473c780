"""Made captures of what an attacker sends to fill tables: each fills another one.

All are IPv4 over Ethernet from 10.x, without checksums, the same in every run. A maker gives chunks of
frames for `captures.write_frames`.
"""

from collections.abc import Callable, Iterator

import numpy as np

from .captures import Bytes, Numbers, distinct_remotes, frames, random_syns

STEP = 1 << 12  # frames of one kind before those of the next come
NAME = 240  # bytes of a name in DNS messages and requests; a name has 253 at most
_LABEL = 58  # and a dot, or its length


def random_names(count: int, start: int) -> Bytes:
    """Names of four labels of 58 and 63 letters, no two the same: one row each, with dots."""
    rows = np.full((count, NAME), ord("x"), dtype=np.uint8)
    rows[:, _LABEL :: _LABEL + 1] = ord(".")
    number = np.arange(start, start + count, dtype=np.uint64)
    for digit in range(12):
        rows[:, 11 - digit] = ord("a") + (number >> np.uint64(4 * digit)).astype(np.uint8) % 16
    return rows


def requests(packets: int) -> Iterator[Bytes]:
    """HTTP requests, each in a connection of its own and to a name of its own."""
    head, tail = b"GET / HTTP/1.1\r\nHost: ", b"\r\n\r\n"
    size = len(head) + NAME + len(tail)
    for start in range(0, packets, STEP):
        count = min(STEP, packets - start)
        rows = _connections(start, count, 0x18, size)
        rows[:, 54 : 54 + len(head)] = np.frombuffer(head, dtype=np.uint8)
        rows[:, 54 + len(head) : 54 + len(head) + NAME] = random_names(count, start)
        rows[:, -len(tail) :] = np.frombuffer(tail, dtype=np.uint8)
        yield rows


def half_hellos(packets: int) -> Iterator[Bytes]:
    """Connections that are opened, and then send two thirds of a ClientHello: of three packets the last."""
    hello = bytes.fromhex("16030105dc010005d80303") + bytes(989)
    other = 1 << 26  # not the ends of `requests`
    for start in range(other, other + packets // 3, STEP):
        count = min(STEP, other + packets // 3 - start)
        yield _connections(start, count, 0x02, 0)
        yield _turned(_connections(start, count, 0x12, 0))
        rows = _connections(start, count, 0x18, len(hello))
        rows[:, 41] = 1  # behind the SYN, whose sequence number is 0
        rows[:, 54:] = np.frombuffer(hello, dtype=np.uint8)
        yield rows


def dns_names(packets: int) -> Iterator[Bytes]:
    """Questions for names that nobody asked for before, and an address as the answer to each."""
    for start in range(0, packets // 2, STEP):
        count = min(STEP, packets // 2 - start)
        names = random_names(count, start)
        names[:, _LABEL :: _LABEL + 1] = 0
        message = np.zeros((count, 12 + NAME + 6), dtype=np.uint8)
        order = np.arange(start, start + count, dtype=np.uint32)
        message[:, 0:2] = order.astype(">u2").view(np.uint8).reshape(count, 2)
        message[:, 2], message[:, 5] = 1, 1
        # each label's length stands where the dot before it was
        message[:, 13 : 13 + NAME] = names
        for place in range(12, 12 + NAME, _LABEL + 1):
            message[:, place] = min(_LABEL, 12 + NAME - place)
        message[:, -3], message[:, -1] = 1, 1
        yield _datagrams(order, message)
        answer = np.hstack([message, np.zeros((count, 16), dtype=np.uint8)])
        answer[:, 2], answer[:, 3], answer[:, 7] = 0x81, 0x80, 1
        answer[:, -16:-4] = np.frombuffer(bytes.fromhex("c00c00010001000000640004"), dtype=np.uint8)
        answer[:, -4:] = (np.uint32(0x14000000) + order * 17).astype(">u4").view(np.uint8).reshape(count, 4)
        yield _turned(_datagrams(order, answer))


def lonely_fragments(packets: int) -> Iterator[Bytes]:
    """Later fragments of datagrams whose first one never comes."""
    for start in range(0, packets, STEP):
        count = min(STEP, packets - start)
        order = np.arange(start, start + count, dtype=np.uint32)
        rows = _datagrams(order, np.zeros((count, 64), dtype=np.uint8))
        rows[:, 18:20] = order.astype(">u2").view(np.uint8).reshape(count, 2)
        rows[:, 20], rows[:, 21] = 0x20, 8  # more will come; 64 bytes before this one
        rows[:, 30:34] = (np.uint32(0x14000000) + order * 17).astype(">u4").view(np.uint8).reshape(count, 4)
        yield rows


def _connections(start: int, count: int, flags: int, payload: int) -> Bytes:
    order = np.arange(start, start + count, dtype=np.uint32)
    remote = 0xC6336400 + (order >> 14) % 251
    return frames(count, flags, payload, order >> 14, 1024 + order % (1 << 14), remote)


def _datagrams(order: Numbers, payload: Bytes) -> Bytes:
    """Ethernet frames of UDP from 4 096 hosts to port 53 of one server."""
    count, size = payload.shape
    # of a TCP header 12 bytes are too much
    rows = frames(count, 0, size - 12, order % 4096, 1024 + order % 64000, np.full(count, 0xC6336435, "u4"))
    rows[:, 23] = 17
    rows[:, 36:38] = 0, 53
    rows[:, 38:40] = (size + 8) >> 8, (size + 8) & 255
    rows[:, 40:42] = 0
    rows[:, 42:] = payload
    return rows


def _turned(rows: Bytes) -> Bytes:
    """The same from the other end."""
    turned = rows.copy()
    turned[:, 26:30], turned[:, 30:34] = rows[:, 30:34], rows[:, 26:30]
    turned[:, 34:36], turned[:, 36:38] = rows[:, 36:38], rows[:, 34:36]
    return turned


KINDS: dict[str, Callable[[int], Iterator[Bytes]]] = {
    "random SYNs": random_syns,
    "a million remotes": lambda packets: distinct_remotes(packets, 1_000_000),
    "names in requests": requests,
    "names in DNS": dns_names,
    "half a ClientHello": half_hellos,
    "fragments without a first": lonely_fragments,
}
