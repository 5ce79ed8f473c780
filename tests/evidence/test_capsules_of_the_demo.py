"""The demo's alerts: what their capsules hold, against a filter on the capture that was played."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monitor.scenario.incident import BATCH, OSS_ADDRESS, SEARCH_COPY, TAKER
from tests.evidence import demo

# what a packet is told by: time, length on the wire, ends, and TCP's numbers
FIELDS = [
    option
    for name in ("frame.time_epoch", "frame.len", "ip.src", "ip.dst", "tcp.srcport", "tcp.seq_raw")
    for option in ("-e", name)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evidence")
    capture = demo.build(place)
    demo.run(
        "replay", capture, "--config", place / "incident.yml",
        "--evidence", place / "out", "--alerts", place / "alerts.jsonl",
    )  # fmt: skip
    return place


def ended(folder: Path, rule: str) -> list[dict[str, Any]]:
    """Give the alerts of a rule as they ended the last time: some come back within a day."""
    found = [event for event in demo.events(folder / "alerts.jsonl") if event["rule"] == rule]
    return list({event["id"]: event for event in found if event["kind"] == "ended"}.values())


def packets(capture: Path, *options: str) -> list[str]:
    return sorted(demo.tshark(capture, "-T", "fields", *FIELDS, *options))


@pytest.mark.parametrize(
    ("rule", "local", "remote"),
    [("unsanctioned-cloud-alibaba", BATCH, OSS_ADDRESS), ("exposed-data-store", SEARCH_COPY, TAKER)],
)
def test_a_capsule_holds_the_packets_of_its_alert_and_no_other(
    folder: Path, rule: str, local: str, remote: str
) -> None:
    alerts = ended(folder, rule)
    assert alerts
    for alert in alerts:
        capsule = folder / "out" / "capsules" / alert["capsule"]
        # both ends tell the incident's conversations apart; when each was is told by the alert itself
        first, last = alert["began"], alert["last"]
        within = f'frame.time >= "{day(first)} 00:00:00" && frame.time <= "{day(last)} 23:59:59"'
        ends = f"ip.addr == {local} && ip.addr == {remote}"
        expected = packets(folder / "incident.pcap", "-Y", f"{ends} && {within}")
        assert expected, "the filter finds something"
        assert packets(capsule / "packets.pcapng") == expected


def day(time: str) -> str:
    return time[:10]


def test_the_capture_says_what_it_is(folder: Path) -> None:
    for capsule in (folder / "out" / "capsules").iterdir():
        (frames,) = demo.tshark(capsule / "packets.pcapng", "-q", "-z", "io,phs", "-c", "1")[-2:-1]
        assert frames is not None
        data = (capsule / "packets.pcapng").read_bytes()
        assert b"egress-monitor" in data
        assert f"alert {capsule.name}".encode() in data


def test_the_manifest_says_that_all_is_there(folder: Path) -> None:
    for capsule in (folder / "out" / "capsules").iterdir():
        told = json.loads((capsule / "manifest.json").read_text(encoding="ascii"))
        flows = demo.events(capsule / "flows.jsonl")
        counted = sum(flow["packets_out"] + flow["packets_in"] for flow in flows)
        assert (told["packets"]["count"], told["packets"]["note"]) == (counted, "all packets of the flows")
        assert len(demo.tshark(capsule / "packets.pcapng")) == counted
        assert told["flows"]["count"] == len(flows)


def test_nobody_else_reads_it(folder: Path) -> None:
    for path in [folder / "out" / "capsules", *(folder / "out" / "capsules").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_an_alert_names_its_capsule_and_what_opens_it(folder: Path) -> None:
    for event in demo.events(folder / "alerts.jsonl"):
        assert event["capsule"] == event["id"]
        assert event["inspect"].startswith(f"egress-monitor inspect {event['id']}")


def test_the_explanation_is_the_alert(folder: Path) -> None:
    for alert in ended(folder, "unsanctioned-cloud-alibaba"):
        told = json.loads(
            (folder / "out" / "capsules" / alert["id"] / "explanation.json").read_text(encoding="ascii")
        )
        assert told["alert"]["sent_bytes"] == alert["sent_bytes"]
        assert told["rule"]["version"] == alert["version"]
        assert all(flow["attribution"] for flow in told["alert"]["flows"]), "how each flow is known"
        assert told["catalogue"]


@pytest.mark.parametrize(
    "file", ["flows.jsonl", "explanation.json", "packets.pcapng", "manifest.json", "manifest.sha256"]
)
def test_a_changed_byte_is_named(folder: Path, tmp_path: Path, file: str) -> None:
    capsule = next((folder / "out" / "capsules").iterdir())
    demo.run("capsule", "verify", capsule)
    changed = tmp_path / capsule.name
    shutil.copytree(capsule, changed)
    data = bytearray((changed / file).read_bytes())
    data[len(data) // 2] ^= 1
    (changed / file).write_bytes(data)
    told = demo.run("capsule", "verify", changed, status=1)
    # the seal is a hash of the manifest: where either changed, the manifest is not proven
    assert (file if file != "manifest.sha256" else "manifest.json") in told
    assert "sha256" in told


def test_a_missing_and_a_foreign_file_are_named(folder: Path, tmp_path: Path) -> None:
    capsule = next((folder / "out" / "capsules").iterdir())
    changed = tmp_path / capsule.name
    shutil.copytree(capsule, changed)
    (changed / "flows.jsonl").unlink()
    (changed / "more.txt").write_text("x", encoding="ascii")
    told = demo.run("capsule", "verify", changed, status=1)
    assert "flows.jsonl" in told
    assert "more.txt" in told
