"""Numbers for sets of values: the same for the same values, and sums by them."""

import random
from collections import Counter

import polars as pl
import pytest

from monitor import row_number
from monitor.row_number import distinct, grouped, hashed, mixed, number_of


def rows(height: int, seed: int) -> pl.DataFrame:
    """Give rows of few distinct values, some of them missing."""
    chance = random.Random(seed)
    values = [(chance.choice(["a", "b", None]), chance.choice([-1, 0, 2**40]), 1) for _ in range(height)]
    return pl.DataFrame(values, schema={"text": pl.String, "signed": pl.Int64, "one": pl.Int64}, orient="row")


def test_same_values_have_the_same_number_and_others_another() -> None:
    numbered = rows(500, 1).with_columns(number=number_of(["text", "signed"]))
    pairs = numbered.select("text", "signed", "number").unique()
    assert pairs.height == pairs["number"].n_unique() == 9
    assert 0 not in pairs["number"]


def test_columns_do_not_change_places() -> None:
    one = pl.DataFrame({"a": ["x"], "b": ["y"]}).select(number_of(["a", "b"])).item()
    other = pl.DataFrame({"a": ["y"], "b": ["x"]}).select(number_of(["a", "b"])).item()
    assert one != other


def test_numbers_can_be_made_of_those_of_the_columns() -> None:
    frame = rows(100, 2)
    apart = frame.select(hashed("text").alias("t"), hashed("signed").alias("s"))
    made = apart.select(mixed([pl.col("t"), pl.col("s")])).to_series()
    assert made.to_list() == frame.select(number_of(["text", "signed"])).to_series().to_list()


def test_signed_numbers_keep_all_their_digits() -> None:
    """64 bits do not fit a float, which Polars makes of a signed and an unsigned number."""
    frame = pl.DataFrame({"group": [2**63 + 1] * 1000, "leaves": range(1_780_000_000, 1_780_001_000)})
    frame = frame.with_columns(pl.col("group").cast(pl.UInt64), pl.col("leaves").cast(pl.Int64))
    number = frame.select(mixed([pl.col("leaves"), pl.col("group")])).to_series()
    assert number.dtype == pl.UInt64
    assert number.n_unique() == 1000


def test_distinct_gives_the_first_row_of_each_in_order() -> None:
    frame = pl.DataFrame({"number": [5, 3, 5, 1, 3], "place": [0, 1, 2, 3, 4]})
    assert distinct(frame, "number")["place"].to_list() == [0, 1, 3]


@pytest.mark.parametrize("many", [1, 10**6], ids=["in parts", "at once"])
def test_sums_are_those_of_counting_one_by_one(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_number, "_MANY", many)
    frame = rows(5000, 3)
    sums = grouped(
        frame.with_columns(number=number_of(["text"])),
        "number",
        [pl.col("text").first(), pl.col("one").sum()],
    )
    assert dict(sums.select("text", "one").iter_rows()) == Counter(frame["text"].to_list())
