"""What the catalogue and the databases say about an address or a name, remembered."""

from collections.abc import Sequence

from monitor.attribute.bounded import BoundedCache
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import AddressFacts, Databases
from monitor.attribute.decide import DnsAnswer, Name

ADDRESSES = 2**16  # about 150 bytes each, 10 MB at most
FACTS = 2**16  # distinct answers about addresses, about 350 bytes each, 23 MB at most
NAMES = 2**16  # about 300 bytes and at most 253 of text each, 36 MB at most
CHAINS = 2**14  # about 700 bytes and at most 16 names each, 80 MB at most

_LONGEST_NAME = 253  # RFC 1035 section 2.3.4; what is longer is no name and stands in no catalogue


class _Missing:
    """Stands for what was not looked up yet; None says that it was, and that nothing is known."""


_MISSING = _Missing()


class Knowledge:
    """One catalogue and one set of databases, replaced together with their caches on a reload."""

    def __init__(self, catalogue: Catalogue, databases: Databases) -> None:
        self.catalogue = catalogue
        self._databases = databases
        self._addresses: BoundedCache[bytes, int] = BoundedCache(ADDRESSES)
        self._facts: dict[AddressFacts, int] = {}
        self._evicted = 0  # addresses forgotten because there were too many different answers
        self._names: BoundedCache[str, Name | None] = BoundedCache(NAMES)
        self._chains: BoundedCache[tuple[str, ...], DnsAnswer] = BoundedCache(CHAINS)

    @property
    def evicted(self) -> int:
        """Addresses, names and chains forgotten because of the bounds; they are looked up again."""
        return self._evicted + self._addresses.evicted + self._names.evicted + self._chains.evicted

    def addresses(self, packed: Sequence[bytes]) -> list[int]:
        """Give a number for each address (16 bytes); addresses of which the same is known share it."""
        if len(self._facts) >= FACTS:
            self._evicted += self._addresses.evicted + len(self._addresses)
            self._addresses, self._facts = BoundedCache(ADDRESSES), {}
        found = self._addresses.get_all(packed, -1)
        new = {
            address: self._facts.setdefault(self._databases.lookup(address), len(self._facts))
            for address, number in found.items()
            if number < 0
        }
        self._addresses.put_all(new)
        found |= new
        return [found[address] for address in packed]

    def facts(self) -> list[AddressFacts]:
        """Give what each number of `addresses` stands for: country and network."""
        return list(self._facts)

    def name(self, text: str) -> Name | None:
        """Give who a name belongs to; None also where customers choose what such names lead to."""
        if len(text) > _LONGEST_NAME:
            return None
        known = self._names.get(text, _MISSING)
        if not isinstance(known, _Missing):
            return known
        match = self.catalogue.provider_of_name(text)
        found = None
        if match is not None and not match.customer_chosen:
            found = Name(match.provider, match.carriers, match.storage)
        self._names.put(text, found)
        return found

    def chain(self, names: tuple[str, ...]) -> DnsAnswer:
        """Give what a chain of CNAMEs says, from the address to the question: the nearest name decides."""
        answer = self._chains.get(names)
        if answer is None:
            owners = [name for name in map(self.name, names) if name is not None]
            answer = DnsAnswer(owners[0] if owners else None, frozenset(name.provider for name in owners))
            self._chains.put(names, answer)
        return answer

    def category(self, provider: str | None) -> str | None:
        """Give the category of a provider, None for those outside the catalogue."""
        known = self.catalogue.providers.get(provider or "")
        return known.category if known else None
