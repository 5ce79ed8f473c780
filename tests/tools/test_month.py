"""The made month: what it says it is, the same each time; the shipped rules find what is planted in it."""

import polars as pl
import pytest

from monitor import shipped
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from tools.month.__main__ import Found, make, play
from tools.month.events import NORMAL, hourly
from tools.month.leaks import Leak
from tools.month.world import DAY, START, Parameters

MONTH = Parameters(seed=11, days=24, load=0.2)


@pytest.fixture(scope="module")
def month() -> tuple[pl.DataFrame, pl.DataFrame, list[Leak]]:
    return make(MONTH)


@pytest.fixture(scope="module")
def found(month: tuple[pl.DataFrame, pl.DataFrame, list[Leak]]) -> list[Found]:
    return play(month[0], month[1], MONTH.days, [shipped.rules()])


def test_rows_are_those_of_the_stages_before(month: tuple[pl.DataFrame, pl.DataFrame, list[Leak]]) -> None:
    flows, dns, _ = month
    assert dict(flows.drop("leak").schema) == {**FLOW_SCHEMA, **ATTRIBUTED}
    assert dict(dns.drop("leak").schema) == {**DNS_SCHEMA, **DNS_ATTRIBUTED}
    assert flows["tick"].is_sorted()
    assert flows["remote_address"].bin.size().unique().to_list() == [16]
    assert sum(rows.height for rows in hourly(flows, MONTH.days)) == flows.height
    # a name is asked for, and only what stands left of its domain is fresh, once
    longest = dns["question"].str.len_bytes() - dns["domain"].str.len_bytes()
    assert (dns["fresh_question_bytes"] < longest.clip(lower_bound=1)).all()


def test_the_same_seed_makes_the_same_month(month: tuple[pl.DataFrame, pl.DataFrame, list[Leak]]) -> None:
    again = make(MONTH)
    assert again[0].equals(month[0])
    assert again[1].equals(month[1])
    assert not make(Parameters(seed=12, days=16, load=0.02))[0].equals(
        make(Parameters(days=16, load=0.02))[0]
    )


def test_leaks_are_few_among_much_and_begin_when_it_is_said(
    month: tuple[pl.DataFrame, pl.DataFrame, list[Leak]],
) -> None:
    flows, _, leaks = month
    assert len({leak.what for leak in leaks}) == len(leaks) == 8
    assert all(MONTH.first_leak * DAY <= leak.began < (MONTH.days - 1) * DAY for leak in leaks)
    rows = pl.concat([frame.filter(pl.col("leak") != NORMAL).select("leak", "tick") for frame in month[:2]])
    first = dict(rows.group_by("leak").agg(pl.col("tick").min().dt.epoch("s")).iter_rows())
    assert {leak.number: leak.began + START for leak in leaks} == first
    assert flows.filter(pl.col("leak") != NORMAL).height < flows.height / 10


def test_every_leak_is_found(
    month: tuple[pl.DataFrame, pl.DataFrame, list[Leak]], found: list[Found]
) -> None:
    seen = {one.leak for one in found}
    assert [leak.what for leak in month[2] if leak.number not in seen] == []


def test_at_most_one_false_page_a_week(found: list[Found]) -> None:
    pages = [one.began // (7 * DAY) for one in found if one.leak is None and one.alert.severity == "critical"]
    assert all(pages.count(week) <= 1 for week in pages)
