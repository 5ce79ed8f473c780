"""The provider catalogue: whose AS, whose name, who carries whom.

The shipped catalogue is ``providers/*.yml``, compiled to ``data/catalogue.json`` because parsing and
checking 150 providers of YAML takes half a second and reading JSON takes milliseconds. A test asserts that
both say the same.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from monitor.attribute.addresses import PrefixMap
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.attribute.catalogue_file import CatalogueFiles, ProviderEntry
    from monitor.config import Network

SHIPPED_TYPE = "egress-monitor"  # of the shipped database, as it calls itself
UNLISTED = "unlisted"  # among carriers: any network outside the catalogue, as where caches stand with ISPs
COMPILED = Path(__file__).with_name("data") / "catalogue.json"

_LONGEST_NAME = 253  # RFC 1035 section 2.3.4, without the final dot
_ANY = "[^.]+"  # what "*" stands for: a label or part of one


@dataclass(frozen=True, slots=True)
class Provider:
    """One company that carries or takes data; ids are what rules and metrics use."""

    id: str
    name: str
    category: str  # one of flow_batch.CATEGORIES
    hq_country: str  # ISO 3166-1 alpha-2
    asns: tuple[int, ...] = ()
    domains: tuple[str, ...] = ()
    storage_suffixes: tuple[str, ...] = ()  # "*" stands for one label or part of one
    carried_by: tuple[str, ...] = ()  # networks known to carry all its services; empty: not known
    carried_elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NameMatch:
    """What the catalogue says about a name."""

    provider: str
    suffix: str  # the entry that matched: a domain, or a storage suffix with its "*"
    storage: bool  # the name is a storage service's
    customer_chosen: bool  # customers choose where such names lead: never decides
    carriers: frozenset[str]  # provider ids known to carry this name's service; empty: not known


@dataclass(frozen=True, slots=True)
class _Suffix:
    provider: str
    text: str
    is_storage: bool
    carriers: frozenset[str]


class UserPrefix(NamedTuple):
    """Whose a prefix is, as the user's files say."""

    provider: str
    is_listed: bool  # it stands in a list: gives way to an AS of another provider, as in the shipped data


@dataclass(frozen=True)
class Catalogue:
    """All providers, with the indexes that lookups need. Made by `load`; never changes."""

    providers: dict[str, Provider]
    version: str  # changes whenever the content does
    customer_chosen_suffixes: frozenset[str]
    provider_by_asn: Mapping[int, str]
    files: tuple[Path, ...]  # of the user's own that it was read from, address lists too
    _literals: Mapping[str, _Suffix]
    _globs: Mapping[str, tuple[tuple[int, re.Pattern[str], _Suffix], ...]]  # by the last two labels
    _most_labels: int
    _prefixes: PrefixMap[UserPrefix]

    @classmethod
    def load(cls, extra: Sequence[Path] = ()) -> "Catalogue":
        """Load the shipped catalogue and the user's files over it.

        In the user's files a new id is a new provider, a known id adds to that provider, and an AS or a
        suffix that a shipped provider has moves to the user's; a prefix of theirs wins over the shipped
        data. Raises InputError where a file is wrong.
        """
        try:
            compiled: dict[str, Any] = json.loads(COMPILED.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{COMPILED}: {error}; install egress-monitor anew") from error
        providers = {item["id"]: _provider(item) for item in compiled["providers"]}
        customer_chosen = set(compiled["customer_chosen_suffixes"])
        version = compiled["version"]
        prefixes: list[tuple[Network, UserPrefix]] = []
        read: list[Path] = []
        if extra:
            from monitor.attribute.catalogue_file import read_files  # here: pydantic is slow

            files = read_files(extra, providers)
            providers = _merge(providers, files)
            customer_chosen |= set(files.customer_chosen)
            prefixes = [(net, UserPrefix(owner, listed)) for net, owner, listed in files.prefixes()]
            read = [*extra, *files.lists()]
            digest = hashlib.sha256(b"".join(path.read_bytes() for path in read)).hexdigest()
            version = f"{version}+{digest[:8]}"
        return _index(providers, version, frozenset(customer_chosen), PrefixMap(prefixes), tuple(read))

    def provider_ids(self) -> frozenset[str]:
        """Give all ids: the closed set that a metric label may hold."""
        return frozenset(self.providers)

    def carriers(self, provider_id: str) -> frozenset[str]:
        """Give the networks known to carry this provider's services; empty where that is not known.

        Single suffixes can differ: `NameMatch.carriers` is the answer for a name.
        """
        provider = self.providers.get(provider_id)
        return frozenset(provider.carried_by) if provider else frozenset()

    def provider_of_asn(self, asn: int) -> str:
        """Give the provider that runs an AS; outside the catalogue ``as<number>``."""
        return self.provider_by_asn.get(asn) or f"as{asn}"

    @property
    def has_prefixes(self) -> bool:
        """Whether the user's files have prefixes; the shipped ones are in the database already."""
        return bool(self._prefixes)

    def prefix_of_address(self, packed: bytes) -> UserPrefix | None:
        """Give the longest of the *user's* prefixes around 16 bytes (IPv4 as IPv4-mapped)."""
        return self._prefixes.find(packed)

    def provider_of_name(self, name: str) -> NameMatch | None:
        """Find the provider that a name belongs to: the longest suffix wins.

        Names come from the wire and may be anything; what is not a name matches nothing.
        """
        if len(name) > _LONGEST_NAME + 1:
            return None
        labels = name.lower().removesuffix(".").split(".")
        if len(labels) < 2:
            return None
        found: list[tuple[int, _Suffix]] = []
        chosen = 0
        for count in range(min(len(labels), self._most_labels), 1, -1):
            text = ".".join(labels[-count:])
            if text in self._literals:
                found.append((count, self._literals[text]))
            if text in self.customer_chosen_suffixes:
                chosen = max(chosen, count)
        for count, pattern, suffix in self._globs.get(".".join(labels[-2:]), ()):
            if count <= len(labels) and pattern.fullmatch(".".join(labels[-count:])):
                found.append((count, suffix))
        if not found:
            return None
        longest, best = max(found, key=lambda item: item[0])
        is_storage = any(suffix.is_storage and suffix.provider == best.provider for _, suffix in found)
        return NameMatch(best.provider, best.text, is_storage, chosen >= longest, best.carriers)


def compile_entries(entries: Iterable["ProviderEntry"], customer_chosen: Iterable[str]) -> bytes:
    """Give the compiled form of a catalogue: JSON whose version is a hash of its content."""
    providers = [
        entry.model_dump(exclude={"source", "prefixes", "prefix_files"}, exclude_defaults=True)
        for entry in sorted(entries, key=lambda entry: entry.id)
    ]
    content = {"customer_chosen_suffixes": sorted(customer_chosen), "providers": providers}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({"version": digest[:12], **content}, indent=1, sort_keys=True).encode() + b"\n"


def _provider(item: Mapping[str, Any]) -> Provider:
    return Provider(
        id=item["id"],
        name=item["name"],
        category=item["category"],
        hq_country=item["hq_country"],
        asns=tuple(item.get("asns", ())),
        domains=tuple(item.get("domains", ())),
        storage_suffixes=tuple(item.get("storage_suffixes", ())),
        carried_by=tuple(item.get("carried_by") or ()),
        carried_elsewhere={k: tuple(v) for k, v in item.get("carried_elsewhere", {}).items()},
    )


def _merge(providers: Mapping[str, Provider], files: "CatalogueFiles") -> dict[str, Provider]:
    """Put the user's entries over the shipped providers."""
    asns = {asn for entry in files.entries for asn in entry.provider.asns}
    names = {
        suffix
        for entry in files.entries
        for suffix in (*entry.provider.domains, *entry.provider.storage_suffixes)
    }
    merged = {
        provider.id: replace(
            provider,
            asns=tuple(asn for asn in provider.asns if asn not in asns),
            domains=tuple(suffix for suffix in provider.domains if suffix not in names),
            storage_suffixes=tuple(suffix for suffix in provider.storage_suffixes if suffix not in names),
        )
        for provider in providers.values()
    }
    for entry in files.entries:
        given = entry.provider
        old = merged.get(given.id) or Provider(given.id, given.name or "", given.category or "", "")
        merged[given.id] = replace(
            old,
            name=given.name or old.name,
            category=given.category or old.category,
            hq_country=given.hq_country or old.hq_country,
            asns=(*old.asns, *given.asns),
            domains=(*old.domains, *given.domains),
            storage_suffixes=(*old.storage_suffixes, *given.storage_suffixes),
            carried_by=old.carried_by if given.carried_by is None else tuple(given.carried_by),
            carried_elsewhere={
                **old.carried_elsewhere,
                **{suffix: tuple(ids) for suffix, ids in given.carried_elsewhere.items()},
            },
        )
    return merged


def _index(
    providers: dict[str, Provider],
    version: str,
    customer_chosen: frozenset[str],
    prefixes: PrefixMap[UserPrefix],
    files: tuple[Path, ...],
) -> Catalogue:
    literals: dict[str, _Suffix] = {}
    globs: dict[str, list[tuple[int, re.Pattern[str], _Suffix]]] = {}
    for provider in providers.values():
        for text in (*provider.domains, *provider.storage_suffixes):
            is_storage = text in provider.storage_suffixes
            suffix = _Suffix(provider.id, text, is_storage, _carriers_of(provider, text))
            if "*" not in text:
                literals[text] = suffix
                continue
            labels = text.split(".")
            pattern = re.compile(re.escape(text).replace(r"\*", _ANY))
            globs.setdefault(".".join(labels[-2:]), []).append((len(labels), pattern, suffix))
    return Catalogue(
        providers=providers,
        version=version,
        customer_chosen_suffixes=customer_chosen,
        provider_by_asn={asn: provider.id for provider in providers.values() for asn in provider.asns},
        _literals=literals,
        _globs={key: tuple(patterns) for key, patterns in globs.items()},
        _most_labels=max((text.count(".") + 1 for text in (*literals, *customer_chosen)), default=0),
        files=files,
        _prefixes=prefixes,
    )


def _carriers_of(provider: Provider, suffix: str) -> frozenset[str]:
    for above, carriers in sorted(provider.carried_elsewhere.items(), key=lambda item: -len(item[0])):
        if suffix == above or suffix.endswith(f".{above}"):
            return frozenset(carriers)
    return frozenset(provider.carried_by)
