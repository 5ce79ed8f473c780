"""Which DNS answer each flow's name comes from: the newest that its client had when the flow began.

Flows and DNS of a drain are taken in order of time, not of arrival: tick by tick, and in a tick by the
time of the packet. So the result does not depend on where batches are cut.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from monitor.attribute.dns_answers import Answer, Asked
from monitor.attribute.flow_memory import FlowMemory
from monitor.attribute.moments import MILLISECOND
from monitor.attribute.passive_dns import Found, PassiveDns


def fix_answers(
    flows: pl.DataFrame,
    locals_: Sequence[bytes],
    remotes: Sequence[bytes],
    events: Sequence[Asked | Answer],
    passive_dns: PassiveDns,
    memory: FlowMemory,
    counters: Counter[str],
) -> tuple[pl.DataFrame, list[Found]]:
    """Tell passive DNS the events, and fix the answer of each flow that is new.

    A flow to an address that nobody was told yet has no answer for its life, because an answer never
    counts before the tick that it came in: such flows, the most, are neither looked up nor remembered.

    Args:
        flows: `FLOW_SCHEMA`, in tick order.
        locals_: the addresses that ``local_id`` counts.
        remotes: the addresses that ``remote_id`` counts.
        events: of the same ticks, in order of time.
        passive_dns: what was told before.
        memory: flows known before.
        counters: where events that count for nobody are counted.

    Returns:
        The rows of flows that have an answer, as their ``place`` in the batch and the ``found`` place
        of the answer among the answers, which come second.
    """
    told_now = {event.address for event in events if isinstance(event, Answer)}
    is_told = pl.Series(
        [address in told_now or passive_dns.was_told(address) for address in remotes], dtype=pl.Boolean
    )
    places = is_told[flows["remote_id"]].arg_true()
    rows = flows.select(
        places.alias("place"),
        pl.col("flow_id", "local_id", "remote_id", "ended").gather(places),
        pl.col("tick", "started").to_physical().gather(places),
    )
    distinct = rows.unique("flow_id", keep="first", maintain_order=True)
    known = memory.answers(distinct["flow_id"].to_list())
    is_new = pl.Series([answer is False for answer in known.values()], dtype=pl.Boolean)
    # a flow whose first packet came late, before its tick, comes before the answers of the tick
    began = pl.max_horizontal("started", pl.col("tick") * MILLISECOND - 1).alias("moment")
    new = distinct.filter(is_new).with_columns(began).sort("moment", maintain_order=True)
    fixed: dict[int, Found | None] = {}
    pending = iter(events)
    event = next(pending, None)
    # columns and not rows: making a tuple for each row takes twice as long
    columns = [new[column].to_list() for column in ("moment", "flow_id", "started", "local_id", "remote_id")]
    for moment, flow_id, started, client, address in zip(*columns, strict=True):
        while event is not None and event.moment <= moment:
            event.tell(passive_dns, counters)
            event = next(pending, None)
        fixed[flow_id] = passive_dns.find(locals_[client], remotes[address], started)
    while event is not None:
        event.tell(passive_dns, counters)
        event = next(pending, None)
    memory.fix(fixed)
    _let_go(rows, flows["tick"].to_physical().max(), memory)
    answers = {flow_id: answer for flow_id, answer in (known | fixed).items() if answer}
    numbers = pl.DataFrame({"flow_id": pl.Series(list(answers), dtype=pl.UInt64)}).with_row_index("found")
    return rows.join(numbers, on="flow_id").select("place", "found"), list(answers.values())


def _let_go(rows: pl.DataFrame, newest: Any, memory: FlowMemory) -> None:
    ended = rows.filter(pl.col("ended").is_not_null()).group_by("tick", maintain_order=True).agg("flow_id")
    for tick, flow_ids in ended.iter_rows():
        memory.end(flow_ids, tick * MILLISECOND)
    if newest is not None:
        memory.expire(newest * MILLISECOND)
