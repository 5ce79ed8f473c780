"""The distinct values behind a dense index of `monitor.flow_batch`."""

import polars as pl

from monitor._hotpath import first_values, numbered_rows


def distinct(rows: pl.DataFrame, index: str, column: str) -> pl.Series:
    """Give what an index counts, in its order.

    Args:
        rows: of one batch; where some were left out, a number that none has stands for anything.
        index: column of dense numbers from 0; null where there is no value.
        column: what it numbers.
    """
    return pl.DataFrame(first_values(rows[[index, column]])).to_series().alias(column)


def number_rows(columns: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Number rows of at most four columns of numbers: equal rows have equal numbers, from 0 in their order.

    Returns:
        The number of each row, and the place of the first row that each number has.
    """
    numbers, firsts = numbered_rows(columns)
    return pl.DataFrame(numbers).to_series(), pl.DataFrame(firsts).to_series()
