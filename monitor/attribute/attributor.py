"""The attribute stage: who sent it, to whom, and how we know.

Nothing here runs once a row. Each address, name and local side is looked up once a batch; what is known
of each gets a number, a row's numbers make its case, and the decision is made once for each case and kept.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from monitor.attribute import dns_state
from monitor.attribute.addresses import parse
from monitor.attribute.cases import Facts
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.attribute.distinct import distinct
from monitor.attribute.dns_memory import DnsMemory, Found, Seen
from monitor.attribute.encrypted_dns import EncryptedDns
from monitor.attribute.knowledge import Knowledge
from monitor.attribute.questions import Domain, Domains
from monitor.attribute.resolvers import Resolvers
from monitor.attribute.workloads import Workloads
from monitor.config import Address
from monitor.config import Network as Prefix
from monitor.flow_rows import AnyDnsRows, AnyRows, DnsRows, FlowRows

DNS_ENTRIES = 2**18


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
        owners: Callable[[FlowRows], list[pl.Series]] | None = None,
    ) -> None:
        self.knowledge = Knowledge(catalogue, databases)
        self.workloads = Workloads(workloads, gateways, published)
        self._resolvers = Resolvers(resolvers)
        self.dns_memory = DnsMemory(self._resolvers, entries=dns_entries)
        self._encrypted = EncryptedDns(self._resolvers)
        self._domains = Domains()
        self._owners = owners or self._nobody
        self._empty = pl.Series([], dtype=pl.String)
        self._evicted_before = 0  # by knowledge that was replaced

    def attribute(self, flows: AnyRows, dns: AnyDnsRows) -> tuple[FlowRows, DnsRows]:
        """Attribute one drain.

        Args:
            flows: `FLOW_SCHEMA`, in tick order.
            dns: `DNS_SCHEMA`, of the same ticks; the rows of a message stand together.

        Returns:
            The same rows in the same order, with `ATTRIBUTED` and `DNS_ATTRIBUTED` added.
        """
        self.knowledge.make_room()
        given, given_dns = FlowRows.of(flows), DnsRows.of(dns)
        rows = given.rows
        locals_ = self.workloads.names(distinct(given, "local_id", "local_address"))
        remotes = distinct(given, "remote_id", "remote_address")
        names = distinct(given, "name_id", "name").to_list()
        asked = self._domains.of(distinct(given_dns, "question_id", "question").to_list())
        seen = self.dns_memory.see(given, given_dns, [domain.label_bytes for domain in asked])
        gateways = self._gateways(remotes)
        cases, decided = self._decided(given, remotes, names, gateways, seen)
        told = [None, *(answer.chain[-1] for answer in seen.said)]
        columns = [
            self._texts("via", gateways, rows["remote_id"]),
            self._published(given, locals_),
            self._encrypted.column(given, locals_, names, seen.said, seen.found),
            seen.unasked_name,
            *self._owners(given),
            cases,
            seen.found.alias("answer_id"),
        ]
        follows = {
            "local_id": locals_.to_frame("workload"),
            "case_id": decided,
            "answer_id": pl.DataFrame({"dns_name": pl.Series(told, dtype=pl.String)}),
        }
        return given.plus(columns, follows), self._attribute_dns(given_dns, asked, seen)

    def given_up(self) -> dict[str, int]:
        """Give totals since the start of what was forgotten because of a bound."""
        lookup = self._evicted_before + self.knowledge.evicted + self._domains.evicted
        return self.dns_memory.given_up() | {"lookup": lookup}

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

    def _decided(
        self,
        flows: FlowRows,
        remotes: pl.Series,
        names: Sequence[str | None],
        gateways: Sequence[str | None],
        seen: Seen,
    ) -> tuple[pl.Series, pl.DataFrame]:
        """Give the numbers of the rows' cases, and what is known and decided of each number."""
        knowledge = self.knowledge
        answers = [0, *(knowledge.answer(answer.chain, shared=answer.shared) for answer in seen.said)]
        facts = Facts(
            networks=knowledge.addresses(remotes),
            gateways=[gateway is not None for gateway in gateways],
            names=knowledge.owners(names),
            targets=self._targets(names) if gateways else [],
            answers=answers,
        )
        return knowledge.cases.number(flows, seen.found, facts)

    def _targets(self, names: Sequence[str | None]) -> list[int | None]:
        """Give the networks of names that are addresses, empty where none is.

        Where a gateway was asked for an address, that is the network that counts: the bytes go there.
        """
        places = {place: address for place, name in enumerate(names) if (address := _literal(name))}
        if not places:
            return []
        targets: list[int | None] = [None] * len(names)
        numbers = self.knowledge.addresses(pl.Series(list(places.values()), dtype=pl.Binary))
        for place, number in zip(places, numbers.to_list(), strict=True):
            targets[place] = number
        return targets

    def _gateways(self, remotes: pl.Series) -> list[str | None]:
        """Give the gateway that each remote is, None where it is none; empty where no remote is one."""
        if not self.workloads.has_gateways:
            return []
        gateways = [self.workloads.gateway(remote) for remote in remotes.to_list()]
        return gateways if any(gateway is not None for gateway in gateways) else []

    def _published(self, flows: FlowRows, workloads: pl.Series) -> pl.Series:
        """Give the column ``published``: strangers are answered where they are meant to be."""
        published = pl.Series([False]).new_from_index(0, flows.height)
        for name, ports in self.workloads.published.items():
            is_its = (workloads == name)[flows.rows["local_id"]]
            published |= is_its & flows.rows["local_port"].is_in(sorted(ports))
        if self.workloads.published:
            published &= flows.select(["initiator"]).to_series() != "local"
        return published.alias("published")

    def _attribute_dns(self, dns: DnsRows, asked: Sequence[Domain], seen: Seen) -> DnsRows:
        domains = [domain.domain for domain in asked]
        follows = {
            "client_id": self.workloads.names(distinct(dns, "client_id", "client")).to_frame("workload"),
            "question_id": pl.DataFrame({"domain": pl.Series(domains, dtype=pl.String)}),
        }
        return dns.plus(seen.dns, follows)

    def _texts(self, name: str, texts: Sequence[str | None], places: pl.Series) -> pl.Series:
        """Give a column of the texts at places."""
        if any(text is not None for text in texts):
            return pl.Series(name, texts, dtype=pl.String)[places]
        return self._nothing(len(places)).alias(name)

    def _nothing(self, height: int) -> pl.Series:
        """Give a text column with nothing in it; all such columns of all batches share their memory."""
        if len(self._empty) < height:
            self._empty = pl.Series([None], dtype=pl.String).new_from_index(0, height)
        return self._empty[:height]

    def _nobody(self, flows: FlowRows) -> list[pl.Series]:
        """Give the columns of who on this host owns a connection, where that is not asked."""
        nobody = self._nothing(flows.height)
        return [nobody.alias(name) for name in ("process", "unit", "container", "pod")]


def _literal(name: str | None) -> bytes | None:
    """Read a name that is an address (16 bytes), as a proxy is asked for; None where it is a name."""
    if not name or not (name[-1].isdigit() or ":" in name):
        return None
    try:
        return parse(name)
    except ValueError:
        return None
