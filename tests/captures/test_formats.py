"""The same packets in every file format give the same rows; files that are wrong give one line."""

import gzip
import shutil
import struct
import subprocess
from pathlib import Path

import polars as pl
import pytest

from monitor.capture import Capture
from monitor.config import Config
from monitor.errors import InputError

from . import truth

EDITCAP = shutil.which("editcap")
SECOND = 10**9
START = 1_700_000_000

Packet = tuple[int, bytes]  # microseconds since START, an IP packet


def _udp(sport: int, payload: bytes) -> bytes:
    """One datagram from 10.0.0.1 to 198.51.100.7 (RFC 791, RFC 768)."""
    datagram = struct.pack("!HHHH", sport, 9999, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)
    return head + bytes([10, 0, 0, 1, 198, 51, 100, 7]) + datagram


PACKETS: list[Packet] = [(place * 300_000 + 7, _udp(1000 + place % 3, bytes(place))) for place in range(20)]


def pcap(order: str, nanoseconds: bool) -> bytes:
    """A classic pcap (draft-ietf-opsawg-pcap) of `PACKETS` with LINKTYPE_RAW."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 101)
    for time, packet in PACKETS:
        seconds, fraction = divmod(time, 10**6)
        unit = fraction * (1000 if nanoseconds else 1)
        out += struct.pack(f"{order}IIII", START + seconds, unit, len(packet), len(packet)) + packet
    return out


def pcapng(order: str, resolution: int) -> bytes:
    """A pcapng (draft-ietf-opsawg-pcapng) with two interfaces, the packets on the second in turn."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(f"{order}I", 12 + len(body))
        return struct.pack(f"{order}I", kind) + size + body + size

    section = struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)
    option = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    interface = struct.pack(f"{order}HHI", 101, 0, 0) + option
    out = block(0x0A0D0D0A, section) + block(1, interface) + block(1, interface)
    out += block(0x0BAD, b"a block of nobody's")
    for place, (time, packet) in enumerate(PACKETS):
        microseconds = START * 10**6 + time
        binary = resolution & 0x80
        units = (
            -(-(microseconds << (resolution & 0x7F)) // 10**6)
            if binary
            else microseconds * 10**resolution // 10**6
        )
        head = struct.pack(
            f"{order}IIIII", place % 2, units >> 32, units & 0xFFFFFFFF, len(packet), len(packet)
        )
        out += block(6, head + packet)
    return out


def read(path: str) -> pl.DataFrame:
    capture = Capture.of_files([path], Config().networks.local, [], SECOND)
    capture.start()
    try:
        return pl.concat([drain.flows.frame for drain in capture])
    finally:
        capture.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    path = tmp_path_factory.mktemp("formats") / "plain.pcap"
    path.write_bytes(pcap("<", False))
    flows = read(str(path))
    # by arithmetic: 20 packets over 6 s in ticks of a second, three ports
    assert flows["packets_out"].sum() == 20
    assert flows["payload_out"].sum() == sum(range(20))
    assert flows["tick"].n_unique() == 6
    assert flows["flow_id"].n_unique() == 3
    assert flows["first_seen"].min().timestamp() == pytest.approx(START + 7e-6, abs=1e-6)  # type: ignore[union-attr]
    return flows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("big endian", pcap(">", False)),
        ("nanoseconds", pcap("<", True)),
        ("nanoseconds, big endian", pcap(">", True)),
        ("pcapng", pcapng("<", 6)),
        ("pcapng, big endian", pcapng(">", 6)),
        ("pcapng, nanoseconds", pcapng("<", 9)),
        ("gzip", gzip.compress(pcap("<", False))),
        ("two gzip members", gzip.compress(pcap("<", False)[:500]) + gzip.compress(pcap("<", False)[500:])),
    ],
)
def test_each_format_gives_the_same_rows(
    name: str, content: bytes, expected: pl.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "capture"
    path.write_bytes(content)
    assert read(str(path)).equals(expected), name


def test_binary_time_resolution(expected: pl.DataFrame, tmp_path: Path) -> None:
    """Units of 2^-20 s cannot hold each microsecond, but each lies within one unit."""
    path = tmp_path / "capture"
    path.write_bytes(pcapng("<", 0x80 | 20))
    found = read(str(path))
    off = (found["first_seen"].to_physical() - expected["first_seen"].to_physical()).abs()
    assert int(off.max()) <= 10**9 // 2**20 + 1  # type: ignore[arg-type]
    assert found["payload_out"].to_list() == expected["payload_out"].to_list()


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed: apt-get install zstd")
def test_zstd(expected: pl.DataFrame, tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(pcap("<", False))
    subprocess.run(["zstd", "-q", str(plain), "-o", str(packed)], check=True)
    assert read(str(packed)).equals(expected)


@pytest.mark.skipif(EDITCAP is None, reason="editcap is not installed: apt-get install tshark")
@pytest.mark.parametrize("kind", ["pcapng", "nsecpcap", "modpcap"])
def test_what_editcap_writes(kind: str, expected: pl.DataFrame, tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.write_bytes(pcap("<", False))
    subprocess.run([str(EDITCAP), "-F", kind, str(plain), str(other)], check=True, capture_output=True)
    assert read(str(other)).equals(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world, this is a text file", "is not a pcap or pcapng capture (it starts with 68 65 6c 6c)"),
        (gzip.compress(b"hello world, this is a text"), "is not a pcap or pcapng capture"),
        (b"\x1f\x8b" + b"\x99" * 60, "cannot be decompressed: invalid gzip header"),
        (b"\x28\xb5\x2f\xfd" + b"\x99" * 60, "cannot be decompressed"),
    ],
)
def test_what_is_no_capture_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_wrong_second_file_is_told_before_the_first_is_read(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(pcap("<", False))
    bad.write_bytes(b"no capture at all")
    with pytest.raises(InputError, match="bad: is not a pcap"):
        Capture.of_files([str(good), str(bad)], Config().networks.local, [], SECOND)
    with pytest.raises(InputError, match="No such file"):
        Capture.of_files([str(good), str(tmp_path / "none")], Config().networks.local, [], SECOND)
    with pytest.raises(InputError, match="is a folder"):
        Capture.of_files([str(tmp_path)], Config().networks.local, [], SECOND)


@pytest.mark.parametrize("content", [pcap("<", False), pcap(">", True), pcapng("<", 6), pcapng(">", 9)])
def test_cut_off_anywhere_counts_as_far_as_it_goes(content: bytes, tmp_path: Path) -> None:
    """One warning line, whole records counted, at every length."""
    path = tmp_path / "capture"
    before = 0
    for length in range(180, len(content), 7):
        path.write_bytes(content[:length])
        seen = truth.read(path)
        count = sum(seen.counters.frames.values())
        assert count >= before
        before = count
        assert truth.broken_laws(seen.counters) == []
        assert len(seen.warnings) <= 1
        for warning in seen.warnings:
            assert warning.startswith(f"{path}: is cut off in the middle of a ")
    assert before == len(PACKETS) - 1


def test_a_record_that_lies_about_its_length_is_told(tmp_path: Path) -> None:
    content = bytearray(pcap("<", False))
    content[24 + 8 : 24 + 12] = struct.pack("<I", 0x7FFFFFFF)
    path = tmp_path / "capture"
    path.write_bytes(content)
    assert truth.read(path).warnings == [
        f"{path}: has a record that claims 2147483647 bytes; counted as far as it goes"
    ]
