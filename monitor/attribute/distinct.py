"""The distinct values behind a dense index of `monitor.flow_batch`."""

import polars as pl

from monitor._hotpath import first_values


def distinct(rows: pl.DataFrame, index: str, column: str) -> pl.Series:
    """Give what an index counts, in its order.

    Args:
        rows: of one batch; where some were left out, a number that none has stands for anything.
        index: column of dense numbers from 0; null where there is no value.
        column: what it numbers.
    """
    return pl.DataFrame(first_values(rows[[index, column]])).to_series().alias(column)
