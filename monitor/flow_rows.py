"""Rows as the stages pass them on: each text once, and for each row the number that it has there.

A batch of 100,000 rows has a few thousand addresses and names, and a few hundred decisions about them. So
columns that follow from a number of the row stand once for each number. The hot path looks at them through
the numbers; whole columns, 16 bytes a row and text, are made where somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import polars as pl

from monitor._hotpath import Rows
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA

# closed sets: the hot path gives a column of places in the set, named with `_CODE` behind
_CODE = "_code"

_Schema = Mapping[str, pl.DataType | type[pl.DataType]]


def _closed(schema: _Schema) -> dict[str, pl.Series]:
    return {
        name: pl.Series(name, dtype.categories, dtype=dtype)
        for name, dtype in schema.items()
        if isinstance(dtype, pl.Enum)
    }


class NumberedRows:
    """Rows of one record, in tick order.

    Args:
        rows: the columns that have a value for each row.
        told: by the name of a column of numbers what follows from it: frames with a row for each number,
            from 0. A row without a number has null there.
        native: the same as the hot path takes it; None: it is made when it is asked for.
    """

    _ORDER: ClassVar[Sequence[str]]
    _CLOSED: ClassVar[Mapping[str, pl.Series]]

    def __init__(
        self,
        rows: pl.DataFrame,
        told: Mapping[str, pl.DataFrame] | None = None,
        native: Rows | None = None,
    ) -> None:
        self.rows = rows
        self.told = dict(told or {})
        self._native = native

    @classmethod
    def of(cls, rows: pl.DataFrame | Self) -> Self:
        """Take whole columns for such rows too."""
        return rows if isinstance(rows, cls) else cls(rows)  # type: ignore[arg-type]

    @classmethod
    def of_hot_path(cls, batch: tuple[Any, Sequence[tuple[str, Any]], Rows]) -> Self:
        """Take what the hot path gives: Arrow record batches, and both as it takes them back."""
        rows, told, native = batch
        return cls(pl.DataFrame(rows), {by: pl.DataFrame(columns) for by, columns in told}, native)

    @property
    def height(self) -> int:
        """Rows."""
        return self.rows.height

    @property
    def native(self) -> Rows:
        """All columns, as the hot path takes them."""
        if self._native is None:
            self._native = Rows(self.rows, list(self.told.items()), self._ORDER)
        return self._native

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All columns, whole."""
        return self.select([name for name in self._ORDER if name in self._by]) if self.told else self.rows

    def plus(self, columns: Sequence[pl.Series], told: Mapping[str, pl.DataFrame]) -> Self:
        """Give the same rows with more columns of their own, and with more that follows from numbers."""
        both = {by: self.told[by].hstack(new) if by in self.told else new for by, new in told.items()}
        native = self.native.plus(pl.DataFrame(columns), list(told.items()), self._ORDER)
        return type(self)(self.rows.hstack(list(columns)), self.told | both, native)

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

    @cached_property
    def _by(self) -> dict[str, tuple[str, pl.Series | None]]:
        """By the name of a column: the one of the rows' own that tells it, and what that stands for."""
        by: dict[str, tuple[str, pl.Series | None]] = {name: (name, None) for name in self.rows.columns}
        closed = self._CLOSED.items()
        by |= {name: (f"{name}{_CODE}", words) for name, words in closed if f"{name}{_CODE}" in by}
        for index, told in self.told.items():
            by |= {name: (index, told[name]) for name in told.columns}
        return by


class FlowRows(NumberedRows):
    """Rows of `FLOW_SCHEMA`, and behind attribution of `ATTRIBUTED` too."""

    _ORDER = (*FLOW_SCHEMA, *ATTRIBUTED)
    _CLOSED = _closed(FLOW_SCHEMA)


class DnsRows(NumberedRows):
    """Rows of `DNS_SCHEMA`, and behind attribution of `DNS_ATTRIBUTED` too.

    Texts of ``owner`` and ``value`` have numbers too: ``owner_id`` and ``value_id``, which no frame shows.
    """

    _ORDER = (*DNS_SCHEMA, *DNS_ATTRIBUTED)
    _CLOSED = _closed(DNS_SCHEMA)


# such rows, or the same with whole columns, as files and tests have them
AnyRows = pl.DataFrame | FlowRows
AnyDnsRows = pl.DataFrame | DnsRows
