"""Flow rows of the recent past on disk: bounded, whole after a crash, and asked by time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from monitor.evidence import rows
from monitor.evidence.rows import RowSpool

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 10**9


def frame(*seconds: int) -> pl.DataFrame:
    times = [START + timedelta(seconds=second) for second in seconds]
    columns = [
        pl.Series("last_seen", times, dtype=pl.Datetime("ns", "UTC")),
        pl.Series("number", list(seconds), dtype=pl.UInt64),
    ]
    return pl.DataFrame(columns)


def numbers(spool: RowSpool, since: int = 0) -> list[int]:
    start = int(START.timestamp()) * SECOND
    return [number for part in spool.frames(start + since * SECOND) for number in part["number"].to_list()]


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
    kept = spool(tmp_path)
    kept.add(frame(1))
    assert numbers(kept) == [1]
    assert kept.lost > 0, "a file that cannot be read is counted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.txt", "rows-0000000002.parquet"]


def test_a_folder_that_takes_nothing_costs_rows_and_says_so(tmp_path: Path) -> None:
    kept = spool(tmp_path / "rows")
    (tmp_path / "rows").rmdir()
    kept.add(frame(1, 2))
    kept.flush()
    assert kept.lost == 2
