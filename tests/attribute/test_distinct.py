"""What dense numbers stand for."""

import random

import polars as pl

from monitor.attribute.distinct import distinct, number_rows

from .frames import NO_FLOWS


def frame(ids: list[int | None], values: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"id": ids, "value": values}, {"id": pl.UInt32, "value": pl.String})


def test_each_number_has_its_value() -> None:
    rows = frame([0, None, 1, 0, 2, 1], ["a", None, "b", "a", None, "b"])
    assert distinct(rows, "id", "value").to_list() == ["a", "b", None]
    assert distinct(rows, "id", "value").name == "value"


def test_where_rows_were_left_out_the_others_keep_their_values() -> None:
    found = distinct(frame([3, 1, 3], ["d", "b", "d"]), "id", "value").to_list()
    assert (len(found), found[1], found[3]) == (4, "b", "d")


def test_of_nothing_there_is_nothing() -> None:
    for rows in (frame([], []), frame([None, None], [None, None])):
        assert distinct(rows, "id", "value").to_list() == []
    nothing = distinct(NO_FLOWS, "remote_id", "remote_address")
    assert len(nothing) == 0
    assert nothing.dtype == pl.Binary


def test_equal_rows_have_equal_numbers_in_the_order_of_their_first() -> None:
    generator = random.Random(5)
    for width in range(1, 5):
        rows = [tuple(generator.randrange(4) for _ in range(width)) for _ in range(300)]
        frame = pl.DataFrame(rows, {str(n): pl.UInt32 for n in range(width)}, orient="row")
        numbers, firsts = number_rows(frame)
        order = list(dict.fromkeys(rows))
        assert [order[number] for number in numbers] == rows
        assert firsts.to_list() == [rows.index(row) for row in order]
