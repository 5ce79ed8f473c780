from dataclasses import replace

import pytest

from monitor.flow_batch import Counters
from monitor.laws import Laws

# 10 frames of 100 bytes and 4 that claimed 6 bytes more than they had: 1 undecoded, 9 in flows
SOUND = Counters(
    frames={"eth0": 7, "eth1": 3},
    wire_bytes={"eth0": 700, "eth1": 300},
    dropped_frames={("eth0", "ring"): 5, ("eth0", "interface"): 1000},
    kernel_packets={"eth0": 12, "eth1": 3},
    undecoded_frames={"not_ip": 1},
    undecoded_bytes={"not_ip": 100},
    overhead_bytes=126,
    overclaimed_bytes=6,
    scope_frames={"egress": 8, "transit": 1},
    scope_sent_bytes={"egress": 700},
    scope_received_bytes={"egress": 50, "transit": 30},
)


def _copy(**changed: object) -> Counters:
    return replace(SOUND, warnings=[], **changed)  # type: ignore[arg-type]


def test_sound_counters_break_no_law() -> None:
    counters = _copy()
    Laws().check(counters, done=True)
    assert counters.laws_broken == {"frames": 0, "bytes": 0, "kernel": 0}
    assert counters.warnings == []


@pytest.mark.parametrize(
    ("law", "changed"),
    [
        ("frames", {"scope_frames": {"egress": 8}}),
        ("bytes", {"overclaimed_bytes": 5}),
        ("kernel", {"kernel_packets": {"eth0": 13, "eth1": 3}}),
    ],
)
def test_a_broken_law_is_told_once_and_counted_while_it_grows(law: str, changed: dict[str, object]) -> None:
    laws = Laws()
    first, second = _copy(**changed), _copy(**changed)
    laws.check(first, done=True)
    assert first.laws_broken == {"frames": 0, "bytes": 0, "kernel": 0, law: 1}
    assert [f"law of {law}" in line for line in first.warnings] == [True]
    laws.check(second, done=True)
    assert second.laws_broken[law] == 1, "nothing more went missing"
    more = _copy(frames={"eth0": 9, "eth1": 3}, wire_bytes={"eth0": 950, "eth1": 300})
    laws.check(more, done=True)
    assert more.laws_broken[law] == 2
    assert [line for line in more.warnings if f"law of {law}" in line] == []


def test_the_kernel_is_held_to_its_law_only_at_the_end() -> None:
    """Before, its counters are read a moment after ours."""
    counters = _copy(kernel_packets={"eth0": 99, "eth1": 3})
    Laws().check(counters, done=False)
    assert counters.laws_broken["kernel"] == 0


def test_files_have_no_kernel() -> None:
    counters = _copy(kernel_packets={}, dropped_frames={})
    Laws().check(counters, done=True)
    assert counters.laws_broken["kernel"] == 0
