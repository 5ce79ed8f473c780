"""Flow rows with what was found out about them, as the stages behind attribution pass them on.

Most columns of `ATTRIBUTED` follow from a number that the row has: ten from ``case_id``, of which a batch
has a few hundred. They stand once for each number. The hot path looks at them through the numbers; whole
columns, 350 bytes a row, are made where somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import polars as pl

from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA

_ORDER = [*FLOW_SCHEMA, *ATTRIBUTED]

# columns of the rows' own, what follows from numbers, and the order of all
Parts = tuple[pl.DataFrame, list[tuple[str, pl.DataFrame]], Sequence[str]]


class Attributed:
    """Rows of `FLOW_SCHEMA` and `ATTRIBUTED`, in tick order.

    Args:
        rows: the columns that have a value for each row.
        told: by the name of a column of numbers what follows from it: frames with a row for each number,
            from 0. A row without a number has null there.
    """

    def __init__(self, rows: pl.DataFrame, told: Mapping[str, pl.DataFrame] | None = None) -> None:
        self.rows = rows
        self.told = dict(told or {})

    @classmethod
    def of(cls, flows: FlowRows) -> Attributed:
        """Take whole columns for attributed rows too."""
        return flows if isinstance(flows, Attributed) else cls(flows)

    @property
    def height(self) -> int:
        """Rows."""
        return self.rows.height

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All columns, whole."""
        names = {*self.rows.columns, *(name for told in self.told.values() for name in told.columns)}
        return self.select([name for name in _ORDER if name in names]) if self.told else self.rows

    def select(self, columns: Sequence[str], places: Sequence[int] | None = None) -> pl.DataFrame:
        """Give some columns, whole, of all rows or of those at some places."""
        rows = self.rows if places is None else self.rows[places]
        by = {name: (index, told) for index, told in self.told.items() for name in told.columns}
        found = []
        for name in columns:
            if name in by:
                index, told = by[name]
                # one by one: all columns at once are spread over threads, which costs more than it is worth
                found.append(told[name][rows[index]])
            else:
                found.append(rows[name])
        return pl.DataFrame(found)

    def parts(self, columns: Sequence[str] | None = None) -> Parts:
        """Give some columns, or all, as the hot path takes them."""
        if columns is None:
            return self.rows, list(self.told.items()), _ORDER
        wanted = frozenset(columns)
        told = []
        for index, table in self.told.items():
            if names := [name for name in table.columns if name in wanted]:
                told.append((index, table[names]))
        return self.rows[[name for name in self.rows.columns if name in wanted]], told, columns


# attributed rows, or the same with whole columns, as files and tests have them
FlowRows = pl.DataFrame | Attributed
