"""What goes out in clear: from a capture file to the columns, and what switches it off."""

from pathlib import Path

import polars as pl
import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
from scapy.utils import wrpcap

from monitor.capture import Capture
from monitor.commands import check
from monitor.config import CaptureConfig, Config

COLUMNS = ["credentials_out", "emails_out", "cards_out", "ibans_out", "secrets_out", "personal_data_out"]
# RFC 7617 section 2; a card network's test number; the IBAN registry's example; AWS's example
SENT = (
    b"POST /people HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
    b"alice@example.com,bob@example.com,4111111111111111,DE89370400440532013000,AKIAIOSFODNN7EXAMPLE\r\n"
)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    packets = [
        IP(src="10.0.0.1", dst="203.0.113.7") / TCP(sport=40000, dport=8080, flags="PA", seq=1) / Raw(SENT),
        IP(src="203.0.113.7", dst="10.0.0.1") / TCP(sport=8080, dport=40000, flags="PA", seq=1) / Raw(SENT),
        IP(src="10.0.0.1", dst="203.0.113.7") / TCP(sport=40001, dport=8080, flags="PA") / Raw(b"quiet"),
    ]
    wrpcap(str(tmp_path / "sent.pcap"), packets)
    return tmp_path / "sent.pcap"


def rows(capture: Path, content: bool) -> list[tuple[int, ...]]:
    source = Capture.of_files([str(capture)], Config().networks.local, [], 10**9, content=content)
    source.start()
    flows = pl.concat([drain.flows.frame for drain in source])
    source.close()
    return flows.sort("local_port").select(COLUMNS).rows()


def test_each_column_counts_its_kind(capture: Path) -> None:
    assert rows(capture, content=True) == [(1, 2, 1, 1, 1, 4), (0, 0, 0, 0, 0, 0)]


def test_it_can_be_switched_off(capture: Path) -> None:
    assert rows(capture, content=False) == [(0, 0, 0, 0, 0, 0)] * 2


def test_what_needs_payload_switches_snap_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert CaptureConfig(snap="auto", content=False).snaps
    assert not CaptureConfig(snap="auto").snaps
    assert CaptureConfig(snap="auto", content=False).notes() == CaptureConfig().notes() == []
    text = f"state: {tmp_path}/state\ncapture: {{snap: auto}}\n"
    (tmp_path / "egress.yml").write_text(text, encoding="utf-8")
    check.check(tmp_path / "egress.yml", [])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "capture.snap: auto is off" in line and line.startswith("note")]
