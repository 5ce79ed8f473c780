"""The attribute stage: who sent it, to whom, and how we know.

Nothing here runs once a row. Each address, name and local side is looked up once a batch; what is known
of each gets a number, a row's numbers make its case, and the decision is made once for each case.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from monitor.attribute import dns_answers, dns_state, questions
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.attribute.decide import Claim, DnsAnswer, Name, Network, decide
from monitor.attribute.flow_answers import fix_answers
from monitor.attribute.flow_memory import FlowMemory
from monitor.attribute.knowledge import Knowledge
from monitor.attribute.passive_dns import Found, PassiveDns
from monitor.attribute.questions import AskedNames
from monitor.attribute.resolvers import Resolvers
from monitor.attribute.workloads import Workloads
from monitor.config import Address
from monitor.config import Network as Prefix
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, NAME_SOURCES

DNS_ENTRIES = 2**18

_NETWORK_COLUMNS = ("country", "asn", "as_name", "network_provider")
_DECIDED_COLUMNS = ("service_provider", "provider", "category", "evidence", "confidence", "disagreement")
_CASE = {column: ATTRIBUTED[column] for column in (*_NETWORK_COLUMNS, *_DECIDED_COLUMNS)}


class Attributor:
    """Adds the columns of `ATTRIBUTED` to flows and of `DNS_ATTRIBUTED` to DNS rows.

    Give it all batches in their order; where they are cut changes nothing as long as the counters of
    what is evicted stand at 0. One thread at a time.

    Args:
        catalogue: whose names and networks.
        databases: where addresses are, and who runs them; already started.
        workloads: networks by workload name; the longest network around an address wins.
        gateways: networks by gateway name; local addresses that speak for the outside.
        published: local ports by workload, where strangers are meant to be answered.
        resolvers: whose DNS answers count. Empty: all local addresses and the well-known public ones.
        dns_entries: pairs of client and address that passive DNS remembers at most (see `PassiveDns`).
    """

    def __init__(
        self,
        catalogue: Catalogue,
        databases: Databases,
        workloads: Mapping[str, Sequence[Prefix]],
        gateways: Mapping[str, Sequence[Prefix]],
        published: Mapping[str, Sequence[int]],
        resolvers: Sequence[Address],
        *,
        dns_entries: int = DNS_ENTRIES,
    ) -> None:
        self.knowledge = Knowledge(catalogue, databases)
        self.workloads = Workloads(workloads, gateways, published)
        self._resolvers = Resolvers(resolvers)
        self.passive_dns = PassiveDns(dns_entries, everybody=self._resolvers.configured)
        self._flow_memory = FlowMemory()
        self._asked = AskedNames()
        self._counts: Counter[str] = Counter()
        self._evicted_before = 0  # by knowledge that was replaced

    def attribute(self, flows: pl.DataFrame, dns: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Attribute one drain.

        Args:
            flows: `FLOW_SCHEMA`, in tick order.
            dns: `DNS_SCHEMA`, of the same ticks.

        Returns:
            The same rows in the same order, with `ATTRIBUTED` and `DNS_ATTRIBUTED` added.
        """
        remotes = _counted(flows, "remote_id", "remote_address").to_list()
        events = dns_answers.read(dns, self._resolvers, self._counts)
        answers = fix_answers(flows, remotes, events, self.passive_dns, self._flow_memory, self._counts)
        return self._attribute_flows(flows, remotes, answers), self._attribute_dns(dns)

    def given_up(self) -> dict[str, int]:
        """Give totals since the start of what was forgotten because of a bound."""
        return {
            "passive_dns": self.passive_dns.evicted,
            "passive_dns_client": self.passive_dns.clients_evicted,
            "flow_name": self._flow_memory.evicted,
            "asked_name": self._asked.evicted,
            "lookup": self._evicted_before + self.knowledge.evicted,
        }

    def ignored_answers(self) -> dict[str, int]:
        """Give totals since the start of DNS answers that do not count, by reason.

        ``unmatched``: no question was seen; ``unlisted``: not from a resolver that is believed;
        ``unlinked``: a record that does not follow from the name asked for.
        """
        return {
            reason: self._counts[f"dns_answers_{reason}"] for reason in ("unmatched", "unlisted", "unlinked")
        }

    def swap(self, catalogue: Catalogue, databases: Databases) -> None:
        """Use another catalogue and databases (already started) from the next batch on.

        What DNS said is kept, and with it the name of each open flow.
        """
        self._evicted_before += self.knowledge.evicted
        self.knowledge = Knowledge(catalogue, databases)

    def save(self, path: Path) -> None:
        """Write passive DNS and the names asked lately; raises OSError, and the old file then stays."""
        dns_state.save(path, self.passive_dns, self._asked)

    def load(self, path: Path) -> str | None:
        """Read what `save` wrote, before the first batch.

        Returns:
            One line for people where there is a file and it cannot be used, else None.
        """
        return dns_state.load(path, self.passive_dns, self._asked)

    def answer_of(self, flow_id: int) -> Found | None:
        """Give the DNS answer that a flow's name comes from, None where there is none (any more)."""
        return self._flow_memory.answers([flow_id])[flow_id] or None

    def _attribute_flows(
        self, flows: pl.DataFrame, remotes: Sequence[bytes], answers: Mapping[int, Found]
    ) -> pl.DataFrame:
        networks = pl.Series("network", self.knowledge.addresses(remotes), dtype=pl.UInt64)
        names, claimed = self._names(flows)
        told, chains = self._told(answers)
        facts = flows.select(
            networks.gather(flows["remote_id"]),
            names.gather(flows["name_id"]).fill_null(0).alias("name"),
            source=pl.col("name_source").to_physical().fill_null(0),
            ech=pl.col("ech").fill_null(False),
        ).hstack(flows.select("flow_id").join(told, on="flow_id", how="left", maintain_order="left"))
        cases = _Cases(len(claimed) + 1, len(chains) + 1)
        numbers = facts.select(cases.number())
        distinct = numbers.unique().with_row_index("case")
        decided = self._decided(cases.facts(distinct), claimed, chains)
        place = numbers.join(distinct, on="number", how="left", maintain_order="left")["case"]
        added = [
            self._workloads(flows),
            *decided[place],
            facts["dns_name"],
            self._gateways(remotes).gather(flows["remote_id"]),
        ]
        rows = flows.hstack(added)
        return rows.with_columns(self._is_published(rows)).select(*flows.columns, *ATTRIBUTED)

    def _names(self, flows: pl.DataFrame) -> tuple[pl.Series, list[Name]]:
        """Look up the claimed names; those in the catalogue get numbers from 1, the others 0."""
        texts = _counted(flows.drop_nulls("name_id"), "name_id", "name").to_list()
        numbers: dict[Name, int] = {}
        found = [
            0 if name is None else numbers.setdefault(name, len(numbers) + 1)
            for name in map(self.knowledge.name, texts)
        ]
        return pl.Series("name", found, dtype=pl.UInt64), list(numbers)

    def _told(self, answers: Mapping[int, Found]) -> tuple[pl.DataFrame, list[DnsAnswer]]:
        """Look up the names that DNS gave the flows; what they say gets numbers from 1."""
        numbers: dict[DnsAnswer, int] = {}
        by_chain: dict[tuple[tuple[str, ...], bool], int] = {}
        found = []
        for answer in answers.values():
            key = (answer.chain, answer.shared)
            number = by_chain.get(key)
            if number is None:
                said = self.knowledge.chain(answer.chain)._replace(shared=answer.shared)
                number = by_chain[key] = numbers.setdefault(said, len(numbers) + 1)
            found.append(number)
        columns = {
            "flow_id": pl.Series(list(answers), dtype=pl.UInt64),
            "dns_name": pl.Series([answer.chain[-1] for answer in answers.values()], dtype=pl.String),
            "answer": pl.Series(found, dtype=pl.UInt64),
        }
        return pl.DataFrame(columns), list(numbers)

    def _decided(self, cases: pl.DataFrame, claimed: list[Name], told: list[DnsAnswer]) -> pl.DataFrame:
        """Decide once for each case of the batch: the columns of the network and of the decision."""
        facts = self.knowledge.facts()
        decided = []
        for number, answer, name, source, ech in cases.iter_rows():
            known = facts[number]
            network = Network(known.provider, known.provider_evidence or "none")
            claim = Claim(claimed[name - 1], NAME_SOURCES[source], outer=bool(ech)) if name else None
            decision = decide(network, told[answer - 1] if answer else None, claim)
            category = self.knowledge.category(decision.provider or decision.service_provider)
            decided.append(
                (
                    *known[:4],
                    decision.service_provider,
                    decision.provider,
                    "storage" if decision.storage else category,
                    decision.evidence,
                    decision.confidence,
                    decision.disagreement,
                )
            )
        return pl.DataFrame(decided, _CASE, orient="row")

    def _workloads(self, flows: pl.DataFrame) -> pl.Series:
        """Name the local sides."""
        distinct = flows.select(pl.col("local_address").unique())
        named = distinct.with_columns(workload=self.workloads.names(distinct["local_address"]))
        return flows.select("local_address").join(
            named, on="local_address", how="left", maintain_order="left"
        )["workload"]

    def _gateways(self, remotes: Sequence[bytes]) -> pl.Series:
        found = map(self.workloads.gateway, remotes) if self.workloads.has_gateways else [None] * len(remotes)
        return pl.Series("via", found, dtype=pl.String)

    def _is_published(self, rows: pl.DataFrame) -> pl.Expr:
        """Give the column ``published``: strangers are answered where they are meant to be."""
        places = [
            (pl.col("workload") == workload) & pl.col("local_port").is_in(sorted(ports))
            for workload, ports in self.workloads.published.items()
        ]
        is_place = pl.any_horizontal(pl.lit(False), *places)
        return (is_place & (pl.col("initiator") != "local")).alias("published")

    def _attribute_dns(self, dns: pl.DataFrame) -> pl.DataFrame:
        clients = dns.select(pl.col("client").unique())
        named = clients.with_columns(workload=self.workloads.names(clients["client"]))
        rows = questions.question_columns(dns, self._asked)
        rows = rows.join(named, on="client", how="left", maintain_order="left")
        return rows.select(*dns.columns, *DNS_ATTRIBUTED)


class _Cases:
    """One number for what is known of a row: its network, name, claim and answer."""

    def __init__(self, names: int, answers: int) -> None:
        """Keep how many numbers there are for names and for answers, 0 included."""
        self._names = names
        self._answers = answers

    def number(self) -> pl.Expr:
        """Give the number; where the name is not in the catalogue, how it was claimed makes no difference."""
        claim = pl.col("name") * _WAYS + pl.when(pl.col("name") > 0).then(
            pl.col("source").cast(pl.UInt64) * 2 + pl.col("ech").cast(pl.UInt64)
        ).otherwise(0)
        base = pl.col("network") * self._answers + pl.col("answer").fill_null(0)
        return (base * (self._names * _WAYS) + claim).alias("number")

    def facts(self, numbers: pl.DataFrame) -> pl.DataFrame:
        """Take numbers apart: ``network``, ``answer``, ``name``, ``source`` and ``ech``."""
        number = pl.col("number")
        base, claim = number // (self._names * _WAYS), number % (self._names * _WAYS)
        return numbers.select(
            network=base // self._answers,
            answer=base % self._answers,
            name=claim // _WAYS,
            source=claim % _WAYS // 2,
            ech=claim % 2,
        )


_WAYS = 2 * len(NAME_SOURCES)  # in which a name can be claimed: where it stood, and with or without ECH


def _counted(rows: pl.DataFrame, index: str, column: str) -> pl.Series:
    """Give what an index counts, in its order; where rows were left out, a number may stand for anything."""
    known = rows.select(index, column).unique(index, keep="any").sort(index)
    last = known[index].max()
    if isinstance(last, int) and known.height <= last:
        every = pl.DataFrame({index: pl.int_range(last + 1, dtype=pl.UInt32, eager=True)})
        known = every.join(known, on=index, how="left", maintain_order="left").fill_null(strategy="backward")
    return known[column]
