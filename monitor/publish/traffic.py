"""The counters of traffic: who sent how much to whom, by what evidence, over how many connections."""

from collections.abc import Collection

from monitor._hotpath import TrafficSums
from monitor.flow_batch import EVIDENCES, INITIATORS
from monitor.flow_rows import FlowRows
from monitor.publish.counter_rows import CounterRows

MAX_UNDECIDED = 65_536  # flows remembered, 8 bytes each; past it a flow counts as unknown at once


class Traffic:
    """Bytes by workload, provider and country, and by evidence; connections by who opened them.

    Only flows with scope ``egress`` count here, so the sum of all rows is the byte count of that scope. A
    connection counts once: when its initiator is decided, or when it ends undecided.
    """

    def __init__(self, *, budget: int, hold: float) -> None:
        self.bytes = CounterRows(3, 2, budget=budget, hold=hold)  # sent, received
        # a row of connections is a series for each initiator
        self.connections = CounterRows(2, len(INITIATORS), budget=budget // len(INITIATORS), hold=hold)
        self.attributed_bytes: dict[str, int] = dict.fromkeys(EVIDENCES, 0)
        self._sums = TrafficSums(undecided=MAX_UNDECIDED)

    def reserve(self, alerts: Collection[tuple[str, str]]) -> None:
        """Keep rows for these workloads and providers, given as label values: they have open alerts."""
        self.bytes.reserve(alerts)
        self.connections.reserve(alerts)

    def add(self, flows: FlowRows, now: float) -> None:
        """Count one batch of attributed flows; `now` is in seconds of a clock that never goes back."""
        groups, by_evidence, connections = self._sums.add(flows.native)
        for evidence, number in by_evidence:
            self.attributed_bytes[evidence or "none"] += number
        self.bytes.add(groups, now)
        self.connections.add(connections, now)
