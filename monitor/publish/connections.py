"""Counts each connection once: when its initiator is decided, or when the flow ends undecided.

Flow rows come once a tick and repeat the flow's state. A row holds the first packet of its connection
where its `first_seen` is not later than `started`; a flow decided there, as nearly all are, is counted
there and needs no memory. Only flows that began undecided are remembered, until they are decided or end.
"""

import polars as pl

from monitor.flow_batch import INITIATORS
from monitor.row_number import distinct, grouped

MAX_UNDECIDED = 65_536  # flows remembered, 8 bytes each; past it a flow counts as unknown at once

# what is looked at, beside the labels
COLUMNS = ("flow_id", "initiator", "ended", "packets_out", "packets_in", "first_seen", "started")


class Connections:
    """Gives, batch by batch, the connections to count."""

    def __init__(self) -> None:
        self._undecided = pl.Series("flow_id", [], dtype=pl.UInt64)

    def add(self, egress: pl.DataFrame) -> pl.DataFrame:
        """Take the egress rows of a batch (`COLUMNS`, and the ``number`` of their labels), in tick order.

        Gives each ``number`` once, with its count for each of `INITIATORS`.
        """
        decided = (pl.col("initiator") != "unknown") | pl.col("ended").is_not_null()
        has_packets = (pl.col("packets_out") + pl.col("packets_in")) > 0
        is_first = has_packets & (pl.col("first_seen") <= pl.col("started"))
        rows = egress.select("flow_id", "number", "initiator", decided=decided, is_first=is_first)

        first = rows.filter("is_first")
        if len(self._undecided):
            first = first.filter(~pl.col("flow_id").is_in(self._undecided.implode()))
        first = distinct(first, "flow_id")
        undecided = first.filter(~pl.col("decided"))
        room = MAX_UNDECIDED - len(self._undecided)
        counted = [first.filter("decided"), undecided.slice(room)]
        pending = pl.concat([self._undecided, undecided.slice(0, room)["flow_id"]])
        if len(pending):
            later = rows.filter("decided").filter(pl.col("flow_id").is_in(pending.implode()))
            counted.append(distinct(later, "flow_id"))
            pending = pending.filter(~pending.is_in(later["flow_id"].implode()))
        self._undecided = pending
        counts = [(pl.col("initiator") == initiator).sum().alias(initiator) for initiator in INITIATORS]
        return grouped(pl.concat(counted), "number", counts)
