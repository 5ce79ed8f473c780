"""Tests of rules that have a capture: what they give, and what is told of a capture that cannot be used."""

import gzip
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from monitor.attribute.catalogue import Catalogue
from monitor.captured_rows import MAX_BYTES, MAX_ROWS, CapturedRows
from monitor.errors import InputError
from monitor.judge import RuleSet, load_rules
from monitor.judge.rule_file import CaseConfig
from monitor.judge.selftest import MAX_CAPTURES, generated, untested

from .frames import load
from .make_captures import OUTSIDE, START, Conversation, captures, ftp_login

CATALOGUE = Catalogue.load()
QUIET = {"name": "q", "flows": [{"application": "tls", "payload_out": "9MiB"}], "expect": "quiet"}
SAID = [packet for packet in ftp_login().packets if "Raw" in packet and packet["TCP"].dport == 21]
SENT = sum(len(packet.load) for packet in SAID)
# magic, version 2.4, snap length 65535, Ethernet (draft-ietf-opsawg-pcap section 4)
HEAD = bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000")


@pytest.fixture
def reader() -> Iterator[CapturedRows]:
    made = CapturedRows(CATALOGUE, trusted=False)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name, packets in captures():
        wrpcap(str(tmp_path / name), list(packets))


def of_capture(folder: Path, reader: CapturedRows, *tests: dict[str, Any], **differs: Any) -> RuleSet:
    """Load a rule that has these tests; what they do not say is a login over FTP that fires."""
    usual = {"name": "c", "capture": "ftp-login.pcap", "expect": "fires"}
    rule = {"match": {"application": "ftp"}, "fire": {"above": SENT - 1}, **differs}
    quiet = rule.pop("quiet", QUIET)
    rule["tests"] = [*({**usual, **one} for one in tests), quiet]
    return load(folder, rule, captures=reader.read)


def message(found: RuleSet) -> str:
    (error,) = found.broken
    assert found.rules == []
    return str(error)


def test_a_capture_gives_the_bytes_that_are_in_it(tmp_path: Path, reader: CapturedRows) -> None:
    found = of_capture(tmp_path, reader, {})
    assert found.broken == []
    results = found.results["a-rule"]
    assert [(one.name, one.got, one.most) for one in results] == [("c", "fires", SENT), ("q", "quiet", 0)]
    told = message(of_capture(tmp_path, reader, {}, fire={"above": SENT}))
    assert "test 'c' expects 'fires' and got 'quiet'" in told
    assert f"the largest sum of payload_out over 10m per workload was {SENT} B" in told
    assert "ftp-login.pcap gives 1 row: 1 of scope egress" in told


def test_a_capture_is_read_as_its_test_says(tmp_path: Path, reader: CapturedRows) -> None:
    named = {"config": {"workloads": {"backup": ["10.0.1.5"]}}, "group": {"workload": "backup"}}
    plain = {"group": {"workload": "10.0.1.5"}}
    assert of_capture(tmp_path, reader, named, plain).broken == []
    wrong = message(of_capture(tmp_path, reader, {**named, "group": {"workload": "api"}}))
    assert "'fires for workload api' and got 'fires for workload backup'" in wrong
    # with both ends local nothing leaves
    inside = message(of_capture(tmp_path, reader, {"config": {"networks": {"local": ["0.0.0.0/0"]}}}))
    assert "got 'quiet'" in inside
    assert "1 of scope internal" in inside


def test_each_clause_must_be_needed_by_a_capture_too(tmp_path: Path, reader: CapturedRows) -> None:
    match = {"application": "ftp", "initiator": "local"}
    (one,) = (found := of_capture(tmp_path, reader, {}, match=match)).rules
    assert untested(one, found.cases[one.id]) == ["initiator: local"]
    stranger = Conversation((OUTSIDE, 40_009), ("10.0.1.5", 21)).open()
    stranger.server("220 files.example ready\r\n").client("USER x\r\n").server("331 go on\r\n" * 99)
    wrpcap(str(tmp_path / "stranger.pcap"), stranger.packets)
    asked = {"capture": "stranger.pcap", "expect": "quiet"}
    (one,) = (found := of_capture(tmp_path, reader, {}, asked, match=match)).rules
    assert untested(one, found.cases[one.id]) == []
    assert [made.passed for made in generated(one, found.cases[one.id])] == [True, True]


def test_a_capture_takes_place_when_the_test_does(tmp_path: Path, reader: CapturedRows) -> None:
    excepted = {
        "match": {"workload": "10.0.1.5"}, "reason": "r", "owner": "o", "expires": "2001-01-01",
    }  # fmt: skip
    found = of_capture(
        tmp_path,
        reader,
        {"expect": "quiet"},
        {"expect": "quiet", "at": "2001-01-01T23:59:00Z"},
        {"expect": "fires", "at": "2001-01-02"},
        exceptions=[excepted],
    )
    assert found.broken == []
    # the capture's own time is another
    rows = reader.read(tmp_path / "ftp-login.pcap", CaseConfig())["flows"]
    assert rows[0]["tick"] == START
    assert rows[0]["first_seen"] == START * 10**9


def test_what_was_learnt_before_a_capture_is_no_news_in_it(tmp_path: Path, reader: CapturedRows) -> None:
    novel = {"novel": {"of": "remote_address", "floor": 1}}
    known = {"workload": "10.0.1.5", "application": "ftp", "payload_out": 9}
    found = of_capture(
        tmp_path,
        reader,
        {"learnt": [{**known, "remote_address": OUTSIDE}], "expect": "quiet"},
        {"learnt": [{**known, "remote_address": "203.0.113.99"}], "group": {"remote_address": OUTSIDE}},
        fire=novel,
    )
    assert found.broken == []


def test_dns_in_a_capture_is_judged_by_rules_over_dns(tmp_path: Path, reader: CapturedRows) -> None:
    labels = ["a" * 60, "b" * 60]
    questions = []
    for number in range(5):
        name = ".".join([*labels, f"{number:04}", "tunnel.example"])
        packet = Ether() / IP(src="10.0.1.9", dst="10.0.0.2") / UDP(sport=50_000, dport=53)
        packet /= DNS(id=number + 1, rd=1, qd=DNSQR(qname=name))
        packet.time = START + number
        questions.append(packet)
    wrpcap(str(tmp_path / "tunnel.pcap"), questions)
    # each name brings labels of 60, 60 and 4 bytes in front of the domain
    rule = {
        "record": "dns",
        "match": {"scope": "any", "kind": "question"},
        "measure": {"sum": "fresh_question_bytes", "per": ["workload", "domain"], "window": "10m"},
        "quiet": {"name": "q", "dns": [{"kind": "answer", "fresh_question_bytes": 9999}], "expect": "quiet"},
    }
    case = {"capture": "tunnel.pcap", "group": {"domain": "tunnel.example"}}
    found = of_capture(tmp_path, reader, case, **rule, fire={"above": 5 * 124 - 1})
    assert found.broken == []
    assert found.results["a-rule"][0].most == 5 * 124


def test_without_a_reader_captures_are_left_out(tmp_path: Path) -> None:
    tests = [{"name": "c", "capture": "nowhere.pcap", "expect": "fires"}, QUIET]
    found = load(tmp_path, {"tests": tests, "match": {"application": "ftp"}})
    assert [result.name for result in found.results["a-rule"]] == ["q"]


def _bomb(path: Path) -> None:
    """Three times what is allowed, in a few kilobytes."""
    packet = struct.pack("<IIII", START, 0, 60, 60) + bytes(60)
    path.write_bytes(gzip.compress(HEAD + packet * (3 * MAX_BYTES // len(packet))))


def _many(path: Path) -> None:
    """More flows than a test may have: a packet each, none of them large."""
    frames = []
    for number in range(MAX_ROWS + 1):
        frame = bytes(Ether() / IP(src="10.0.0.1", dst=OUTSIDE) / UDP(sport=1024 + number, dport=9))
        frames.append(struct.pack("<IIII", START, 0, len(frame), len(frame)) + frame)
    path.write_bytes(HEAD + b"".join(frames))


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({"capture": "ftp-logn.pcap"}, "No such file or directory; did you mean 'ftp-login.pcap'?"),
        ({"capture": "no/such.pcap"}, "no/such.pcap: No such file or directory"),
        ({"capture": "empty.pcap"}, "empty.pcap: is empty"),
        ({"capture": "head.pcap"}, "head.pcap: gives no flows, so there is nothing to judge"),
        ({"capture": "cut.pcap"}, "cut.pcap: is cut off in the middle of a record"),
        ({"capture": "huge.pcap"}, "huge.pcap: larger than 1024 KiB; a test needs few packets"),
        ({"capture": "bomb.pcap.gz"}, "bomb.pcap.gz: cannot be read further: larger than 1024 KiB unpacked"),
        ({"capture": "many.pcap"}, "many.pcap: gives 2,001 rows of flows; a test has at most 2,000"),
        ({"capture": "notes.txt"}, "notes.txt: is not a pcap or pcapng capture (it starts with 6e 6f 74 65)"),
        ({"capture": "folder"}, "folder: is a folder, not a capture"),
        ({"capture": "fifo"}, "fifo: is no file"),
        ({"capture": "zero"}, "zero: is no file"),
        ({"capture": "loop"}, "loop: Too many levels of symbolic links"),
        ({"capture": 7}, "tests.0.capture: Input should be a valid string"),
        ({"capture": ""}, "tests.0.capture: String should have at least 1 character"),
        ({"captur": "ftp-login.pcap"}, "unknown key 'captur'; did you mean 'capture'?"),
        ({"flows": [{"payload_out": 1}]}, "a test has flows or a capture that gives them, not both"),
        ({"dns": [{"question_bytes": 1}]}, "this rule judges flows, not dns"),
        ({"capture": None, "config": {}, "flows": [{}]}, "only a capture is read with it"),
        ({"config": {"worklods": {}}}, "unknown key 'worklods'; did you mean 'workloads'?"),
        ({"config": {"workloads": {"a": ["10.0.0.1/8"]}}}, "did you mean 10.0.0.0/8?"),
        (
            {"config": {"workloads": {"web": ["10.0.1.5"]}, "published": {"wbe": [21]}}},
            "'wbe' is not one of the test's workloads; did you mean 'web'?",
        ),
        ({"group": {"worklod": "a"}}, "the rule makes no groups by 'worklod'; did you mean 'workload'?"),
        ({"group": {"workload": "a"}, "expect": "quiet"}, "a test that stays quiet has no alert"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line_and_the_other_rules_stay(
    tmp_path: Path, reader: CapturedRows, says: dict[str, Any], told: str
) -> None:
    good = (tmp_path / "ftp-login.pcap").read_bytes()
    (tmp_path / "empty.pcap").touch()
    (tmp_path / "head.pcap").write_bytes(HEAD)
    (tmp_path / "cut.pcap").write_bytes(good[:-1])
    (tmp_path / "huge.pcap").write_bytes(HEAD + bytes(MAX_BYTES))
    _bomb(tmp_path / "bomb.pcap.gz")
    _many(tmp_path / "many.pcap")
    (tmp_path / "notes.txt").write_text("notes of mine")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    case = {"name": "c", "capture": "ftp-login.pcap", "expect": "fires", **says}
    fires = {"name": "f", "flows": [{"application": "ftp", "payload_out": "9MiB"}], "expect": "fires"}
    wrong = {"id": "wrong", "match": {"application": "ftp"}, "tests": [case, fires, QUIET]}
    found = load(tmp_path, wrong, {"id": "good"}, captures=reader.read)
    assert [rule.id for rule in found.rules] == ["good"]
    (error,) = found.broken
    text = str(error)
    assert told in text
    assert "\n" not in text
    name, _, rest = text.partition(".yml:")
    line = int(rest.split(":")[0])
    lines = (tmp_path / "00.yml").read_text().splitlines()
    assert name == f"{tmp_path}/00"
    # the line of a key that is in the test, not of the rule's beginning
    begins, ends = lines.index('   "name": "c",') + 1, lines.index('   "name": "f",')
    assert begins - 1 <= line <= ends, (line, lines[line - 1])


def test_a_rule_has_few_captures(tmp_path: Path, reader: CapturedRows) -> None:
    told = message(of_capture(tmp_path, reader, *[{}] * (MAX_CAPTURES + 1)))
    assert "tests: at most 20 of a rule have a capture" in told


def test_the_daemon_refuses_a_capture_that_others_can_write(tmp_path: Path) -> None:
    strict = CapturedRows(CATALOGUE, trusted=True)
    path = tmp_path / "ftp-login.pcap"
    assert strict.read(path, CaseConfig())["flows"]
    path.chmod(0o666)
    with pytest.raises(InputError, match="other users can write it"):
        strict.read(path, CaseConfig())
    strict.stop()


def test_the_shipped_rules_run_their_captures(reader: CapturedRows) -> None:
    folder = Path(__file__).parents[2] / "rules"
    found = load_rules(
        [folder], sanctioned=[], providers=set(CATALOGUE.provider_ids()), workloads=None, captures=reader.read
    )
    assert found.broken == []
    with_capture = {rule: [case for case in cases if case.source] for rule, cases in found.cases.items()}
    assert {rule for rule, cases in with_capture.items() if cases} == {
        "credentials-in-clear", "exposed-data-store-port", "personal-data-in-clear",
    }  # fmt: skip
    for cases in filter(None, with_capture.values()):
        assert {case.expected for case in cases} == {"fires", "quiet"}


def test_the_shipped_captures_are_what_the_script_makes(tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "rules" / "captures"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert kept == {name: (tmp_path / name).read_bytes() for name, _ in captures()}
