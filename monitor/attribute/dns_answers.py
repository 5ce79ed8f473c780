"""From the rows of a DNS batch to what passive DNS may believe, in order of time.

An answer counts only where it matches a question that was seen and comes from a listed resolver; one on
its way to a listed resolver counts for the clients of that resolver (design section 5).
"""

from collections import Counter
from operator import itemgetter
from typing import NamedTuple

import polars as pl

from monitor.attribute.passive_dns import PassiveDns
from monitor.attribute.resolvers import Resolvers

A, CNAME, AAAA = 1, 5, 28  # RFC 1035 section 3.2.2, RFC 3596 section 2.1
MILLISECOND = 10**6
LONGEST_CHAIN = 16  # names; resolvers give up at about as many

_MESSAGE = ["tick", "time", "client", "resolver", "client_port", "resolver_port", "query_id", "question"]


class Asked(NamedTuple):
    """A client asked a listed resolver."""

    tick: int
    time: int
    client: bytes
    resolver: bytes

    def tell(self, passive_dns: PassiveDns, counters: Counter[str]) -> None:
        """Let passive DNS know."""
        passive_dns.ask(self.client, self.resolver)


class Answer(NamedTuple):
    """A client was told an address."""

    tick: int
    time: int  # an answer that came late counts from the start of the tick that it came in
    client: bytes
    address: bytes
    ttl: int
    chain: tuple[str, ...]  # from the owner of the address record to the question
    direct: bool  # by a listed resolver

    def tell(self, passive_dns: PassiveDns, counters: Counter[str]) -> None:
        """Let passive DNS know."""
        if not passive_dns.learn(
            self.client, self.address, self.time, self.ttl, self.chain, direct=self.direct
        ):
            counters["dns_answers_unlisted"] += 1


def read(dns: pl.DataFrame, resolvers: Resolvers, counters: Counter[str]) -> list[Asked | Answer]:
    """Give the events of a batch (`DNS_SCHEMA`), by tick and then by time.

    Counts into ``counters`` the answers that are left out: ``dns_answers_unmatched``,
    ``dns_answers_unlisted`` and ``dns_answers_unlinked`` (the record's owner is not what was asked for,
    nor does a CNAME in the message lead there).
    """
    if dns.is_empty():
        return []
    rows = dns.with_columns(pl.col("tick", "time").to_physical(), local=pl.col("scope") == "internal")
    rows = _ours(rows, resolvers)
    pairs = rows.select("resolver", "local").unique()
    listed = [resolvers.listed(address, local=local) for address, local in pairs.iter_rows()]
    rows = rows.join(
        pairs.with_columns(listed=pl.Series(listed, dtype=pl.Boolean)),
        on=["resolver", "local"],
        how="left",
        maintain_order="left",
    )
    is_edge = (pl.col("kind") == "question") & pl.col("listed") & (pl.col("client") != pl.col("resolver"))
    asked = (
        rows.filter(is_edge)
        .group_by("tick", "client", "resolver", maintain_order=True)
        .agg(pl.col("time").min())
        .select("tick", "time", "client", "resolver")
    )
    events: list[Asked | Answer] = [Asked(*row) for row in asked.iter_rows()]
    events += _answers(rows, resolvers, counters)
    # an answer at the very moment of a question comes after it: Asked stands before Answer, sort is stable
    events.sort(key=itemgetter(0, 1))
    return events


def _ours(rows: pl.DataFrame, resolvers: Resolvers) -> pl.DataFrame:
    """Leave out what strangers ask a server of ours: they could fill the memory with forged senders."""
    crossing = rows.filter(~pl.col("local")).select("client", "resolver").unique()
    servers = [address for address in crossing["resolver"].unique().to_list() if resolvers.private(address)]
    if not servers:
        return rows
    asked_ours = pl.col("resolver").is_in(servers)
    clients = crossing.filter(asked_ours)["client"].unique().to_list()
    strangers = [address for address in clients if not resolvers.private(address)]
    return rows.filter(pl.col("local") | ~asked_ours | ~pl.col("client").is_in(strangers))


def _answers(rows: pl.DataFrame, resolvers: Resolvers, counters: Counter[str]) -> list[Answer]:
    told = rows.filter(
        (pl.col("kind") == "answer")
        & (pl.col("section") == "answer")
        & (pl.col("rcode") == 0)
        & pl.col("type").is_in([A, CNAME, AAAA])
    ).with_columns(pl.col("owner", "value").str.to_lowercase())
    matched = told.filter(pl.col("matched"))
    counters["dns_answers_unmatched"] += told.height - matched.height
    if matched.is_empty():
        return []
    aliases = (
        matched.filter(type=CNAME)
        .group_by(_MESSAGE, maintain_order=True)
        .agg("owner", "value")
        .with_row_index("message")
    )
    chains = [
        _chains(question, owners, targets)
        for question, owners, targets in aliases.select("question", "owner", "value").iter_rows()
    ]
    found = matched.filter(pl.col("address").is_not_null()).join(
        aliases.select("message", *_MESSAGE), on=_MESSAGE, how="left", maintain_order="left"
    )
    answers = []
    for tick, time, client, resolver, address, ttl, question, owner, message, direct in found.select(
        "tick", "time", "client", "resolver", "address", "ttl", "question", "owner", "message", "listed"
    ).iter_rows():
        if not direct and resolvers.configured and client not in resolvers.configured:
            counters["dns_answers_unlisted"] += 1
            continue
        chain: tuple[str, ...] | None = (question,) if owner == question else None
        # A server that is not listed speaks for the name that it was asked for and for no other: else
        # whoever runs one name could put any other name on an address of his.
        if chain is None and message is not None and (direct or resolvers.public(resolver)):
            chain = chains[message].get(owner)
        if chain is None:
            counters["dns_answers_unlinked" if direct else "dns_answers_unlisted"] += 1
            continue
        answers.append(Answer(tick, max(time, tick * MILLISECOND), client, address, ttl or 0, chain, direct))
    return answers


def _chains(question: str, owners: list[str], targets: list[str]) -> dict[str, tuple[str, ...]]:
    """Follow the CNAMEs of one message from the question (RFC 1034 section 3.6.2).

    Returns:
        For each name reached, the names from it back to the question.
    """
    leads_to: dict[str, str] = {}
    for owner, target in zip(owners, targets, strict=True):
        leads_to.setdefault(owner, target)
    chain: tuple[str, ...] = (question,)
    reached = {question: chain}
    while chain[0] in leads_to and len(chain) < LONGEST_CHAIN:
        name = leads_to[chain[0]]
        if name is None or name in reached:
            break
        chain = (name, *chain)
        reached[name] = chain
    return reached
