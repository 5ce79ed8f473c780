"""DNS messages and names in IP fragments: packets made by scapy, cut by it, and read by tshark too."""

import itertools
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRROPT
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from . import truth

ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
NAME = "many.example.net"
ADDRESSES = [f"198.51.100.{last}" for last in range(1, 61)]
CLIENT, RESOLVER = "10.0.0.5", "192.0.2.53"


def question() -> Packet:
    ask = DNS(id=7, qd=DNSQR(qname=NAME), ar=DNSRROPT(rclass=4096))
    return IP(src=CLIENT, dst=RESOLVER) / UDP(sport=40000, dport=53) / ask


def message(addresses: Sequence[str]) -> Packet:
    """A DNS message with 60 addresses: some 1 950 bytes, as EDNS allows."""
    records = [DNSRR(rrname=NAME, ttl=60, rdata=address) for address in addresses]
    return DNS(id=7, qr=1, qd=DNSQR(qname=NAME), an=records)


def answer(addresses: Sequence[str] = tuple(ADDRESSES)) -> list[Packet]:
    """The two fragments of an answer."""
    packet = IP(src=RESOLVER, dst=CLIENT, id=77) / UDP(sport=53, dport=40000) / message(addresses)
    pieces: list[Packet] = fragment(packet, fragsize=1480)  # type: ignore[no-untyped-call]
    assert len(pieces) == 2
    return pieces


def write(packets: Sequence[Packet], folder: Path) -> Path:
    path = folder / "capture.pcap"
    frames = [ETHERNET / packet for packet in packets]
    for place, frame in enumerate(frames):
        frame.time = 1_700_000_000 + place / 1000
    wrpcap(str(path), frames)
    return path


def replay(packets: Sequence[Packet], folder: Path) -> truth.Seen:
    seen = truth.read(write(packets, folder))
    assert truth.broken_laws(seen.counters) == []
    return seen


def tshark(path: Path, field: str) -> list[str]:
    """All values of a field, in their order."""
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark")
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=a", "-e", field]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [value for value in told.replace("\n", ",").split(",") if value]


def addresses(seen: truth.Seen) -> list[str]:
    rows = seen.dns.filter(seen.dns["address"].is_not_null())
    return [truth.address_text(address) for address in rows["address"]]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_answer_in_two_fragments_is_read(order: tuple[int, int], tmp_path: Path) -> None:
    pieces = answer()
    packets = [question(), *(pieces[place] for place in order)]
    seen = replay(packets, tmp_path)
    assert addresses(seen) == tshark(tmp_path / "capture.pcap", "dns.a") == ADDRESSES
    assert seen.dns["matched"].to_list() == [False] + [True] * len(ADDRESSES)
    assert seen.flows["application"].to_list() == ["dns"]


def test_a_copy_and_an_overlap_are_counted_and_not_believed(tmp_path: Path) -> None:
    first, last = answer()
    forged = answer([f"203.0.113.{number}" for number in range(1, 61)])
    for packets in ([forged[1], last, first], [forged[0], first, last], [first, first.copy(), last]):
        seen = replay([question(), *packets], tmp_path)
        assert addresses(seen) == []
        assert seen.counters.faults["fragment_overlap"] == 1


def test_what_lacks_a_part_is_not_read(tmp_path: Path) -> None:
    for piece in answer():
        assert addresses(replay([question(), piece], tmp_path)) == []


def test_an_id_that_is_used_again_is_another_packet(tmp_path: Path) -> None:
    others = [f"203.0.113.{number}" for number in range(1, 61)]
    packets = [question(), *answer(), question(), *answer(others)]
    assert addresses(replay(packets, tmp_path)) == ADDRESSES + others


def hello(name: str) -> bytes:
    """A ClientHello record with a server name and 3 000 bytes of padding (RFC 8446, RFC 6066, RFC 7685)."""
    server = b"\0" + len(name).to_bytes(2, "big") + name.encode()
    server = len(server).to_bytes(2, "big") + server
    extensions = b"\0\x15" + (3000).to_bytes(2, "big") + bytes(3000)
    extensions += b"\0\0" + len(server).to_bytes(2, "big") + server
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    shake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(shake).to_bytes(2, "big") + shake


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_segment_in_three_fragments_tells_its_name(order: tuple[int, ...], tmp_path: Path) -> None:
    opening = IP(src=CLIENT, dst="198.51.100.7") / TCP(sport=40000, dport=443, flags="S", seq=9)
    segment = IP(src=CLIENT, dst="198.51.100.7", id=5)
    segment = segment / TCP(sport=40000, dport=443, flags="PA", seq=10) / Raw(hello("cut.example.net"))
    pieces = fragment(segment, fragsize=1200)  # type: ignore[no-untyped-call]
    assert len(pieces) == 3
    seen = replay([opening, *(pieces[place] for place in order)], tmp_path)
    assert tshark(tmp_path / "capture.pcap", "tls.handshake.extensions_server_name") == ["cut.example.net"]
    assert seen.flows.select("application", "name").rows() == [("tls", "cut.example.net")]


@pytest.mark.parametrize("seed", range(3))
def test_ipv6_answers_too(seed: int, tmp_path: Path) -> None:
    six = IPv6(src="2001:db8::53", dst="fd00::1") / IPv6ExtHdrFragment(id=seed)
    six = six / UDP(sport=53, dport=40000) / message(ADDRESSES)
    pieces = fragment6(six, 1280)  # type: ignore[no-untyped-call]
    random.Random(seed).shuffle(pieces)
    seen = replay(pieces, tmp_path)
    assert addresses(seen) == tshark(tmp_path / "capture.pcap", "dns.a") == ADDRESSES
