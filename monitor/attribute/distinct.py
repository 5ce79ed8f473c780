"""The distinct values behind a dense index of `monitor.flow_batch`."""

import polars as pl


def distinct(rows: pl.DataFrame, index: str, column: str) -> pl.Series:
    """Give what an index counts, in its order.

    Args:
        rows: of one batch; where some were left out, a number that none has stands for anything.
        index: column of dense numbers from 0; null where there is no value.
        column: what it numbers.
    """
    places = rows.select(index).with_row_index("_place").drop_nulls(index)
    last = places[index].max()
    if not isinstance(last, int):
        return rows[column].clear()
    # a number that no row has gets the first of all
    first = pl.repeat(places["_place"][0], last + 1, dtype=pl.UInt32, eager=True)
    return rows[column].gather(first.scatter(places[index], places["_place"]))
