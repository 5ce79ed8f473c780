"""The counters of traffic: who sent how much to whom, by what evidence, over how many connections."""

from collections.abc import Collection, Iterator

import polars as pl

from monitor.flow_batch import EVIDENCES, INITIATORS
from monitor.publish import connections
from monitor.publish.connections import Connections
from monitor.publish.counter_rows import CounterRows, Key, Values
from monitor.publish.labels import UNNAMED, folded
from monitor.row_number import distinct, grouped, hashed, mixed

_KEY = ("workload", "provider", "country")
_NUMBERED = (*_KEY, "evidence")
_NEEDED = (*_NUMBERED, "bytes_out", "bytes_in", *connections.COLUMNS)


class Traffic:
    """Bytes by workload, provider and country, and by evidence; connections by who opened them.

    Only flows with scope ``egress`` count here, so the sum of all rows is the byte count of that scope.
    Rows are summed by the number of their labels and evidence; text is looked at once a number.
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
        egress = _numbered(flows.select(*_NEEDED, "scope").filter(pl.col("scope") == "egress"))
        words = distinct(egress.select("number", *_NUMBERED), "number")
        labels = words.select("number", "evidence", *(folded(column) for column in _KEY))
        sums = grouped(egress, "number", [pl.col("bytes_out", "bytes_in").sum()])
        groups = labels.join(sums, on="number", how="left")
        by_evidence = groups.group_by("evidence").agg(pl.col("bytes_out").sum() + pl.col("bytes_in").sum())
        for evidence, number in by_evidence.iter_rows():
            self.attributed_bytes[evidence or "none"] += number
        rows = groups.group_by(*_KEY).agg(pl.col("bytes_out").sum(), pl.col("bytes_in").sum())
        self.bytes.add(_traffic_groups(rows), now)
        self.connections.add(_connection_groups(self._counted.add(egress), labels), now)


def _numbered(egress: pl.DataFrame) -> pl.DataFrame:
    """Add a ``number`` for each set of labels and evidence.

    Hosts without a name share one label, and there may be as many of them as there are rows.
    """
    egress = egress.with_columns(host=hashed("workload"))
    hosts = distinct(egress.select("host", "workload"), "host")
    named = hosts.filter(folded("workload") != UNNAMED)["host"]
    host = pl.lit(0)
    if len(named):
        host = pl.when(pl.col("host").is_in(named.implode())).then("host").otherwise(host)
    return egress.with_columns(number=mixed([host, *(hashed(column) for column in _NUMBERED[1:])]))


def _traffic_groups(rows: pl.DataFrame) -> Iterator[tuple[Key, Values]]:
    for workload, provider, country, sent, received in rows.iter_rows():
        yield (workload, provider, country), (sent, received)


def _connection_groups(counted: pl.DataFrame, labels: pl.DataFrame) -> Iterator[tuple[Key, Values]]:
    rows = (
        counted.join(labels, on="number", how="left")
        .group_by("workload", "provider")
        .agg(pl.col(INITIATORS).sum())
    )
    for workload, provider, *values in rows.iter_rows():
        yield (workload, provider), tuple(values)
