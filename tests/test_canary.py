"""The canary's bytes, read back by scapy and tshark; when it is sent; whose canary counts."""

import json
import shutil
import struct
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from monitor.canary import ADDRESS_V4, ADDRESS_V6, RULE, let_pass, packet, sender
from monitor.canary.watch import Canary
from monitor.errors import InputError
from monitor.judge.alert import Alert

NAME = "0123456789abcdef-0.egress-canary.invalid"
SOURCES = ["10.77.0.1", "fd00::1", "198.51.100.254"]


@pytest.mark.parametrize("source", SOURCES)
def test_scapy_finds_its_lengths_and_checksums_right(source: str) -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6

    layer = IP if ":" not in source else IPv6
    for port in range(50_000, 50_040):  # so that sums of all kinds come up
        data = packet.build(ip_address(source), port, NAME)
        read = layer(data)
        assert read.dst == (ADDRESS_V4 if layer is IP else ADDRESS_V6)
        assert (read.ttl if layer is IP else read.hlim) == 1
        again = read.copy()
        del again[UDP].chksum, again[UDP].len
        if layer is IP:
            del again.chksum, again.len
        else:
            del again.plen
        assert bytes(again) == data, "scapy works out the same lengths and checksums"


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed: apt-get install tshark")
@pytest.mark.parametrize("source", SOURCES)
def test_tshark_reads_the_server_name(source: str, tmp_path: Path) -> None:
    data = packet.build(ip_address(source), 51_000, NAME)
    capture = tmp_path / "canary.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)  # LINKTYPE_RAW
    capture.write_bytes(head + struct.pack("<IIII", 1, 0, len(data), len(data)) + data)
    out = subprocess.run(
        ["tshark", "-r", str(capture), "-d", "udp.port==9,dtls", "-T", "json",
         "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (read,) = json.loads(out)
    found = json.dumps(read)
    assert f'"dtls.handshake.extensions_server_name": "{NAME}"' in found
    assert "_ws.malformed" not in found
    assert '"udp.checksum.status": "1"' in found, "good"
    assert '"ip.checksum.status": "1"' in found or ":" in source


def test_the_source_is_the_interface_own_address_ipv4_first() -> None:
    assert sender.source_of([]) is None
    both = [ip_network("fd00::1"), ip_network("10.0.0.7")]
    assert sender.source_of(both) == ip_address("10.0.0.7")


def test_the_router_is_found_in_the_kernel_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as `cat /proc/net/route` and `cat /proc/net/arp` print them on a little-endian machine
    gateway = f"{struct.unpack('=I', ip_address('10.0.0.254').packed)[0]:08X}"
    (tmp_path / "route").write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        f"eth0\t00000000\t{gateway}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    (tmp_path / "arp").write_text(
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.0.0.9         0x1         0x2         02:00:00:00:00:09     *        eth0\n"
        "10.0.0.254       0x1         0x2         02:00:00:00:00:fe     *        eth0\n"
    )
    monkeypatch.setattr(sender, "ROUTES", tmp_path / "route")
    monkeypatch.setattr(sender, "NEIGHBOURS", tmp_path / "arp")
    assert sender.router("eth0") == bytes.fromhex("0200000000fe")
    assert sender.router("eth1") is None
    monkeypatch.setattr(sender, "ROUTES", tmp_path / "none")
    assert sender.router("eth0") is None


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(sender, "send", lambda interface, source, name: found.append((interface, name)))
    return found


def _canary(**options: Any) -> Canary:
    addresses = {"eth0": [ip_network("10.0.0.7")], "mirror": []}
    plain: dict[str, Any] = {"every": 30, "expect_from": {}, "addresses": lambda name: addresses[name]}
    return Canary(["eth0", "mirror"], **plain | options)


def test_it_is_sent_when_due_and_not_on_an_interface_without_address(sent: list[tuple[str, str]]) -> None:
    canary = _canary()
    assert canary.interfaces == ["eth0"]
    for now in (100.0, 110.0, 129.9, 130.0, 131.0):
        canary.tick(now)
    assert sent == [("eth0", canary.name(0))] * 2
    assert canary.state().sent == 2
    assert canary.name(0) != _canary().name(0), "a nonce of this run"


def test_a_canary_that_cannot_be_sent_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Network is down")

    monkeypatch.setattr(sender, "send", refuse)
    canary = _canary()
    canary.tick(1.0)
    assert (canary.state().sent, canary.state().failed) == (0, 1)
    assert canary.state().last_seen == {"eth0": 0.0}


def test_addresses_that_cannot_be_asked_for_are_a_canary_that_failed(sent: list[tuple[str, str]]) -> None:
    """As where the process has no file left for the question; it must not end the daemon."""
    answers: list[Any] = [[ip_network("10.0.0.7")], InputError("eth0: Too many open files")]

    def addresses(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, InputError):
            raise answer
        return answer

    canary = Canary(["eth0"], every=30, expect_from={}, addresses=addresses)
    canary.tick(1.0)
    assert (sent, canary.state().sent, canary.state().failed) == ([], 0, 1)


def _alert(name: str, address: str, last: int, rule: str = RULE) -> Alert:
    return Alert(
        id="c", rule=rule, title="", severity="info", group={"name": name, "local_address": address},
        workload=None, provider=None, began=1, last=last, ended=None, value=1, threshold=0, measure="",
        sent_bytes=1, window=300, version="", runbook=None, mitre=[],
    )  # fmt: skip


def test_only_this_runs_nonce_and_the_named_hosts_count() -> None:
    canary = _canary(expect_from={"web-1": ip_address("10.0.0.5")})
    second = 10**9
    canary.see([
        _alert(canary.name(0), "10.0.0.7", 5 * second),
        _alert(NAME, "10.0.0.5", 6 * second),
        _alert("not-a-canary.example", "10.0.0.5", 9 * second),
        _alert(NAME, "10.0.0.6", 9 * second),
        _alert(canary.name(0), "10.0.0.7", 9 * second, rule="another"),
    ])  # fmt: skip
    assert canary.state().last_seen == {"eth0": 5.0, "web-1": 6.0}
    canary.see([_alert(canary.name(0), "10.0.0.7", 4 * second)])
    assert canary.state().last_seen["eth0"] == 5.0, "it never goes back"


def test_a_filter_lets_canaries_pass() -> None:
    assert let_pass("") == ""
    assert let_pass("tcp port 80").startswith("(tcp port 80) or ")
