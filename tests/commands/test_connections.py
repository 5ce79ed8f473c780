"""One connection counts once, wherever connections are counted, however its packets come."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from .command import run

START = 1_700_000_000
# local ports and seconds after the start, as the frames stand in the capture
ONE_PACKET = [(5000, 0.5)]
OUT_OF_ORDER = [(5001, 1.6), (5001, 1.4)]
LATE = [(5002, 2.7), (5002, 4.1), (5002, 2.3)]  # from before its first, when that tick is over
NOTHING_ELSE_IN_ITS_TICK = [(5003, 5.9), (5004, 7.5), (5003, 5.8)]
LAST = [(5005, 400.0)]  # all others are silent for longer than they may be


def frame(port: int, seconds: float) -> Packet:
    made = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    made = made / IP(src="10.0.0.1", dst="198.51.100.7") / UDP(sport=port, dport=7000) / Raw(b"x" * 10)
    made.time = START + seconds
    return made


@pytest.mark.parametrize("way", [ONE_PACKET, OUT_OF_ORDER, LATE, NOTHING_ELSE_IN_ITS_TICK])
def test_it_counts_once_in_metrics_and_table(tmp_path: Path, way: list[tuple[int, float]]) -> None:
    packets = [*way, *LAST]
    wrpcap(str(tmp_path / "sent.pcap"), [frame(*packet) for packet in packets])
    done = run("replay", "sent.pcap", "--metrics", "m.prom", "--flows", "flows.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    connections = len({port for port, _ in packets})
    families = text_string_to_metric_families((tmp_path / "m.prom").read_text(encoding="utf-8"))
    samples = [one for family in families for one in family.samples if one.name == "egress_connections_total"]
    assert sum(one.value for one in samples) == connections
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith("10.0.0.1"))
    # who, 20 B, 0 B, connections
    assert int(row[5]) == connections
    rows = [json.loads(line) for line in (tmp_path / "flows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(row["packets_out"] for row in rows) == len(packets)
    assert any(row["ended"] == "idle" and row["packets_out"] == 0 for row in rows), "rows without packets"
