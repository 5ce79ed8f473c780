"""What the catalogue and the databases say about an address or a name, remembered."""

from collections.abc import Hashable, Sequence

from monitor.attribute.bounded import BoundedCache
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import AddressFacts, Databases
from monitor.attribute.decide import DnsAnswer, Name

KEYS = 2**17  # different answers about addresses, about 450 bytes each, 60 MB at most
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
        self._keys: dict[Hashable, int] = {}
        self._facts: dict[AddressFacts, int] = {}
        self._evicted = 0  # keys forgotten because there were too many
        self._names: BoundedCache[str, Name | None] = BoundedCache(NAMES)
        self._chains: BoundedCache[tuple[str, ...], DnsAnswer] = BoundedCache(CHAINS)

    @property
    def evicted(self) -> int:
        """Answers, names and chains forgotten because of the bounds; they are looked up again."""
        return self._evicted + self._names.evicted + self._chains.evicted

    def addresses(self, packed: Sequence[bytes]) -> list[int]:
        """Give a number for each address (16 bytes); addresses of which the same is known share it.

        Numbers stand until the next call. Each address is looked for in the tree of the databases; what
        these say is read once for all addresses that share it.
        """
        if len(self._keys) >= KEYS:
            self._evicted += len(self._keys)
            self._keys, self._facts = {}, {}
        keys = self._databases.keys(packed)
        known = self._keys
        for key, address in zip(keys, packed, strict=True):
            if key not in known:
                known[key] = self._facts.setdefault(self._databases.lookup(address), len(self._facts))
        return [known[key] for key in keys]

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
