"""Several workers on one interface: each flow is with one of them, and nothing is counted twice."""

import os
import shutil
from typing import Any

import pytest

from . import namespaces
from .watching import Watcher, send

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

# Datagrams to many addresses and back from them, as raw frames, so that both directions are seen.
BOTH_WAYS = """
import socket, struct, sys
def frame(source, destination, sport, dport):
    udp = struct.pack(">HHHH", sport, dport, 108, 0) + bytes(100)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 128, 0, 0x4000, 64, 17, 0, source, destination)
    return bytes.fromhex("020000000002" "020000000001" "0800") + ip + udp
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("far", 0))
inside = bytes([10, 77, 0, 9])
for _ in range(5):
    for number in range(200):
        outside = bytes([198, 51, 100, number])
        sender.send(frame(inside, outside, 5000 + number, 443))
        sender.send(frame(outside, inside, 443, 5000 + number))
"""

# Answers each of the connections once.
SERVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 443))
print("ready")
for _ in range(int(sys.argv[2])):
    connection, _ = listener.accept()
    connection.sendall(connection.recv(100))
    connection.close()
"""

ASK = """
import socket, sys
for _ in range(int(sys.argv[2])):
    connection = socket.create_connection((sys.argv[1], 443))
    connection.sendall(b"hello")
    while connection.recv(100):
        pass
    connection.close()
"""


def test_what_the_host_sends_itself_meets_its_answers() -> None:
    """The kernel shows frames that leave with their link header, and those that arrive without."""
    with namespaces.joined("own") as spaces:
        server = spaces.python(spaces.cloud, SERVE, namespaces.CLOUD_ADDRESS, "10")
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        watcher = Watcher(spaces, workers=4)
        send(spaces, spaces.backend, ASK, namespaces.CLOUD_ADDRESS, "10")
        seen = watcher.stop()
        server.communicate(timeout=10)
    rows = [row for row in seen["flows"] if row["remote_port"] == 443]
    assert len({row["flow_id"] for row in rows}) == len({row["local_port"] for row in rows}) == 10
    # "hello" there and back, as both wrote it
    assert sum(row["payload_out"] for row in rows) == sum(row["payload_in"] for row in rows) == 50


@pytest.mark.parametrize("options", [{}, {"snap": True, "filter": "udp port 443"}])
def test_both_directions_meet_one_worker(options: dict[str, Any]) -> None:
    with namespaces.joined("fanout") as spaces:
        watcher = Watcher(spaces, workers=3, **options)
        send(spaces, spaces.cloud, BOTH_WAYS)
        seen = watcher.stop()
    rows = [row for row in seen["flows"] if row["remote_port"] == 443 and row["protocol"] == 17]
    # two workers that share a flow would each begin one, at their own first packet
    assert len({row["flow_id"] for row in rows}) == 200
    flows: dict[int, list[int]] = {}
    for row in rows:
        one = flows.setdefault(row["local_port"], [0, 0])
        one[0] += row["packets_out"]
        one[1] += row["packets_in"]
    assert flows == {5000 + number: [5, 5] for number in range(200)}
    assert seen["workers"] == ["0", "1", "2"]
    # 200 pairs of addresses, ten frames each: no worker has nearly none, or nearly all
    assert all(200 < frames < 1500 for frames in seen["by_worker"])
    assert seen["packets"] == seen["frames"]
    assert seen["laws"] == {"frames": 0, "bytes": 0, "kernel": 0}
