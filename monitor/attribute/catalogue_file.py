"""Catalogue files as people write them: read, checked, every mistake told as ``file:line``.

The shipped files are in ``providers/`` beside this module and are compiled at build time, so this module
is imported only by the builder and where the user brings files.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

import pydantic

from monitor.attribute.catalogue import UNLISTED
from monitor.attribute.vendor_lists import read_vendor_list
from monitor.errors import InputError
from monitor.flow_batch import CATEGORIES
from monitor.yaml_file import Document, Place, nearest, read, validate

SHIPPED = Path(__file__).with_name("providers")

Network = IPv4Network | IPv6Network

# RFC 6890 and the IANA special-purpose registries, multicast, and 6to4 (RFC 3056), NAT64 (RFC 6052):
# published lists do contain them (documentation networks, 2002::/16), and one such line would give
# private or translated traffic to a provider
BOGONS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "::/3", "2001::/32", "2001:2::/48",
        "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
    )
)  # fmt: skip

_SHORTEST = {4: 8, 6: 16}  # a list with a shorter prefix would swallow its neighbours
_ID = re.compile(r"(?!as\d+$)[a-z0-9][a-z0-9_-]{0,31}")
_RESERVED_IDS = {"none", "other", "sanctioned", "unlisted", "unnamed", "unknown"}
_RESERVED_ASNS = {0, 23456, 65535, 2**32 - 1}  # RFC 7607, 6793, 7300
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_GLOB = re.compile(rf"(?:[a-z0-9_*-]{{1,63}}\.)*{_LABEL}\.{_LABEL}")
_PUBLIC_SUFFIX = re.compile(r"(?:ac|co|com|edu|gob|gov|mil|ne|net|or|org)\.[a-z]{2}")  # com.cn, co.uk, ...


def _check_id(text: str) -> str:
    if not _ID.fullmatch(text) or text in _RESERVED_IDS:
        raise ValueError(
            f"{text!r} cannot be a provider id (a-z, 0-9, _ and -; not as<number>, none, other, ...)"
        )
    return text


def _check_domain(text: str) -> str:
    if not _DOMAIN.fullmatch(text) or len(text) > 253:
        raise ValueError(f"{text!r} is not a domain in lower case, such as example.com")
    if _PUBLIC_SUFFIX.fullmatch(text):
        raise ValueError(f"{text!r} is a registry's suffix: it would take every domain below it")
    return text


def _check_glob(text: str) -> str:
    if not _GLOB.fullmatch(text) or len(text) > 253:
        raise ValueError(f"{text!r} is not a name suffix; '*' may stand for a label, left of the last two")
    if any(label.count("*") > 2 for label in text.split(".")):
        raise ValueError(f"{text!r} has more than two '*' in a label")
    return text if "*" in text else _check_domain(text)


def _check_asn(number: int) -> int:
    if not 0 < number < 2**32 or number in _RESERVED_ASNS:
        raise ValueError(f"{number} is not an AS number that can announce addresses")
    return number


def parse_prefix(text: str) -> Network:
    """Parse a prefix; raises ValueError where it is none, has host bits, or is not public address space."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address prefix: {error}") from error
    for bogon in BOGONS:
        if network.version == bogon.version and network.overlaps(bogon):
            raise ValueError(f"{text} is not public address space (it overlaps {bogon})")
    if network.prefixlen < _SHORTEST[network.version]:
        raise ValueError(f"{text} is larger than anything that one provider has")
    return network


def _check_prefix(text: str) -> str:
    return str(parse_prefix(text))


ProviderId = Annotated[str, pydantic.AfterValidator(_check_id)]
Domain = Annotated[str, pydantic.AfterValidator(_check_domain)]
Glob = Annotated[str, pydantic.AfterValidator(_check_glob)]
Asn = Annotated[int, pydantic.Strict(), pydantic.AfterValidator(_check_asn)]
Prefix = Annotated[str, pydantic.AfterValidator(_check_prefix)]


def _check_category(text: str) -> str:
    if text not in CATEGORIES:
        raise ValueError(f"{text!r} is not a category ({', '.join(CATEGORIES)}){nearest(text, CATEGORIES)}")
    return text


class Source(pydantic.BaseModel):
    """Where the facts come from, with a date each, for those who review them."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    asns: str = ""
    domains: str = ""
    prefixes: str = ""


class ProviderEntry(pydantic.BaseModel):
    """One provider in a file. Name, category and country may be missing where a file adds to a known one."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: ProviderId
    name: str | None = pydantic.Field(default=None, min_length=1, max_length=120)
    category: Annotated[str, pydantic.AfterValidator(_check_category)] | None = None
    hq_country: str | None = pydantic.Field(default=None, pattern=r"^[A-Z]{2}$")
    asns: list[Asn] = []
    prefixes: list[Prefix] = []
    prefix_files: list[str] = []  # one prefix a line, beside the YAML file; gives way to known ASNs
    domains: list[Domain] = []
    storage_suffixes: list[Glob] = []
    carried_by: list[str] | None = None  # None: nobody has written down who carries these services
    carried_elsewhere: dict[Domain, list[str]] = {}  # the same for single suffixes; []: anybody may
    source: Source = Source()


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    providers: list[ProviderEntry] = []
    customer_chosen_suffixes: list[Domain] = []


@dataclass(frozen=True)
class Entry:
    """A provider together with where it stands."""

    provider: ProviderEntry
    document: Document
    place: Place

    def prefix_paths(self) -> list[Path]:
        """Give the paths of the provider's prefix files, beside the file that names them."""
        return [self.document.path.parent / name for name in self.provider.prefix_files]

    def error(self, place: Iterable[str | int], message: str) -> InputError:
        """Make the one-line error about a place inside this provider."""
        return self.document.error((*self.place, *place), message)


@dataclass
class CatalogueFiles:
    """What a set of files holds; nothing in it belongs to two providers."""

    entries: list[Entry] = field(default_factory=list)
    customer_chosen: list[str] = field(default_factory=list)

    def listed_prefixes(self, entry: Entry) -> list[Network]:
        """Read the prefix files of a provider: text with a prefix a line, geofeeds, vendors' JSON lists.

        Raises InputError with ``file:line`` where a line of text is not a prefix of public address space;
        such prefixes in a vendor's list are left out, because the user cannot mend them.
        """
        found: list[Network] = []
        for index, path in enumerate(entry.prefix_paths()):
            if not path.is_file():
                raise entry.error(("prefix_files", index), f"there is no file {path}")
            found += _vendor_prefixes(path) if path.suffix == ".json" else _text_prefixes(path)
        return found

    def prefixes(self) -> Iterator[tuple[Network, str, bool]]:
        """Give each prefix with its provider and whether it stands in a list; those not in one come first."""
        for entry in self.entries:
            yield from ((parse_prefix(text), entry.provider.id, False) for text in entry.provider.prefixes)
        for entry in self.entries:
            yield from ((network, entry.provider.id, True) for network in self.listed_prefixes(entry))

    def lists(self) -> list[Path]:
        """Give the prefix files of all providers."""
        return [path for entry in self.entries for path in entry.prefix_paths()]


def _vendor_prefixes(path: Path) -> list[Network]:
    found: list[Network] = []
    for text in sorted({prefix for prefix, _ in read_vendor_list(path)}):
        with suppress(ValueError):
            found.append(parse_prefix(text))
    return found


def _text_prefixes(path: Path) -> list[Network]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    found: list[Network] = []
    for number, line in enumerate(text.splitlines(), start=1):
        prefix = line.partition("#")[0].partition(",")[0].strip()  # a geofeed goes on after the prefix
        try:
            found += [parse_prefix(prefix)] if prefix else []
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from error
    return found


def read_files(paths: Sequence[Path], known_ids: Iterable[str] = ()) -> CatalogueFiles:
    """Read and check catalogue files; ``known_ids`` are providers that exist already.

    Raises InputError about the first mistake: a file that is not one, an unknown key, a bad id, suffix,
    AS number or prefix, the same thing given to two providers, a carrier that nobody knows.
    """
    known = set(known_ids)
    files = CatalogueFiles()
    for path in paths:
        document = read(path)
        content = validate(document, _File)
        files.entries += [
            Entry(provider, document, ("providers", index))
            for index, provider in enumerate(content.providers)
        ]
        files.customer_chosen += content.customer_chosen_suffixes
    _check_unique(files)
    known |= {entry.provider.id for entry in files.entries}
    for entry in files.entries:
        _check_carriers(entry, known)
        if entry.provider.id not in set(known_ids):
            _check_complete(entry)
    return files


def _check_unique(files: CatalogueFiles) -> None:
    owners: dict[tuple[str, object], Entry] = {}
    for entry in files.entries:
        for kind, place, value in _claims(entry.provider):
            owner = owners.setdefault((kind, value), entry)
            if owner is not entry:
                there = owner.document.where(owner.place)
                raise entry.error(place, f"{value} belongs to {owner.provider.id} already ({there})")
        for name in ("asns", "domains", "storage_suffixes", "prefixes"):
            values: list[object] = getattr(entry.provider, name)
            for index, value in enumerate(values):
                if value in values[:index]:
                    raise entry.error((name, index), f"{value} stands twice in {name}")


def _claims(provider: ProviderEntry) -> Iterator[tuple[str, Place, object]]:
    yield "id", ("id",), provider.id
    for name in ("domains", "storage_suffixes"):  # one suffix may be both, of the same provider
        for index, suffix in enumerate(getattr(provider, name)):
            yield "suffix", (name, index), suffix
    for name in ("asns", "prefixes"):
        for index, value in enumerate(getattr(provider, name)):
            yield name, (name, index), value


def _check_carriers(entry: Entry, known: set[str]) -> None:
    provider = entry.provider
    lists: list[tuple[Place, list[str]]] = [(("carried_by",), provider.carried_by or [])]
    lists += [(("carried_elsewhere", suffix), ids) for suffix, ids in provider.carried_elsewhere.items()]
    for place, ids in lists:
        for index, carrier in enumerate(ids):
            if carrier not in known and carrier != UNLISTED:
                raise entry.error((*place, index), f"no provider {carrier!r}{nearest(carrier, known)}")


def _check_complete(entry: Entry) -> None:
    for name in ("name", "category", "hq_country"):
        if getattr(entry.provider, name) is None:
            raise entry.error((), f"{name!r} is missing in provider {entry.provider.id}")
