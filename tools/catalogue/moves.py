"""Which addresses went from one provider to another between two databases."""

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import maxminddb

from tools.catalogue.ranges import Range, coalesce, network_range, overlay

SHOWN = 30  # moves that get a line, the largest first


def moves(old: Path, new: Path) -> Iterator[str]:
    """Tell the largest moves in lines for people, one for each pair of providers, with an example."""
    counts: Counter[tuple[str, str, int]] = Counter()
    examples: dict[tuple[str, str, int], str] = {}
    layers = [_providers(path) for path in (old, new)]
    for version in (4, 6):
        for first, last, (before, after) in overlay([layer[version] for layer in layers]):
            if before is None or after is None or before == after:
                continue
            move = (before, after, version)
            # IPv6 in /48s: their number says something, that of addresses nothing
            counts[move] += last - first + 1 if version == 4 else -(-(last - first + 1) >> 80)
            address = IPv4Address(first) if version == 4 else IPv6Address(first)
            examples.setdefault(move, str(address))
    largest = sorted(counts.items(), key=lambda item: (-item[1] << (64 if item[0][2] == 4 else 0), item[0]))
    for (before, after, version), count in largest[:SHOWN]:
        what = "IPv4 addresses" if version == 4 else "IPv6 /48s"
        yield f"moved: {count:,} {what} from {before} to {after}, such as {examples[before, after, version]}"
    if len(largest) > SHOWN:
        yield f"moved: {len(largest) - SHOWN} more pairs of providers, with fewer addresses"


def _providers(path: Path) -> dict[int, list[Range[str]]]:
    """Give the ranges of providers in a database, by version of the addresses."""
    found: dict[int, list[Range[str]]] = {4: [], 6: []}
    with maxminddb.open_database(path) as reader:
        for network, record in reader:
            provider = record.get("provider") if isinstance(record, dict) else None
            first, last = network_range(network)
            # the library gives IPv4 networks of a tree of IPv6 addresses as such, below ::/96
            version = 4 if network.version == 4 else 6
            if isinstance(provider, str):
                found[version].append((first, last, provider))
    return {version: list(coalesce(ranges)) for version, ranges in found.items()}
