"""A capsule of a rule that names a list holds the flows with what stands in the list, and no others."""

import json
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from monitor.config import EvidenceConfig
from monitor.evidence.keeper import Keeper
from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA
from monitor.judge import Judge
from monitor.judge.lists import AddressLists
from tests.evidence import demo
from tests.judge.frames import NO_DNS, at, batch, flow, rule

RULE = """
id: listed
title: A workload sends to an address of a list
severity: warning
match: {remote_address: {list: bad}}
measure: {sum: payload_out, per: [workload], window: 10m}
fire: {above: 0}
tests:
  - name: a listed one
    lists: {bad: [203.0.113.7]}
    flows: [{remote_address: 203.0.113.7, payload_out: 1}]
    expect: fires
  - name: another
    flows: [{remote_address: 203.0.113.7, payload_out: 1}]
    expect: quiet
"""
BAD, FINE = "203.0.113.7", "198.51.100.9"


def frame(number: int, remote: str, size: int) -> Packet:
    made = Ether() / IP(src="10.0.1.1", dst=remote)
    made /= TCP(sport=40_000 + number, dport=443, flags="PA", seq=1) / Raw(bytes(size))
    made.time = 1_767_225_600 + number / 10
    return made


def addresses(capsule: Path) -> set[str]:
    lines = (capsule / "flows.jsonl").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["remote_address"] for line in lines}


def test_the_capsule_of_a_replay(tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "a.pcap"), [frame(0, FINE, 900), frame(1, BAD, 100), frame(2, FINE, 900)])
    (tmp_path / "bad.txt").write_text(f"{BAD}\n", encoding="ascii")
    (tmp_path / "rule.yml").write_text(RULE, encoding="ascii")
    config = tmp_path / "egress.yml"
    config.write_text("rules: [rule.yml]\nlists: {bad: bad.txt}\n", encoding="ascii")
    demo.run("replay", tmp_path / "a.pcap", "--config", config, "--evidence", tmp_path / "out")
    (capsule,) = (tmp_path / "out" / "capsules").iterdir()
    assert addresses(capsule) == {BAD}


def test_the_lists_of_the_moment_count_and_not_those_of_a_later_reload(tmp_path: Path) -> None:
    one = rule(
        tmp_path,
        match={"remote_address": {"list": "bad"}},
        tests=[
            {
                "name": expect,
                "lists": {"bad": listed},
                "flows": [{"remote_address": BAD, "payload_out": "9MiB"}],
                "expect": expect,
            }
            for expect, listed in (("fires", [BAD]), ("quiet", []))
        ],
    )
    one = type(one)(**{**vars(one), "asleep": None})
    lists = AddressLists.of_words({"bad": [BAD]})
    judge = Judge([one], lists=lists)
    judge.start()
    rows = batch(
        [flow(0, 1, remote_address=BAD, payload_out=2**21), flow(0, 2, remote_address=FINE, payload_out=9)]
    )
    assert set(rows.columns) == {*FLOW_SCHEMA, *ATTRIBUTED}
    keeper = Keeper(tmp_path / "kept", EvidenceConfig(ring=0), live=False)
    keeper.start()
    keeper.at_work([one], lists, "1")
    keeper.note(rows, judge.judge(rows, NO_DNS, at(1)), judge.alerts())
    keeper.at_work([one], AddressLists.of_words({"bad": []}), "1")
    keeper.stop()
    assert keeper.trouble is None
    (capsule,) = (tmp_path / "kept" / "capsules").iterdir()
    assert addresses(capsule) == {BAD}
