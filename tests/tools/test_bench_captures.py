"""What `make bench` measures is what it says: new flows in each repetition, frames that decode."""

from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scapy.utils import rdpcap, wrpcap

from tools.bench import captures

PACKETS = [
    Ether() / IP(src="10.0.1.5", dst="198.51.100.7") / TCP(sport=1, dport=2),
    Ether() / Dot1Q(vlan=7) / IP(src="198.51.100.7", dst="10.0.1.5") / TCP(sport=2, dport=1),
    Ether() / IP(src="10.0.1.6", dst="10.0.1.5") / TCP(sport=1, dport=2),
    Ether() / IPv6(src="2001:db8::5", dst="2606:4700::1") / TCP(sport=1, dport=2),
]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "one.pcap"
    for place, packet in enumerate(PACKETS):
        packet.time = 1_700_000_000 + place
        packet[Ether].src, packet[Ether].dst = "02:00:00:00:00:01", "02:00:00:00:00:02"
    wrpcap(str(path), PACKETS)
    return path


def ends(packet: Packet) -> tuple[str, str]:
    network = packet[IP] if IP in packet else packet[IPv6]
    return network.src, network.dst


@pytest.mark.parametrize("new_clients", [True, False])
def test_each_repetition_has_new_flows(capture: Path, tmp_path: Path, new_clients: bool) -> None:
    source = captures.Repeated(capture, new_clients)
    target = tmp_path / "many.pcap"
    assert source.write(target, 3) == 12
    found = list(rdpcap(str(target)))
    assert [ends(packet) for packet in found[:4]] == [ends(packet) for packet in PACKETS]
    # both directions of a connection stay together
    for start in (0, 4, 8):
        assert ends(found[start]) == ends(found[start + 1])[::-1]
    hosts = [{address for packet in found[start : start + 3] for address in ends(packet)} for start in (0, 4)]
    remote = {"198.51.100.7"}
    assert hosts[0] & hosts[1] == (remote if new_clients else hosts[0])
    assert ends(found[0]) != ends(found[4])
    assert [float(packet.time) - 1_700_000_000 for packet in found] == list(range(12))


def test_made_frames_are_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "made.pcap"
    assert captures.write_frames(path, captures.open_flows(100, 10), 50) == 100
    found = list(rdpcap(str(path)))
    assert len({(packet[IP].src, packet[TCP].sport, packet[IP].dst) for packet in found}) == 10
    assert {(packet[TCP].flags.value, len(packet[TCP].payload)) for packet in found} == {(0x10, 60)}
    assert float(found[-1].time) - float(found[0].time) == pytest.approx(99 / 50)
    captures.write_frames(path, captures.random_syns(1000), 50)
    found = list(rdpcap(str(path)))
    assert {packet[TCP].flags.value for packet in found} == {2}
    assert len({packet[IP].dst for packet in found}) > 990
    captures.write_frames(path, captures.distinct_remotes(100, 50), 50)
    assert len({packet[IP].dst for packet in rdpcap(str(path))}) == 50
