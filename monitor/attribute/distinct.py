"""The distinct values behind a dense index of `monitor.flow_batch`."""

import polars as pl


def distinct(rows: pl.DataFrame, index: str, column: str) -> pl.Series:
    """Give what an index counts, in its order.

    Args:
        rows: of one batch; where some were left out, a number that none has stands for anything.
        index: column of dense numbers from 0; null where there is no value.
        column: what it numbers.
    """
    # by hand and not by expressions: each of those costs a tenth of a millisecond however few the rows
    pairs = rows[[index, column]]
    if pairs[index].null_count():
        pairs = pairs.drop_nulls(index)
    last = pairs[index].max()
    if not isinstance(last, int):
        return rows[column].clear()
    places = pairs.with_row_index("_place")["_place"]
    # a number that no row has gets the first place of all
    first = places.new_from_index(0, last + 1).scatter(pairs[index], places)
    return pairs[column][first]
