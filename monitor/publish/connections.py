"""Counts each connection once: when its initiator is decided, or when the flow ends undecided.

Flow rows come once a tick and repeat the flow's state. A row holds the first packet of its connection
where its `first_seen` is not later than `started`; a flow decided there, as nearly all are, is counted
there and needs no memory. Only flows that began undecided are remembered, until they are decided or end.
"""

from collections.abc import Iterator

import polars as pl

from monitor.flow_batch import INITIATORS
from monitor.publish.counter_rows import Key, Values
from monitor.publish.labels import folded

MAX_UNDECIDED = 65_536  # flows remembered, 8 bytes each; past it a flow counts as unknown at once

# what is looked at, beside the labels
COLUMNS = ("flow_id", "initiator", "ended", "packets_out", "packets_in", "first_seen", "started")


class Connections:
    """Gives, batch by batch, the connections to count by workload, provider and initiator."""

    def __init__(self) -> None:
        self._undecided = pl.Series("flow_id", [], dtype=pl.UInt64)

    def add(self, egress: pl.DataFrame) -> Iterator[tuple[Key, Values]]:
        """Take the egress rows of a batch (`COLUMNS` and labels), in tick order.

        Gives ``(workload, provider)`` and its counts, in the order of `INITIATORS`.
        """
        decided = (pl.col("initiator") != "unknown") | pl.col("ended").is_not_null()
        has_packets = (pl.col("packets_out") + pl.col("packets_in")) > 0
        is_first = has_packets & (pl.col("first_seen") <= pl.col("started"))
        columns = ["flow_id", "workload", "provider", "initiator"]

        first = (
            egress.lazy()
            .filter(is_first)
            .select(*columns, decided=decided)
            .filter(~pl.col("flow_id").is_in(self._undecided.implode()))
            .collect()
            .unique("flow_id", keep="first", maintain_order=True)
        )
        counted = [first.filter("decided").select(columns)]
        undecided = first.filter(~pl.col("decided")).select(columns)
        room = MAX_UNDECIDED - len(self._undecided)
        counted.append(undecided.slice(room))
        pending = pl.concat([self._undecided, undecided.slice(0, room)["flow_id"]])
        if len(pending):
            later = (
                egress.lazy()
                .filter(decided & pl.col("flow_id").is_in(pending.implode()))
                .select(columns)
                .collect()
                .unique("flow_id", keep="first", maintain_order=True)
            )
            counted.append(later)
            pending = pending.filter(~pending.is_in(later["flow_id"].implode()))
        self._undecided = pending
        return _groups(pl.concat(counted))


def _groups(flows: pl.DataFrame) -> Iterator[tuple[Key, Values]]:
    counts = [(pl.col("initiator") == initiator).sum().alias(initiator) for initiator in INITIATORS]
    sums = flows.group_by("workload", "provider").agg(*counts)
    # folding comes after the first grouping: it looks at text, and there are fewer groups than rows
    rows = sums.group_by(folded("workload"), folded("provider")).agg(pl.col(INITIATORS).sum())
    for workload, provider, *values in rows.iter_rows():
        yield (workload, provider), tuple(values)
