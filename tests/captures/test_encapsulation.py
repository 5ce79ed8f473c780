"""Tunnels and fragments that scapy, an independent encoder, has made: each counts in its innermost flow."""

import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from scapy.contrib.erspan import ERSPAN_II
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.layers.l2tp import L2TP
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from . import truth

SENT = b"what leaves"
TUNNEL = IP(src="192.0.2.1", dst="192.0.2.2")
ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def inner(six: bool = False) -> Packet:
    """One segment from a local host to a remote one."""
    network = IPv6(src="fd00::1", dst="2001:db8::2") if six else IP(src="10.0.0.5", dst="198.51.100.7")
    return network / TCP(sport=40000, dport=443, flags="PA", seq=7) / Raw(SENT)


# the packet before what is inside; whether that is in a frame of its own; kind and id
TUNNELS: list[tuple[Packet, bool, str | None, int]] = [
    (ETHERNET, False, None, 0),
    (ETHERNET / Dot1Q(vlan=12), False, "vlan", 12),
    (ETHERNET / Dot1Q(vlan=12) / Dot1Q(vlan=34), False, "vlan", 34),
    (ETHERNET / MPLS(label=16, s=0) / MPLS(label=17, s=1), False, "mpls", 17),
    (ETHERNET / PPPoE(sessionid=5) / PPP(), False, "pppoe", 5),
    (ETHERNET / TUNNEL, False, "ipip", 0),
    (ETHERNET / TUNNEL / GRE(), False, "gre", 0),
    (ETHERNET / TUNNEL / GRE(key_present=1, key=7, seqnum_present=1, chksum_present=1), False, "gre", 7),
    (ETHERNET / TUNNEL / GRE(key_present=1, key=7), True, "gre", 7),
    (ETHERNET / TUNNEL / GRE(seqnum_present=1) / ERSPAN_II(session_id=9), True, "erspan", 9),
    (ETHERNET / TUNNEL / UDP(sport=50000) / VXLAN(vni=77), True, "vxlan", 77),
    (ETHERNET / TUNNEL / UDP(sport=50000, dport=8472) / VXLAN(vni=77), True, "vxlan", 77),
    (ETHERNET / TUNNEL / UDP(sport=50000) / GENEVE(vni=78), True, "geneve", 78),
    (ETHERNET / TUNNEL / UDP(sport=2152) / GTP_U_Header(teid=0xABCD), False, "gtpu", 0xABCD),
    (
        ETHERNET / TUNNEL / UDP(sport=2152) / GTP_U_Header(teid=0xABCD) / GTPPDUSessionContainer(QFI=1),
        False,
        "gtpu",
        0xABCD,
    ),
    (
        ETHERNET / TUNNEL / UDP() / L2TP(hdr=["length"], tunnel_id=1, session_id=2) / PPP(),
        False,
        "l2tp",
        0x10002,
    ),
    (ETHERNET / NSH(spi=55, length=2, mdtype=2), True, "nsh", 55),
]


def replay(packets: Sequence[Packet], folder: Path) -> truth.Seen:
    path = folder / "capture.pcap"
    wrpcap(str(path), packets)
    seen = truth.read(path)
    assert truth.broken_laws(seen.counters) == []
    return seen


def totals(flows: pl.DataFrame) -> dict[tuple[str, int, str, int], tuple[int, int, int]]:
    """Packets, bytes and payload that each connection sent."""
    sums = flows.group_by("local_address", "local_port", "remote_address", "remote_port").agg(
        pl.col("packets_out", "bytes_out", "payload_out").sum()
    )
    return {
        (truth.address_text(local), lport, truth.address_text(remote), rport): (packets, size, payload)
        for local, lport, remote, rport, packets, size, payload in sums.iter_rows()
    }


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize(("around", "framed", "kind", "number"), TUNNELS, ids=lambda one: None)
def test_each_tunnel_counts_in_the_flow_inside(
    around: Packet, framed: bool, kind: str | None, number: int, six: bool, tmp_path: Path
) -> None:
    packet = around / ETHERNET / inner(six) if framed else around / inner(six)
    seen = replay([packet], tmp_path)
    ends = ("fd00::1", 40000, "2001:db8::2", 443) if six else ("10.0.0.5", 40000, "198.51.100.7", 443)
    size = (40 if six else 20) + 20 + len(SENT)
    assert totals(seen.flows) == {ends: (1, size, len(SENT))}
    assert seen.counters.overhead_bytes == len(packet) - size
    if six and kind == "ipip":
        kind = "6in4"
    assert seen.flows.select("tunnel", "tunnel_id").row(0) == (kind, number)


def test_both_directions_meet_where_each_has_its_own_id(tmp_path: Path) -> None:
    there = ETHERNET / TUNNEL / UDP(sport=2152) / GTP_U_Header(teid=1) / inner()
    answer = IP(src="198.51.100.7", dst="10.0.0.5") / TCP(sport=443, dport=40000, flags="A") / Raw(b"yes")
    back = ETHERNET / IP(src="192.0.2.2", dst="192.0.2.1") / UDP(sport=2152) / GTP_U_Header(teid=2) / answer
    flows = replay([there, back], tmp_path).flows
    assert flows["flow_id"].n_unique() == 1
    assert flows.select(pl.col("packets_out", "packets_in", "payload_out", "payload_in").sum()).row(0) == (
        1, 1, len(SENT), 3,
    )  # fmt: skip


def test_the_same_addresses_in_two_networks_are_two_flows(tmp_path: Path) -> None:
    packets = [
        ETHERNET / TUNNEL / UDP(sport=50000) / VXLAN(vni=vni) / ETHERNET / inner() for vni in (5, 6, 5)
    ]
    flows = replay(packets, tmp_path).flows.filter(pl.col("packets_out") > 0)
    assert sorted(flows.select("tunnel_id", "packets_out").rows()) == [(5, 2), (6, 1)]


def test_what_is_not_ip_inside_stays_in_the_flow_outside(tmp_path: Path) -> None:
    packet = ETHERNET / TUNNEL / UDP(sport=50000) / VXLAN(vni=5) / ETHERNET / ARP()
    seen = replay([packet], tmp_path)
    assert totals(seen.flows) == {
        ("192.0.2.1", 50000, "192.0.2.2", 4789): (1, len(packet) - 14, len(packet) - 42)
    }
    assert seen.flows["tunnel"].to_list() == [None]


def test_an_icmp_error_is_no_tunnel(tmp_path: Path) -> None:
    error = IP(src="198.51.100.7", dst="10.0.0.5") / ICMP(type=3, code=3) / inner()
    assert replay([ETHERNET / error], tmp_path).flows["protocol"].to_list() == [1]


@pytest.mark.parametrize("seed", range(4))
def test_fragments_in_any_order_are_one_flow(seed: int, tmp_path: Path) -> None:
    datagram = (
        IP(src="10.0.0.5", dst="198.51.100.7", id=seed) / UDP(sport=40000, dport=9999) / Raw(bytes(5000))
    )
    pieces = fragment(datagram, fragsize=1000)  # type: ignore[no-untyped-call]
    six = IPv6(src="fd00::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=seed)
    six = six / UDP(sport=40001, dport=9999) / Raw(bytes(5000))
    pieces += fragment6(six, 1280)  # type: ignore[no-untyped-call]
    random.Random(seed).shuffle(pieces)
    frames = [ETHERNET / piece for piece in pieces]
    for place, frame in enumerate(frames):
        frame.time = 1_700_000_000 + place / 1000
    seen = replay(frames, tmp_path)
    found = totals(seen.flows)
    # 5008 bytes in six fragments of 20 bytes of header; in five of 48
    assert found == {
        ("10.0.0.5", 40000, "198.51.100.7", 9999): (6, 5008 + 6 * 20, 5000),
        ("fd00::1", 40001, "2001:db8::2", 9999): (5, 5008 + 5 * 48, 5000),
    }
    assert seen.counters.given_up["fragment"] == 0


def test_fragments_of_what_a_tunnel_carries_are_the_packet_inside(tmp_path: Path) -> None:
    packet = TUNNEL / UDP(sport=50000) / VXLAN(vni=5) / ETHERNET / inner()
    packet[Raw].load = bytes(3000)
    pieces = fragment(packet, fragsize=1400)  # type: ignore[no-untyped-call]
    seen = replay([ETHERNET / piece for piece in pieces], tmp_path)
    assert totals(seen.flows) == {("10.0.0.5", 40000, "198.51.100.7", 443): (3, 3040, 3000)}
