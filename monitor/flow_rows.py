"""Flow rows as the stages pass them on: each text once, and for each row the number that it has there.

A batch of 100,000 rows has a few thousand addresses and names, and a few hundred decisions about them. So
columns that follow from a number of the row stand once for each number. The hot path looks at them through
the numbers; whole columns, 16 bytes a row and text, are made where somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import polars as pl

from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA

_ORDER = [*FLOW_SCHEMA, *ATTRIBUTED]
# closed sets: the hot path gives a column of places in the set, named with `_CODE` behind
_CODE = "_code"
_CLOSED = {
    name: pl.Series(name, dtype.categories, dtype=dtype)
    for name, dtype in FLOW_SCHEMA.items()
    if isinstance(dtype, pl.Enum)
}

# columns of the rows' own, what follows from numbers, and the order of all
Parts = tuple[pl.DataFrame, list[tuple[str, pl.DataFrame]], Sequence[str]]


class FlowRows:
    """Rows of `FLOW_SCHEMA`, and behind attribution of `ATTRIBUTED` too, in tick order.

    Args:
        rows: the columns that have a value for each row.
        told: by the name of a column of numbers what follows from it: frames with a row for each number,
            from 0. A row without a number has null there.
    """

    def __init__(self, rows: pl.DataFrame, told: Mapping[str, pl.DataFrame] | None = None) -> None:
        self.rows = rows
        self.told = dict(told or {})

    @classmethod
    def of(cls, flows: AnyRows) -> FlowRows:
        """Take whole columns for such rows too."""
        return flows if isinstance(flows, FlowRows) else cls(flows)

    @classmethod
    def of_hot_path(cls, batch: tuple[Any, Sequence[tuple[str, Any]]]) -> FlowRows:
        """Take what the hot path gives: Arrow record batches."""
        rows, told = batch
        return cls(pl.DataFrame(rows), {by: pl.DataFrame(columns) for by, columns in told})

    @property
    def height(self) -> int:
        """Rows."""
        return self.rows.height

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All columns, whole."""
        return self.select([name for name in _ORDER if name in self._by]) if self.told else self.rows

    def plus(self, columns: Sequence[pl.Series], told: Mapping[str, pl.DataFrame]) -> FlowRows:
        """Give the same rows with more columns of their own, and with more that follows from numbers."""
        both = {by: self.told[by].hstack(new) if by in self.told else new for by, new in told.items()}
        return FlowRows(self.rows.hstack(list(columns)), self.told | both)

    def select(self, columns: Sequence[str], places: Sequence[int] | None = None) -> pl.DataFrame:
        """Give some columns, whole, of all rows or of those at some places."""
        at = None if places is None else pl.Series(places, dtype=pl.UInt32)
        found = []
        for name in columns:
            index, told = self._by[name]
            # one by one: all columns at once are spread over threads, which costs more than it is worth
            values = self.rows[index] if at is None else self.rows[index][at]
            found.append(values if told is None else told[values])
        return pl.DataFrame(found)

    def parts(self, columns: Sequence[str] | None = None) -> Parts:
        """Give some columns, or all, as the hot path takes them."""
        if columns is None:
            return self.rows, list(self.told.items()), _ORDER
        by = self._by
        own = dict.fromkeys(by[name][0] for name in columns if name in by)
        wanted = frozenset(columns)
        told = []
        for index, table in self.told.items():
            if names := [name for name in table.columns if name in wanted]:
                told.append((index, table[names]))
        return self.rows[list(own)], told, columns

    @cached_property
    def _by(self) -> dict[str, tuple[str, pl.Series | None]]:
        """By the name of a column: the one of the rows' own that tells it, and what that stands for."""
        by: dict[str, tuple[str, pl.Series | None]] = {name: (name, None) for name in self.rows.columns}
        by |= {name: (f"{name}{_CODE}", words) for name, words in _CLOSED.items() if f"{name}{_CODE}" in by}
        for index, told in self.told.items():
            by |= {name: (index, told[name]) for name in told.columns}
        return by


# such rows, or the same with whole columns, as files and tests have them
AnyRows = pl.DataFrame | FlowRows
