"""What dense numbers stand for."""

import polars as pl

from monitor.attribute.distinct import distinct

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


def test_a_number_may_come_before_smaller_ones() -> None:
    ids = [2, 2, 0, None, 4, 1, 0]
    rows = frame(ids, [None if number is None else f"value {number}" for number in ids])
    found = distinct(rows, "id", "value").to_list()
    assert {number: found[number] for number in (0, 1, 2, 4)} == {n: f"value {n}" for n in (0, 1, 2, 4)}
    assert len(found) == 5
    assert distinct(frame([1, 0, 1], ["b", "a", "b"]), "id", "value").to_list() == ["a", "b"]


def test_of_nothing_there_is_nothing() -> None:
    for rows in (frame([], []), frame([None, None], [None, None])):
        assert distinct(rows, "id", "value").to_list() == []
    nothing = distinct(NO_FLOWS, "remote_id", "remote_address")
    assert len(nothing) == 0
    assert nothing.dtype == pl.Binary
