"""The attribute stage: who sent it, to whom, and how we know.

Nothing here runs once a row. Each address, name and local side is looked up once a batch; what is known
of each gets a number, a row's numbers make its case, and the decision is made once for each case.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from monitor.attribute import dns_state, questions
from monitor.attribute.addresses import parse
from monitor.attribute.cases import Cases
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.attribute.decide import Claim, DnsAnswer, Name, Network, decide
from monitor.attribute.distinct import distinct
from monitor.attribute.dns_memory import DnsMemory, Found, Said, Seen
from monitor.attribute.encrypted_dns import EncryptedDns
from monitor.attribute.knowledge import Knowledge
from monitor.attribute.resolvers import Resolvers
from monitor.attribute.workloads import Workloads
from monitor.config import Address
from monitor.config import Network as Prefix
from monitor.flow_batch import ATTRIBUTED, NAME_SOURCES

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
        dns_entries: pairs of client and address that passive DNS remembers at most (see `DnsMemory`).
        owners: gives the columns of who on this host owns each flow. None: that is not asked.
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
        owners: Callable[[pl.DataFrame], list[pl.Series]] | None = None,
    ) -> None:
        self.knowledge = Knowledge(catalogue, databases)
        self.workloads = Workloads(workloads, gateways, published)
        self._resolvers = Resolvers(resolvers)
        self.dns_memory = DnsMemory(self._resolvers, entries=dns_entries)
        self._encrypted = EncryptedDns(self._resolvers)
        self._owners = owners or _nobody
        self._evicted_before = 0  # by knowledge that was replaced

    def attribute(self, flows: pl.DataFrame, dns: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Attribute one drain.

        Args:
            flows: `FLOW_SCHEMA`, in tick order.
            dns: `DNS_SCHEMA`, of the same ticks; the rows of a message stand together.

        Returns:
            The same rows in the same order, with `ATTRIBUTED` and `DNS_ATTRIBUTED` added.
        """
        locals_ = distinct(flows, "local_id", "local_address")
        remote_addresses = distinct(flows, "remote_id", "remote_address")
        remotes = remote_addresses.to_list()
        asked = questions.domain_columns(distinct(dns, "question_id", "question"))
        seen = self.dns_memory.see(flows, dns, (asked["label_bytes"] > 0).fill_null(False).to_list())
        names = distinct(flows, "name_id", "name").to_list()
        via = self._gateways(remotes)[flows["remote_id"]]
        networks = self._networks(flows, remotes, names, via)
        rows = flows.with_columns(
            self.workloads.names(locals_)[flows["local_id"]].alias("workload"),
            *self._decided(flows, networks, names, via, seen.said, seen.found),
            via,
            self._encrypted.column(flows, remote_addresses, names, seen.said, seen.found),
            seen.unasked_name,
            *self._owners(flows),
        )
        rows = rows.with_columns(self._is_published())
        self._encrypted.count(rows)
        return rows.select(*flows.columns, *ATTRIBUTED), self._attribute_dns(dns, asked, seen)

    def given_up(self) -> dict[str, int]:
        """Give totals since the start of what was forgotten because of a bound."""
        return self.dns_memory.given_up() | {"lookup": self._evicted_before + self.knowledge.evicted}

    def ignored_answers(self) -> dict[str, int]:
        """Give totals since the start of DNS answers that do not count; see `DnsMemory.ignored`."""
        return self.dns_memory.ignored()

    def encrypted_dns(self) -> dict[str, int]:
        """Give bytes since the start with resolvers that are asked out of sight, by workload."""
        return dict(self._encrypted.bytes)

    def swap(self, catalogue: Catalogue, databases: Databases) -> None:
        """Use another catalogue and databases (already started) from the next batch on.

        What DNS said is kept, and with it the name of each open flow.
        """
        self._evicted_before += self.knowledge.evicted
        self.knowledge = Knowledge(catalogue, databases)

    def save(self, path: Path) -> None:
        """Write passive DNS and the names asked lately; raises OSError, and the old file then stays."""
        dns_state.save(path, self.dns_memory)

    def load(self, path: Path) -> str | None:
        """Read what `save` wrote, before the first batch.

        Returns:
            One line for people where there is a file and it cannot be used, else None.
        """
        return dns_state.load(path, self.dns_memory)

    def answer_of(self, flow_id: int) -> Found | None:
        """Give the DNS answer that a flow's name comes from, None where there is none (any more)."""
        return self.dns_memory.answer_of(flow_id)

    def _networks(
        self, flows: pl.DataFrame, remotes: Sequence[bytes], names: Sequence[str | None], via: pl.Series
    ) -> pl.Series:
        """Give the number of what is known of each row's network.

        Where a gateway was asked for an address, that is the network that counts: the bytes go there.
        """
        asked: dict[int, bytes] = {}
        if self.workloads.has_gateways:
            asked = {place: address for place, name in enumerate(names) if (address := _literal(name))}
        known = self.knowledge.addresses([*remotes, *asked.values()])
        numbers = pl.Series("network", known[: len(remotes)], dtype=pl.UInt64)[flows["remote_id"]]
        if not asked:
            return numbers
        by_name = pl.Series([None] * len(names), dtype=pl.UInt64)
        by_name = by_name.scatter(list(asked), known[len(remotes) :])
        targets = by_name[flows["name_id"]]
        return targets.zip_with(via.is_not_null() & targets.is_not_null(), numbers).alias("network")

    def _decided(
        self,
        flows: pl.DataFrame,
        networks: pl.Series,
        names: Sequence[str | None],
        via: pl.Series,
        answers: Sequence[Said],
        found: pl.Series,
    ) -> list[pl.Series]:
        """Give the columns of the network and of the decision, and the name asked for."""
        numbered, claimed = self._names(names)
        said, dns_names, told = self._told(answers)
        cases = Cases(len(claimed) + 1, len(told) + 1)
        numbers = flows.select(
            networks,
            numbered[flows["name_id"]],
            said[found],
            source=pl.col("name_source").to_physical().fill_null(0),
            ech=pl.col("ech").fill_null(False),
            gateway=via.is_not_null(),
        ).select(cases.number())
        known = numbers.unique().with_row_index("case")
        decided = self._decide(cases.facts(known), claimed, told)
        place = numbers.join(known, on="number", how="left", maintain_order="left")["case"]
        return [*decided[place], dns_names[found]]

    def _names(self, names: Sequence[str | None]) -> tuple[pl.Series, list[Name]]:
        """Look up the claimed names; those in the catalogue get numbers from 1, the others 0."""
        numbers: dict[Name, int] = {}
        found = [
            0 if name is None else numbers.setdefault(name, len(numbers) + 1)
            for name in (self.knowledge.name(name) if name else None for name in names)
        ]
        return pl.Series("name", found, dtype=pl.UInt64), list(numbers)

    def _told(self, answers: Sequence[Said]) -> tuple[pl.Series, pl.Series, list[DnsAnswer]]:
        """Look up the answers of DNS: what each says, numbered from 1, and its name; before all no answer."""
        numbers: dict[DnsAnswer, int] = {}
        found = [0]
        for answer in answers:
            said = self.knowledge.chain(answer.chain)._replace(shared=answer.shared)
            found.append(numbers.setdefault(said, len(numbers) + 1))
        names = [None, *(answer.chain[-1] for answer in answers)]
        return (
            pl.Series("answer", found, dtype=pl.UInt64),
            pl.Series("dns_name", names, dtype=pl.String),
            list(numbers),
        )

    def _decide(self, cases: pl.DataFrame, claimed: list[Name], told: list[DnsAnswer]) -> pl.DataFrame:
        """Decide once for each case of the batch: the columns of the network and of the decision."""
        facts = self.knowledge.facts()
        decided = []
        for number, answer, name, source, ech, gateway in cases.iter_rows():
            known = facts[number]
            network = Network(known.provider, known.provider_evidence or "none")
            claim = Claim(claimed[name - 1], NAME_SOURCES[source], outer=bool(ech)) if name else None
            said = told[answer - 1] if answer else None
            decision = decide(network, said, claim, gateway=bool(gateway))
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

    def _gateways(self, remotes: Sequence[bytes]) -> pl.Series:
        found = map(self.workloads.gateway, remotes) if self.workloads.has_gateways else [None] * len(remotes)
        return pl.Series("via", found, dtype=pl.String)

    def _is_published(self) -> pl.Expr:
        """Give the column ``published``: strangers are answered where they are meant to be."""
        places = [
            (pl.col("workload") == workload) & pl.col("local_port").is_in(sorted(ports))
            for workload, ports in self.workloads.published.items()
        ]
        is_place = pl.any_horizontal(pl.lit(False), *places)
        return (is_place & (pl.col("initiator") != "local")).alias("published")

    def _attribute_dns(self, dns: pl.DataFrame, asked: pl.DataFrame, seen: Seen) -> pl.DataFrame:
        workloads = self.workloads.names(distinct(dns, "client_id", "client"))
        return dns.with_columns(
            workloads[dns["client_id"]].alias("workload"),
            *questions.question_columns(dns, asked, seen.fresh),
            seen.listed,
        )


def _literal(name: str | None) -> bytes | None:
    """Read a name that is an address (16 bytes), as a proxy is asked for; None where it is a name."""
    if not name or not (name[-1].isdigit() or ":" in name):
        return None
    try:
        return parse(name)
    except ValueError:
        return None


def _nobody(flows: pl.DataFrame) -> list[pl.Series]:
    """Give the columns of who on this host owns a connection, where that is not asked."""
    nobody = pl.Series([None], dtype=pl.String).new_from_index(0, flows.height)
    return [nobody.alias(name) for name in ("process", "unit", "container", "pod")]
