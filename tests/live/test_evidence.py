"""Live: an alert's capsule while it is open, a monitor that is killed, and what the next one finds."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.evidence import manifest

from . import namespaces
from .daemons import daemon, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

RULE = "unsanctioned-cloud-alibaba"
SETTINGS = f"interfaces: [{namespaces.INTERFACE}]\nworkloads: {{api: [{namespaces.HOST_ADDRESS}]}}\n"
EACH_PORT = """
id: each-port
title: A port is sent to
severity: warning
match: {remote_port: 20000-20099}
measure: {sum: bytes_out, per: [remote_port], window: 10m}
fire: {above: 1}
resolve_after: 10m
tests:
  - name: any byte
    flows: [{workload: api, remote_port: 20001, bytes_out: 100}]
    expect: fires
  - name: another port
    flows: [{workload: api, remote_port: 20100, bytes_out: 100}]
    expect: quiet
"""
SEND_TO_EACH = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(20000, 20100):
    sender.sendto(b"x", (sys.argv[1], port))
"""
SEND = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 443))
connection.sendall(bytes(2 << 20))
print("sent")
time.sleep(1000)
"""


def test_a_capsule_while_the_alert_is_open_and_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    processes: list[subprocess.Popen[str]] = []
    with daemon("evidence", tmp_path, SETTINGS) as one:
        try:
            processes.append(one.spaces.receiver())
            processes.append(one.spaces.python(one.spaces.backend, SEND, namespaces.CLOUD_ADDRESS))
            assert until(lambda: bool(one.begun(RULE)), 90)
            event = one.begun(RULE)[0]
            capsule = state / "capsules" / event["capsule"]
            assert event["inspect"].startswith(f"egress-monitor inspect {event['id']}")
            assert until(capsule.exists, 90)
            assert manifest.verify(capsule) == []
            told = manifest.read(capsule)["packets"]
            assert told["count"] == told["of"] > 0
            # as `kill -9` leaves it: nothing was closed
            one.end(signal.SIGKILL)
            for path in (state / "ring").iterdir():
                assert path.stat().st_mode & 0o077 == 0
            one.start()
            assert until(lambda: len(list(state.glob("ring/headers-00-*.pcapng"))) > 1, 90)
            status, err = one.end(signal.SIGTERM)
            assert (status, "Traceback" in err) == (0, False), err
        finally:
            for process in processes:
                process.kill()
                process.communicate(timeout=10)
    assert manifest.verify(capsule) == []
    for path in (state / "ring").iterdir():
        # tshark minds a file that ends within a block
        assert tshark(path)


def tshark(path: Path, *options: str) -> list[str]:
    command = ["tshark", "-n", "-r", str(path), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_payload_for_a_rule_switches_the_snap_length_off(tmp_path: Path) -> None:
    own = f"evidence: {{payload_for: [{RULE}]}}\ncapture: {{content: false, snap: auto}}\n"
    processes: list[subprocess.Popen[str]] = []
    with daemon("payload", tmp_path, SETTINGS + own) as one:
        try:
            processes.append(one.spaces.receiver())
            processes.append(one.spaces.python(one.spaces.backend, SEND, namespaces.CLOUD_ADDRESS))
            assert until(lambda: bool(one.begun(RULE)), 90)
            capsule = tmp_path / "state" / "capsules" / one.begun(RULE)[0]["capsule"]
            assert until(capsule.exists, 90)
            status, err = one.end(signal.SIGTERM)
        finally:
            for process in processes:
                process.kill()
                process.communicate(timeout=10)
    assert (status, "capture.snap is off for that" in err) == (0, True), err
    assert manifest.read(capsule)["packets"]["with_payload"] is True
    lengths = ["-T", "fields", "-e", "frame.cap_len", "-e", "frame.len"]
    sizes = [tuple(map(int, line.split())) for line in tshark(capsule / "packets.pcapng", *lengths)]
    assert sum(kept for kept, _ in sizes) > 2**20, "the bulk is there"
    # a super-frame may be longer than what the ring keeps of one frame
    assert all(kept == length or kept > 2**15 for kept, length in sizes)


def numbers(exposition: str, name: str) -> float:
    found = [line for line in exposition.splitlines() if line.startswith(name)]
    assert found, name
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_a_hundred_alerts_in_a_second_on_a_full_disk(tmp_path: Path) -> None:
    places = {name: tmp_path / "state" / name for name in ("ring", "capsules")}
    for name, place in places.items():
        place.mkdir(parents=True)
        size = {"ring": "64k", "capsules": "256k"}[name]
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        with daemon("full", tmp_path, SETTINGS) as one:
            (tmp_path / "rules" / "each-port.yml").write_text(EACH_PORT, encoding="ascii")
            (tmp_path / "rules" / "each-port.yml").chmod(0o600)
            assert until(lambda: 'rule="each-port"' in one.fetch("/metrics"))
            (places["ring"] / "full").write_bytes(bytes(60 * 1024))
            one.spaces.run(
                one.spaces.backend, sys.executable, "-I", "-c", SEND_TO_EACH, namespaces.CLOUD_ADDRESS
            )
            assert until(lambda: len(one.begun("each-port")) == 100)
            kept, lost = "egress_evidence_capsules_total ", 'egress_evidence_lost_total{what="capsule"} '

            def made() -> float:
                metrics = one.fetch("/metrics")
                return numbers(metrics, kept) + numbers(metrics, lost)

            assert until(lambda: made() == 100), "each is there or counted"
            metrics = one.fetch("/metrics")
            assert numbers(metrics, lost) > 0
            assert numbers(metrics, "egress_law_broken_total{") == 0
            assert numbers(metrics, "egress_source_dropped_frames_total{") == 0
            capsules = [path for path in places["capsules"].iterdir() if not path.name.startswith(".")]
            assert len(capsules) == numbers(metrics, kept)
            assert all(manifest.verify(capsule) == [] for capsule in capsules)
            status, err = one.end(signal.SIGTERM)
            assert (status, "Traceback" in err) == (0, False), err
    finally:
        for place in places.values():
            subprocess.run(["umount", str(place)], check=True)
