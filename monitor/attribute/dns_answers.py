"""From the rows of a DNS batch to what passive DNS may believe, in order of time.

An answer counts only where it matches a question that was seen and comes from a listed resolver; one on
its way to a listed resolver counts for the clients of that resolver (design section 5).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import polars as pl

from monitor.attribute.distinct import distinct
from monitor.attribute.moments import moment
from monitor.attribute.passive_dns import PassiveDns
from monitor.attribute.resolvers import Resolvers

A, CNAME, AAAA = 1, 5, 28  # RFC 1035 section 3.2.2, RFC 3596 section 2.1
LONGEST_CHAIN = 16  # names; resolvers give up at about as many

Chain = tuple[str, ...]

# the rows of a message stand together and share these
_MESSAGE = ["moment", "client_id", "resolver_id", "client_port", "resolver_port", "query_id", "question_id"]


class Asked(NamedTuple):
    """A client asked a listed resolver, the first time in this batch."""

    moment: int  # nanoseconds since 1970
    client: bytes
    resolver: bytes

    def tell(self, passive_dns: PassiveDns, counters: Counter[str]) -> None:
        """Let passive DNS know."""
        passive_dns.ask(self.client, self.resolver)


class Answer(NamedTuple):
    """A client was told an address."""

    moment: int  # nanoseconds since 1970
    client: bytes
    address: bytes
    ttl: int
    chain: Chain  # from the owner of the address record to the question
    direct: bool  # by a listed resolver

    def tell(self, passive_dns: PassiveDns, counters: Counter[str]) -> None:
        """Let passive DNS know."""
        if not passive_dns.learn(
            self.client, self.address, self.moment, self.ttl, self.chain, direct=self.direct
        ):
            counters["dns_answers_unlisted"] += 1


def read(
    dns: pl.DataFrame, resolvers: Resolvers, counters: Counter[str]
) -> tuple[list[Asked | Answer], pl.Series]:
    """Give the events of a batch (`DNS_SCHEMA`) in order of time, and the column ``listed`` of its rows.

    Counts into ``counters`` the answers that are left out: ``dns_answers_unmatched``,
    ``dns_answers_unlisted`` and ``dns_answers_unlinked`` (the record's owner is not what was asked for,
    nor does a CNAME in the message lead there).
    """
    if dns.is_empty():
        return [], pl.Series("listed", dtype=pl.Boolean)
    ends = _Ends(dns, resolvers)
    known = dns.with_columns(local=dns["scope"] == "internal").with_columns(listed=ends.is_listed())
    rows = known.lazy().with_columns(moment("time")).filter(ends.is_ours())
    events: list[Asked | Answer] = [*_asked(rows, ends), *_answers(rows, ends, counters)]
    # an answer at the very moment of a question comes after it: Asked stands before Answer, sort is stable
    events.sort(key=attrgetter("moment"))
    return events, known["listed"]


class _Ends:
    """Who asks, who answers and what is asked in a batch; each is looked at once."""

    def __init__(self, dns: pl.DataFrame, resolvers: Resolvers) -> None:
        self.resolvers = resolvers
        self.clients: list[bytes] = distinct(dns, "client_id", "client").to_list()
        self.servers: list[bytes] = distinct(dns, "resolver_id", "resolver").to_list()
        self.questions: list[str] = distinct(dns, "question_id", "question").to_list()
        self._crossing = dns.select("client_id", "resolver_id").filter(dns["scope"] != "internal")

    def is_ours(self) -> pl.Expr:
        """Leave out what strangers ask a server of ours: they could fill the memory with forged senders."""
        private = self.resolvers.private
        servers = [
            number for number in self._crossing["resolver_id"].unique() if private(self.servers[number])
        ]
        if not servers:
            return pl.lit(True)
        asks_ours = pl.col("resolver_id").is_in(servers)
        clients = self._crossing.filter(asks_ours)["client_id"].unique()
        strangers = [number for number in clients if not private(self.clients[number])]
        return pl.col("local") | ~asks_ours | ~pl.col("client_id").is_in(strangers)

    def is_configured_client(self) -> pl.Expr:
        """Say whether the client of a row may be a resolver that others ask; see `PassiveDns.learn`."""
        configured = self.resolvers.configured
        if not configured:
            return pl.lit(True)
        return pl.col("client_id").is_in(
            [number for number, client in enumerate(self.clients) if client in configured]
        )

    def is_listed(self) -> pl.Expr:
        """Say whether the resolver of a row is one whose answers count."""
        inside, outside = (
            pl.lit(pl.Series([self.resolvers.listed(server, local=local) for server in self.servers]))
            for local in (True, False)
        )
        number = pl.col("resolver_id")
        return pl.when("local").then(inside.gather(number)).otherwise(outside.gather(number))


def _asked(rows: pl.LazyFrame, ends: _Ends) -> list[Asked]:
    """Give who asked whom; that he asked again says nothing new."""
    firsts = (
        rows.filter((pl.col("kind") == "question") & pl.col("listed"))
        .group_by("client_id", "resolver_id")
        .agg(pl.col("moment").min())
        .select("moment", "client_id", "resolver_id")
        .collect()
    )
    asked = [
        Asked(time, ends.clients[client], ends.servers[resolver])
        for time, client, resolver in firsts.iter_rows()
    ]
    # the order of those at the same moment is that of their addresses, whatever the numbers are
    return sorted(one for one in asked if one.client != one.resolver)


def _answers(rows: pl.LazyFrame, ends: _Ends, counters: Counter[str]) -> list[Answer]:
    told = (
        rows.filter(
            (pl.col("kind") == "answer")
            & (pl.col("section") == "answer")
            & (pl.col("rcode") == 0)
            & pl.col("type").is_in([A, CNAME, AAAA])
        )
        .select(
            *_MESSAGE, "matched", "listed", "question", "type", "value", "address",
            pl.col("owner").str.to_lowercase(),
            pl.col("ttl").fill_null(0),
        )
        .collect()
    )  # fmt: skip
    is_next = pl.any_horizontal([pl.col(name) != pl.col(name).shift() for name in _MESSAGE])
    matched = told.filter("matched")
    counters["dns_answers_unmatched"] += told.height - matched.height
    if matched.is_empty():
        return []
    matched = matched.with_columns(
        message=is_next.fill_null(True).cum_sum(), is_plain=pl.col("owner") == pl.col("question")
    )
    believed = matched.filter(
        pl.col("address").is_not_null() & (pl.col("listed") | ends.is_configured_client())
    )
    counters["dns_answers_unlisted"] += matched["address"].count() - believed.height
    answers = _plain(believed.filter("is_plain"), ends)
    if len(answers) < believed.height:
        linked = believed.filter(~pl.col("is_plain"))
        answers += _linked(linked, _chains(matched.filter(type=CNAME)), ends, counters)
    return answers


def _plain(rows: pl.DataFrame, ends: _Ends) -> list[Answer]:
    """Give the answers that belong to the very name asked for, the most."""
    chains = [(question,) for question in ends.questions]
    # columns and not rows: making a tuple for each row takes twice as long
    names = ("moment", "client_id", "address", "ttl", "question_id", "listed")
    return [
        Answer(time, ends.clients[client], address, ttl, chains[question], direct)
        for time, client, address, ttl, question, direct in zip(
            *[rows[name].to_list() for name in names], strict=True
        )
    ]


def _linked(
    rows: pl.DataFrame, chains: Mapping[int, Mapping[str, Chain]], ends: _Ends, counters: Counter[str]
) -> list[Answer]:
    """Give the answers that CNAMEs lead to, from the chains of each message."""
    answers = []
    for time, client, resolver, address, ttl, owner, message, direct in rows.select(
        "moment", "client_id", "resolver_id", "address", "ttl", "owner", "message", "listed"
    ).iter_rows():
        chain: Chain | None = None
        # A server that is not listed speaks for the name that it was asked for and for no other: else
        # whoever runs one name could put any other name on an address of his.
        if direct or ends.resolvers.public(ends.servers[resolver]):
            chain = chains.get(message, {}).get(owner)
        if chain is None:
            counters["dns_answers_unlinked" if direct else "dns_answers_unlisted"] += 1
        else:
            answers.append(Answer(time, ends.clients[client], address, ttl, chain, direct))
    return answers


def _chains(aliases: pl.DataFrame) -> dict[int, dict[str, Chain]]:
    """Give for each message the names that its CNAMEs lead to (see `_follow`), each set of CNAMEs once."""
    questions: dict[int, str] = {}
    messages: dict[int, list[tuple[str, str]]] = {}
    columns = [aliases[name].to_list() for name in ("message", "question", "owner")]
    for message, question, owner, target in zip(
        *columns, aliases["value"].str.to_lowercase().to_list(), strict=True
    ):
        questions[message] = question
        messages.setdefault(message, []).append((owner, target))
    followed: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, Chain]] = {}
    chains = {}
    for message, links in messages.items():
        key = (questions[message], tuple(links))
        if key not in followed:
            followed[key] = _follow(*key)
        chains[message] = followed[key]
    return chains


def _follow(question: str, links: Sequence[tuple[str, str]]) -> dict[str, Chain]:
    """Follow the CNAMEs of one message from the question (RFC 1034 section 3.6.2).

    Returns:
        For each name reached, the names from it back to the question.
    """
    leads_to: dict[str, str] = {}
    for owner, target in links:
        leads_to.setdefault(owner, target)
    chain: Chain = (question,)
    reached = {question: chain}
    while chain[0] in leads_to and len(chain) < LONGEST_CHAIN:
        name = leads_to[chain[0]]
        if name is None or name in reached:
            break
        chain = (name, *chain)
        reached[name] = chain
    return reached
