"""Names, cards, mail addresses, cookies and passwords in clear go through: nothing of them is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from monitor.capture import Capture
from monitor.config import Config, EvidenceConfig
from monitor.evidence.ring import PacketRing
from tests.evidence import demo

SECRETS = [
    b"Anna Schmidt", b"anna.schmidt@mail.example", b"4111111111111111", b"DE89370400440532013000",
    b"QW5uYTpzZWNyZXQ=", b"sid=9f8e7d6c5b4a", b"hunter2secret", b"token=tk_live_0815", b"/customers/schmidt",
    b"AKIAIOSFODNN7EXAMPLE",
]  # fmt: skip
RULE = """
id: anything-that-leaves
title: Something leaves
severity: critical
match: {scope: egress}
measure: {sum: payload_out, per: [workload], window: 10m}
fire: {above: 1}
resolve_after: 1m
tests:
  - name: any byte
    flows: [{workload: api, payload_out: 100}]
    expect: fires
  - name: none
    flows: [{workload: api, payload_out: 0, bytes_out: 100}]
    expect: quiet
"""
OURS, THEIRS = "10.0.0.1", "203.0.113.9"


def conversation(port: int, messages: list[tuple[bool, bytes]], sport: int) -> Iterator[Packet]:
    """Give a TCP connection in which each side says what it is to say; `True` is ours."""
    sequence = [1000, 5000]

    def packet(ours: bool, flags: str, load: bytes = b"") -> Packet:
        ends = (OURS, THEIRS, sport, port) if ours else (THEIRS, OURS, port, sport)
        mine, other = sequence if ours else reversed(sequence)
        header = TCP(sport=ends[2], dport=ends[3], flags=flags, seq=mine, ack=other if flags != "S" else 0)
        sequence[0 if ours else 1] += len(load) + ("S" in flags)
        return Ether() / IP(src=ends[0], dst=ends[1]) / header / Raw(load)

    yield packet(True, "S")
    yield packet(False, "SA")
    for ours, load in messages:
        for start in range(0, len(load), 1400):
            yield packet(ours, "PA" if start + 1400 >= len(load) else "A", load[start : start + 1400])


def packets() -> list[Packet]:
    everything = b" ".join(SECRETS)
    request = (
        b"POST /customers/schmidt?token=tk_live_0815 HTTP/1.1\r\nHost: shop.example\r\n"
        b"Authorization: Basic QW5uYTpzZWNyZXQ=\r\nCookie: sid=9f8e7d6c5b4a\r\n"
        b"Content-Length: 5000\r\n\r\n" + everything + bytes(3000) + everything
    )
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=9f8e7d6c5b4a\r\nContent-Length: 3000\r\n\r\n"
    answer += everything * 9
    mail = [
        (False, b"220 mx.example ESMTP\r\n"), (True, b"EHLO api\r\n"),
        (True, b"MAIL FROM:<anna.schmidt@mail.example>\r\n"), (True, b"DATA\r\n" + everything + b"\r\n.\r\n"),
    ]  # fmt: skip
    login = [(False, b"220 ftp\r\n"), (True, b"USER Anna Schmidt\r\n"), (True, b"PASS hunter2secret\r\n")]
    # what is no TLS and no DNS, and begins as if it were
    feigned = [(True, b"\x16\x03\x01\x00\x20\x02" + everything)]
    found: list[Packet] = []
    for place, (port, messages) in enumerate(
        [(80, [(True, request), (False, answer), (True, request)]), (25, mail), (21, login), (443, feigned),
         (53, [(True, b"\x00\x50" + everything)]), (9200, [(True, everything * 40)])]
    ):  # fmt: skip
        found += conversation(port, messages, 40000 + place)
    for port in (53, 443, 514, 5060):
        found.append(Ether() / IP(src=OURS, dst=THEIRS) / UDP(sport=41000, dport=port) / Raw(everything))
    found.append(Ether() / IP(src=OURS, dst=THEIRS) / ICMP() / Raw(everything))
    found.append(Ether() / IP(src=OURS, dst=THEIRS, proto=50) / Raw(everything))
    found.append(Ether(type=0x88B5) / Raw(everything))
    first = Ether() / IP(src=OURS, dst=THEIRS, id=7, flags="MF") / UDP(sport=42000, dport=9)
    later = Ether() / IP(src=OURS, dst=THEIRS, id=7, frag=9, proto=17) / Raw(everything)
    found += [first / Raw(everything[:64]), later]
    for place, packet in enumerate(found):
        packet.time = 1_767_225_600 + place / 100
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("personal")
    wrpcap(str(place / "clear.pcap"), packets())
    (place / "rules").mkdir()
    (place / "rules" / "anything.yml").write_text(RULE, encoding="ascii")
    payload = "evidence: {payload_for: [anything-that-leaves]}\n"
    for name, more in (("without.yml", ""), ("with.yml", payload)):
        (place / name).write_text(f"rules: [rules]\nworkloads: {{api: [{OURS}]}}\n{more}", encoding="ascii")
    return place


def held(folder: Path) -> list[tuple[str, bytes]]:
    """Give the secrets that stand in the files of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [(path.name, secret) for path in files for secret in SECRETS if secret in path.read_bytes()]


def test_the_capture_has_them_all(folder: Path) -> None:
    data = (folder / "clear.pcap").read_bytes()
    assert [secret for secret in SECRETS if secret not in data] == []


def test_nothing_of_them_is_in_the_ring(folder: Path, tmp_path: Path) -> None:
    ring = PacketRing(tmp_path / "ring", EvidenceConfig(), live=False)
    config = Config()
    capture = Capture.of_files(
        [str(folder / "clear.pcap")], config.networks.local, [], config.tick, ring_on_disk=ring
    )
    ring.start()
    capture.start()
    frames = sum(list(capture)[-1].counters.frames.values())
    capture.close()
    ring.stop()
    assert ring.counters()["kept_frames"] == frames == len(packets())
    assert held(tmp_path) == []


def test_nothing_of_them_is_in_a_capsule_a_log_or_a_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = demo.run(
        "replay", folder / "clear.pcap", "--config", folder / "without.yml", "--evidence", out,
        "--alerts", tmp_path / "alerts.jsonl", "--metrics", tmp_path / "metrics",
    )  # fmt: skip
    (capsule,) = (out / "capsules").iterdir()
    shown += demo.run("inspect", capsule) + demo.run("inspect", capsule, "--json")
    shown += demo.run("capsule", "verify", capsule)
    shown += demo.run("impact", capsule, "--html", tmp_path / "impact.html")
    assert (capsule / "packets.pcapng").stat().st_size > 3000, "it holds packets"
    assert held(tmp_path) == []
    assert [secret for secret in SECRETS if secret.decode() in shown] == []


def test_payload_is_kept_for_the_rules_that_are_named(folder: Path, tmp_path: Path) -> None:
    demo.run("replay", folder / "clear.pcap", "--config", folder / "with.yml", "--evidence", tmp_path)
    found = {secret for name, secret in held(tmp_path) if name == "packets.pcapng"}
    assert found == set(SECRETS)
    checked = demo.run("check", "--config", folder / "with.yml")
    assert "PAYLOAD INCLUDED" in checked
    assert "anything-that-leaves" in checked


def test_payload_for_a_rule_that_is_not_there_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "wrong.yml"
    path.write_text("rules: [rules]\nevidence: {payload_for: [anything-that-leave]}\n", encoding="ascii")
    line = demo.run("replay", folder / "clear.pcap", "--config", path, "--evidence", tmp_path, status=2)
    assert "wrong.yml:2: evidence.payload_for" in line
    assert "did you mean 'anything-that-leaves'?" in line
