"""Makes the captures that tests of shipped rules use: ``python -m tests.judge.make_captures FOLDER``.

Conversations as RFC 959 (FTP), RFC 9112 (HTTP) and RFC 9293 (TCP) have them, made with scapy. Addresses are
of RFC 1918 and RFC 5737, names of RFC 2606, and every person, password and card number is invented.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

START = 1_767_225_600  # 2026-01-01T00:00:00Z
STEP = 0.02  # seconds between packets
OUTSIDE = "203.0.113.21"


class Conversation:
    """One TCP connection: who opens it, and what each side says, in order."""

    def __init__(self, client: tuple[str, int], server: tuple[str, int]) -> None:
        self._ends = (client, server)
        self._next = [1000, 5000]  # sequence numbers of client and server
        self.packets: list[Packet] = []

    def open(self) -> "Conversation":
        """Shake hands (RFC 9293 section 3.5)."""
        self._send(0, "S")
        self._send(1, "SA")
        self._send(0, "A")
        return self

    def refused(self) -> "Conversation":
        """Ask for a connection and be refused (RFC 9293 section 3.5.3)."""
        self._send(0, "S")
        self._send(1, "RA")
        return self

    def client(self, text: str) -> "Conversation":
        """Let the client say something."""
        self._send(0, "PA", text.encode())
        return self

    def server(self, text: str) -> "Conversation":
        """Let the server say something."""
        self._send(1, "PA", text.encode())
        return self

    def close(self) -> "Conversation":
        """Close from both ends."""
        self._send(0, "FA")
        self._send(1, "FA")
        self._send(0, "A")
        return self

    def _send(self, side: int, flags: str, payload: bytes = b"") -> None:
        (source, sport), (target, dport) = self._ends[side], self._ends[1 - side]
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=source, dst=target)
        acked = self._next[1 - side] if "A" in flags else 0
        packet /= TCP(sport=sport, dport=dport, flags=flags, seq=self._next[side], ack=acked, window=65_535)
        if payload:
            packet /= Raw(payload)
        packet.time = START + STEP * len(self.packets)
        self._next[side] += len(payload) + ("S" in flags or "F" in flags)
        self.packets.append(packet)


def ftp_login() -> Conversation:
    """A backup job that gives its password to an FTP server outside."""
    ftp = Conversation(("10.0.1.5", 40_001), (OUTSIDE, 21)).open()
    ftp.server("220 files.example ready\r\n").client("USER backup\r\n").server("331 password please\r\n")
    ftp.client("PASS not-a-secret\r\n").server("230 welcome\r\n").client("QUIT\r\n").server("221 bye\r\n")
    return ftp.close()


def http_form(people: int) -> Conversation:
    """A job that posts a table of so many invented people, 20 a request."""
    http = Conversation(("10.0.1.6", 40_002), (OUTSIDE, 80)).open()
    for first in range(0, people, 20):
        rows = "".join(f"{n},person{n:03}@example.org\r\n" for n in range(first, min(first + 20, people)))
        http.client(
            "POST /import HTTP/1.1\r\nHost: files.example\r\nContent-Type: text/csv\r\n"
            f"Content-Length: {len(rows)}\r\n\r\n{rows}"
        )
        http.server("HTTP/1.1 204 No Content\r\n\r\n")
    return http.close()


def open_store() -> Conversation:
    """A stranger who finds a search server open and asks for its name."""
    store = Conversation((OUTSIDE, 51_234), ("10.0.2.9", 9200)).open()
    body = '{"name":"copy-1","cluster_name":"shop"}\n'
    store.client("GET / HTTP/1.1\r\nHost: 198.51.100.1:9200\r\n\r\n")
    store.server(
        "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )
    return store.close()


def closed_store() -> Conversation:
    """The same stranger at a port that nobody listens on."""
    return Conversation((OUTSIDE, 51_235), ("10.0.2.9", 9200)).refused()


def captures() -> Iterator[tuple[str, Iterable[Packet]]]:
    """Give each capture by its name."""
    yield "ftp-login.pcap", ftp_login().packets
    yield "people-100.pcap", http_form(100).packets
    yield "people-101.pcap", http_form(101).packets
    yield "store-closed.pcap", closed_store().packets
    yield "store-open.pcap", open_store().packets


def write(folder: Path) -> None:
    """Write all captures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, packets in captures():
        wrpcap(str(folder / name), list(packets))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
