"""Joins the drains of several workers into one, tick by tick.

Each worker hands over its own flows of whole ticks. A tick is given on when every worker has finished
it, so that the later stages see the same rows as from one worker; only their order within a tick differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import zip_longest
from typing import Any

import polars as pl

from monitor.flow_batch import Counters, Drain
from monitor.flow_rows import DnsRows, FlowRows

_END = 2**63 - 1  # later than any tick
OPENED_BYTES = 9  # of an entry of who opened a flow (binding/src/opened.rs)
MOST_OPENED = 1 << 16  # entries that the next run keeps (`MAX_INITIATORS` of the hot path)
# Rows of ticks that may wait until all workers have finished theirs; beyond, a tick is given on in parts, as
# one worker hands over a large one (`MOST_ROWS` of the hot path).
MOST_ROWS = 1 << 18


@dataclass
class _Worker:
    clock: int | None = None  # None: it has handed over nothing yet
    done: bool = False
    flows: list[pl.DataFrame] = field(default_factory=list)
    dns: list[pl.DataFrame] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    opened: bytes | None = None


class WorkerJoin:
    """Takes drains as they come, gives joined ones. What waits is what fast workers are ahead."""

    def __init__(self, workers: int) -> None:
        self._workers = [_Worker() for _ in range(workers)]
        self._given = 0
        self._warnings: list[str] = []
        self._told = False

    def add(self, number: int, drain: Drain) -> Drain | None:
        """Take the drain of one worker; gives what is complete now, None where nothing new is.

        The counters are the sums of the workers' latest; ``clock`` is that of the slowest worker, so all
        ticks before it are complete; ``done`` once all are done.
        """
        worker = self._workers[number]
        worker.flows.append(drain.flows.frame)
        worker.dns.append(drain.dns.frame)
        worker.counters, worker.clock, worker.done = drain.counters, drain.clock, drain.done
        if drain.opened is not None:
            worker.opened, self._told = drain.opened, True
        self._warnings += drain.counters.warnings
        clocks = [one.clock for one in self._workers if one.clock is not None]
        if len(clocks) < len(self._workers):
            return None  # what one of them has may be older
        running = [one.clock for one in self._workers if one.clock is not None and not one.done]
        clock = min(running, default=max(clocks))
        until = clock if running else _END
        if running and clock <= self._given:
            if sum(frame.height for one in self._workers for frame in one.flows + one.dns) < MOST_ROWS:
                return None
            # the slowest worker is in this tick: nothing older can come
            until = clock + 1
        self._given = clock
        counters = add_counters([one.counters for one in self._workers])
        counters.warnings, self._warnings = self._warnings, []
        flows = pl.concat([self._take(one.flows, until) for one in self._workers])
        dns = pl.concat([self._take(one.dns, until) for one in self._workers])
        numbered = flows.sort("tick", maintain_order=True).with_columns(
            _numbered("local_address", "local_id"),
            _numbered("remote_address", "remote_id"),
            _numbered("name", "name_id"),
            _numbered("ja4", "ja4_id"),
            _numbered("interface", "interface_id"),
        )
        return Drain(
            flows=FlowRows(numbered),
            dns=DnsRows(
                dns.sort("tick", "time", maintain_order=True).with_columns(
                    _numbered("client", "client_id"),
                    _numbered("resolver", "resolver_id"),
                    # a null question has a number too
                    (pl.col("question").fill_null("").rank("dense") - 1).cast(pl.UInt32).alias("question_id"),
                )
            ),
            counters=counters,
            clock=clock,
            tick=drain.tick,
            done=not running,
            opened=self._opened(),
        )

    def _opened(self) -> bytes | None:
        """Give what the workers told of who opened flows; None until all have, and where nothing is new."""
        parts = [one.opened for one in self._workers if one.opened is not None]
        if not self._told or len(parts) < len(self._workers):
            return None
        self._told = False
        return _newest_last(parts)

    @staticmethod
    def _take(waiting: list[pl.DataFrame], clock: int) -> pl.DataFrame:
        """Take the rows of ticks before `clock` out of those that wait."""
        rows = pl.concat(waiting)
        is_complete = pl.col("tick").dt.timestamp("ns") < clock
        waiting[:] = [rows.filter(~is_complete)]
        return rows.filter(is_complete)


def _newest_last(parts: Sequence[bytes]) -> bytes:
    """Put entries of several workers, each one's oldest first, together so that the newest of all are last.

    Who reads them keeps the last ones where there are too many, and what workers were told at their start is
    in all parts: one part behind the other, that of the last would push out what is open in the others.
    """
    newest_first = []
    for part in parts:
        oldest = max(0, len(part) - MOST_OPENED * OPENED_BYTES)
        places = range(len(part) - OPENED_BYTES, oldest - 1, -OPENED_BYTES)
        newest_first.append([part[at : at + OPENED_BYTES] for at in places])
    mixed = [entry for lot in zip_longest(*newest_first, fillvalue=b"") for entry in lot]
    return b"".join(reversed(mixed))


def _numbered(value: str, number: str) -> pl.Expr:
    """Count the values anew: the numbers of two workers' batches have nothing to do with each other."""
    return (pl.col(value).rank("dense") - 1).cast(pl.UInt32).alias(number)


def add_counters(all_workers: list[Counters]) -> Counters:
    """Sum the counters of several workers, field by field; CPU times stay apart by worker."""
    total = Counters()
    for one in fields(Counters):
        values = [getattr(counters, one.name) for counters in all_workers]
        if isinstance(values[0], int):
            setattr(total, one.name, sum(values))
        elif isinstance(values[0], dict):
            setattr(total, one.name, _sum(values))
    return total


def _sum(tables: list[Mapping[Any, Any]]) -> dict[Any, Any]:
    total: dict[Any, Any] = {}
    for table in tables:
        for key, number in table.items():
            total[key] = total.get(key, 0) + number
    return total
