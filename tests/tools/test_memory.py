"""The memory of the whole process stays under the bound that docs/limits.md gives, whatever comes.

A process of its own replays what an attacker would send to fill each table, one flood after the other,
and the kernel says how much it took at most (getrusage(2), `ru_maxrss`).
"""

import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from monitor import capture, memory_bound
from monitor.attribute.catalogue import Catalogue
from monitor.config import CaptureConfig, EvidenceConfig, load_config
from monitor.evidence import keeper
from monitor.judge.rule_set import load_configured
from tools.bench import captures, hostile

MIB = 2**20
SMALL = "{flows: 4MiB, fragments: 1MiB, streams: 1MiB, dns: 4MiB}"
PACKETS = 200_000  # of each kind: many times what the tables do
# what must be full or overflowing, or the floods were too small to show anything
WAS_FULL = (
    'egress_flow_evicted_total{reason="table_full"}',
    'egress_given_up_total{what="client_hello"}',
    'egress_given_up_total{what="dns_question"}',
    'egress_given_up_total{what="fragmented_packet"}',
    'egress_given_up_total{what="fragment"}',
)


def peak(*arguments: str) -> int:
    """Bytes of memory that `egress-monitor replay` takes at most."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("egress-monitor"), "replay", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


# with two workers all of it in one tick, which then goes in parts
@pytest.mark.parametrize(("workers", "rate"), [(1, 100_000), (2, 10_000_000)])
def test_floods_do_not_take_more_than_the_bound(tmp_path: Path, workers: int, rate: int) -> None:
    floods_file, metrics, settings = (tmp_path / name for name in ("floods.pcap", "m.prom", "egress.yml"))
    settings.write_text(f"capture: {{workers: {workers}, memory: {SMALL}}}\n")
    count = PACKETS if workers == 1 else PACKETS // 2
    floods = (make(count) for make in hostile.KINDS.values())
    captures.write_frames(floods_file, chain.from_iterable(floods), rate)
    config = load_config(settings)
    rules = load_configured(config, config.rules, Catalogue.load().provider_ids()).rules
    bound = memory_bound.memory_bound(config.capture, [rule.ways for rule in rules])
    taken = peak(str(floods_file), "--config", str(settings), "--metrics", str(metrics))
    print(f"{taken / MIB:.0f} MiB of at most {bound / MIB:.0f}")
    assert taken <= bound
    found = dict(line.rsplit(" ", 1) for line in metrics.read_text().splitlines() if line[0] != "#")
    if workers == 1:
        assert [row for row in WAS_FULL if float(found[row]) == 0] == []
    assert not any(float(value) for row, value in found.items() if row.startswith("egress_law_broken_total"))


def test_the_bound_is_the_one_that_the_documentation_gives() -> None:
    text = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    table = dict(re.findall(r"^\| ([^|]+?) \| (\d+) MiB[^|]*\|$", text, re.MULTILINE))
    assert {what: int(size) * MIB for what, size in table.items()} == {
        "the process itself": memory_bound.PROCESS,
        "each worker, besides": memory_bound.WORKER,
        "rows on their way": memory_bound.BATCHES * memory_bound.REPLAY_ROWS * memory_bound.ROW,
        "the stages behind": memory_bound.STAGES,
        "groups that are new in a batch": memory_bound.REPLAY_ROWS * memory_bound.NEW_GROUP,
        "evidence, where it is kept": memory_bound.EVIDENCE,
        "packets of these capsules": memory_bound.PACKETS,
        "each rule": memory_bound.RULE,
        "each rule with `baseline`, besides": memory_bound.BASELINE,
        "each rule with `novel`, besides": memory_bound.NOVEL,
        "each rule with `distinct`, besides": memory_bound.DISTINCT,
    }
    assert memory_bound.REPLAY_ROWS == capture.REPLAY_ROWS // 3 * 4
    # a row on its way to the evidence is as large as one on its way to the judge
    assert keeper.MAX_WAITING_ROWS * memory_bound.ROW + 20 * MIB < memory_bound.EVIDENCE
    assert keeper.ROOM == memory_bound.PACKETS
    said = re.findall(r"with the default settings, its rules not\nreckoned: (\d+) MiB", text)
    assert said == [str(memory_bound.memory_bound(CaptureConfig(), []) // MIB)]


def test_what_keeps_evidence_is_in_the_bound() -> None:
    without = memory_bound.memory_bound(CaptureConfig(), [], 1)
    usual = EvidenceConfig()
    assert memory_bound.memory_bound(CaptureConfig(), [], 1, usual) - without == 680 * MIB
    large = usual.model_copy(update={"capsules": usual.capsules.model_copy(update={"packets": 1024 * MIB})})
    assert memory_bound.memory_bound(CaptureConfig(), [], 1, large) - without == 1640 * MIB
