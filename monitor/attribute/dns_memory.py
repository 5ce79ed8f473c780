"""What DNS said: which name a client asked for to get an address, as of any moment.

The rows of a batch meet it in Rust (`monitor/hotpath/attributecore/src/dns/`), in one call. Nothing is ever
resolved here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from monitor._hotpath import DnsMemory as Memory
from monitor.attribute.resolvers import Resolvers
from monitor.flow_rows import DnsRows, FlowRows

Chain = tuple[str, ...]  # from the owner of the address record over its CNAMEs to the question


class Found(NamedTuple):
    """What DNS says about one flow."""

    chain: Chain  # from the address to the question; a single name where there is no CNAME
    shared: bool  # told to a resolver that this client asks, not seen on its way to the client
    time: int  # nanoseconds since 1970: of the newest answer known that is not later than the flow


class Said(NamedTuple):
    """An answer that rows of a batch have."""

    chain: Chain
    shared: bool


class Seen(NamedTuple):
    """What DNS says about the rows of a batch."""

    found: pl.Series  # flows: the place of the row's answer among `said`, from 1; 0: none
    unasked_name: pl.Series  # flows
    dns: list[pl.Series]  # DNS rows: ``question_bytes``, ``fresh_question_bytes`` and ``listed``
    said: list[Said]


class DnsMemory:
    """Bounded memory of what clients asked and were told. Give it all batches in their order.

    An answer counts from its moment until its TTL has run out, and for a day longer: programs keep
    connections and addresses longer than they are told to. A flow keeps for its life the newest answer that
    its client had when it began. At a bound the half that was not used for longest is forgotten, and counted.

    Args:
        resolvers: whose answers count.
        entries: pairs of client and address at most. Each takes about 320 bytes with a name
            that no other has, and 240 more for each further name (measured).
        text: bytes of their names at most, 48 for each besides its text; as many of names that flows hold.
        clients: clients whose resolvers are remembered at most.
        flows: flows with what DNS said about them, at most, about 60 bytes each; and as many of which it
            said nothing, 18 bytes each.
        names: names that clients asked lately, at most; about 40 bytes each.
        habits: clients of which it is known whether their names usually are asked, at most; 100 bytes each.
    """

    def __init__(
        self,
        resolvers: Resolvers,
        *,
        entries: int = 2**18,
        text: int = 2**26,
        clients: int = 2**16,
        flows: int = 2**19,
        names: int = 2**18,
        habits: int = 2**16,
    ) -> None:
        self.kept = Memory(  # what `dns_state` reads and writes
            *resolvers.packed(),
            entries=entries,
            text=text,
            clients=clients,
            flows=flows,
            names=names,
            habits=habits,
        )

    def __len__(self) -> int:
        """Pairs of client and address that are known."""
        return len(self.kept)

    def see(self, flows: FlowRows, dns: DnsRows, carried: Sequence[int]) -> Seen:
        """Take a batch.

        Args:
            flows: `FLOW_SCHEMA`, in tick order.
            dns: `DNS_SCHEMA`, of the same ticks; the rows of a message stand together.
            carried: for each ``question_id`` the bytes of the name that its asker chose freely.
        """
        by_flow, by_row, said = self.kept.see(flows.native, dns.native, carried)
        found, unasked = pl.DataFrame(by_flow).get_columns()
        return Seen(found, unasked, pl.DataFrame(by_row).get_columns(), [Said(*one) for one in said])

    def answer_of(self, flow_id: int) -> Found | None:
        """Give the DNS answer that a flow's name comes from, None where there is none (any more)."""
        found = self.kept.answer_of(flow_id)
        return Found(*found) if found else None

    def given_up(self) -> dict[str, int]:
        """Give totals since the start of what was forgotten because of a bound."""
        kinds = ("passive_dns", "passive_dns_client", "flow_name", "asked_name", "name_habit")
        return dict(zip(kinds, self.kept.evicted(), strict=True))

    def ignored(self) -> dict[str, int]:
        """Give totals since the start of DNS answers that do not count, by reason.

        ``unmatched``: no question was seen; ``unlisted``: not from a resolver that is believed;
        ``unlinked``: a record that does not follow from the name asked for.
        """
        return dict(zip(("unmatched", "unlisted", "unlinked"), self.kept.ignored(), strict=True))
