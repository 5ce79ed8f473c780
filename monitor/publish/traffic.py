"""The counters of traffic: who sent how much to whom, by what evidence, over how many connections."""

from collections.abc import Collection, Iterator

import polars as pl

from monitor.flow_batch import EVIDENCES, INITIATORS
from monitor.publish import connections
from monitor.publish.connections import Connections
from monitor.publish.counter_rows import CounterRows, Key, Values
from monitor.publish.labels import folded

_KEY = ("workload", "provider", "country")
_NEEDED = (*_KEY, "evidence", "bytes_out", "bytes_in", *connections.COLUMNS)


class Traffic:
    """Bytes by workload, provider and country, and by evidence; connections by who opened them.

    Only flows with scope ``egress`` count here, so the sum of all rows is the byte count of that scope.
    One pass of grouping a batch; what follows is a loop over groups, not over rows.
    """

    def __init__(self, *, budget: int, hold: float) -> None:
        self.bytes = CounterRows(3, 2, budget=budget, hold=hold)  # sent, received
        # a row of connections is a series for each initiator
        self.connections = CounterRows(2, len(INITIATORS), budget=budget // len(INITIATORS), hold=hold)
        self.attributed_bytes: dict[str, int] = dict.fromkeys(EVIDENCES, 0)
        self._counted = Connections()

    def reserve(self, alerts: Collection[tuple[str, str]]) -> None:
        """Keep rows for these workloads and providers, given as label values: they have open alerts."""
        self.bytes.reserve(alerts)
        self.connections.reserve(alerts)

    def add(self, flows: pl.DataFrame, now: float) -> None:
        """Count one batch of attributed flows; `now` is in seconds of a clock that never goes back."""
        egress = flows.select(*_NEEDED, "scope").filter(pl.col("scope") == "egress")
        groups = egress.group_by(*_KEY, "evidence").agg(pl.col("bytes_out", "bytes_in").sum())
        by_evidence = groups.group_by("evidence").agg(pl.col("bytes_out").sum() + pl.col("bytes_in").sum())
        for evidence, number in by_evidence.iter_rows():
            self.attributed_bytes[evidence or "none"] += number
        # folding comes after the first grouping: it looks at text, and there are fewer groups than rows
        rows = (
            groups.lazy()
            .group_by(*(folded(column) for column in _KEY))
            .agg(pl.col("bytes_out").sum(), pl.col("bytes_in").sum())
            .collect()
        )
        self.bytes.add(_traffic_groups(rows), now)
        self.connections.add(self._counted.add(egress), now)


def _traffic_groups(rows: pl.DataFrame) -> Iterator[tuple[Key, Values]]:
    for workload, provider, country, sent, received in rows.iter_rows():
        yield (workload, provider, country), (sent, received)
