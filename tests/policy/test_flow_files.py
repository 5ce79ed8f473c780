"""Files of flow rows, as ``replay --flows`` writes them: read in pieces, and refused with the line."""

import json
from pathlib import Path

import polars as pl
import pytest

from monitor.errors import InputError
from monitor.evidence.rows import RowSpool
from monitor.policy import flow_files
from monitor.policy.flow_files import files_of, read_flows
from monitor.policy.observed import COLUMNS
from monitor.records import FlowWriter

from .test_policy import BACKUP, flows

BATCH = flows(BACKUP, {**BACKUP, "name": "none", "day": 3}, {**BACKUP, "workload": 'bätch "x"\n'})


@pytest.fixture(params=[".jsonl", ".parquet"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"flows{request.param}"
    with FlowWriter(path) as writer:
        writer.write(BATCH)
        writer.write(BATCH)
    return path


def read(path: Path) -> pl.DataFrame:
    return pl.concat(read_flows(path, COLUMNS))


@pytest.mark.parametrize("piece", [1, 700, 2**23])
def test_what_was_written_is_read_back_in_pieces_of_any_size(
    written: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_files, "PIECE_BYTES", piece)
    monkeypatch.setattr(flow_files, "PIECE_ROWS", piece)
    assert read(written).equals(pl.concat([BATCH, BATCH]).select(COLUMNS))


def test_the_rows_that_the_daemon_keeps_are_history(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path / "rows", size=2**20, age=None)
    spool.start()
    for _ in range(2):
        spool.add(BATCH)
        spool.flush()
    (tmp_path / "rows" / ".rows-0000000009.parquet").write_bytes(b"half of one")
    (tmp_path / "rows" / "notes.txt").write_text("not one")
    files = files_of(tmp_path / "rows")
    assert [file.name for file in files] == ["rows-0000000001.parquet", "rows-0000000002.parquet"]
    assert pl.concat([read(file) for file in files]).equals(pl.concat([BATCH, BATCH]).select(COLUMNS))


@pytest.mark.parametrize("name", ["out[1].parquet", "a*.parquet", "what?.parquet", "out[1].jsonl"])
def test_a_name_is_no_pattern(name: str, tmp_path: Path) -> None:
    with FlowWriter(tmp_path / name) as writer:
        writer.write(BATCH)
    (tmp_path / "abc.parquet").write_bytes(b"another file")
    assert read(tmp_path / name).equals(BATCH.select(COLUMNS))


def test_a_folder_without_flow_rows_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no flow rows here"):
        files_of(tmp_path)


def test_a_file_that_is_cut_off_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    with FlowWriter(path) as writer:
        writer.write(BATCH)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=rf"{path}:3: not JSON; was the file cut off\?"):
        read(path)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("initiator", "me", "initiator: 'me' is no such value"),
        ("payload_out", -1, "payload_out: '-1' is no such value"),
        ("local_port", 70_000, "local_port: '70000' is no such value"),
        ("tick", "yesterday", "tick: 'yesterday' is no such value"),
        ("workload", None, "workload: 'None' is no such value"),
        ("via", ..., "no 'via': not a file of flow rows, or of another version"),
    ],
)
def test_a_row_that_cannot_be_is_told_with_its_line(
    key: str, value: object, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "flows.jsonl"
    with FlowWriter(path) as writer:
        writer.write(BATCH)
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    if value is ...:
        del row[key]
    else:
        row[key] = value
    lines[1] = json.dumps(row)
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value) == f"{path}:2: {told}"


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, content, told in (
        ("a.csv", b"", "ends in .jsonl or .parquet"),
        ("a.parquet", b"no parquet", "not a Parquet file"),
        ("b.parquet", b"", "not a Parquet file"),
        ("a.jsonl", b"[1]\n", ":1: a flow row is an object, not list"),
        ("b.jsonl", b"{" * 2000 + b"\n", ":1: not JSON"),
        ("c.jsonl", b"x" * (2**20 + 1), "a line longer than 1 MiB is no flow row"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read(path)
        assert told in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "none.jsonl")
    other = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(other)
    with pytest.raises(InputError, match="no column 'tick': not a file of flow rows"):
        read(other)


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert read(tmp_path / "empty.jsonl").is_empty()
