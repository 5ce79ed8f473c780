from pathlib import Path

import pytest

from monitor import kernel_counters

# two lines of a 6.x kernel and the columns of an older one (net/core/net-procfs.c)
NEW = (
    "0000f3a1 0000000c 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
    "00000000 00000000 00000000 00000000\n"
    "00001000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
    "00000000 00000003 00000000 00000000\n"
)
OLD = "0000f3a1 0000000a 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n"


@pytest.mark.parametrize(("text", "expected"), [(NEW, {"0": 12, "3": 1}), (OLD, {"0": 10}), ("", {})])
def test_backlog_drops_by_cpu(
    text: str, expected: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "softnet_stat"
    path.write_text(text)
    monkeypatch.setattr(kernel_counters, "SOFTNET", path)
    assert kernel_counters.backlog_drops() == expected


def test_what_is_not_there_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_counters, "SOFTNET", tmp_path / "none")
    monkeypatch.setattr(kernel_counters, "SYSFS", tmp_path)
    assert kernel_counters.backlog_drops() == {}
    assert kernel_counters.interface_bytes("eth0") is None
    assert kernel_counters.interface_drops("eth0") is None


def test_an_interface_sums_both_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "eth0" / "statistics"
    folder.mkdir(parents=True)
    for name, value in (("rx_bytes", 100), ("tx_bytes", 11), ("rx_dropped", 3), ("rx_missed_errors", 4)):
        (folder / name).write_text(f"{value}\n")
    monkeypatch.setattr(kernel_counters, "SYSFS", tmp_path)
    assert kernel_counters.interface_bytes("eth0") == 111
    assert kernel_counters.interface_drops("eth0") == 7


def test_this_kernel_tells() -> None:
    assert kernel_counters.backlog_drops()
    assert kernel_counters.interface_bytes("lo") is not None
