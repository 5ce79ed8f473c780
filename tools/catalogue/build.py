"""Merge countries, networks and the catalogue into one database, and sum up what is in it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import merge
from ipaddress import ip_network
from typing import Any

from monitor.attribute.catalogue import SHIPPED_TYPE
from monitor.attribute.catalogue_file import CatalogueFiles, Network, parse_prefix
from tools.catalogue.mmdb_writer import DataSection, Description, Tree, write
from tools.catalogue.ranges import Range, coalesce, flatten, network_range, overlay

# where IPv6 addresses carry an IPv4 address, they find what is known about that address
_ALIASES = ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "2002::/16")


@dataclass(frozen=True)
class Inputs:
    """All of one address family: countries, (AS number, organisation), prefixes of providers."""

    bits: int
    countries: Sequence[Range[str]]
    networks: Iterable[Range[tuple[int, str]]]
    listed: Sequence[Range[str]]  # from prefix lists: give way to an AS of another provider
    written: Sequence[Range[str]]  # from the catalogue files themselves


@dataclass(frozen=True, slots=True)
class Record:
    """What one stretch of addresses gets."""

    country: str | None
    asn: int | None
    provider: str | None
    by_prefix: bool


@dataclass
class Summary:
    """Counted while building: what is in the file, and what is worth a look."""

    ipv4_addresses: Counter[str] = field(default_factory=Counter)  # by provider
    ipv6_networks: Counter[str] = field(default_factory=Counter)  # by provider, in /48s
    given_way: Counter[tuple[str, str]] = field(default_factory=Counter)  # list of, AS of: IPv4 addresses
    foreign: Counter[tuple[str, int]] = field(default_factory=Counter)  # list of, AS outside the catalogue
    countries: Counter[str] = field(default_factory=Counter)  # IPv4 addresses
    records: int = 0
    nodes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give what is kept beside the database, to tell the next build what changed."""
        ids = sorted({*self.ipv4_addresses, *self.ipv6_networks})
        return {
            "nodes": self.nodes,
            "records": self.records,
            "countries": dict(sorted(self.countries.items())),
            "providers": {
                provider: {
                    "ipv4_addresses": self.ipv4_addresses[provider],
                    "ipv6_48s": self.ipv6_networks[provider],
                }
                for provider in ids
            },
        }


def prefix_layers(files: CatalogueFiles, version: int) -> tuple[list[Range[str]], list[Range[str]]]:
    """Give the listed and the written prefixes of one address family; the longest prefix wins."""
    listed: list[tuple[Network, str]] = []
    written: list[tuple[Network, str]] = []
    for entry in files.entries:
        provider = entry.provider
        listed += [(network, provider.id) for network in files.listed_prefixes(entry)]
        written += [(parse_prefix(text), provider.id) for text in provider.prefixes]
    layers = [
        flatten([(network, value) for network, value in layer if network.version == version])
        for layer in (listed, written)
    ]
    return layers[0], layers[1]


def build(inputs: Sequence[Inputs], files: CatalogueFiles, about: Description) -> tuple[bytes, Summary]:
    """Give the bytes of the database and its summary; ``inputs`` are IPv4 and IPv6, in this order."""
    by_asn = {asn: entry.provider.id for entry in files.entries for asn in entry.provider.asns}
    tree, numbers, as_names, summary = Tree(), dict[Record, int](), dict[int, str](), Summary()
    root = 0
    for family in inputs:
        ranges = (
            (first, last, -numbers.setdefault(record, len(numbers) + 1))
            for first, last, record in _records(family, by_asn, as_names, summary)
        )
        root = tree.subtree(ranges if family.bits == 32 else _mount(ranges, root), family.bits)
    data = DataSection()
    ids = sorted({entry.provider.id for entry in files.entries})
    for text in ("country", "asn", "as_name", "provider", "evidence", "prefix", *ids):
        data.intern(text)
    offsets = [data.add(_encode(record, as_names)) for record in numbers]
    content = write(tree, root, offsets, data, about)
    summary.records, summary.nodes = len(offsets), len(tree.nodes)
    return content, summary


def describe(dates: Sequence[str], built: int) -> Description:
    """Name the sources in the file itself, as their licence asks."""
    text = (
        f"egress-monitor: IP geolocation by DB-IP (https://db-ip.com), {dates[0]}; AS data by RouteViews, "
        f"NRO and DB-IP, {dates[1]}; all CC BY 4.0, merged"
    )
    return Description(SHIPPED_TYPE, text, built)


def networks_digest(files: CatalogueFiles) -> str:
    """Give a hash of all that the database takes from the catalogue: when it changes, build anew."""
    facts = [
        [
            entry.provider.id,
            sorted(entry.provider.asns),
            sorted(entry.provider.prefixes),
            sorted(map(str, files.listed_prefixes(entry))),
        ]
        for entry in sorted(files.entries, key=lambda entry: entry.provider.id)
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _records(
    family: Inputs, by_asn: dict[int, str], as_names: dict[int, str], summary: Summary
) -> Iterable[Range[Record]]:
    def cut() -> Iterable[Range[Record]]:
        layers: list[Iterable[Range[Any]]] = [
            family.countries,
            family.networks,
            family.listed,
            family.written,
        ]
        for first, last, (country, network, listed, written) in overlay(layers):
            asn, organisation = network or (None, None)
            if asn is not None and organisation:
                as_names.setdefault(asn, organisation)
            known = by_asn.get(asn) if asn is not None else None
            if listed is not None and known not in (None, listed):
                if family.bits == 32:
                    summary.given_way[listed, known or ""] += last - first + 1
                listed = None
            elif listed is not None and known is None and asn is not None and family.bits == 32:
                summary.foreign[listed, asn] += last - first + 1
            prefix = written or listed
            yield first, last, Record(country, asn, prefix or known, prefix is not None)

    for first, last, record in coalesce(cut()):
        _count(summary, family.bits, last - first + 1, record)
        yield first, last, record


def _count(summary: Summary, bits: int, addresses: int, record: Record) -> None:
    if bits == 32:
        summary.countries[record.country or "unknown"] += addresses
    if record.provider is not None and bits == 32:
        summary.ipv4_addresses[record.provider] += addresses
    elif record.provider is not None:
        summary.ipv6_networks[record.provider] += -(-addresses >> 80)


def _mount(ranges: Iterable[Range[int]], ipv4_root: int) -> Iterable[Range[int]]:
    """Put the IPv4 tree where IPv6 addresses carry IPv4 ones, in place of what the sources say there."""
    spots = sorted((*network_range(ip_network(text)), ipv4_root) for text in _ALIASES)
    outside = (
        (first, last, reference)
        for first, last, (reference, spot) in overlay([ranges, spots])
        if reference is not None and spot is None
    )
    return merge(outside, spots)


def _encode(record: Record, as_names: dict[int, str]) -> dict[str, str | int]:
    values: dict[str, str | int | None] = {
        "country": record.country,
        "asn": record.asn,
        "as_name": as_names.get(record.asn) if record.asn is not None else None,
        "provider": record.provider,
        "evidence": "prefix" if record.by_prefix else None,
    }
    return {key: value for key, value in values.items() if value is not None}
