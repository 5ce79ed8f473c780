"""Decisions: made once for each case, kept from batch to batch, and told by number.

The rows get the numbers of their cases in Rust (`monitor/hotpath/attributecore/src/cases.rs`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from monitor._hotpath import Cases as Numbering
from monitor.flow_batch import NAME_SOURCES
from monitor.flow_rows import FlowRows

REBUILD = 64  # additions; each leaves a buffer of text behind that every row's column then refers to


class Case(NamedTuple):
    """What a decision is made from; the numbers are those of `Facts`."""

    network: int
    answer: int  # 0: none
    name: int  # 0: none in the catalogue, and then it makes no difference how it was claimed
    source: int  # place in `NAME_SOURCES`
    ech: bool
    gateway: bool


class Facts(NamedTuple):
    """What is known of the things that a batch numbers."""

    networks: pl.Series  # by ``remote_id``: number of what is known of its network
    gateways: Sequence[bool]  # by ``remote_id``: it is a gateway; empty where none is
    names: Sequence[int]  # by ``name_id``: number of whose name it is, 0: nobody's
    targets: Sequence[int | None]  # by ``name_id``: network of the address that it is; empty where none is
    answers: Sequence[int]  # by place of an answer: number of what it says; first 0 for none


class Cases:
    """The cases that were met since the start or the last `forget`, and what was decided.

    Args:
        schema: the columns that a decision gives.
        decide: makes the decision of a case, as a row of these columns.
    """

    def __init__(
        self, schema: Mapping[str, pl.DataType | type[pl.DataType]], decide: Callable[[Case], tuple[Any, ...]]
    ) -> None:
        self._schema = schema
        self._decide = decide
        self.forget()

    def __len__(self) -> int:
        """Cases that are known."""
        return len(self._decided)

    def forget(self) -> None:
        """Forget all, when the numbers of `Facts` begin anew."""
        self._cases = Numbering(NAME_SOURCES)
        self._decided: list[tuple[Any, ...]] = []
        self._table = pl.DataFrame(schema=self._schema)
        self._additions = 0

    def number(self, flows: FlowRows, found: pl.Series, facts: Facts) -> tuple[pl.Series, pl.DataFrame]:
        """Give ``case_id``, the numbers of the rows' cases, and what was decided of each number.

        Args:
            flows: `FLOW_SCHEMA`.
            found: for each row the place of its answer among `Facts.answers`.
            facts: what is known.
        """
        numbers, new = self._cases.number(
            flows.native,
            found.to_frame(),
            facts.networks.to_frame(),
            gateways=facts.gateways,
            names=facts.names,
            targets=facts.targets,
            answers=facts.answers,
            known=len(self._decided),
        )
        if new:
            self._add([self._decide(Case(*case)) for case in new])
        return pl.DataFrame(numbers).to_series().alias("case_id"), self._table

    def _add(self, decided: list[tuple[Any, ...]]) -> None:
        self._decided += decided
        self._additions += 1
        if self._additions % REBUILD == 0:
            self._table = pl.DataFrame(self._decided, self._schema, orient="row")
        else:
            self._table = self._table.vstack(pl.DataFrame(decided, self._schema, orient="row")).rechunk()
