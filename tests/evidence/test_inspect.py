"""`egress-monitor inspect`: what it shows of capsules and captures, and what hostile ones do to it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from monitor.config import Config
from monitor.evidence import chart, conversations, report, tshark_fields
from monitor.evidence.dissection import Dissection
from monitor.scenario.incident import BATCH, OSS_ADDRESS, OSS_NAME, SCANNER, SEARCH_COPY, TAKER
from tests.evidence import demo

CAPTURES = os.environ.get("EGRESS_CAPTURES")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("inspect")
    capture = demo.build(place)
    demo.run("replay", capture, "--config", place / "incident.yml", "--evidence", place / "out")
    return place


def capsule(folder: Path, rule: str) -> Path:
    for path in sorted((folder / "out" / "capsules").iterdir()):
        if json.loads((path / "manifest.json").read_text(encoding="ascii"))["rule"] == rule:
            return path
    raise AssertionError(rule)


def told(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(demo.run("inspect", *arguments, "--json"))
    return found


def test_the_upload_as_the_scenario_made_it(folder: Path) -> None:
    found = told(capsule(folder, "unsanctioned-cloud-alibaba").name[:8], "--evidence", folder / "out")
    (flow,) = found["conversations"]
    assert (flow["local_address"], flow["remote_address"]) == (BATCH, OSS_ADDRESS)
    assert found["totals"]["bulk"] == "out"
    (hello,) = found["handshakes"]
    # what scenario/messages.py writes into the hellos
    assert (hello["client"], hello["server"], hello["name"]) == (BATCH, OSS_ADDRESS, OSS_NAME)
    assert (hello["version"], hello["cipher"]) == ("TLS 1.3", "TLS_AES_128_GCM_SHA256")
    assert hello["ja4"].startswith("t13d03")  # TLS over TCP, version 1.3, a name, three ciphers
    packets = demo.tshark(folder / "incident.pcap", "-Y", f"ip.src == {BATCH} && ip.dst == {OSS_ADDRESS}")
    series = found["over_time"]
    assert sum(series["packets_out"]) == len(packets)
    assert found["capsule"]["faults"] == []


def test_requests_are_told_by_method_and_status_and_nothing_else(folder: Path) -> None:
    found = told(capsule(folder, "exposed-data-store"), "--evidence", folder / "out")
    assert found["http"], "the scenario asks over HTTP"
    for request in found["http"]:
        assert (request["method"], request["status"]) == ("POST", "200")
        assert request["client"] in (TAKER, SCANNER)
        assert (request["target"], request["host"]) == (None, None)


def test_a_capture_is_shown_with_what_it_holds(folder: Path) -> None:
    found = told(folder / "incident.pcap", "--config", folder / "incident.yml")
    asked = {(one["method"], one["target"], one["status"]) for one in found["http"]}
    assert ("GET", "/_cat/indices?format=json", "200") in asked
    assert all(one["status"] == "200" for one in found["http"])
    (answer,) = [one for one in found["dns"] if one["name"] == OSS_NAME]
    assert answer["answers"] == [OSS_ADDRESS]
    resets = {
        (flow["remote_address"], flow["local_port"]): flow["resets"]
        for flow in found["conversations"]
        if flow["resets"]
    }
    # the three ports that refused the scanner
    assert resets == {(SCANNER, port): 1 for port in (27017, 6379, 5432)}


def test_people_get_a_page_that_says_who_what_and_when(folder: Path) -> None:
    shown = demo.run("inspect", capsule(folder, "exposed-data-store"), "--evidence", folder / "out")
    for words in (TAKER, SEARCH_COPY, "→ out", "POST", "Over time", "All files are as they were written"):
        assert words in shown


def test_a_changed_capsule_is_shown_as_one(folder: Path, tmp_path: Path) -> None:
    source = capsule(folder, "dns-tunnel")
    changed = tmp_path / "changed"
    subprocess.run(["cp", "-r", source, changed], check=True)
    with (changed / "explanation.json").open("ab") as file:
        file.write(b" ")
    assert "CHANGED: explanation.json" in demo.run("inspect", changed)


def test_retransmissions_are_counted(tmp_path: Path) -> None:
    ours, theirs = ("10.0.0.1", 40000), ("192.0.2.9", 443)

    def frame(out: bool, flags: str, seq: int, ack: int, load: bytes = b"") -> Packet:
        source, target = (ours, theirs) if out else (theirs, ours)
        header = TCP(sport=source[1], dport=target[1], flags=flags, seq=seq, ack=ack)
        return Ether() / IP(src=source[0], dst=target[0]) / header / Raw(load)

    data = frame(True, "PA", 101, 501, b"x" * 100)
    frames = [
        frame(True, "S", 100, 0), frame(False, "SA", 500, 101), frame(True, "A", 101, 501),
        data, data, data, frame(False, "A", 501, 201), frame(False, "R", 501, 0),
    ]  # fmt: skip
    for place, one in enumerate(frames):
        one.time = 1_700_000_000 + place
    wrpcap(str(tmp_path / "again.pcap"), frames)
    (flow,) = told(tmp_path / "again.pcap")["conversations"]
    assert (flow["retransmissions"], flow["resets"]) == (2, 1)


def test_in_a_tunnel_of_the_other_version_the_inner_packet_counts(tmp_path: Path) -> None:
    ours, theirs = ("fd00::1", 40000), ("2001:db8::9", 443)

    def frame(out: bool, flags: str) -> Packet:
        outer = ("192.0.2.1", "192.0.2.2") if out else ("192.0.2.2", "192.0.2.1")
        source, target = (ours, theirs) if out else (theirs, ours)
        inner = IPv6(src=source[0], dst=target[0]) / TCP(sport=source[1], dport=target[1], flags=flags, seq=1)
        return Ether() / IP(src=outer[0], dst=outer[1]) / inner

    asked = Ether() / IP(src="192.0.2.1", dst="192.0.2.2") / IPv6(src=ours[0], dst=theirs[0])
    asked /= UDP(sport=5000, dport=53) / DNS(id=1, qd=DNSQR(qname="a.example"))
    frames = [frame(True, "S"), frame(False, "RA"), asked]
    for place, one in enumerate(frames):
        one.time = 1_700_000_000 + place
    wrpcap(str(tmp_path / "6in4.pcap"), frames)
    found = told(tmp_path / "6in4.pcap")
    assert {(flow["local_address"], flow["protocol"], flow["resets"]) for flow in found["conversations"]} == {
        (ours[0], 6, 1), (ours[0], 17, 0),
    }  # fmt: skip
    assert (sum(found["over_time"]["packets_out"]), sum(found["over_time"]["packets_in"])) == (2, 1)
    assert [(one["client"], one["server"]) for one in found["dns"]] == [(ours[0], theirs[0])]


@pytest.mark.parametrize(
    ("protocols", "v4", "v6", "source"),
    [
        ("eth:ethertype:ip:tcp", "192.0.2.1", "", "192.0.2.1"),
        ("eth:ethertype:ip:gre:ip:icmp", "192.0.2.1,10.0.0.1", "", "10.0.0.1"),
        ("eth:ethertype:ip:icmp:ip:tcp", "192.0.2.1,198.51.100.2", "", "192.0.2.1"),
        ("eth:ethertype:ipv6:ip:icmp:ip:udp", "10.0.0.1,198.51.100.2", "fd00::1", "10.0.0.1"),
        ("eth:ethertype:ip:ipv6:icmpv6:ipv6:tcp", "192.0.2.1", "fd00::1,fd00::2", "fd00::1"),
    ],
)
def test_which_header_is_meant(protocols: str, v4: str, v6: str, source: str) -> None:
    line = "\t".join(["1.5", "99", protocols, v4, v6, v4, v6, *[""] * 7])
    packet = tshark_fields.counted(line)
    assert packet is not None
    assert packet.source == source


def test_what_the_wire_says_cannot_steer_a_terminal(tmp_path: Path) -> None:
    evil = b"a\x1b[2J\x07\xe2\x80\xaeb.example"
    asked = Ether() / IP(src="10.0.0.1", dst="192.0.2.53") / UDP(sport=5000, dport=53)
    asked /= DNS(id=1, qd=DNSQR(qname=evil))
    request = Ether() / IP(src="10.0.0.1", dst="192.0.2.9") / TCP(sport=5001, dport=80, flags="PA", seq=1)
    request /= Raw(b"GET /\x1b]0;owned\x07 HTTP/1.1\r\nHost: \x1b[31mx\r\n\r\n")
    wrpcap(str(tmp_path / "evil.pcap"), [asked, request])
    for arguments in ([], ["--json"]):
        shown = demo.run("inspect", tmp_path / "evil.pcap", *arguments)
        assert not {sign for sign in shown if not (sign.isprintable() or sign == "\n")}


def test_no_tshark_is_one_line_that_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*demo.COMMAND, "inspect", folder / "incident.pcap"],
        capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "apt install tshark" in done.stderr


def test_an_old_tshark_is_named(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "tshark"
    old.write_text("#!/bin/sh\necho 'TShark (Wireshark) 2.6.20 (Git v2.6.20)'\n", encoding="ascii")
    old.chmod(0o755)
    done = subprocess.run(
        [*demo.COMMAND, "inspect", folder / "incident.pcap"],
        capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "tshark 2.6.20 is too old" in done.stderr


def test_a_tshark_that_hangs_is_ended(folder: Path, tmp_path: Path) -> None:
    hangs = tmp_path / "tshark"
    hangs.write_text(
        "#!/bin/sh\n[ \"$1\" = -v ] && echo 'TShark (Wireshark) 4.0.17 (x)' && exit\nexec sleep 1000\n",
        encoding="ascii",
    )
    hangs.chmod(0o755)
    done = subprocess.run(
        [*demo.COMMAND, "inspect", "--seconds", "3", folder / "incident.pcap"],
        capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "stopped after 3 s" in done.stdout


def test_a_tshark_that_hangs_ends_though_inspect_was_killed(folder: Path, tmp_path: Path) -> None:
    seconds = 100_000 + os.getpid()  # by which it is known
    hangs = tmp_path / "tshark"
    hangs.write_text(
        f"#!/bin/sh\n[ \"$1\" = -v ] && echo 'TShark (Wireshark) 4.0.17 (x)' && exit\nexec sleep {seconds}\n",
        encoding="ascii",
    )
    hangs.chmod(0o755)

    def is_there() -> bool:
        for told in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if told.read_bytes() == f"sleep\0{seconds}\0".encode():
                    return True
        return False

    process = subprocess.Popen(
        [*demo.COMMAND, "inspect", "--seconds", "6", folder / "incident.pcap"],
        stdout=subprocess.DEVNULL, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    while not is_there():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while is_there() and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_there()


def test_a_tshark_that_wants_much_memory_is_refused_it(folder: Path, tmp_path: Path) -> None:
    greedy = tmp_path / "tshark"
    greedy.write_text(
        "#!/bin/sh\n[ \"$1\" = -v ] && echo 'TShark (Wireshark) 4.0.17 (x)' && exit\n"
        f"exec {sys.executable} -c 'import sys, time; got = bytearray(3 << 30); time.sleep(1000)'\n",
        encoding="ascii",
    )
    greedy.chmod(0o755)
    done = subprocess.run(
        [*demo.COMMAND, "inspect", "--seconds", "50", folder / "incident.pcap"],
        capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Note: " in done.stdout
    assert "stopped after" not in done.stdout, "it ended by itself, at its bound"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0123456789abcdef"], "no capsule of that id"),
        (["../../no-such-folder"], "no capsule of that id"),
        ([""], "'': no capsule of that id"),
        (["/dev"], "/dev: is no capsule"),
        (["/dev/null"], "/dev/null: is no capsule"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    line = demo.run("inspect", *arguments, "--evidence", tmp_path, status=2)
    assert words in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("command", [["inspect"], ["impact"], ["capsule", "verify"]])
def test_a_name_that_no_file_can_have_is_one_line(command: list[str]) -> None:
    line = demo.run(*command, "x" * 300, status=2)
    assert "File name too long" in line
    assert line.count("\n") == 1


@pytest.mark.skipif(not CAPTURES, reason="EGRESS_CAPTURES names no captures to inspect")
def test_malformed_captures_give_no_traceback() -> None:
    folder = Path(CAPTURES or "") / "core" / "pcaps"
    found = sorted(path for suffix in ("pcap", "pcapng", "cap") for path in folder.rglob(f"*.{suffix}"))
    # in the order of names this takes some of each project
    for path in found[::40]:
        demo.run("inspect", path, "--seconds", "30")


def test_a_bar_is_seen_however_small() -> None:
    assert chart.bars([0, 1, 500, 1000], 1000) == " ▁▄█"
    assert chart.bars([0, 0], 0) == "  "


@pytest.mark.parametrize(
    ("out", "come", "way"), [(0, 0, "none"), (4, 1, "out"), (3, 1, "both"), (1, 4, "in"), (1, 0, "out")]
)
def test_the_bulk_is_four_times_the_other_way(out: int, come: int, way: str) -> None:
    assert report.bulk(out, come) == way


def test_answers_of_one_question_are_not_held_against_each_other() -> None:
    compared = 0

    class Answer(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    def response(number: int) -> dict[str, Any]:
        # each with an address of its own, and one that all have
        answers = [Answer(f"192.0.2.{number}"), Answer("198.51.100.1")]
        return {
            "time": "0.0", "source": "s", "target": "c", "response": True, "name": "n", "type": "A",
            "rcode": "No error", "answers": answers,
        }  # fmt: skip

    (told,) = report.build(Path("x"), [], Dissection(dns=[response(n) for n in range(200)]), [], None)["dns"]
    assert told["answers"] == ["192.0.2.0", "198.51.100.1", *[f"192.0.2.{n}" for n in range(1, 200)]]
    assert told["answered"] == 200
    assert compared < 1000, "each with some, not with all that were there before"


def test_what_has_no_room_is_told_with_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = []
    for number in range(5):
        header = TCP(sport=40_000 + number, dport=443, flags="PA", seq=1)
        frames.append(Ether() / IP(src="10.0.0.1", dst="192.0.2.9") / header / Raw(bytes(100 * (number + 1))))
        frames[-1].time = 1_700_000_000 + number
    wrpcap(str(tmp_path / "five.pcap"), frames)
    monkeypatch.setattr(conversations, "KEPT", 2)
    flows, notes = conversations.of_capture(tmp_path / "five.pcap", Config(), [])
    assert [flow["payload_out"] for flow in flows] == [500, 400]
    assert [note for note in notes if "600 B of payload out and 0 B in" in note], "100, 200 and 300"
