"""Who opened a connection is known again after a restart."""

import stat
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from monitor.config import CaptureConfig, Config
from monitor.initiators import Initiators
from monitor.pipeline import INITIATORS_FILE
from monitor.records import FlowWriter
from monitor.replay import replay

HOST, STRANGER = "10.0.1.5", "198.51.100.7"


def segment(inward: bool, flags: str, sequence: int, port: int = 443, payload: bytes = b"") -> Ether:
    ends = IP(src=STRANGER, dst=HOST) if inward else IP(src=HOST, dst=STRANGER)
    ports = TCP(sport=40000, dport=port) if inward else TCP(sport=port, dport=40000)
    ports.flags, ports.seq = flags, sequence
    return Ether() / ends / ports / Raw(payload)


def play(folder: Path, name: str, packets: list[Ether], *, workers: int = 1) -> list[str]:
    """Replay packets with state; gives the initiators of the flow rows."""
    for index, packet in enumerate(packets):
        packet.time = 1_700_000_000 + index
    wrpcap(str(folder / f"{name}.pcap"), packets)
    config = Config(capture=CaptureConfig(workers=workers))
    out = folder / f"{name}.jsonl"
    with FlowWriter(out) as writer:
        replay(config, [str(folder / f"{name}.pcap")], learn=False, state=folder / "state", flows_out=writer)
    return [line.split('"initiator":"')[1].split('"')[0] for line in out.read_text().splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_connection_that_goes_on_is_known(tmp_path: Path, workers: int) -> None:
    opening = [segment(True, "S", 100), segment(False, "SA", 500), segment(True, "A", 101)]
    assert set(play(tmp_path, "before", opening, workers=workers)) == {"remote"}
    later = [segment(False, "A", 501, payload=b"midstream")]
    assert set(play(tmp_path, "after", later, workers=workers)) == {"remote"}
    other = [segment(False, "A", 501, port=444, payload=b"midstream")]
    assert set(play(tmp_path, "other", other, workers=workers)) == {"unknown"}


def test_only_the_user_may_read_the_file(tmp_path: Path) -> None:
    play(tmp_path, "one", [segment(True, "S", 100)])
    mode = (tmp_path / "state" / INITIATORS_FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"egress-monitor initiators 1\n", b"\0" * 1000, None])
def test_a_broken_file_counts_as_nothing(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / INITIATORS_FILE
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    first, second = Initiators.load(path), Initiators.load(path)
    assert first.known == b""
    assert first.secret != second.secret


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kept = Initiators(tmp_path / INITIATORS_FILE, (1, 2**64 - 1), b"123456789")
    kept.save()
    again = Initiators.load(tmp_path / INITIATORS_FILE)
    assert (again.secret, again.known) == (kept.secret, kept.known)
