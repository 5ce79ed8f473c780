import shutil
from pathlib import Path

import pytest

from monitor import kernel_counters
from monitor.flow_batch import Counters

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


def _interface(folder: Path, *, received: int, sent: int, dropped: int, up: bool = True) -> None:
    (folder / "eth0" / "statistics").mkdir(parents=True, exist_ok=True)
    for name, value in (
        ("statistics/rx_bytes", received), ("statistics/tx_bytes", sent), ("statistics/rx_dropped", dropped),
        ("statistics/rx_missed_errors", 0), ("flags", "0x1003" if up else "0x1002"), ("carrier", 1),
    ):  # fmt: skip
        (folder / "eth0" / name).write_text(f"{value}\n")


def test_a_reset_is_noticed_and_nothing_is_lost_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_counters, "SYSFS", tmp_path)
    _interface(tmp_path, received=10**9, sent=10**9, dropped=7)
    watch = kernel_counters.KernelWatch(["eth0"])
    watch.start()
    counters = Counters()
    watch.ask(counters)
    assert counters.interface_bytes == {"eth0": 0}, "what was before the start does not count"
    _interface(tmp_path, received=10**9 + 100, sent=10**9 + 11, dropped=9)
    watch.ask(counters)
    assert (counters.interface_bytes, counters.interface_resets) == ({"eth0": 111}, {"eth0": 0})
    assert counters.dropped_frames == {("eth0", "interface"): 2}
    _interface(tmp_path, received=40, sent=2, dropped=1)  # it went away and came back
    watch.ask(counters)
    assert (counters.interface_bytes, counters.interface_resets) == ({"eth0": 153}, {"eth0": 1})
    assert counters.dropped_frames == {("eth0", "interface"): 3}
    shutil.rmtree(tmp_path / "eth0")
    watch.ask(counters)
    assert (counters.interface_bytes, counters.interface_up) == ({"eth0": 153}, {"eth0": False})


def test_an_interface_is_up_with_a_carrier_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_counters, "SYSFS", tmp_path)
    _interface(tmp_path, received=0, sent=0, dropped=0)
    assert kernel_counters.is_up("eth0")
    (tmp_path / "eth0" / "carrier").write_text("0\n")
    assert not kernel_counters.is_up("eth0")
    _interface(tmp_path, received=0, sent=0, dropped=0, up=False)
    assert not kernel_counters.is_up("eth0")


def test_loopback_counts_each_packet_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_counters, "SYSFS", tmp_path)
    _interface(tmp_path, received=100, sent=100, dropped=0)
    (tmp_path / "eth0" / "flags").write_text("0x9\n")
    assert kernel_counters.interface_bytes("eth0") == 100
