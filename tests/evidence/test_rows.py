"""Flow rows of the recent past on disk: bounded, whole after a crash, and asked by time."""

import os
import time
from pathlib import Path

import polars as pl
import pytest

from monitor.evidence import rows
from monitor.evidence.rows import RowSpool
from monitor.flow_batch import INDEXES
from tests.judge.frames import SECOND, START, at, batch, flow, numbered


def frame(*seconds: int) -> pl.DataFrame:
    """Give a row for each of these seconds, which is its number too."""
    return batch([flow(second, second) for second in seconds])


def numbers(spool: RowSpool, since: int = 0) -> list[int]:
    return [number for part in spool.frames(at(since)) for number in part["flow_id"].to_list()]


def spool(folder: Path, size: int = 1 << 20, age: int | None = None) -> RowSpool:
    made = RowSpool(folder, size=size, age=age)
    made.start()
    return made


def test_rows_that_wait_and_rows_on_disk_are_given_in_order(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    kept.add(frame(1, 2))
    kept.flush()
    kept.add(frame(3))
    assert numbers(kept) == [1, 2, 3]
    assert numbers(kept, since=2) == [2, 3]


def test_many_rows_go_to_disk_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS", 2)
    kept = spool(tmp_path)
    kept.add(frame(1, 2, 3))
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o600, 0o600]
    assert numbers(spool(tmp_path)) == [1, 2, 3], "the next run has them"


def test_the_oldest_go_by_size_and_by_age(tmp_path: Path) -> None:
    kept = spool(tmp_path / "age", age=10 * SECOND)
    for second in (0, 5, 30):
        kept.add(frame(second))
        kept.flush()
    assert numbers(kept) == [30]
    small = spool(tmp_path / "size", size=1)
    small.add(frame(1))
    small.flush()
    assert (numbers(small), small.held) == ([], 0)


def test_what_a_crash_left_half_written_is_cleared_up(tmp_path: Path) -> None:
    (tmp_path / ".rows-0000000001.parquet").write_bytes(b"half")
    (tmp_path / "rows-0000000002.parquet").write_bytes(b"no parquet")
    (tmp_path / "other.txt").write_bytes(b"not ours")
    (tmp_path / "rows-0000000003.parquet").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".rows-0000000004.parquet").mkdir()
    kept = spool(tmp_path)
    kept.add(frame(1))
    assert numbers(kept) == [1]
    assert kept.lost > 0, "a file that cannot be read is counted"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".rows-0000000004.parquet", "other.txt", "rows-0000000002.parquet", "rows-0000000003.parquet",
    ]  # fmt: skip


def test_a_folder_that_takes_nothing_costs_rows_and_says_so(tmp_path: Path) -> None:
    kept = spool(tmp_path / "rows")
    (tmp_path / "rows").rmdir()
    kept.add(frame(1, 2))
    kept.flush()
    assert kept.lost == 2


def earlier(rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows as another version may have written them: fewer columns, another one, and fewer words."""
    words = pl.Enum(["unknown", "tls", "gopher"])  # the last is one that this version does not know
    speaks = pl.lit("gopher").cast(words).alias("application")
    return rows.drop("pod", "personal_data_out").with_columns(speaks, pl.lit(1).alias("forgotten"))


def test_rows_of_another_version_are_taken_for_what_they_say(tmp_path: Path) -> None:
    earlier(frame(1, 2)).write_parquet(tmp_path / "rows-0000000001.parquet")
    kept = spool(tmp_path)
    kept.add(frame(3))
    parts = list(kept.frames(0))
    assert pl.concat(parts)["flow_id"].to_list() == [1, 2, 3], "columns and types are the same"
    assert parts[0]["application"].to_list() == [None, None]
    assert parts[0]["pod"].to_list() == [None, None]
    assert kept.lost == 0


@pytest.mark.parametrize(
    "wrong",
    [
        frame(1).drop("flow_id"),
        frame(1).with_columns(pl.lit(None, pl.UInt64).alias("flow_id")),
        frame(1).with_columns(pl.lit("then").alias("last_seen")),
        frame(1).with_columns(pl.lit(-1).alias("bytes_out")),
        pl.DataFrame({"a": [1]}),
    ],
)
def test_a_file_without_flow_rows_is_counted_once(tmp_path: Path, wrong: pl.DataFrame) -> None:
    wrong.write_parquet(tmp_path / "rows-0000000001.parquet")
    kept = spool(tmp_path)
    kept.add(frame(2))
    assert [numbers(kept) for _ in range(3)] == [[2]] * 3
    assert kept.lost == rows.ROWS


def test_numbers_that_are_of_one_batch_are_not_kept(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    kept.add(numbered(frame(1)))
    kept.add(numbered(frame(2)))
    kept.flush()
    kept.add(numbered(frame(3)))
    for part in kept.frames(0):
        assert not set(INDEXES) & set(part.columns)


def test_a_file_of_the_future_does_not_keep_those_behind_it(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    for second in (1, 2):
        kept.add(frame(second))
        kept.flush()
    in_a_year = time.time() + 365 * 86400
    os.utime(tmp_path / "rows-0000000001.parquet", (in_a_year, in_a_year))
    again = spool(tmp_path, age=86400 * SECOND)
    in_two_days = int(time.time() - START) + 2 * 86400
    again.add(frame(in_two_days))
    again.flush()
    assert numbers(again) == [in_two_days]
