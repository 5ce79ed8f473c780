"""Impact: the demo's exposure against what the scenario did, and the page against hostile names."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from monitor.commands import impact as command
from monitor.errors import InputError
from monitor.evidence import impact as impact_module
from monitor.evidence import impact_sources, manifest
from monitor.evidence.impact import DATA_ABOVE, assess
from monitor.evidence.impact_page import page
from monitor.evidence.rows import RowSpool
from monitor.policy import flow_files
from monitor.scenario.incident import SCANNER, SEARCH_COPY, TAKER, Incident
from tests.evidence import demo
from tests.judge.frames import batch
from tests.judge.frames import flow as judged_flow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("impact")
    demo.build(place)
    demo.run(
        "replay", place / "incident.pcap", "--config", place / "incident.yml", "--evidence", place / "out",
        "--flows", place / "flows.jsonl",
    )  # fmt: skip
    shutil.copy(place / "flows.jsonl", place / "copy.jsonl")
    return place


def taken(address: str) -> int:
    """Give what the scenario's server sent to an address, in bytes of payload."""
    story = Incident()
    story.build()
    talks = [talk for talk in story.told if talk.client.address == address and talk.protocol == "tcp"]
    return sum(talk.server.payload for talk in talks)


def told(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(demo.run("impact", *arguments, "--json"))
    return found


def exposed(folder: Path) -> str:
    for path in sorted((folder / "out" / "capsules").iterdir()):
        if json.loads((path / "manifest.json").read_text(encoding="ascii"))["rule"] == "exposed-data-store":
            return path.name
    raise AssertionError("no such alert")


@pytest.mark.parametrize("source", ["alert", "flows", "capture"])
def test_who_got_the_data_and_who_only_looked(folder: Path, source: str) -> None:
    arguments: dict[str, list[str | Path]] = {
        "alert": [exposed(folder), "--evidence", folder / "out"],
        "flows": [folder / "flows.jsonl"],
        "capture": [folder / "incident.pcap", "--config", folder / "incident.yml"],
    }
    found = told(*arguments[source])
    by_address = {one["address"]: one for one in found["outsiders"]}
    # 21 MiB in six nights for one, a banner and a list for the other: monitor/scenario/incident.py
    assert by_address[TAKER]["got"] == "data"
    assert by_address[TAKER]["sent_bytes"] == taken(TAKER) > DATA_ABOVE
    assert by_address[TAKER]["connections"] == 6
    assert (by_address[TAKER]["country"], by_address[TAKER]["network"]) == ("DE", "hetzner")
    assert by_address[SCANNER]["got"] == "little"
    assert by_address[SCANNER]["sent_bytes"] == taken(SCANNER) < DATA_ABOVE
    assert found["since"][:16] == "2025-12-04T21:08"
    assert found["first_data"][:16] == "2025-12-09T03:40"
    answering = {(service["address"], service["port"]) for service in found["services"]}
    # ports that refused did not answer, published ones were meant to
    assert answering == {(SEARCH_COPY, 9200)}
    assert sum(found["timeline"]["data"]) == taken(TAKER)
    assert sum(found["timeline"]["little"]) == taken(SCANNER)


def test_the_line_between_little_and_data_is_the_readers(folder: Path) -> None:
    found = told(folder / "flows.jsonl", "--data-above", "1KiB")
    assert {one["got"] for one in found["outsiders"]} == {"data"}
    assert "1.0 KiB" in found["criterion"]


def flow(**what: Any) -> dict[str, Any]:
    return {
        "flow_id": "1", "scope": "egress", "first_seen": "2026-01-01T00:00:00.000000000Z",
        "last_seen": "2026-01-01T00:00:01.000000000Z", "local_address": "10.0.0.1", "local_port": 9200,
        "remote_address": "192.0.2.1", "protocol": 6, "initiator": "remote", "payload_out": 0,
        "payload_in": 0, "packets_out": 1, "packets_in": 1, "tcp_flags": 0x12, "application": "http", **what,
    }  # fmt: skip


def test_many_small_answers_add_up_to_data() -> None:
    drips = [flow(payload_out=1000) for _ in range(70)]
    (one,) = assess(drips).outsiders
    assert (one.got, one.sent_bytes, one.connections) == ("data", 70_000, 70)


def test_an_open_port_that_said_nothing_gave_nothing_but_answered() -> None:
    found = assess([flow(), flow(remote_address="192.0.2.2", tcp_flags=0x16, packets_in=1)])
    assert [(one.address, one.got, one.refused) for one in found.outsiders] == [
        ("192.0.2.1", "nothing", 0), ("192.0.2.2", "nothing", 1),
    ]  # fmt: skip
    assert found.since is not None


def test_what_we_opened_ourselves_is_no_exposure() -> None:
    found = assess([flow(initiator="local", payload_out=10**9)])
    assert (found.outsiders, found.since) == ([], None)


class Tags(HTMLParser):
    """Gathers what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_the_page_stands_alone_and_is_not_steered_by_names() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=y>\x1b\u202e"
    hostile = flow(payload_out=10**6, workload=evil, network_provider=evil, country=evil, application=evil)
    shown = page(assess([hostile], [evil]), evil, evil)
    tags = Tags()
    tags.feed(shown)
    assert not tags.tags & {"script", "img", "link", "iframe", "object", "a"}
    names = {name for name, _ in tags.attributes}
    assert not names & {"src", "href", "style"}
    assert not [name for name in names if name.startswith("on")]
    assert any(value.startswith("default-src 'none'") for _, value in tags.attributes)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert not re.findall(r"https?://", shown)


def test_what_several_capsules_say_alike_is_told_once(folder: Path) -> None:
    capsules = sorted((folder / "out" / "capsules").iterdir())
    assert len(capsules) > 2
    notes = told(*capsules, "--evidence", folder / "out")["notes"]
    assert notes
    assert len(notes) == len(set(notes))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_draws_and_prints_it(folder: Path, tmp_path: Path) -> None:
    demo.run("impact", folder / "flows.jsonl", "--html", tmp_path / "impact.html")
    outputs = (("--screenshot", "shot.png", b"\x89PNG"), ("--print-to-pdf", "page.pdf", b"%PDF-"))
    for option, name, start in outputs:
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
             f"{option}={tmp_path / name}", f"file://{tmp_path}/impact.html"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        assert (tmp_path / name).read_bytes().startswith(start)


def test_addresses_that_somebody_makes_up_do_not_hide_who_took_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(impact_module, "MAX_ADDRESSES", 3)
    knocks = [flow(remote_address=f"198.51.100.{number}") for number in range(10)]
    drips = [flow(remote_address="192.0.2.66", payload_out=10_000) for _ in range(10)]
    found = assess([*knocks, *drips])
    assert [one.address for one in found.who("data")] == ["192.0.2.66"]
    assert (len(found.outsiders), found.left_out) == (3, 8)


# as `replay --flows` writes it, the columns that an impact needs
ROW: dict[str, Any] = {
    **flow(flow_id="b3726b18dabfe16e", payload_out=10**6, bytes_out=10**6), "workload": "shop",
    "country": "DE", "asn": 24940, "as_name": "Hetzner", "network_provider": "hetzner", "published": False,
}  # fmt: skip


def test_what_is_known_only_of_later_rows_is_read(tmp_path: Path) -> None:
    unknown = {"country": None, "asn": None, "as_name": None, "network_provider": None, "scope": "internal"}
    rows = [{**ROW, **unknown, "flow_id": f"{number:016x}"} for number in range(2000)]
    text = "".join(json.dumps(row) + "\n" for row in [*rows, ROW])
    (tmp_path / "flows.jsonl").write_text(text, encoding="ascii")
    (found,) = impact_sources.of_file(tmp_path / "flows.jsonl")
    assert {name: found[name] for name in impact_sources.NEEDED} == ROW


def test_a_connection_that_lasts_is_added_up_over_the_rows_of_the_recent_past(tmp_path: Path) -> None:
    capsule, rows = tmp_path / "capsules" / "aa", tmp_path / "rows"
    capsule.mkdir(parents=True)
    # the capsule was made when the first of four parts had been seen
    line = {**ROW, "remote_port": 1, "bytes_in": 0, "flow_id": f"{1:016x}", "bytes_out": 2**20}
    (capsule / "flows.jsonl").write_text(json.dumps({**line, "payload_out": 2**20}) + "\n", encoding="ascii")
    written = {
        "local_address": "10.0.0.1", "local_port": 9200, "remote_address": "192.0.2.1", "initiator": "remote",
        "payload_out": "1MiB",
    }  # fmt: skip
    spool = RowSpool(rows, size=2**30, age=None)
    spool.start()
    for second in range(4):
        spool.add(batch([judged_flow(second, 1, **written)]))
        spool.flush()
    assert len(list(rows.iterdir())) == 4
    (rows / "rows-0000000009.parquet").write_bytes(b"torn")
    (found,), notes = impact_sources.of_capsule(capsule, capsule.parent, rows)
    assert found["payload_out"] == 4 * 2**20
    assert [note for note in notes if note.startswith("1 files of flow rows")], "what is left out is told"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_sources_of_one_connection_the_fuller_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: int
) -> None:
    part = {**ROW, "remote_port": 1, "bytes_in": 0, "bytes_out": 1000, "payload_out": 1000}
    capsule = tmp_path / "capsule"
    capsule.mkdir()
    (capsule / "flows.jsonl").write_text(json.dumps(part) + "\n", encoding="ascii")
    manifest.write(capsule, {"alert": "aa", "rule": "r"})
    (tmp_path / "flows.jsonl").write_text(json.dumps(ROW) + "\n", encoding="ascii")
    sources = [str(capsule), str(tmp_path / "flows.jsonl")][::order]
    command.impact(sources, None, [], None, None, None, True)
    (one,) = json.loads(capsys.readouterr().out)["outsiders"]
    assert one["sent_bytes"] == ROW["payload_out"] == 10**6


def test_rows_of_a_connection_are_added_up_over_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_files, "PIECE_BYTES", 700)
    monkeypatch.setattr(impact_sources, "LOOSE", 2)
    rows = [{**ROW, "flow_id": f"{number % 3:016x}"} for number in range(30)]
    (tmp_path / "flows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    found = impact_sources.of_file(tmp_path / "flows.jsonl")
    assert [one["payload_out"] for one in found] == [10**7] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flow_id", [1]), ("flow_id", None), ("first_seen", "yesterday"), ("first_seen", 5),
        ("local_port", None), ("local_port", 70_000), ("remote_address", None), ("bytes_out", -1),
        ("payload_out", None), ("bytes_out", 2**70), ("tcp_flags", 500), ("scope", 5), ("application", {}),
    ],
)  # fmt: skip
def test_a_row_of_another_shape_is_told_with_its_line(tmp_path: Path, name: str, value: Any) -> None:
    text = json.dumps(ROW) + "\n" + json.dumps({**ROW, name: value}) + "\n"
    (tmp_path / "flows.jsonl").write_text(text, encoding="ascii")
    with pytest.raises(InputError, match=f"flows.jsonl:2: {name}"):
        impact_sources.of_file(tmp_path / "flows.jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no flow rows"),
        ('{"a":1}\n', "flows.jsonl:1: no 'flow_id'"),
        ("no json\n", "flows.jsonl:1: not JSON"),
    ],
)
def test_a_file_that_holds_no_flows_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text(text, encoding="ascii")
    line = demo.run("impact", path, status=2)
    assert words in line
    assert line.count("\n") == 1
