"""Resolvers that are asked over TLS, HTTPS or QUIC: whoever asks them gets names that nobody here can see.

RFC 7858 (TLS) and RFC 9250 (QUIC) have port 853 for it; RFC 8484 (HTTPS) has 443 like everything else, so
there the addresses and names of the well-known resolvers tell.
"""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from monitor.attribute.bounded import BoundedCache
from monitor.attribute.dns_memory import Said
from monitor.attribute.resolvers import Resolvers, is_resolver_name

DNS_OVER_TLS = 853
HTTPS = 443
REMEMBERED = 2**14  # names, about 300 bytes each
WORKLOADS = 2**12  # whose bytes are told apart; what comes later counts as `OTHERS`
OTHERS = "other"

_ENCRYPTED = ("tls", "quic", "dtls", "unknown")  # unknown: first seen in its middle


class EncryptedDns:
    """Tells which rows are with such a resolver."""

    def __init__(self, resolvers: Resolvers) -> None:
        self._resolvers = resolvers
        self._names: BoundedCache[str, bool] = BoundedCache(REMEMBERED)
        self.bytes: Counter[str] = Counter()  # with such resolvers, by workload, since the start

    def column(
        self,
        flows: pl.DataFrame,
        remotes: pl.Series,
        names: Sequence[str | None],
        answers: Sequence[Said],
        found: pl.Series,
    ) -> pl.Series:
        """Give the column ``encrypted_dns``.

        Args:
            flows: `FLOW_SCHEMA`.
            remotes: the addresses that ``remote_id`` counts.
            names: the names that ``name_id`` counts.
            answers: of passive DNS.
            found: for each row the place of its answer among them, from 1; 0: none.
        """
        by_port = flows["remote_port"] == DNS_OVER_TLS
        if by_port.any():
            by_port = by_port & flows["application"].is_in(_ENCRYPTED)
        wanted = by_port
        public = remotes.is_in(self._resolvers.well_known)
        if public.any():
            https = flows["remote_port"] == HTTPS
            wanted = wanted | (https & public[flows["remote_id"]])
        claimed = [self.is_resolver(name) for name in names]
        if any(claimed):
            wanted = wanted | pl.Series(claimed)[flows["name_id"]].fill_null(False)
        asked = [self.is_resolver(answer.chain[-1]) for answer in answers]
        if any(asked):
            plain = flows["application"].is_in(("dns", "icmp", "ntp"))
            wanted = wanted | (pl.Series([False, *asked])[found] & ~plain)
        return wanted.alias("encrypted_dns")

    def count(self, rows: pl.DataFrame) -> None:
        """Add the bytes of a batch (`FLOW_SCHEMA`, ``workload`` and ``encrypted_dns``)."""
        if not rows["encrypted_dns"].any():
            return
        # a row has over 60 columns
        seen = rows.select("workload", "bytes_out", "bytes_in").filter(rows["encrypted_dns"])
        total = (pl.col("bytes_out") + pl.col("bytes_in")).sum()
        for workload, amount in seen.group_by("workload", maintain_order=True).agg(total).iter_rows():
            is_known = workload in self.bytes or len(self.bytes) < WORKLOADS
            self.bytes[workload if is_known else OTHERS] += amount

    def is_resolver(self, name: str | None) -> bool:
        """Say whether a name is that of a well-known public resolver, or below one."""
        if name is None:
            return False
        known = self._names.get(name)
        if known is None:
            known = is_resolver_name(name)
            self._names.put(name, known)
        return known
