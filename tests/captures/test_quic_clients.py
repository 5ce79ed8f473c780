"""An independent QUIC client (aioquic) begins connections; the names are found in what it sent."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion, encode_quic_retry, pull_quic_header

from . import truth

CLIENT, SERVER = ("10.0.0.1", 40000), ("198.51.100.7", 4433)
NAME = "uploads.example.org"
# so many protocols that the ClientHello needs two datagrams, as with a post-quantum key share
MANY_PROTOCOLS = [f"protocol-{number:03}" for number in range(120)]
Datagrams = list[tuple[bool, bytes]]  # from the client?


@dataclass
class Shape:
    """How a client begins."""

    version: int = QuicProtocolVersion.VERSION_1
    protocols: list[str] = field(default_factory=lambda: ["h3"])
    retry: bool = False


def first_flight(shape: Shape) -> Datagrams:
    """Let a client begin; with a Retry from the server where the shape has one."""
    configuration = QuicConfiguration(
        is_client=True, server_name=NAME, alpn_protocols=shape.protocols, original_version=shape.version
    )
    client = QuicConnection(configuration=configuration)
    client.connect(SERVER, now=0.0)
    sent = [(True, data) for data, _ in client.datagrams_to_send(now=0.0)]
    if shape.retry:
        header = pull_quic_header(Buffer(data=sent[0][1]), host_cid_length=8)
        retry = encode_quic_retry(
            version=shape.version,
            source_cid=bytes(range(8)),
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=b"a token of the server",
        )
        client.receive_datagram(retry, SERVER, now=0.1)
        sent += [(False, retry), *((True, data) for data, _ in client.datagrams_to_send(now=0.1))]
    return sent


def capture(path: Path, datagrams: Datagrams) -> None:
    """Write a pcap with LINKTYPE_RAW."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 101)
    for place, (outgoing, payload) in enumerate(datagrams):
        ends = (CLIENT, SERVER) if outgoing else (SERVER, CLIENT)
        udp = struct.pack("!HHHH", ends[0][1], ends[1][1], 8 + len(payload), 0) + payload
        addresses = b"".join(bytes(map(int, address.split("."))) for address, _ in ends)
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses + udp
        out += struct.pack("<IIII", 1_700_000_000, place, len(packet), len(packet)) + packet
    path.write_bytes(out)


def as_sent(datagrams: Datagrams) -> Datagrams:
    return datagrams


def backwards(datagrams: Datagrams) -> Datagrams:
    return datagrams[::-1]


def joined(datagrams: Datagrams) -> Datagrams:
    """As the kernel joins what one side sends in a row (GRO)."""
    out: Datagrams = []
    for outgoing, payload in datagrams:
        if out and out[-1][0] == outgoing:
            out[-1] = (outgoing, out[-1][1] + payload)
        else:
            out.append((outgoing, payload))
    return out


@pytest.mark.parametrize("order", [as_sent, backwards, joined])
@pytest.mark.parametrize("version", [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2])
@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("protocols", [["h3"], MANY_PROTOCOLS])
def test_the_name_is_found(
    order: Callable[[Datagrams], Datagrams], version: int, retry: bool, protocols: list[str], tmp_path: Path
) -> None:
    datagrams = first_flight(Shape(version, protocols, retry))
    flights = 2 if retry else 1
    assert len([data for outgoing, data in datagrams if outgoing]) == flights * (
        1 if protocols == ["h3"] else 2
    )
    path = tmp_path / "capture"
    capture(path, order(datagrams))
    flow = truth.read(path).flows.row(0, named=True)
    found = (
        flow["name"],
        flow["name_source"],
        flow["application"],
        flow["initiator"],
        flow["initiator_confidence"],
    )
    assert found == (NAME, "quic_sni", "quic", "local", "content")
