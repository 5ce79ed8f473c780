"""One number for each distinct set of values in some columns.

A batch has many rows and few distinct sets of values. Grouping by one number costs a fraction of grouping
by text, so sums are kept by number, and the text that a number stands for is kept once, beside them.
"""

import random
from collections.abc import Iterable, Sequence

import polars as pl

# numbers of our own, so that nobody can choose names that collide
_CHANCE = random.SystemRandom()
_SEED = _CHANCE.getrandbits(64)
_MIXER = _CHANCE.getrandbits(64) | 1
_MANY = 2**15  # rows from which grouping in parts is faster


def number_of(columns: Sequence[str]) -> pl.Expr:
    """Give one number for each distinct set of values of these columns; never 0."""
    return mixed([hashed(column) for column in columns])


def hashed(column: str) -> pl.Expr:
    """Give the number of each value of one column."""
    return pl.col(column).hash(_SEED)


def mixed(numbers: Sequence[pl.Expr]) -> pl.Expr:
    """Make one number of those of several columns (see `hashed`; whole numbers serve too); never 0."""
    # Polars hashes a struct of the columns too, at twice the cost
    mixed = pl.lit(len(numbers), dtype=pl.UInt64)
    for number in numbers:
        mixed = mixed * _MIXER + number.cast(pl.UInt64)  # a signed number would make it a float
    return mixed.clip(lower_bound=1)


def distinct(rows: pl.DataFrame, number: str) -> pl.DataFrame:
    """Give the first row of each number, in their order."""
    # picking rows in their order reads text as it lies in memory; any other order waits for each line of it
    return rows.filter(pl.col(number).is_first_distinct())


def grouped(rows: pl.DataFrame, number: str, sums: Iterable[pl.Expr]) -> pl.DataFrame:
    """Work out something for each number, in no order."""
    if rows.height < _MANY:
        return rows.group_by(number).agg(*sums)
    # Polars' lazy engine groups in parts that stay in the processor's cache, but takes long to begin
    return rows.lazy().group_by(number).agg(*sums).collect()
