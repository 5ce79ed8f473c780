"""The distinct values behind a dense index of `monitor.flow_batch`."""

import polars as pl

from monitor._hotpath import first_values
from monitor.flow_rows import NumberedRows


def distinct(rows: pl.DataFrame | NumberedRows, index: str, column: str) -> pl.Series:
    """Give what an index counts, in its order.

    Args:
        rows: of one batch; where some were left out, a number that none has stands for anything.
        index: column of dense numbers from 0; null where there is no value.
        column: what it numbers.
    """
    if isinstance(rows, NumberedRows):
        told = rows.told.get(index)
        if told is not None and column in told:
            return told[column]
        rows = rows.rows
    return pl.DataFrame(first_values(rows[[index, column]])).to_series().alias(column)
