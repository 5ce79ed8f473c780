"""What a build says on the terminal: what changed since the last one, and what is worth a look."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.attribute.catalogue_file import CatalogueFiles, Entry, Network, parse_prefix
from tools.catalogue.build import Summary
from tools.catalogue.ranges import network_range

_NOTABLE = 0.02  # a change of a provider's addresses that is worth a line


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Compare two summaries (`Summary.as_json`), one line a provider that came, went, grew or shrank."""
    if not old:
        yield f"first build: {len(new['providers'])} providers have addresses"
        return
    before, after = old["providers"], new["providers"]
    for provider in sorted({*before, *after}):
        if provider not in before:
            yield f"new: {provider}, {_size(after[provider])}"
        elif provider not in after:
            yield f"gone: {provider}, had {_size(before[provider])}"
        elif _moved(before[provider]["ipv4_addresses"], after[provider]["ipv4_addresses"]):
            yield f"changed: {provider}, {_size(before[provider])} -> {_size(after[provider])}"


def overlaps(files: CatalogueFiles) -> Iterator[str]:
    """Tell how many prefixes of one provider lie inside those of another; the longest wins."""
    spans = sorted(
        (network.version, first, -last, entry.provider.id)
        for entry in files.entries
        for network in _prefixes(files, entry)
        for first, last in [network_range(network)]
    )
    counts: Counter[tuple[str, str]] = Counter()
    around: list[tuple[int, int, int, str]] = []
    for span in spans:
        around = [held for held in around if held[0] == span[0] and -held[2] >= span[1]]
        counts.update((span[3], held[3]) for held in around if held[3] != span[3])
        around.append(span)
    for (inner, outer), count in sorted(counts.items()):
        yield f"overlap: {count} prefixes of {inner} lie inside prefixes of {outer}"


def remarks(files: CatalogueFiles, summary: Summary) -> Iterator[str]:
    """Tell about providers without addresses though they have AS numbers, and lists that gave way."""
    for entry in files.entries:
        provider = entry.provider
        if provider.asns and not summary.ipv4_addresses[provider.id] + summary.ipv6_networks[provider.id]:
            yield f"no addresses: {provider.id}, though it has {len(provider.asns)} AS numbers"
    for (listed, known), count in sorted(summary.given_way.items()):
        yield f"given way: {count} IPv4 addresses on the list of {listed} are announced by {known}"


    for listed in sorted({provider for provider, _ in summary.foreign}):
        others = {asn: count for (provider, asn), count in summary.foreign.items() if provider == listed}
        total, most = sum(others.values()), max(others, key=lambda asn: others[asn])
        share = total / max(1, summary.ipv4_addresses[listed])
        # customers announce addresses that they rent; a list that swallows a neighbour looks like this too
        if share > _NOTABLE:
            yield (
                f"look at this: {total:,} IPv4 addresses on the list of {listed} are announced by "
                f"{len(others)} AS outside the catalogue, most by AS{most}"
            )


def _prefixes(files: CatalogueFiles, entry: Entry) -> list[Network]:
    return [*files.listed_prefixes(entry), *map(parse_prefix, entry.provider.prefixes)]


def _moved(before: int, after: int) -> bool:
    return abs(after - before) > _NOTABLE * max(before, after, 1)


def _size(counts: Mapping[str, int]) -> str:
    return f"{counts['ipv4_addresses']:,} IPv4 addresses and {counts['ipv6_48s']:,} IPv6 /48s"
