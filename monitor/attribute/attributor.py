"""The attribute stage: who sent it, to whom, and how we know.

Nothing here runs once a row. Each address, name, local side and flow is looked up once a batch, the
decision is made once for each combination of what was found, and the columns are joined on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED

DNS_ENTRIES = 2**18

# one decision is made for each combination of these
_FACTS = ["network_number", "name_number", "name_source", "ech", "answer_number"]
_DECIDED = {
    column: ATTRIBUTED[column]
    for column in ("service_provider", "provider", "category", "evidence", "confidence", "disagreement")
}


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
        events = dns_answers.read(dns, self._resolvers, self._counts)
        answers = fix_answers(flows, events, self.passive_dns, self._flow_memory, self._counts)
        return self._attribute_flows(flows, answers), self._attribute_dns(dns)

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

    def _attribute_flows(self, flows: pl.DataFrame, answers: Mapping[int, Found]) -> pl.DataFrame:
        remotes, networks = self._remotes(flows)
        names, claimed = self._names(flows)
        told, dns_answers_told = self._told(answers)
        rows = (
            flows.join(remotes, on="remote_id", how="left", maintain_order="left")
            .join(names, on="name_id", how="left", maintain_order="left")
            .join(self._locals(flows), on="local_address", how="left", maintain_order="left")
            .join(told, on="flow_id", how="left", maintain_order="left")
        )
        decisions = self._decisions(rows, networks, claimed, dns_answers_told)
        rows = rows.join(decisions, on=_FACTS, how="left", nulls_equal=True, maintain_order="left")
        return rows.with_columns(self._is_published(rows)).select(*flows.columns, *ATTRIBUTED)

    def _remotes(self, flows: pl.DataFrame) -> tuple[pl.DataFrame, list[Network]]:
        """Look up the distinct remote addresses; their networks get numbers."""
        distinct = flows.select("remote_id", "remote_address").unique("remote_id", keep="any")
        packed = distinct["remote_address"].to_list()
        facts = [self.knowledge.address(address) for address in packed]
        numbers: dict[tuple[str | None, str | None], int] = {}
        columns: dict[str, list[Any]] = {
            "country": [found.country for found in facts],
            "asn": [found.asn for found in facts],
            "as_name": [found.as_name for found in facts],
            "network_provider": [found.provider for found in facts],
            "via": [self.workloads.gateway(address) for address in packed],
        }
        network_numbers = [numbers.setdefault(found[3:], len(numbers)) for found in facts]
        remotes = distinct.select("remote_id").with_columns(
            *(pl.Series(column, values, dtype=ATTRIBUTED[column]) for column, values in columns.items()),
            pl.Series("network_number", network_numbers, dtype=pl.UInt32),
        )
        return remotes, [Network(provider, evidence or "none") for provider, evidence in numbers]

    def _names(self, flows: pl.DataFrame) -> tuple[pl.DataFrame, list[Name]]:
        """Look up the distinct claimed names; those in the catalogue get numbers."""
        distinct = flows.select("name_id", "name").drop_nulls().unique("name_id", keep="any")
        numbers: dict[Name, int] = {}
        found = [
            None if name is None else numbers.setdefault(name, len(numbers))
            for name in map(self.knowledge.name, distinct["name"].to_list())
        ]
        column = pl.Series("name_number", found, dtype=pl.UInt32)
        return distinct.select("name_id").with_columns(column), list(numbers)

    def _told(self, answers: Mapping[int, Found]) -> tuple[pl.DataFrame, list[DnsAnswer]]:
        """Look up the names that DNS gave the flows; what they say gets numbers."""
        numbers: dict[DnsAnswer, int] = {}
        by_chain: dict[tuple[tuple[str, ...], bool], int] = {}
        found = []
        for answer in answers.values():
            key = (answer.chain, answer.shared)
            number = by_chain.get(key)
            if number is None:
                said = self.knowledge.chain(answer.chain)._replace(shared=answer.shared)
                number = by_chain[key] = numbers.setdefault(said, len(numbers))
            found.append(number)
        columns = {
            "flow_id": pl.Series(list(answers), dtype=pl.UInt64),
            "dns_name": pl.Series([answer.chain[-1] for answer in answers.values()], dtype=pl.String),
            "answer_number": pl.Series(found, dtype=pl.UInt32),
        }
        return pl.DataFrame(columns), list(numbers)

    def _locals(self, flows: pl.DataFrame) -> pl.DataFrame:
        """Name the distinct local addresses."""
        distinct = flows.select(pl.col("local_address").unique())
        names = [self.workloads.name(packed) for packed in distinct["local_address"].to_list()]
        return distinct.with_columns(pl.Series("workload", names, dtype=pl.String))

    def _decisions(
        self, rows: pl.DataFrame, networks: list[Network], claimed: list[Name], told: list[DnsAnswer]
    ) -> pl.DataFrame:
        """Decide once for each combination of facts in the batch."""
        combinations = rows.select(_FACTS).unique()
        decided = []
        for network, name, source, ech, answer in combinations.iter_rows():
            claim = None if name is None else Claim(claimed[name], source, outer=bool(ech))
            decision = decide(networks[network], None if answer is None else told[answer], claim)
            category = self.knowledge.category(decision.provider or decision.service_provider)
            decided.append(
                (
                    decision.service_provider,
                    decision.provider,
                    "storage" if decision.storage else category,
                    decision.evidence,
                    decision.confidence,
                    decision.disagreement,
                )
            )
        return combinations.hstack(pl.DataFrame(decided, _DECIDED, orient="row"))

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
        names = [self.workloads.name(packed) for packed in clients["client"].to_list()]
        named = clients.with_columns(pl.Series("workload", names, dtype=pl.String))
        rows = questions.question_columns(dns, self._asked)
        rows = rows.join(named, on="client", how="left", maintain_order="left")
        return rows.select(*dns.columns, *DNS_ATTRIBUTED)
