"""The rows of a rule's test out of a capture file.

The judge knows no capture: `ReadCapture` is what the stages before make of one, and is handed in. The rows
are moved in time, so that the capture begins when the test does: exceptions, ``at`` and ``learnt`` mean the
same as with written rows.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monitor.errors import InputError
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge.case_rows import SECOND, Row
from monitor.judge.fields import Record, column_kind
from monitor.judge.rule_file import CaseConfig, CaseFile
from monitor.yaml_file import Document, nearest

# Gives the attributed rows of a capture as `case_rows` makes rows; raises InputError with a text for people.
ReadCapture = Callable[[Path, CaseConfig], Mapping[Record, list[Row]]]

MAX_LOOKED_AT = 1000  # names in the folder of a capture that is missing
_COLUMNS: dict[Record, dict[str, Any]] = {
    "flows": {**FLOW_SCHEMA, **ATTRIBUTED},
    "dns": {**DNS_SCHEMA, **DNS_ATTRIBUTED},
}
_TIMES = {
    record: [name for name, dtype in columns.items() if column_kind(dtype) == "time" and name != "tick"]
    for record, columns in _COLUMNS.items()
}


def capture_rows(
    document: Document, case: CaseFile, index: int, record: Record, read: ReadCapture, start: int
) -> list[Row]:
    """Read the capture of the test at `index`, which begins at `start` (seconds); raises InputError.

    A capture that gives no row of `record` is refused: a rule that stays quiet over nothing proves nothing.
    """
    place = ("tests", index, "capture")
    config = case.config or CaseConfig()
    for workload in config.published:
        if workload not in config.workloads:
            hint = nearest(workload, config.workloads)
            message = f"published: {workload!r} is not one of the test's workloads{hint}"
            raise document.error(("tests", index, "config", "published", workload), message)
    path = document.path.parent / str(case.capture)
    try:
        found = read(path, config)
    except InputError as error:
        raise document.error(place, f"{error}{_nearest_file(path)}") from error
    if not found[record]:
        raise document.error(place, f"{path}: gives no {record}, so there is nothing to judge")
    began = min(row["tick"] for rows in found.values() for row in rows)
    return [_moved(row, record, start - began) for row in found[record]]


def _moved(row: Row, record: Record, seconds: int) -> Row:
    times = {name: row[name] + seconds * SECOND for name in _TIMES[record] if row[name] is not None}
    return {**row, **times, "tick": row["tick"] + seconds}


def _nearest_file(path: Path) -> str:
    """Give the file beside a missing one whose name is nearest."""
    if path.exists() or not path.parent.is_dir():
        return ""
    entries = [entry for entry, _ in zip(path.parent.iterdir(), range(MAX_LOOKED_AT), strict=False)]
    return nearest(path.name, [entry.name for entry in entries if entry.is_file()])
