"""Two machines talk: TCP with its handshake, sequence numbers and end; DNS questions and answers.

Every packet is built by scapy and kept with its time, so that the conversations can be put in order
and written as one capture. Each conversation keeps its own count of what it sent: the truth that
tests hold against tshark and against the monitor.
"""

from dataclasses import dataclass, field
from typing import Any

from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

MILLISECOND = 10**6
SEGMENT = 48_000  # bytes: what a capture shows where the kernel joins segments (GRO, TSO)
INSIDE, OUTSIDE = "02:00:00:00:00:01", "02:00:00:00:00:02"


@dataclass
class Side:
    """One end: its address and port, and what it has sent so far."""

    address: str
    port: int
    packets: int = 0
    frame_bytes: int = 0  # with the Ethernet header, as tshark counts
    payload: int = 0  # bytes above the transport header
    sequence: int = 0  # TCP: next sequence number


@dataclass
class Packets:
    """The capture in the making: (nanoseconds since 1970, packet), in any order."""

    timed: list[tuple[int, Any]] = field(default_factory=list)
    identification: int = 0

    def add(self, time: int, source: Side, target: Side, transport: Any, payload: bytes) -> None:
        """Put one packet on the wire and count it for its sender."""
        self.identification = (self.identification + 1) % 65536
        ethernet = Ether(src=INSIDE, dst=OUTSIDE)
        if not source.address.startswith("10."):
            ethernet = Ether(src=OUTSIDE, dst=INSIDE)
        network = IP(src=source.address, dst=target.address, id=self.identification, flags="DF")
        # built once, checksums and lengths included; the writer only copies it
        raw = bytes(ethernet / network / transport / payload)
        source.packets += 1
        source.frame_bytes += len(raw)
        source.payload += len(payload)
        self.timed.append((time, raw))


class TcpConversation:
    """A TCP connection (RFC 9293) from ``client`` to ``server``; ``time`` is of the next packet.

    Sequence numbers start at values derived from the ports; windows are scaled (RFC 7323) so that
    one large segment never fills them; every message is acknowledged.
    """

    def __init__(self, packets: Packets, time: int, client: Side, server: Side, round_trip: int) -> None:
        self.packets = packets
        self.time = time
        self.client = client
        self.server = server
        self.round_trip = round_trip

    def open(self) -> None:
        """Shake hands: SYN, SYN-ACK, ACK."""
        options = [("MSS", 1460), ("SAckOK", b""), ("NOP", None), ("WScale", 10)]
        self.client.sequence = self.client.port * 65_537
        self.server.sequence = self.client.port * 40_503
        self._send(self.client, self.server, "S", options=options)
        self.client.sequence += 1
        self.time += self.round_trip
        self._send(self.server, self.client, "SA", options=options)
        self.server.sequence += 1
        self._send(self.client, self.server, "A")

    def say(self, speaker: Side, message: bytes, pause: int = MILLISECOND) -> None:
        """Send a message in segments, ``pause`` nanoseconds apart, each acknowledged."""
        listener = self.server if speaker is self.client else self.client
        for start in range(0, len(message), SEGMENT):
            piece = message[start : start + SEGMENT]
            is_last = start + SEGMENT >= len(message)
            self._send(speaker, listener, "PA" if is_last else "A", piece)
            speaker.sequence = (speaker.sequence + len(piece)) % 2**32
            self.time += self.round_trip // 2
            self._send(listener, speaker, "A")
            self.time += pause

    def close(self) -> None:
        """End in order: FIN from both sides."""
        self._send(self.client, self.server, "FA")
        self.client.sequence += 1
        self.time += self.round_trip
        self._send(self.server, self.client, "FA")
        self.server.sequence += 1
        self._send(self.client, self.server, "A")

    def refuse(self) -> None:
        """Answer a SYN with RST: nothing listens there."""
        self.client.sequence = self.client.port * 65_537
        self._send(self.client, self.server, "S", options=[("MSS", 1460)])
        self.client.sequence += 1
        self.time += MILLISECOND
        self._send(self.server, self.client, "RA")

    def _send(self, source: Side, target: Side, flags: str, payload: bytes = b"", options: Any = ()) -> None:
        transport = TCP(
            sport=source.port, dport=target.port, seq=source.sequence, flags=flags, options=list(options),
            ack=target.sequence if "A" in flags else 0, window=65_000,
        )  # fmt: skip
        self.packets.add(self.time, source, target, transport, payload)
        self.time += MILLISECOND // 10


class DnsConversation:
    """Questions of one client to one resolver over UDP (RFC 1035), each with its answer."""

    def __init__(self, packets: Packets, client: Side, resolver: Side) -> None:
        self.packets = packets
        self.client = client
        self.resolver = resolver
        self.query_id = client.port

    def ask(self, time: int, name: str, answers: list[tuple[str, str, str]], kind: str = "A") -> int:
        """Ask for a name; ``answers`` are (owner, type, data). Gives the time of the answer.

        No answers: the name does not exist (RCODE 3).
        """
        self.query_id = (self.query_id + 1) % 65536
        question = DNSQR(qname=name, qtype=kind)
        self._send(time, self.client, self.resolver, DNS(id=self.query_id, rd=1, qd=question))
        records = [DNSRR(rrname=owner, type=type_, ttl=60, rdata=data) for owner, type_, data in answers]
        reply = DNS(
            id=self.query_id, qr=1, rd=1, ra=1, qd=question, an=records, rcode=0 if answers else 3
        )
        self._send(time + 4 * MILLISECOND, self.resolver, self.client, reply)
        return time + 5 * MILLISECOND

    def _send(self, time: int, source: Side, target: Side, message: Any) -> None:
        self.packets.add(time, source, target, UDP(sport=source.port, dport=target.port), bytes(message))
