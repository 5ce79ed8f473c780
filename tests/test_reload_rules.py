"""Ten broken rule files: each is refused with its line and the nearest right word, and the old set stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from monitor.config import Config, load_config
from monitor.errors import InputError
from monitor.pipeline import Stages, build

RULE = """\
id: upload
title: A workload sends a lot
severity: warning
runbook: https://runbooks.example/upload
match:
  provider: {not: aws}
  remote_port: 443
measure: {sum: payload_out, per: [workload], window: 10m}
fire: {above: 1MiB}
exceptions:
  - match: {workload: backup}
    reason: it does that each night
    owner: team-store
    expires: 2027-03-31
tests:
  - name: an upload fires
    flows: [{workload: api, provider: alibaba, payload_out: 2MiB}]
    expect: fires
  - name: a capture of little
    capture: little.pcap
    expect: quiet
"""
# what is written in place of what, the line it stands on, and what is told
BROKEN = [
    ("severity: warning", "severty: warning", 3, "unknown key 'severty'; did you mean 'severity'?"),
    ("provider: {not: aws}", "provider: {not: asw}", 6, "no provider 'asw'; did you mean 'aws'?"),
    ("remote_port: 443", "remote_prot: 443", 7, "unknown field 'remote_prot'; did you mean 'remote_port'?"),
    ("sum: payload_out", "sum: payload_ot", 8, "'payload_ot' to sum; did you mean 'payload_out'?"),
    ("per: [workload]", "per: [worklaod]", 8, "no record carries 'worklaod'; did you mean 'workload'?"),
    ("{above: 1MiB}", "{abvoe: 1MiB}", 9, "unknown key 'abvoe'; did you mean 'above'?"),
    ("owner: team-store", "onwer: team-store", 13, "unknown key 'onwer'; did you mean 'owner'?"),
    ("{workload: api,", "{workloda: api,", 17, "no row carries 'workloda'; did you mean 'workload'?"),
    ("capture: little.pcap", "capture: litle.pcap", 20, "did you mean 'little.pcap'?"),
    ("capture: little.pcap", "captrue: little.pcap", 20, "unknown key 'captrue'; did you mean 'capture'?"),
    ("capture: little.pcap", "capture: cut.pcap", 20, "cut.pcap: is cut off in the middle of a record"),
    ("payload_out: 2MiB", "payload_out: 2KiB", 16, "test 'an upload fires' expects 'fires' and got 'quiet'"),
]  # fmt: skip


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    packet = Ether() / IP(src="10.0.0.1", dst="203.0.113.1") / TCP(dport=443, flags="PA") / Raw(bytes(9))
    wrpcap(str(folder / "little.pcap"), [packet])
    (folder / "cut.pcap").write_bytes((folder / "little.pcap").read_bytes()[:-1])
    (folder / "upload.yml").write_text(RULE)
    (tmp_path / "egress.yml").write_text("rules: [rules]\nworkloads: {api: [10.0.0.1]}\n")
    return folder


@pytest.fixture
def config(rules: Path) -> Config:
    return load_config(rules.parent / "egress.yml")


@pytest.fixture
def stages(config: Config, tmp_path: Path) -> Iterator[Stages]:
    made = build(config, live=True, learn=False, state=tmp_path / "state")
    assert made.start() == []
    yield made
    made.stop()


@pytest.mark.parametrize(("written", "instead", "line", "told"), BROKEN)
def test_a_broken_file_is_refused_and_the_old_set_stays(
    stages: Stages, config: Config, rules: Path, written: str, instead: str, line: int, told: str
) -> None:
    before = list(stages.pipeline.judge.rules)
    assert "upload" in {rule.id for rule in before}
    assert RULE.count(written) == 1
    (rules / "upload.yml").write_text(RULE.replace(written, instead))
    with pytest.raises(InputError) as error:
        stages.reload(config)
    assert str(error.value).startswith(f"{rules}/upload.yml:{line}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert stages.pipeline.judge.rules == before
    assert 'egress_reload_successful{what="rules"} 0.0' in stages.pipeline.publisher.exposition().decode()
    (rules / "upload.yml").write_text(RULE.replace("1MiB}", "3MiB}").replace("2MiB}", "4MiB}"))
    stages.reload(config)
    assert stages.pipeline.judge.rules != before


def test_what_was_wrong_and_is_configured_no_more_is_no_trouble(stages: Stages, config: Config) -> None:
    """Else the alert about it would stay until the daemon is started anew."""
    publisher = stages.pipeline.publisher
    for what in ("lists", "workloads"):
        publisher.reloaded(what, False, 0.0, "bad.txt: No such file or directory")
    stages.reload(config)
    assert dict(publisher.snapshot.load_errors) == {}
    assert all(ok for ok, _ in publisher.snapshot.reloads.values())


def test_a_capture_that_others_can_write_is_refused(stages: Stages, config: Config, rules: Path) -> None:
    (rules / "little.pcap").chmod(0o666)
    with pytest.raises(InputError, match="upload.yml:20: .*little.pcap: other users can write it"):
        stages.reload(config)
