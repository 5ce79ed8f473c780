import json
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from monitor import address_text, flow_batch, records
from monitor.errors import InputError

# 2026-12-04T00:00:00Z, by `date -u -d 2026-12-04 +%s`
DAY = 1_796_342_400
NANOSECOND = DAY * 10**9 + 123_456_789


def packed(text: str) -> bytes:
    return address_text.to_packed(ip_address(text))


def frame(schema: dict[str, Any], rows: list[dict[str, Any]]) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in rows] for name in schema}
    return pl.DataFrame(columns, schema=schema)


def flows(count: int = 1, **changes: Any) -> pl.DataFrame:
    row = {
        "tick": DAY * 1000,
        "flow_id": 0xFEDCBA9876543210,
        "scope": "egress",
        "started": NANOSECOND,
        "first_seen": NANOSECOND,
        "last_seen": NANOSECOND,
        "local_address": packed("10.0.1.5"),
        "remote_address": packed("2001:db8::1"),
        "remote_id": 0,
        "application": "tls",
        "name": 'a"b\n',
        "payload_out": 2**63,
        "ech": True,
        "workload": "api",
        "evidence": "sni",
        **changes,
    }
    return frame({**flow_batch.FLOW_SCHEMA, **flow_batch.ATTRIBUTED}, [row] * count)


def answer(**changes: Any) -> dict[str, Any]:
    return {
        "tick": DAY * 1000,
        "time": NANOSECOND,
        "kind": "answer",
        "client": packed("10.0.1.5"),
        "resolver": packed("10.0.0.2"),
        "question": "www.example.org",
        "owner": "www.example.org",
        "type": 1,
        "value": "192.0.2.7",
        "address": packed("192.0.2.7"),
        "ttl": 60,
        "section": "answer",
        **changes,
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_flow_as_json(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    with records.FlowWriter(path) as writer:
        writer.write(flows())
        writer.write(flows(count=0))
        writer.write(flows(flow_id=1, ended="fin"))
    first, second = lines(path)
    expected = set(flow_batch.FLOW_SCHEMA) | set(flow_batch.ATTRIBUTED)
    assert set(first) == expected - set(flow_batch.INDEXES)
    assert first["flow_id"] == "fedcba9876543210"
    assert first["tick"] == "2026-12-04T00:00:00.000000000Z"
    assert first["started"] == "2026-12-04T00:00:00.123456789Z"
    assert first["local_address"] == "10.0.1.5"
    assert first["remote_address"] == "2001:db8::1"
    assert first["scope"] == "egress"
    assert first["name"] == 'a"b\n'
    assert first["payload_out"] == 2**63
    assert first["ech"] is True
    assert first["ended"] is None
    assert (second["flow_id"], second["ended"]) == ("0000000000000001", "fin")


def test_flow_as_parquet(tmp_path: Path) -> None:
    path = tmp_path / "flows.parquet"
    with records.FlowWriter(path) as writer:
        writer.write(flows(count=2))
        writer.write(flows(count=1, ended="fin"))
    table = pl.read_parquet(path)
    assert table["flow_id"].to_list() == ["fedcba9876543210"] * 3
    assert table["ended"].to_list() == [None, None, "fin"]
    assert table.schema["scope"] == pl.String
    assert table.schema["started"] == pl.Datetime("ns", "UTC")
    assert table["started"].dt.timestamp("ns").to_list() == [NANOSECOND] * 3
    assert list(tmp_path.iterdir()) == [path], "the parts are gone"


def test_parquet_without_rows_has_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "flows.parquet"
    with records.FlowWriter(path):
        pass
    table = pl.read_parquet(path)
    assert table.is_empty()
    assert table.columns == records.readable(flows()).columns


def test_only_answers_are_written(tmp_path: Path) -> None:
    path = tmp_path / "dns.jsonl"
    rows = [
        answer(kind="question", owner=None, value=None, address=None, ttl=None),
        answer(type=0, section="question", rcode=3, owner=None, value=None, address=None, ttl=None),
        answer(),
        answer(type=5, value="cdn.example.net", address=None, ttl=300),
        answer(type=28, value="2001:db8::7", address=packed("2001:db8::7")),
        answer(type=65280, value=None, address=None, section="additional"),
    ]
    with records.DnsWriter(path) as writer:
        writer.write(frame(flow_batch.DNS_SCHEMA, rows))
    written = lines(path)
    assert [(row["name"], row["type"], row["value"], row["ttl"]) for row in written] == [
        ("www.example.org", "A", "192.0.2.7", 60),
        ("www.example.org", "CNAME", "cdn.example.net", 300),
        ("www.example.org", "AAAA", "2001:db8::7", 60),
        ("www.example.org", "TYPE65280", None, 60),
    ]
    assert {row["client"] for row in written} == {"10.0.1.5"}
    assert {row["time"] for row in written} == {"2026-12-04T00:00:00.123456789Z"}
    assert list(written[0])[:6] == ["time", "client", "name", "type", "value", "ttl"]


EVENTS: list[dict[str, Any]] = [
    {"time": "2026-12-04T00:00:00.123456789Z", "event": "begun", "sent_bytes": 5, "ended": None},
    {"time": "2026-12-04T00:00:01.000000000Z", "event": "ended", "sent_bytes": 2**40, "ended": "\u202e"},
]


def test_alert_events_as_json_keep_what_they_nest(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    with records.AlertWriter(path) as writer:
        writer.write_events([{**EVENTS[0], "group": {"workload": "api"}}])
        writer.write_events([])
        writer.write_events(EVENTS[1:])
    assert lines(path) == [{**EVENTS[0], "group": {"workload": "api"}}, EVENTS[1]]
    assert path.read_text(encoding="utf-8").isascii(), "text from the wire is escaped"


def test_alert_events_as_parquet_join_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "alerts.parquet"
    with records.AlertWriter(path) as writer:
        writer.write_events(EVENTS[:1])
        writer.write_events([{**EVENTS[1], "group": {"workload": "api"}}])
    table = pl.read_parquet(path)
    assert table["sent_bytes"].to_list() == [5, 2**40]
    assert table["ended"].to_list() == [None, "\u202e"]
    assert table["group"].to_list() == [None, '{"workload": "api"}']


@pytest.mark.parametrize("name", ["flows.json", "flows", "flows.csv"])
def test_other_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"ends in \.jsonl or \.parquet"):
        records.FlowWriter(tmp_path / name).start()


@pytest.mark.parametrize("name", ["none/flows.jsonl", "none/flows.parquet"])
def test_unwritable_place_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="No such file"):
        records.FlowWriter(tmp_path / name).start()


def test_full_disk_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    path = tmp_path / "flows.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left"), records.FlowWriter(path) as writer:
        writer.write(flows(count=10_000))


def test_hex_ids_agree_with_python() -> None:
    numbers = [0, 1, 255, 256, 2**32, 2**63, 2**64 - 1, 0x0123456789ABCDEF]
    column = pl.Series("flow_id", numbers, dtype=pl.UInt64)
    assert records.hex_ids(column).to_list() == [f"{number:016x}" for number in numbers]


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1", "2001:db8::1:0:0:1", "64:ff9b::808:808"]
)
def test_address_text_agrees_with_ipaddress(text: str) -> None:
    assert address_text.to_text(packed(text)) == str(ip_address(text))


def test_address_texts_keep_null_and_order() -> None:
    column = pl.Series("a", [packed("10.0.0.1"), None, packed("::1"), packed("10.0.0.1")])
    assert address_text.texts(column).to_list() == ["10.0.0.1", None, "::1", "10.0.0.1"]
    assert address_text.texts(column.head(0)).to_list() == []


def test_alerts_that_find_no_room_are_one_line(tmp_path: Path) -> None:
    """/dev/full has none (full(4))."""
    path = tmp_path / "alerts.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left on device"), records.AlertWriter(path) as alerts:
        alerts.write_events([{"what": "x" * 1000}] * 100)


LIMITED = """
import resource, sys
from pathlib import Path
import polars as pl
from monitor import records
from monitor.errors import InputError
# no file may be larger (setrlimit(2)), so that a write fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
schema = {"flow_id": pl.UInt64, "name": pl.String}
rows = range(int(sys.argv[2]))
frame = pl.DataFrame({"flow_id": rows, "name": [str(n * n) for n in rows]}, schema)
try:
    with records.RecordWriter(Path(sys.argv[1]), lambda rows: rows, frame.clear()) as writer:
        for _ in range(4):
            writer.write(frame)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("rows", [20_000, 5_000])  # one part is too large, or all together
def test_a_parquet_file_that_finds_no_room_is_one_line(rows: int, tmp_path: Path) -> None:
    path = tmp_path / "flows.parquet"
    command = [sys.executable, "-I", "-c", LIMITED, str(path), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: ")
    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
