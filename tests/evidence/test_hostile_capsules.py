"""A capsule that somebody hands over may hold anything: what is wrong is told, and nothing waits for ever."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.impact import impact
from monitor.commands.inspect import inspect
from monitor.errors import InputError
from monitor.evidence import capsule as capsule_files
from monitor.evidence import manifest

FLOW: dict[str, Any] = {
    "flow_id": "b3726b18dabfe16e", "scope": "egress", "first_seen": "2025-12-13T03:40:00.000000000Z",
    "last_seen": "2025-12-13T03:40:32.549300000Z", "local_address": "10.20.3.30",
    "remote_address": "167.235.61.20", "local_port": 9200, "remote_port": 40048, "protocol": 6,
    "initiator": "remote", "bytes_out": 3690716, "bytes_in": 4112, "packets_out": 86, "packets_in": 88,
    "payload_out": 3687264, "payload_in": 580, "tcp_flags": 27, "application": "http", "name": None,
    "ja4": None, "workload": "search-copy", "country": "DE", "asn": 24940, "as_name": "Hetzner Online GmbH",
    "network_provider": "hetzner", "published": False,
}  # fmt: skip


def made_up(folder: Path, flows: str, **about: Any) -> Path:
    """Write a capsule whose hashes are right; `flows` are its lines."""
    folder.mkdir()
    (folder / "flows.jsonl").write_text(flows, encoding="utf-8")
    manifest.write(folder, {"alert": "0123456789abcdef", "rule": "r", **about})
    return folder


def look(capsule: Path) -> None:
    """Show a capsule in all ways; raises InputError where that is not possible."""
    inspect(str(capsule), None, [], None, 30, False)
    inspect(str(capsule), None, [], None, 30, True)
    impact([str(capsule)], None, [], None, None, capsule.parent / "page.html", False)


def test_one_as_it_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look(made_up(tmp_path / "it", json.dumps(FLOW) + "\n"))
    assert "All files are as they were written" in capsys.readouterr().out


WRONG: list[tuple[str, Any]] = [
    ("bytes_out", "1"), ("bytes_out", -1), ("bytes_in", None), ("bytes_in", 10**400), ("payload_out", 1.5),
    ("payload_in", [1]), ("packets_out", {}), ("local_port", "80,http -w x"), ("remote_port", None),
    ("local_port", 65536), ("protocol", 256),
    ("protocol", []), ("tcp_flags", None), ("flow_id", ["x"]), ("flow_id", None), ("local_address", 7),
    ("remote_address", None), ("first_seen", 5), ("first_seen", "2025-13-99T00:00:00.000000000Z"),
    ("first_seen", "0001-01-01T00:00:00.000000000Z"), ("first_seen", "9999-12-31T23:59:59.000000000Z"),
    ("last_seen", "yesterday"), ("last_seen", None), ("application", ["http"]), ("initiator", {}),
    ("scope", []), ("workload", {"a": 1}), ("country", [1]), ("network_provider", 3), ("as_name", []),
    ("name", 5), ("ja4", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_flow_of_another_shape_is_told_with_its_line(tmp_path: Path, name: str, value: Any) -> None:
    lines = json.dumps(FLOW) + "\n" + json.dumps({**FLOW, name: value}) + "\n"
    with pytest.raises(InputError, match=rf"flows\.jsonl:2: is no flow of a capsule: .*{name}"):
        look(made_up(tmp_path / "it", lines))


@pytest.mark.parametrize("name", ["flow_id", "last_seen", "protocol"])
def test_a_flow_that_lacks_something_is_told(tmp_path: Path, name: str) -> None:
    less = copy.copy(FLOW)
    del less[name]
    with pytest.raises(InputError, match=f"flows.jsonl:1: .*{name}"):
        look(made_up(tmp_path / "it", json.dumps(less)))


@pytest.mark.parametrize(
    "line", [json.dumps(FLOW)[:300], "[" * 100_000, "null", "[1]", '"x"', "1" * 5000, '{"a": NaN}', "\u20ac"]
)
def test_a_line_that_is_no_flow_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"flows\.jsonl:2: is no flow of a capsule"):
        look(made_up(tmp_path / "it", json.dumps(FLOW) + "\n" + line))


@pytest.mark.parametrize("packets", [5, "many", None, [1]])
def test_a_manifest_of_another_shape_is_told(tmp_path: Path, packets: Any) -> None:
    with pytest.raises(InputError, match="is no manifest of a capsule"):
        look(made_up(tmp_path / "it", json.dumps(FLOW), packets=packets))


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "..", ".", "", "a/b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_a_fault(tmp_path: Path, name: str) -> None:
    capsule = made_up(tmp_path / "it", json.dumps(FLOW))
    about = json.loads((capsule / "manifest.json").read_text(encoding="ascii"))
    about["files"][name] = {"bytes": 1, "sha256": "0"}
    (capsule / "manifest.json").write_text(json.dumps(about), encoding="ascii")
    assert {"manifest.json", name} == {fault.file for fault in manifest.verify(capsule)}
    look(capsule)


def test_a_pipe_or_a_device_is_no_file_of_a_capsule(tmp_path: Path) -> None:
    capsule = made_up(tmp_path / "it", json.dumps(FLOW))
    for name in ("flows.jsonl", "manifest.sha256"):
        (capsule / name).unlink()
    os.mkfifo(capsule / "flows.jsonl")
    (capsule / "manifest.sha256").symlink_to("/dev/zero")
    found = {fault.file: fault.what for fault in manifest.verify(capsule)}
    assert found == dict.fromkeys(("flows.jsonl", "manifest.sha256"), "is no plain file")
    with pytest.raises(InputError, match=r"flows\.jsonl: is no file"):
        look(capsule)


def test_folders_beside_a_capsule_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capsule = made_up(tmp_path / "it", json.dumps(FLOW))
    (tmp_path / "systemd-private").mkdir()
    plain = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent.name == "systemd-private":
            raise PermissionError(13, "Permission denied")  # as it is for everybody but root
        return plain(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    look(capsule)
    assert not manifest.is_capsule(tmp_path / "systemd-private")
    assert manifest.is_capsule(capsule)


def test_the_flows_of_an_earlier_capsule_that_was_damaged(tmp_path: Path) -> None:
    later = {**FLOW, "flow_id": "ff", "first_seen": "2025-12-14T00:00:00.000000000Z"}
    lines = [json.dumps(FLOW), "[" * 100_000, json.dumps({"flow_id": "ff"}), "null", json.dumps(FLOW)[:200]]
    earlier = made_up(tmp_path / "it", "\n".join(lines))
    flows = capsule_files._with_earlier([later], earlier)
    assert [flow["flow_id"] for flow in flows] == [FLOW["flow_id"], "ff"], "what is whole stays"
