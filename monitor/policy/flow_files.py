"""Flow rows read back, piece by piece: files that ``replay --flows`` writes, and what the daemon keeps."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from monitor.errors import InputError
from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA

PIECE_BYTES = 2**23  # of JSON lines read at once
PIECE_ROWS = 2**17  # of Parquet read at once
LONGEST_LINE = 2**20  # bytes of one JSON line; a flow row has some 1500
NEVER_MISSING = {
    "workload",
    "tick",
    "flow_id",
    "initiator",
    "scope",
    "protocol",
    "local_address",
    "local_port",
    "remote_address",
    "bytes_out",
    "packets_out",
    "packets_in",
    "payload_out",
    "payload_in",
    "tcp_flags",
    "first_seen",
    "last_seen",
}
_WRONG = (pl.exceptions.PolarsError, ValueError, TypeError, OverflowError)
_SCHEMA: dict[str, Any] = {**FLOW_SCHEMA, **ATTRIBUTED}
# as `monitor.records` writes these
_TEXTS = dict.fromkeys(("flow_id", "local_address", "remote_address"), pl.String)


def files_of(path: Path) -> list[Path]:
    """Give the files of a folder, such as the daemon's ``rows``, by their names; a file as it is.

    Raises InputError where a folder has none.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted(one for one in path.iterdir() if _is_flow_file(one))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not found:
        raise InputError(f"{path}: no flow rows here; such files end in .jsonl or .parquet")
    return found


def _is_flow_file(path: Path) -> bool:
    # the daemon writes a file under a hidden name until it is whole
    return path.suffix in (".jsonl", ".parquet") and not path.name.startswith(".") and path.is_file()


def read_flows(path: Path, columns: list[str], *, readable: bool = False) -> Iterator[pl.DataFrame]:
    """Give the rows of a ``.jsonl`` or ``.parquet`` file in pieces, with the types of `FLOW_SCHEMA`.

    `readable`: the file is one of ``replay --flows``, whose addresses and ids are text. Raises InputError
    where the file cannot be read or is no such file, with the line where there is one.
    """
    read = {".jsonl": _json_lines, ".parquet": _parquet}.get(path.suffix)
    if read is None:
        raise InputError(f"{path}: a file of flow rows ends in .jsonl or .parquet")
    try:
        types = _SCHEMA | _TEXTS if readable else _SCHEMA
        yield from read(path, {name: types[name] for name in columns})
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _json_lines(path: Path, schema: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
    number = 0
    with path.open("rb") as file:
        rest = b""
        while piece := file.read(PIECE_BYTES):
            whole, _, rest = (rest + piece).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                raise InputError(f"{path}: a line longer than {LONGEST_LINE // 2**20} MiB is no flow row")
            lines = whole.split(b"\n") if whole else []
            yield _parsed(lines, path, number, schema)
            number += len(lines)
        yield _parsed([rest], path, number, schema)


def _parsed(lines: list[bytes], path: Path, before: int, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Make a frame of JSON lines; `before`: how many lines of the file come before them."""
    # Polars' own reader of JSON lines aborts on types and on texts that it does not expect
    places = [place for place, line in enumerate(lines) if line.strip()]
    rows = [_row(lines[place], f"{path}:{before + place + 1}", schema) for place in places]
    columns = []
    for name, dtype in schema.items():
        values = [row[name] for row in rows]
        try:
            columns.append(_column(name, values, dtype))
        except _WRONG:
            at = next(place for place, value in enumerate(values) if not _fits(name, value, dtype))
            where = f"{path}:{before + places[at] + 1}"
            raise InputError(f"{where}: {name}: {str(values[at])[:80]!r} is no such value") from None
    return pl.DataFrame(columns)


def _row(line: bytes, where: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not JSON; was the file cut off?") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: a flow row is an object, not {type(row).__name__}")
    missing = next((name for name in schema if name not in row), None)
    if missing is not None:
        raise InputError(f"{where}: no {missing!r}: not a file of flow rows, or of another version")
    return row


def _column(name: str, values: list[Any], dtype: Any) -> pl.Series:
    """Make a column; raises one of `_WRONG` where a value is none of its type."""
    if isinstance(dtype, pl.Datetime):  # stands there as text
        moments = pl.Series(name, values, dtype=pl.String, strict=True)
        column = moments.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns", time_zone="UTC").cast(dtype)
    else:
        column = pl.Series(name, values, dtype=dtype, strict=True)
    if name in NEVER_MISSING and column.null_count():
        raise ValueError(f"{name} is missing")
    return column


def _fits(name: str, value: Any, dtype: Any) -> bool:
    try:
        _column(name, [value], dtype)
    except _WRONG:
        return False
    return True


def _parquet(path: Path, schema: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
    try:
        table = pl.scan_parquet(path, glob=False)  # a name is no pattern, whatever it holds
        have = table.collect_schema()
        missing = next((name for name in schema if name not in have), None)
        if missing is not None:
            raise InputError(f"{path}: no column {missing!r}: not a file of flow rows, or of another version")
        rows = int(table.select(pl.len()).collect().item())
        for start in range(0, rows, PIECE_ROWS):
            piece = table.select(list(schema)).slice(start, PIECE_ROWS).collect()
            typed = piece.with_columns(pl.col(name).cast(dtype) for name, dtype in schema.items())
            lacks = next((name for name in NEVER_MISSING & set(schema) if typed[name].null_count()), None)
            if lacks is not None:
                raise InputError(f"{path}: a row without {lacks!r}")
            yield typed
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a Parquet file of flow rows: {reason}") from error
