"""The sockets of a network namespace, out of the kernel's socket diagnostics (sock_diag(7)).

pyroute2 knows how a request is written. Its decoder takes 35 µs a socket, and of each only six numbers at
fixed places are wanted here, so these are read from the answer directly (1 µs).
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

NETLINK_SOCK_DIAG = 4
CLONE_NEWNET = 0x40000000  # linux/sched.h
LISTEN = 10  # net/tcp_states.h
ALL_STATES = 0xFFF
PROTOCOLS = (6, 17)
_ANSWER_BYTES = 1 << 18
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_PORTS = struct.Struct(">HH")
_INODE_AT = 68  # in inet_diag_msg, which is 72 bytes long
_MAPPED = bytes(10) + b"\xff\xff"
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Socket(NamedTuple):
    """One socket that is no listening one; addresses are 16 bytes, IPv4 as IPv4-mapped."""

    protocol: int  # 6 or 17
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int  # 0: not connected
    inode: int  # 0: no process has it open (any more)


def open_diagnostics(namespace: str | None = None) -> socket.socket:
    """Open the diagnostics of a network namespace; None is the caller's own.

    The calling *thread* goes into the namespace and comes back. Raises OSError where it may not, or the
    namespace is gone.
    """
    if namespace is None:
        return _diagnostics()
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            return _diagnostics()
        finally:
            _enter(own)
    finally:
        os.close(own)


def _diagnostics() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    made.settimeout(5)
    made.bind((0, 0))
    return made


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sockets(diagnostics: socket.socket) -> Iterator[Socket]:
    """Give the TCP and UDP sockets, less those that listen; raises OSError where the kernel gives none."""
    for family in _FAMILIES:
        for protocol in PROTOCOLS:
            diagnostics.send(_request(family, protocol))
            for message in _answers(diagnostics):
                found = _read(message, protocol)
                if found is not None:
                    yield found


def _request(family: int, protocol: int) -> bytes:
    from pyroute2.netlink import NLM_F_MATCH, NLM_F_REQUEST, NLM_F_ROOT  # 0.35 s, so only where it is used
    from pyroute2.netlink.diag import SOCK_DIAG_BY_FAMILY, inet_diag_req

    request = inet_diag_req()
    request["header"]["type"] = SOCK_DIAG_BY_FAMILY
    request["header"]["flags"] = NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
    request["sdiag_family"] = family
    request["sdiag_protocol"] = protocol
    request["idiag_states"] = ALL_STATES
    request.encode()
    return bytes(request.data)


def _answers(diagnostics: socket.socket) -> Iterator[bytes]:
    while True:
        data = diagnostics.recv(_ANSWER_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data, at + _HEADER.size)[0]
                raise OSError(number, os.strerror(number))
            yield data[at + _HEADER.size : at + length]
            at += max(_HEADER.size, (length + 3) & ~3)


def _read(message: bytes, protocol: int) -> Socket | None:
    if len(message) < _INODE_AT + 4 or message[1] == LISTEN:
        return None
    local_port, remote_port = _PORTS.unpack_from(message, 4)
    local, remote = message[8:24], message[24:40]
    if message[0] == socket.AF_INET:
        local, remote = _MAPPED + local[:4], _MAPPED + remote[:4]
    inode = int.from_bytes(message[_INODE_AT : _INODE_AT + 4], "little")
    return Socket(protocol, local, local_port, remote, remote_port, inode)
