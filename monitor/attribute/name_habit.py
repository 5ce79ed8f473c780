"""Clients whose names are usually answers of DNS, so that a name that nobody was seen asking for stands out.

A program that sends a server name which it never looked up has the address from elsewhere: from its own
configuration, or from whoever told the malware where to go and what to call it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl

from monitor.attribute.bounded import BoundedCache

DAY = 86_400_000  # ticks are in milliseconds
CLIENTS = 2**16  # about 250 bytes each
ENOUGH = 20  # named connections before a client has a habit
USUALLY = 0.9  # of its named connections followed an answer

_SOURCES = ("sni", "quic_sni", "dtls_sni")


class Habit(NamedTuple):
    """Named connections of one client on the last day that it had one, and on the day before that."""

    day: int  # days since 1970
    named: int
    asked: int  # of these, those that followed an answer
    named_before: int = 0
    asked_before: int = 0

    def on(self, day: int) -> "Habit":
        """Give the habit as of a later day."""
        if day <= self.day:
            return self
        before = (self.named, self.asked) if day == self.day + 1 else (0, 0)
        return Habit(day, 0, 0, *before)

    def is_usual(self) -> bool:
        """Say whether this client's names usually are answers of DNS."""
        named = self.named + self.named_before
        return named >= ENOUGH and self.asked + self.asked_before >= USUALLY * named


_NEW = Habit(0, 0, 0)


class NameHabits:
    """Bounded memory of the habits.

    Give it all batches in their order; where they are cut changes nothing.
    """

    def __init__(self) -> None:
        self._habits: BoundedCache[bytes, Habit] = BoundedCache(CLIENTS)

    @property
    def evicted(self) -> int:
        """Clients forgotten because of the bound, since the start."""
        return self._habits.evicted

    def column(self, flows: pl.DataFrame, clients: Sequence[bytes], found: pl.Series) -> pl.Series:
        """Give the column ``unasked_name``, and learn from the batch.

        A row is judged by what its client did in the ticks before it, today and yesterday.

        Args:
            flows: `FLOW_SCHEMA`, in tick order.
            clients: the addresses that ``local_id`` counts.
            found: 0 where no answer of DNS led to the remote address.
        """
        none = pl.Series("unasked_name", [False]).new_from_index(0, flows.height)
        is_named = flows["name_source"].is_in(_SOURCES) & (flows["scope"] == "egress")
        is_named = is_named.fill_null(False) & (flows["initiator"] != "remote")
        places = is_named.arg_true()
        if not len(places):
            return none
        rows = flows.select(
            pl.col("tick").to_physical().gather(places),
            pl.col("local_id", "started", "first_seen").gather(places),
            (found > 0)[places].alias("asked"),
        )
        groups = rows.group_by("tick", "local_id", maintain_order=True).agg(
            (pl.col("started") == pl.col("first_seen")).sum().alias("named"),
            ((pl.col("started") == pl.col("first_seen")) & pl.col("asked")).sum().alias("known"),
            pl.col("asked").all().alias("all_asked"),
        )
        unusual = list(self._learn(groups.iter_rows(), clients))
        if not unusual:
            return none
        keys = pl.DataFrame(unusual, {"tick": pl.Int64, "local_id": pl.UInt32}, orient="row")
        unasked = rows.with_columns(places.alias("place")).filter(~pl.col("asked"))
        return none.scatter(unasked.join(keys, on=["tick", "local_id"], how="semi")["place"], True)

    def _learn(
        self, groups: Iterable[tuple[int, int, int, int, bool]], clients: Sequence[bytes]
    ) -> Iterable[tuple[int, int]]:
        """Take the ticks of clients in their order; give those in which an unasked name stands out."""
        for tick, number, named, known, all_asked in groups:
            client = clients[number]
            habit = self._habits.get(client, _NEW).on(tick // DAY)
            if not all_asked and habit.is_usual():
                yield tick, number
            if named:
                learnt = habit._replace(named=habit.named + named, asked=habit.asked + known)
                self._habits.put(client, learnt)

    def items(self) -> Iterable[tuple[bytes, Habit]]:
        """Give all for saving, the longest unused first."""
        return self._habits.items()

    def restore(self, client: bytes, habit: Habit) -> None:
        """Put back what `items` gave."""
        self._habits.put(client, habit)
