"""The law: several workers give the same rows as one, apart from their order within a tick."""

from pathlib import Path

import polars as pl
import pytest

from monitor.errors import InputError
from monitor.flow_batch import INDEXES

from . import truth

EVERY = 10  # one capture of so many; all of them take minutes


def _rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Put rows in an order of their own, without the numbers that hold in one batch only."""
    rows = rows.drop(INDEXES, strict=False).cast({pl.Enum: pl.String})
    return rows.sort(rows.columns)


@pytest.fixture(scope="module")
def captures() -> list[Path]:
    root = truth.folder()
    if root is None:
        pytest.skip("EGRESS_CAPTURES names no folder of real captures")
    return [case.path for case in truth.cases(root)][::EVERY]


@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_give_the_rows_of_one(captures: list[Path], workers: int) -> None:
    shared = 0
    for path in captures:
        try:
            one = truth.read(path)
        except InputError:
            continue
        several = truth.read(path, workers=workers)
        assert _rows(several.flows).equals(_rows(one.flows)), path
        assert _rows(several.dns).equals(_rows(one.dns)), path
        assert truth.broken_laws(several.counters) == [], path
        assert several.flows["tick"].is_sorted(), path
        shared += len(several.counters.worker_cpu_seconds) == workers
    assert shared > 20


def test_numbers_of_addresses_and_names_are_dense(captures: list[Path]) -> None:
    """Each batch counts its addresses, names and questions from 0, whichever worker saw them."""
    for path in captures[:20]:
        try:
            drains = truth.read(path, workers=3).drains
        except InputError:
            continue
        for drain in drains:
            for rows, number, value in (
                (drain.flows, "local_id", "local_address"),
                (drain.flows, "remote_id", "remote_address"),
                (drain.flows, "name_id", "name"),
                (drain.dns, "client_id", "client"),
                (drain.dns, "resolver_id", "resolver"),
                (drain.dns, "question_id", "question"),
            ):
                # a question that could not be read has a number too
                pairs = rows.select(number, value).drop_nulls(number).unique()
                assert sorted(pairs[number]) == list(range(len(pairs))), path
                assert pairs[value].n_unique() == len(pairs), path
