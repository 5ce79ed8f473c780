"""Resolvers that are asked over TLS, HTTPS or QUIC: whoever asks them gets names that nobody here can see.

How a row shows it is in `monitor/hotpath/attributecore/src/encrypted_dns.rs`.
"""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from monitor._hotpath import PublicResolvers
from monitor.attribute.bounded import BoundedCache
from monitor.attribute.dns_memory import Said
from monitor.attribute.resolvers import Resolvers, is_resolver_name
from monitor.flow_rows import FlowRows

REMEMBERED = 2**14  # names, about 300 bytes each
WORKLOADS = 2**12  # whose bytes are told apart; what comes later counts as `OTHERS`
OTHERS = "other"


class EncryptedDns:
    """Tells which rows are with such a resolver."""

    def __init__(self, resolvers: Resolvers) -> None:
        self._public = PublicResolvers(sorted(resolvers.well_known))
        self._names: BoundedCache[str | None, bool] = BoundedCache(REMEMBERED)
        self.bytes: Counter[str] = Counter()  # with such resolvers, by workload, since the start

    def column(
        self,
        flows: FlowRows,
        workloads: pl.Series,
        names: Sequence[str | None],
        answers: Sequence[Said],
        found: pl.Series,
    ) -> pl.Series:
        """Give the column ``encrypted_dns``, and count the bytes of its rows.

        Args:
            flows: `FLOW_SCHEMA`.
            workloads: of the addresses that ``local_id`` counts.
            names: the names that ``name_id`` counts.
            answers: of passive DNS.
            found: for each row the place of its answer among them, from 1; 0: none.
        """
        claimed = self.are_resolvers(names)
        told = [False, *self.are_resolvers([answer.chain[-1] for answer in answers])]
        marked, amounts = self._public.out_of_sight(flows.native, found.to_frame(), claimed, told)
        found_at = workloads[[local for local, _ in amounts]].to_list()
        for workload, (_, amount) in zip(found_at, amounts, strict=True):
            is_known = workload in self.bytes or len(self.bytes) < WORKLOADS
            self.bytes[workload if is_known else OTHERS] += amount
        return pl.DataFrame(marked).to_series()

    def are_resolvers(self, names: Sequence[str | None]) -> list[bool]:
        """Say which names are those of a well-known public resolver, or below one."""
        return self._names.values(names, lambda name: name is not None and is_resolver_name(name))
