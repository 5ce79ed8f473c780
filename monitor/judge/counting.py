"""What each row of a rule adds: which columns it takes and what is worked out from them."""

from collections.abc import Iterable

import polars as pl

from monitor.judge import exceptions
from monitor.judge.fields import Record
from monitor.judge.names import Names, number_column
from monitor.judge.rule import Rule
from monitor.row_number import hashed, mixed

_SENT: dict[Record, str] = {"flows": "payload_out", "dns": "message_bytes"}
_TIME: dict[Record, str] = {"flows": "last_seen", "dns": "time"}


class Counting:
    """Counts the rows of one rule; made once, since expressions take long to build."""

    def __init__(self, rule: Rule, names: Names) -> None:
        sent = pl.col(_SENT[rule.record])
        if rule.record == "dns":
            sent = pl.when(pl.col("kind") == "question").then(sent).otherwise(0)
        self._made = [
            pl.col("_row").alias("row"),
            pl.col("_tick").alias("tick"),
            rule.measure.expression().alias("value"),
            sent.cast(pl.Int64).alias("sent"),
            pl.col(_TIME[rule.record]).cast(pl.Int64).alias("last"),
            *(hashed(field).alias(number_column(field)) for field in names.fields),
        ]
        if rule.exceptions:
            self._made.append(exceptions.which(rule.exceptions, pl.col("_tick")).alias("exception"))
        self._key = mixed([pl.col(number_column(field)) for field in names.fields]).alias("key")
        used = {name for one in self._made for name in one.meta.root_names()}
        self._needed = sorted(name for name in used if not name.startswith("_"))

    def rows(self, frame: pl.DataFrame, places: Iterable[pl.Series], mask: pl.Series) -> pl.DataFrame:
        """Give what the rows of a batch add: ``row``, ``tick``, ``key``, ``value``, ``sent``, ``last``.

        Beside the key stand the numbers of the columns that it is made of.

        Args:
            frame: the batch.
            places: ``_row`` and ``_tick`` of each of its rows.
            mask: which of them count.
        """
        thin = frame.select(self._needed).hstack(list(places)).filter(mask)
        return thin.select(self._made).with_columns(self._key)
