"""Super-frames stand for their segments: the sender's own kernel says how many it sent."""

import os
import shutil

import pytest

from . import namespaces
from .watching import Watcher

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

# Prints `tcpi_segs_out` (struct tcp_info in linux/tcp.h): segments sent, SYN, FIN and ACKs included.
SEND = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 443))
for _ in range(50):
    connection.sendall(bytes(100_000))
connection.shutdown(socket.SHUT_WR)
while connection.recv(65536):
    pass
info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)
print(int.from_bytes(info[136:140], sys.byteorder))
"""

HEADERS = 14 + 20 + 32  # Ethernet, IPv4, TCP with time stamps


@pytest.mark.parametrize("basis", ["estimated", "told"])
def test_repeated_headers_are_those_of_the_segments_that_the_sender_counted(basis: str) -> None:
    with namespaces.joined("super") as spaces:
        watcher = Watcher(spaces, superframe_sizes=basis == "told")
        receiver = spaces.receiver()
        out, _ = spaces.python(spaces.backend, SEND, namespaces.CLOUD_ADDRESS).communicate(timeout=30)
        receiver.communicate(timeout=30)
        seen = watcher.stop()
    segments = int(out)
    frames = sum(row["packets_out"] for row in seen["flows"] if row["remote_port"] == 443)
    assert seen["superframes"][namespaces.INTERFACE] > 10, "the sender's kernel cuts by itself here"
    other = {"estimated": "told", "told": "estimated"}[basis]
    assert seen["repeated"] == {basis: (segments - frames) * HEADERS, other: 0}
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
    assert seen["drops"]["ring"] == 0
