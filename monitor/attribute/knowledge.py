"""What the catalogue and the databases say about an address or a name, and what follows, remembered."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import polars as pl

from monitor._hotpath import KnownRows
from monitor.attribute.bounded import BoundedCache
from monitor.attribute.cases import Case, Cases
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import AddressFacts, Databases
from monitor.attribute.decide import Claim, DnsAnswer, Name, Network, decide
from monitor.flow_batch import ATTRIBUTED, NAME_SOURCES

KEYS = 2**17  # different answers about addresses, about 450 bytes each, 60 MB at most
CASES = 2**15  # different decisions, about 900 bytes each (measured), 30 MB at most
ANSWERS = 2**14  # different answers of DNS, about 700 bytes each, 12 MB at most
NAMES = 2**16  # about 300 bytes and at most 253 of text each, 36 MB at most
CHAINS = 2**14  # about 700 bytes and at most 16 names each, 80 MB at most

_LONGEST_NAME = 253  # RFC 1035 section 2.3.4; what is longer is no name and stands in no catalogue

_DECIDED = {
    column: ATTRIBUTED[column]
    for column in (
        "country", "asn", "as_name", "network_provider", "service_provider", "provider", "category",
        "evidence", "confidence", "disagreement",
    )
}  # fmt: skip

Value = TypeVar("Value")


class _Numbers(Generic[Value]):
    """Values and their numbers, from 0 in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[Value, int] = {}
        self._values: list[Value] = []

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: int) -> Value:
        return self._values[number]

    def number(self, value: Value) -> int:
        """Give the number of a value, a new one where it is new."""
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return number


class Knowledge:
    """One catalogue and one set of databases, replaced together with their caches on a reload.

    What it numbers has its number until `make_room`. ``cases`` are the decisions that follow from numbers.
    """

    def __init__(self, catalogue: Catalogue, databases: Databases) -> None:
        self.catalogue = catalogue
        self._databases = databases
        self._chains: BoundedCache[tuple[str, ...], DnsAnswer] = BoundedCache(CHAINS)
        self._evicted = 0  # keys and cases forgotten because there were too many
        self._begin()

    def _begin(self) -> None:
        self._keys = KnownRows()
        self._facts: _Numbers[AddressFacts] = _Numbers()
        self._owners: _Numbers[Name | None] = _Numbers()
        self._answers: _Numbers[DnsAnswer | None] = _Numbers()
        self._names: BoundedCache[str | None, int] = BoundedCache(NAMES)
        self._owners.number(None)
        self._answers.number(None)
        self.cases = Cases(_DECIDED, self._decide)

    @property
    def evicted(self) -> int:
        """Answers, names, chains and decisions forgotten because of the bounds; they are looked up again."""
        return self._evicted + self._names.evicted + self._chains.evicted

    def make_room(self) -> None:
        """Forget all that is numbered where there is too much of it. Call it before a batch."""
        if len(self._keys) >= KEYS or len(self.cases) >= CASES or len(self._answers) >= ANSWERS:
            self._evicted += len(self._keys) + len(self.cases) + self._names.evicted + len(self._names)
            self._begin()

    def addresses(self, packed: pl.Series) -> pl.Series:
        """Give a number for each address (16 bytes); addresses of which the same is known share it.

        Each address is looked for in the tree of the databases; what these say is read once for all
        addresses that share it.
        """
        def look_up(place: int) -> int:
            return self._facts.number(self._databases.lookup(packed[place]))

        numbers = self._keys.numbers(self._databases.keys(packed), look_up)
        return pl.DataFrame(numbers).to_series().alias("network")

    def owners(self, names: Sequence[str | None]) -> list[int]:
        """Give a number for whom each name belongs to.

        0 stands for nobody in the catalogue, and where customers choose what such names lead to.
        """
        known = [name if name and len(name) <= _LONGEST_NAME else None for name in names]
        return self._names.values(known, self._owner)

    def answer(self, chain: tuple[str, ...], *, shared: bool) -> int:
        """Give a number, from 1, for what DNS said."""
        answer = self.chain(chain)
        return self._answers.number(answer._replace(shared=True) if shared else answer)

    def _decide(self, case: Case) -> tuple[Any, ...]:
        known = self._facts[case.network]
        network = Network(known.provider, known.provider_evidence or "none")
        owner = self._owners[case.name]
        claim = None if owner is None else Claim(owner, NAME_SOURCES[case.source], outer=case.ech)
        decision = decide(network, self._answers[case.answer], claim, gateway=case.gateway)
        return (
            *known[:4],
            decision.service_provider,
            decision.provider,
            "storage" if decision.storage else self.category(decision.provider or decision.service_provider),
            decision.evidence,
            decision.confidence,
            decision.disagreement,
        )

    def _owner(self, name: str | None) -> int:
        match = None if name is None else self.catalogue.provider_of_name(name)
        if match is None or match.customer_chosen:
            return 0
        return self._owners.number(Name(match.provider, match.carriers, match.storage))

    def chain(self, names: tuple[str, ...]) -> DnsAnswer:
        """Give what a chain of CNAMEs says, from the address to the question: the nearest name decides."""
        answer = self._chains.get(names)
        if answer is None:
            owners = [owner for number in self.owners(names) if (owner := self._owners[number]) is not None]
            answer = DnsAnswer(owners[0] if owners else None, frozenset(name.provider for name in owners))
            self._chains.put(names, answer)
        return answer

    def category(self, provider: str | None) -> str | None:
        """Give the category of a provider, None for those outside the catalogue."""
        known = self.catalogue.providers.get(provider or "")
        return known.category if known else None
