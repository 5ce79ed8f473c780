"""Many alerts at once, a full disk, a killed monitor: no broken capsule, and what was not kept is counted."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from monitor.commands import capsule as command
from monitor.config import EvidenceConfig
from monitor.evidence import keeper, manifest
from monitor.evidence.capsules import Bounds, Capsules
from tests.evidence import demo

HOSTS = 100
RULE = """
id: each-host
title: A host sends
severity: critical
match: {remote_port: 443}
measure: {sum: payload_out, per: [local_address], window: 10m}
fire: {above: 1}
resolve_after: 10m
tests:
  - name: any byte
    flows: [{workload: api, payload_out: 100}]
    expect: fires
  - name: none
    flows: [{workload: api, payload_out: 0, bytes_out: 100}]
    expect: quiet
"""
BOUNDS = Bounds(1000, 1 << 30, 90 * 86400 * 10**9)


def frames() -> Iterator[Packet]:
    """Each of 100 hosts sends a packet within one second."""
    for host in range(HOSTS):
        frame = Ether() / IP(src=f"10.0.1.{host + 1}", dst="203.0.113.9")
        frame /= TCP(sport=40000, dport=443, flags="PA", seq=1) / Raw(bytes(200))
        frame.time = 1_767_225_600 + host / 200
        yield frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trouble")
    wrpcap(str(place / "many.pcap"), list(frames()))
    (place / "rules").mkdir()
    (place / "rules" / "each.yml").write_text(RULE, encoding="ascii")
    (place / "egress.yml").write_text("rules: [rules]\n", encoding="ascii")
    return place


def replay(folder: Path, out: Path) -> list[str | Path]:
    return [
        "replay", folder / "many.pcap", "--config", folder / "egress.yml", "--evidence", out,
        "--metrics", folder / "metrics",
    ]  # fmt: skip


def metric(folder: Path, name: str) -> float:
    found = re.findall(rf"^{re.escape(name)} ([\d.e+]+)$", (folder / "metrics").read_text(), re.MULTILINE)
    assert len(found) == 1, name
    return float(found[0])


def test_a_hundred_alerts_in_a_second(folder: Path, tmp_path: Path) -> None:
    demo.run(*replay(folder, tmp_path))
    capsules = list((tmp_path / "capsules").iterdir())
    assert len(capsules) == HOSTS
    for capsule in capsules:
        assert manifest.verify(capsule) == []
        told = manifest.read(capsule)
        assert (told["flows"]["count"], told["packets"]["count"]) == (1, 1)
    assert metric(folder, 'egress_evidence_lost_total{what="capsule"}') == 0
    assert metric(folder, "egress_evidence_kept_frames_total") == HOSTS


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_costs_evidence_and_nothing_else(folder: Path, small_disk: Path) -> None:
    (small_disk / "full").write_bytes(bytes(200 * 1024))
    done = subprocess.run(
        [*demo.COMMAND, *map(str, replay(folder, small_disk))], capture_output=True, text=True, check=True
    )
    (told,) = [line for line in done.stderr.splitlines() if "capsules could not be written" in line]
    assert "No space left on device" in told, "once, however many they are"
    there = [path for path in (small_disk / "capsules").iterdir() if not path.name.startswith(".")]
    assert len(there) < HOSTS
    for capsule in there:
        assert manifest.verify(capsule) == [], "what is there is whole"
    # the last drain shows what was counted until then; capsules that failed later are in the end's sum
    for law in ("frames", "bytes", "kernel"):
        assert metric(folder, f'egress_law_broken_total{{law="{law}"}}') == 0
    assert metric(folder, 'egress_flow_frames_total{scope="egress"}') == HOSTS
    lost = metric(folder, 'egress_evidence_lost_total{what="capsule"}')
    assert lost + metric(folder, "egress_evidence_capsules_total") == HOSTS
    assert lost == HOSTS - len(there)


def test_kill_while_capsules_are_written(folder: Path, tmp_path: Path) -> None:
    for patience in (0.0, 0.05, 0.2):
        out = tmp_path / str(patience)
        command = [*demo.COMMAND, *map(str, replay(folder, out))]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list((out / "capsules").glob("[0-9a-f]*")):
            time.sleep(0.001)
        time.sleep(patience)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for capsule in (out / "capsules").glob("[0-9a-f]*"):
            assert manifest.verify(capsule) == []
        # the next one clears up and goes on
        demo.run(*replay(folder, out))
        capsules = list((out / "capsules").iterdir())
        assert len(capsules) == HOSTS
        assert all(manifest.verify(capsule) == [] for capsule in capsules)
        # a host sent one packet, however often the capture was played
        assert {manifest.read(capsule)["packets"]["count"] for capsule in capsules} == {1}


def put(capsules: Capsules, identity: str, text: str) -> None:
    def fill(folder: Path) -> None:
        (folder / "text").write_text(text, encoding="ascii")
        manifest.write(folder, {"alert": identity})

    capsules.put(identity, fill, ())


def test_a_crash_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    capsules = Capsules(tmp_path / "capsules", BOUNDS)
    capsules.start()
    put(capsules, "aa", "first")
    # the old one went aside, and the new one had not come
    (tmp_path / "capsules" / "aa").rename(tmp_path / "capsules" / ".aa.old")
    shutil.copytree(tmp_path / "capsules" / ".aa.old", tmp_path / "capsules" / ".aa.new")
    again = Capsules(tmp_path / "capsules", BOUNDS)
    again.start()
    assert [path.name for path in (tmp_path / "capsules").iterdir()] == ["aa"]
    found = again.find("aa")
    assert found is not None
    assert manifest.verify(found) == []


def test_the_bounds_let_the_oldest_go_and_the_open_ones_last(tmp_path: Path) -> None:
    capsules = Capsules(tmp_path / "capsules", Bounds(2, 1 << 30, 90 * 86400 * 10**9))
    capsules.start()
    put(capsules, "aa", "1")
    put(capsules, "bb", "2")

    def fill(folder: Path) -> None:
        manifest.write(folder, {})

    capsules.put("cc", fill, {"aa"})
    assert {path.name for path in (tmp_path / "capsules").iterdir()} == {"aa", "cc"}
    assert (capsules.number, capsules.removed) == (2, 1)


def test_the_bounds_of_size_and_age(tmp_path: Path) -> None:
    day = 86400
    capsules = Capsules(tmp_path / "capsules", Bounds(1000, 60_000, 90 * day * 10**9))
    capsules.start()
    for identity in ("aa", "bb", "cc"):
        put(capsules, identity, "x" * 25_000)
    assert {path.name for path in (tmp_path / "capsules").iterdir()} == {"bb", "cc"}
    assert (capsules.held <= 60_000, capsules.removed) == (True, 1)
    old = time.time() - 91 * day
    os.utime(tmp_path / "capsules" / "cc", (old, old))
    again = Capsules(tmp_path / "capsules", Bounds(1000, 60_000, 90 * day * 10**9))
    again.start()
    assert {path.name for path in (tmp_path / "capsules").iterdir()} == {"bb"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("No space in it")])
def test_a_capsule_that_fails_leaves_the_earlier_one(tmp_path: Path, error: Exception) -> None:
    capsules = Capsules(tmp_path / "capsules", BOUNDS)
    capsules.start()
    put(capsules, "aa", "first")

    def fill(folder: Path) -> None:
        (folder / "text").write_text("half", encoding="ascii")
        raise error

    with pytest.raises(type(error), match="No space"):
        capsules.put("aa", fill, ())
    assert [path.name for path in (tmp_path / "capsules").iterdir()] == ["aa"]
    assert (tmp_path / "capsules" / "aa" / "text").read_text(encoding="ascii") == "first"


def test_a_list_bears_a_capsule_that_goes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsules = Capsules(tmp_path / "capsules", BOUNDS)
    capsules.start()
    put(capsules, "aa", "there")
    monkeypatch.setattr(command, "_names", lambda folder: ["aa", "gone"])
    command.list_all(None, tmp_path)
    shown = capsys.readouterr().out
    assert "aa" in shown
    assert "gone" in shown


def test_a_manifest_that_names_files_elsewhere_is_not_followed(tmp_path: Path) -> None:
    capsule = tmp_path / "capsule"
    capsule.mkdir()
    (tmp_path / "outside").write_text("x", encoding="ascii")
    manifest.write(capsule, {})
    about = json.loads((capsule / "manifest.json").read_text(encoding="ascii"))
    about["files"] = {"../outside": {"bytes": 1, "sha256": "0"}}
    (capsule / "manifest.json").write_text(json.dumps(about), encoding="ascii")
    faults = {fault.file: fault.what for fault in manifest.verify(capsule)}
    assert faults["../outside"] == "is no file of a capsule"


def test_what_is_no_capsule_stays_and_ends_no_start(tmp_path: Path) -> None:
    capsules = Capsules(tmp_path / "capsules", BOUNDS)
    capsules.start()
    put(capsules, "aa", "1")
    (tmp_path / "capsules" / "aa" / "gone").symlink_to(tmp_path / "nowhere")
    notes = tmp_path / "capsules" / "notes of the case"
    notes.mkdir()
    (notes / "who.txt").write_text("x" * 1000, encoding="ascii")
    long_ago = time.time() - 1000 * 86400
    os.utime(notes, (long_ago, long_ago))
    again = Capsules(tmp_path / "capsules", Bounds(1, 1 << 30, 90 * 86400 * 10**9))
    again.start()
    assert again.number == 1
    put(again, "bb", "2")
    assert {path.name for path in (tmp_path / "capsules").iterdir()} == {"bb", "notes of the case"}


def test_a_clock_that_is_set_forward_makes_no_capsule_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capsules = Capsules(tmp_path / "capsules", BOUNDS)
    capsules.start()
    put(capsules, "aa", "1")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 10 * 365 * 86400)
    put(capsules, "bb", "2")
    assert capsules.number == 2


def test_a_capsule_goes_in_time_where_no_new_one_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86400
    monkeypatch.setattr(keeper, "WAIT", 0.001)
    one = keeper.Keeper(tmp_path, EvidenceConfig(ring=0), live=True)
    one.capsules.bounds = Bounds(1000, 1 << 30, 90 * day * 10**9)
    one.start()
    put(one.capsules, "aa", "1")
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 91 * day)
    until = monotonic() + 60
    while one.capsules.number and monotonic() < until:
        time.sleep(0.001)
    one.stop()
    assert (one.capsules.number, one.capsules.removed) == (0, 1)


@pytest.mark.parametrize("comes", ["another", "nothing"])
def test_a_capsule_that_is_replaced_while_it_is_verified_was_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], comes: str
) -> None:
    capsules = Capsules(tmp_path / "capsules", BOUNDS)
    capsules.start()
    put(capsules, "aa", "first")
    sha256 = manifest.sha256

    def meanwhile(path: Path) -> str:
        monkeypatch.setattr(manifest, "sha256", sha256)
        if comes == "another":
            put(capsules, "aa", "the second")
        else:
            shutil.rmtree(path.parent)
        return sha256(path)

    monkeypatch.setattr(manifest, "sha256", meanwhile)
    assert command.verify([], None, tmp_path) == 0
    assert capsys.readouterr().out.count("as it was written") == (comes == "another")
