"""The scenario's own truth, held against tshark: only then may it judge the monitor."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from monitor.config import load_config
from monitor.scenario import incident
from monitor.scenario.incident import Incident

Ends = tuple[str, int, str, int]
FIELDS = [
    "frame.time_epoch", "frame.len", "ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", "udp.srcport",
    "udp.dstport", "tcp.len", "udp.length", "tls.handshake.type", "tls.handshake.extensions_server_name",
    "dns.flags.response", "dns.response_to", "dns.a", "dns.resp.name",
]  # fmt: skip
# a refused port is answered by RST; anything else of severity "warn" (6291456) would be our mistake
ODD = (
    "_ws.malformed or (_ws.expert.severity >= 6291456 and not tcp.flags.reset == 1) or "
    "tcp.analysis.retransmission or tcp.analysis.lost_segment or tcp.analysis.out_of_order"
)
CHECKSUMS = [part for protocol in ("ip", "tcp", "udp") for part in ("-o", f"{protocol}.check_checksum:TRUE")]


def tshark(path: Path, *arguments: str) -> list[str]:
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark")
    command = ["tshark", "-n", "-r", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def story() -> Incident:
    built = Incident()
    built.build()
    return built


@pytest.fixture(scope="module")
def capture(story: Incident, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "incident.pcap"
    story.write(path)
    return path


@pytest.fixture(scope="module")
def frames(capture: Path) -> list[dict[str, str]]:
    wanted = [part for name in FIELDS for part in ("-e", name)]
    lines = tshark(capture, "-T", "fields", *wanted)
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in lines]


def test_tshark_counts_the_same_conversations(story: Incident, capture: Path) -> None:
    """Compare with the tables of ``-z conv``: frames from left to right, right to left, in all."""
    found = {}
    for line in tshark(capture, "-q", "-z", "conv,tcp", "-z", "conv,udp"):
        left, arrow, rest = line.partition("<->")
        if not arrow:
            continue
        cells = [cell for cell in rest.split() if cell not in ("bytes", "kB", "MB")]
        addresses, ports = zip(*(end.strip().rsplit(":", 1) for end in (left, cells[0])), strict=True)
        ends = frozenset(zip(addresses, map(int, ports), strict=True))
        assert ends not in found
        found[ends] = (sorted((int(cells[1]), int(cells[3]))), int(cells[5]))
    assert len(found) == len(story.told)
    for talk in story.told:
        sides = (talk.client, talk.server)
        sent = [side.packets for side in sides]
        assert found[frozenset((side.address, side.port) for side in sides)] == (sorted(sent), sum(sent))


def test_tshark_counts_the_same_bytes(story: Incident, frames: list[dict[str, str]]) -> None:
    lengths: Counter[Ends] = Counter()
    payloads: Counter[Ends] = Counter()
    for frame in frames:
        protocol = "tcp" if frame["tcp.srcport"] else "udp"
        source, target = (int(frame[f"{protocol}.{end}port"]) for end in ("src", "dst"))
        ends = (frame["ip.src"], source, frame["ip.dst"], target)
        lengths[ends] += int(frame["frame.len"])
        payloads[ends] += int(frame["tcp.len"]) if protocol == "tcp" else int(frame["udp.length"]) - 8
    for talk in story.told:
        for source_side, target_side in ((talk.client, talk.server), (talk.server, talk.client)):
            ends = (source_side.address, source_side.port, target_side.address, target_side.port)
            assert lengths[ends] == source_side.frame_bytes, talk.about
            assert payloads[ends] == source_side.payload, talk.about


def test_tshark_finds_nothing_odd(capture: Path) -> None:
    assert tshark(capture, *CHECKSUMS, "-Y", ODD) == []


def test_names_match_their_addresses(frames: list[dict[str, str]]) -> None:
    hellos = [frame for frame in frames if frame["tls.handshake.type"] == "1"]
    assert {(frame["ip.dst"], frame["tls.handshake.extensions_server_name"]) for frame in hellos} == {
        (incident.S3_ADDRESS, incident.S3_NAME),
        (incident.OSS_ADDRESS, incident.OSS_NAME),
        (incident.WEB, "shop.example"),
    }
    assert {(frame["dns.a"], frame["dns.resp.name"]) for frame in frames if frame["dns.a"]} == {
        (incident.S3_ADDRESS, incident.S3_NAME),
        (incident.OSS_ADDRESS, incident.OSS_NAME),
    }


def test_every_question_has_its_answer(frames: list[dict[str, str]]) -> None:
    kinds = Counter(frame["dns.flags.response"] for frame in frames if frame["dns.flags.response"])
    assert kinds["1"] == kinds["0"] > 0
    assert len({frame["dns.response_to"] for frame in frames if frame["dns.response_to"]}) == kinds["0"]


def test_time_never_goes_back_and_stays_in_the_story(frames: list[dict[str, str]]) -> None:
    times = [float(frame["frame.time_epoch"]) for frame in frames]
    assert times == sorted(times)
    # 1 and 27 December 2025, 00:00 UTC
    assert 1_764_547_200 <= times[0] <= times[-1] < 1_766_793_600


def test_the_same_story_each_time(capture: Path, tmp_path: Path) -> None:
    again = Incident()
    again.build()
    again.write(tmp_path / "again.pcap")
    assert (tmp_path / "again.pcap").read_bytes() == capture.read_bytes()


def test_its_configuration_is_one(tmp_path: Path) -> None:
    path = tmp_path / "egress.yml"
    path.write_text(incident.CONFIG, encoding="utf-8")
    config = load_config(path)
    assert config.published == {"web": [443]}
    assert set(config.workloads) == {"api", "web", "batch", "build", "database", "search-copy"}
