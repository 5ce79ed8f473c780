"""One number for what is known of a row, so that a decision is made once for all rows that share it."""

import polars as pl

from monitor.flow_batch import NAME_SOURCES

_WAYS = 4 * len(NAME_SOURCES)  # in which a name can be claimed: where it stood, with ECH, to a gateway


class Cases:
    """Numbers for network, name, claim and answer.

    Args:
        names: how many numbers there are for names, 0 (none) included.
        answers: how many there are for answers, 0 included.
    """

    def __init__(self, names: int, answers: int) -> None:
        self._names = names
        self._answers = answers

    def number(self) -> pl.Expr:
        """Give the number; where the name is not in the catalogue, how it was claimed makes no difference."""
        claim = pl.col("name").fill_null(0) * _WAYS + pl.when(pl.col("name") > 0).then(
            pl.col("source").cast(pl.UInt64) * 4
            + pl.col("ech").cast(pl.UInt64) * 2
            + pl.col("gateway").cast(pl.UInt64)
        ).otherwise(0)
        base = pl.col("network") * self._answers + pl.col("answer")
        return (base * (self._names * _WAYS) + claim).alias("number")

    def facts(self, numbers: pl.DataFrame) -> pl.DataFrame:
        """Take numbers apart: ``network``, ``answer``, ``name``, ``source``, ``ech`` and ``gateway``."""
        number = pl.col("number")
        base, claim = number // (self._names * _WAYS), number % (self._names * _WAYS)
        return numbers.select(
            network=base // self._answers,
            answer=base % self._answers,
            name=claim // _WAYS,
            source=claim % _WAYS // 4,
            ech=claim % 4 // 2,
            gateway=claim % 2,
        )
