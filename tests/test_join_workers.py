"""Drains of several workers become drains of whole ticks."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from monitor import join_workers
from monitor.flow_batch import DNS_SCHEMA, FLOW_SCHEMA, Counters, Drain
from monitor.flow_rows import DnsRows, FlowRows
from monitor.join_workers import WorkerJoin, add_counters

SECOND = 10**9


def _drain(clock: int, *rows: tuple[int, bytes, str | None], done: bool = False, **counted: Any) -> Drain:
    """Make a drain up to second `clock` with rows of (second, remote address, name)."""
    values = [
        {"tick": datetime.fromtimestamp(tick, UTC), "remote_address": address, "remote_id": 0,
         "name": name, "name_id": None if name is None else 0}
        for tick, address, name in rows
    ]  # fmt: skip
    flows = pl.DataFrame(values, schema=FLOW_SCHEMA)
    dns = pl.DataFrame([{"tick": row["tick"], "time": row["tick"]} for row in values], schema=DNS_SCHEMA)
    return Drain(FlowRows(flows), DnsRows(dns), Counters(**counted), clock * SECOND, SECOND, done)


def _ticks(rows: pl.DataFrame) -> list[int]:
    return [int(tick.timestamp()) for tick in rows["tick"]]


def test_a_tick_is_given_when_all_have_finished_it() -> None:
    join = WorkerJoin(2)
    assert join.add(0, _drain(5, (1, b"a", None), (4, b"b", None))) is None
    first = join.add(1, _drain(3, (2, b"c", None)))
    assert first is not None
    assert (first.clock, first.done) == (3 * SECOND, False)
    assert _ticks(first.flows.frame) == _ticks(first.dns.frame) == [1, 2]
    assert join.add(0, _drain(6, (5, b"d", None))) is None
    second = join.add(1, _drain(9, (5, b"e", None), done=True))
    assert second is not None
    assert (second.clock, second.done, _ticks(second.flows.frame)) == (6 * SECOND, False, [4, 5, 5])
    last = join.add(0, _drain(9, (8, b"f", None), done=True))
    assert last is not None
    assert (last.clock, last.done, _ticks(last.flows.frame)) == (9 * SECOND, True, [8])


def test_addresses_and_names_are_counted_anew() -> None:
    join = WorkerJoin(2)
    join.add(0, _drain(2, (1, b"x", "one.example"), (1, b"x", None)))
    drain = join.add(1, _drain(2, (1, b"y", "two.example"), (1, b"x", "one.example")))
    assert drain is not None
    rows = drain.flows.frame.select("remote_address", "remote_id", "name", "name_id").rows()
    assert sorted(set(rows), key=str) == [
        (b"x", 0, "one.example", 0), (b"x", 0, None, None), (b"y", 1, "two.example", 1),
    ]  # fmt: skip
    assert drain.flows.frame.schema == pl.Schema(FLOW_SCHEMA)


def test_counters_are_sums_and_warnings_come_once() -> None:
    join = WorkerJoin(2)
    join.add(0, _drain(2, frames={"eth0": 4}, late_frames=1, worker_cpu_seconds={"0": 0.5}, warnings=["cut"]))
    drain = join.add(1, _drain(2, frames={"eth0": 3}, late_frames=2, worker_cpu_seconds={"1": 0.25}))
    assert drain is not None
    assert drain.counters.frames == {"eth0": 7}
    assert drain.counters.late_frames == 3
    assert drain.counters.worker_cpu_seconds == {"0": 0.5, "1": 0.25}
    assert drain.counters.warnings == ["cut"]
    join.add(0, _drain(3, frames={"eth0": 5}))
    again = join.add(1, _drain(3, frames={"eth0": 3}))
    assert again is not None
    assert again.counters.frames == {"eth0": 8}, "the latest of each, not the sum of all that came"
    assert again.counters.warnings == []


def test_dropped_frames_keep_their_labels() -> None:
    one = Counters(dropped_frames={("eth0", "ring"): 2})
    two = Counters(dropped_frames={("eth0", "ring"): 3, ("lo", "ring"): 1})
    assert add_counters([one, two]).dropped_frames == {("eth0", "ring"): 5, ("lo", "ring"): 1}


def test_who_opened_flows_is_told_when_all_have_told_it_and_once() -> None:
    join = WorkerJoin(2)
    join.add(0, replace(_drain(1), opened=b"old"))
    first = join.add(1, _drain(1))
    assert first is not None
    assert first.opened is None  # a part would take the place of the whole
    join.add(0, replace(_drain(2), opened=b"entry-one"))
    second = join.add(1, replace(_drain(2), opened=b"entry-two"))
    assert second is not None
    assert second.opened is not None
    assert sorted(second.opened[at : at + 9] for at in (0, 9)) == [b"entry-one", b"entry-two"]
    join.add(0, _drain(3))
    third = join.add(1, _drain(3))
    assert third is not None
    assert third.opened is None


def test_connections_that_are_open_in_one_worker_are_not_pushed_out_by_what_all_were_told() -> None:
    """The next run keeps the last 65,536 entries (`MAX_INITIATORS`); each worker tells its oldest first."""
    told = [f"told{number:05}".encode() for number in range(65_536)]
    still_open = [[f"open{worker}{number:04}".encode() for number in range(500)] for worker in range(4)]
    join = WorkerJoin(4)
    for worker in range(4):
        drain = join.add(worker, replace(_drain(2), opened=b"".join(told + still_open[worker])))
    assert drain is not None
    assert drain.opened is not None
    entries = [drain.opened[at : at + 9] for at in range(0, len(drain.opened), 9)]
    kept: dict[bytes, None] = {}  # as the hot path does it: what is there stays where it is
    for entry in entries:
        kept.setdefault(entry)
        if len(kept) > 65_536:
            del kept[next(iter(kept))]
    assert kept.keys() >= {entry for part in still_open for entry in part}
    assert len(entries) == 4 * 65_536, "no more of each than could be kept"


def test_entries_are_as_the_hot_path_writes_and_keeps_them() -> None:
    hot_path = Path(__file__).parents[1] / "monitor" / "hotpath"
    written = (hot_path / "binding" / "src" / "opened.rs").read_text()
    kept = (hot_path / "flowcore" / "src" / "flow" / "initiators.rs").read_text()
    assert re.findall(r"const ENTRY: usize = (\d+);", written) == [str(join_workers.OPENED_BYTES)]
    (shift,) = re.findall(r"const MAX_INITIATORS: usize = 1 << (\d+);", kept)
    assert 1 << int(shift) == join_workers.MOST_OPENED


def test_a_large_tick_is_given_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.join_workers.MOST_ROWS", 6)  # each flow row here has a DNS row beside it
    join = WorkerJoin(2)
    assert join.add(0, _drain(6, (5, b"a", None))) is None
    first = join.add(1, _drain(5, (4, b"b", None)))
    assert first is not None
    assert (first.clock, _ticks(first.flows.frame)) == (5 * SECOND, [4])
    # the second worker hands over parts of tick 5, in which it still is
    assert join.add(1, _drain(5, (5, b"c", None))) is None
    part = join.add(1, _drain(5, (5, b"d", None)))
    assert part is not None
    assert (part.clock, part.done, _ticks(part.flows.frame)) == (5 * SECOND, False, [5, 5, 5])
    rest = join.add(1, _drain(6, (5, b"e", None)))
    assert rest is not None
    assert (rest.clock, _ticks(rest.flows.frame)) == (6 * SECOND, [5])


def test_a_flood_before_all_workers_have_handed_over_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.join_workers.MOST_ROWS", 2)
    join = WorkerJoin(2)
    for _ in range(3):
        assert join.add(0, _drain(5, (4, b"a", None), (5, b"b", None))) is None
    first = join.add(1, _drain(5))
    assert first is not None
    assert (first.clock, _ticks(first.flows.frame)) == (5 * SECOND, [4] * 3)
    part = join.add(0, _drain(5, (5, b"c", None)))
    assert part is not None
    assert (part.clock, _ticks(part.flows.frame)) == (5 * SECOND, [5] * 4)
