"""The columns ``process``, ``unit``, ``container`` and ``pod`` of flow rows."""

from collections import Counter

import polars as pl

from monitor.attribute.bounded import BoundedCache
from monitor.flow_rows import FlowRows
from monitor.identity.owners import Owners
from monitor.identity.processes import Owner

FLOWS = 2**18  # about 250 bytes each
COLUMNS = Owner._fields
_READ = [
    "flow_id", "protocol", "local_address", "local_port", "remote_address", "remote_port", "started", "scope",
    "ended",
]  # fmt: skip
_PROTOCOLS = (6, 17)
_NOBODY = Owner()


class WorkloadIdentity:
    """Asks for each flow until its owner is known, and remembers it for the flow's life.

    Rows before that have no owner: they are not written anew. ``counts`` tells of connections of this
    host since the start: ``found``, and ``missed``, whose owner was never seen, because they were shorter
    than the time between two looks or belong to the kernel.
    """

    def __init__(self, owners: Owners) -> None:
        self.counts: Counter[str] = Counter(found=0, missed=0)
        self._owners = owners
        self._known: BoundedCache[int, Owner] = BoundedCache(FLOWS)
        self._told: set[str | None] = {None}

    def start(self) -> None:
        """Begin to look at sockets."""
        self._owners.start()

    def stop(self) -> None:
        """Stop looking; harmless where it never began."""
        self._owners.stop()

    def given_up(self) -> dict[str, int]:
        """Give totals since the start of what was forgotten because of a bound."""
        return {"identity_flow": self._known.evicted, "identity_connection": self._owners.full}

    def trouble(self) -> str | None:
        """Say in one line why something is not seen, once for each reason; None: nothing new."""
        trouble = self._owners.trouble
        if trouble in self._told:
            return None
        self._told.add(trouble)
        return trouble

    def columns(self, flows: FlowRows) -> list[pl.Series]:
        """Give the four columns of a batch (`FLOW_SCHEMA`)."""
        numbers: dict[Owner, int] = {_NOBODY: 0}
        by_flow: dict[int, int] = {}
        ended = pl.col("ended").is_not_null().max().over("flow_id")
        rows = flows.select(_READ).with_columns(ended, pl.col("started").cast(pl.Int64))
        distinct = rows.unique("flow_id", keep="first", maintain_order=True)
        for flow_id, protocol, local, *rest, scope, is_over in distinct.iter_rows():
            owner = self._known.get(flow_id)
            if owner is None and protocol in _PROTOCOLS:
                owner = self._owners.find(protocol, local, *rest)
                if owner is not None:
                    self.counts["found"] += 1
                    self._known.put(flow_id, owner)
                elif is_over and scope == "egress" and self._owners.is_ours(local):
                    self.counts["missed"] += 1
                    self._known.put(flow_id, _NOBODY)  # packets after the end are not counted again
            if owner is not None:
                by_flow[flow_id] = numbers.setdefault(owner, len(numbers))
        known = pl.DataFrame(
            {"flow_id": list(by_flow), "owner": list(by_flow.values())},
            {"flow_id": pl.UInt64, "owner": pl.UInt32},
        )
        places = flows.rows.select("flow_id").join(known, on="flow_id", how="left", maintain_order="left")
        place = places["owner"].fill_null(0)
        owners = list(numbers)
        return [
            pl.Series(name, [owner[index] for owner in owners], dtype=pl.String)[place]
            for index, name in enumerate(COLUMNS)
        ]
