"""Which DNS answer each flow's name comes from: the newest that its client had when the flow began.

Flows and DNS of a drain are taken in order of time, not of arrival: tick by tick, and in a tick by the
time of the packet. So the result does not depend on where batches are cut.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from monitor.attribute.dns_answers import MILLISECOND, Answer, Asked
from monitor.attribute.flow_memory import FlowMemory
from monitor.attribute.passive_dns import Found, PassiveDns


def fix_answers(
    flows: pl.DataFrame,
    remotes: Sequence[bytes],
    events: Sequence[Asked | Answer],
    passive_dns: PassiveDns,
    memory: FlowMemory,
    counters: Counter[str],
) -> dict[int, Found]:
    """Tell passive DNS the events, and fix the answer of each flow that is new.

    A flow to an address that nobody was told yet has no answer for its life, because an answer never
    counts before the tick that it came in: such flows, the most, are neither looked up nor remembered.

    Args:
        flows: `FLOW_SCHEMA`, in tick order.
        remotes: the addresses that ``remote_id`` counts.
        events: of the same ticks, by tick and then by time.
        passive_dns: what was told before.
        memory: flows known before.
        counters: where events that count for nobody are counted.

    Returns:
        The answer of each flow in the batch that has one, by flow id.
    """
    newest = flows["tick"].to_physical().max()
    told_now = {event.address for event in events if isinstance(event, Answer)}
    is_told = pl.Series(
        [address in told_now or passive_dns.was_told(address) for address in remotes], dtype=pl.Boolean
    )
    flows = flows.select(
        "flow_id", "tick", "started", "local_address", "remote_address", "remote_id", "ended"
    )
    flows = flows.filter(is_told.gather(flows["remote_id"]))
    distinct = (
        flows.select("flow_id", "tick", "started", "local_address", "remote_address")
        .unique("flow_id", keep="first", maintain_order=True)
        .with_columns(pl.col("tick", "started").to_physical())
    )
    known = memory.answers(distinct["flow_id"].to_list())
    is_new = pl.Series([answer is False for answer in known.values()], dtype=pl.Boolean)
    new = distinct.filter(is_new).sort("tick", "started", maintain_order=True)
    fixed: dict[int, Found | None] = {}
    pending = iter(events)
    event = next(pending, None)
    # columns and not rows: making a tuple of bytes for each row takes twice as long
    columns = [new[column].to_list() for column in new.columns]
    for flow_id, tick, started, client, address in zip(*columns, strict=True):
        while event is not None and (event.tick, event.time) <= (tick, started):
            event.tell(passive_dns, counters)
            event = next(pending, None)
        fixed[flow_id] = passive_dns.find(client, address, started)
    while event is not None:
        event.tell(passive_dns, counters)
        event = next(pending, None)
    memory.fix(fixed)
    _let_go(flows, newest, memory)
    return {flow_id: answer for flow_id, answer in (known | fixed).items() if answer}


def _let_go(flows: pl.DataFrame, newest: Any, memory: FlowMemory) -> None:
    ended = (
        flows.filter(pl.col("ended").is_not_null())
        .group_by(pl.col("tick").to_physical(), maintain_order=True)
        .agg("flow_id")
    )
    for tick, flow_ids in ended.iter_rows():
        memory.end(flow_ids, tick * MILLISECOND)
    if newest is not None:
        memory.expire(newest * MILLISECOND)
