"""The vectors of columns are filled again once nobody has them; what somebody keeps stays as it is."""

import struct
from ipaddress import IPv4Network
from pathlib import Path

import polars as pl
import pytest

import monitor.capture
from monitor.capture import Capture

SECOND = 10**9
START = 1_700_000_000
FLOWS = 700
TICKS = 40
HEADERS = 28  # of IPv4 and UDP (RFC 791, RFC 768)


def _frame(flow: int, payload: int) -> bytes:
    """Give an Ethernet frame of a datagram from 10.0.x.y to 198.51.100.7."""
    udp = struct.pack(">HHHH", 40_000, 9, HEADERS - 20 + payload, 0) + bytes(payload)
    ends = bytes([10, 0, flow >> 8, flow & 0xFF, 198, 51, 100, 7])
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + ends
    return bytes(12) + b"\x08\x00" + ip + udp


def _capture(path: Path) -> Capture:
    """Make a capture in whose tick t each flow sends one datagram of t bytes."""
    records = [struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for tick in range(TICKS):
        for flow in range(FLOWS):
            frame = _frame(flow, tick)
            records.append(struct.pack("<IIII", START + tick, flow, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(records))
    return Capture.of_files([str(path)], [IPv4Network("10.0.0.0/8")], [], SECOND)


def test_rows_that_are_kept_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a batch for each tick
    monkeypatch.setattr(monitor.capture, "REPLAY_TICKS", 1)
    capture = _capture(tmp_path / "made.pcap")
    capture.start()
    frames: list[pl.DataFrame] = []
    columns: list[pl.Series] = []
    for number, drain in enumerate(capture):
        if number % 3 == 0:
            frames.append(drain.flows.frame)
        else:
            columns.append(drain.flows.frame["bytes_out"])
    capture.close()
    # the flows end with the last tick, in rows of their own or in their last ones
    seen = 0
    for frame in frames:
        tick = int(frame["tick"].dt.timestamp("ms")[0]) // 1000 - START
        busy = frame.filter(pl.col("packets_out") > 0)
        seen += busy.height
        assert frame["tick"].n_unique() == 1
        assert busy.select(pl.col("bytes_out", "payload_out", "packets_out").unique()).rows() == [
            (HEADERS + tick, tick, 1)
        ]
        assert frame["local_address"].n_unique() == frame["local_id"].n_unique() == FLOWS
        assert set(frame["remote_address"]) == {bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 7])}
        assert (busy["first_seen"] == busy["last_seen"]).all()
    rows = [column.filter(column > 0) for column in columns]
    assert all(row.n_unique() == 1 for row in rows if row.len())
    assert seen + sum(row.len() for row in rows) == FLOWS * TICKS
