"""``python -m tools.catalogue.accuracy``: compare the shipped database with lists that clouds publish.

``accuracy PROVIDER LIST...``: LIST is a vendor's JSON list or a geofeed. Prints how much of the list's
IPv4 address space, and how many of its IPv6 prefixes, come out as the right provider and, where the region
tells it, as the right country.
"""

import argparse
import ipaddress
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.address_text import to_packed
from monitor.attribute.catalogue_file import parse_prefix
from monitor.attribute.databases import Databases
from monitor.attribute.vendor_lists import Listed, read_vendor_list
from monitor.errors import InputError
from tools.catalogue.regions import COUNTRY_BY_REGION

_PLACES = 4  # in each prefix that `measure` asks for
_PARTS = 16  # a prefix is asked for at this many places: databases cut prefixes up


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.catalogue.accuracy", description=__doc__)
    parser.add_argument("provider")
    parser.add_argument("lists", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    databases = Databases()
    databases.start()
    try:
        for path in options.lists:
            listed = read_vendor_list(path) if path.suffix == ".json" else _geofeed(path)
            print(f"{path.name}: {compare(databases, options.provider, listed)}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        databases.stop()
    return 0


@dataclass
class Accuracy:
    """How many of the addresses that were asked for came out right, and what the others came out as."""

    asked: int = 0
    right: int = 0
    others: Counter[str] = field(default_factory=Counter)
    wrong_by_prefix: Counter[str] = field(default_factory=Counter)  # of these, with high confidence


def measure(databases: Databases, providers: Collection[str], path: Path) -> Accuracy:
    """Ask for addresses in each prefix of a published list, wherever in the file its prefixes stand.

    ``providers`` are the right answers; prefixes that are not public address space are left out.
    """
    found = Accuracy()
    listed = read_vendor_list(path) if path.suffix == ".json" else _geofeed(path)
    for text in sorted({prefix for prefix, _ in listed}):
        try:
            network = parse_prefix(text)
        except ValueError:
            continue
        for place in range(min(_PLACES, network.num_addresses)):
            facts = databases.lookup(to_packed(network[network.num_addresses * place // _PLACES]))
            found.asked += 1
            if facts.provider in providers:
                found.right += 1
                continue
            found.others[facts.provider or "unknown"] += 1
            found.wrong_by_prefix[facts.provider or "unknown"] += facts.provider_evidence == "prefix"
    return found


def compare(databases: Databases, provider: str, listed: Sequence[Listed]) -> str:
    """Give one line: shares that are right, and what the wrong ones came out as."""
    weights: Counter[tuple[str, int, bool]] = Counter()
    others: Counter[str] = Counter()
    # a prefix may stand several times; the entries that name a region come last and win
    for text, region in dict(sorted(listed, key=lambda item: item[1] != "")).items():
        network = ipaddress.ip_network(text)
        country = region if len(region) == 2 else COUNTRY_BY_REGION.get(region)
        parts = min(_PARTS, network.num_addresses)
        # equal weight for IPv6 prefixes: their sizes say nothing about use
        weight = network.num_addresses // parts if network.version == 4 else _PARTS // parts
        for part in range(parts):
            address = network[network.num_addresses * part // parts]
            facts = databases.lookup(to_packed(address))
            weights["provider", network.version, facts.provider == provider] += weight
            if facts.provider != provider:
                others[facts.provider or "unknown"] += weight if network.version == 4 else 0
            if country:
                weights["country", network.version, facts.country == country] += weight
    shares = [
        f"{what} IPv{version} {100 * weights[what, version, True] / total:.2f} %"
        for what in ("provider", "country")
        for version in (4, 6)
        if (total := weights[what, version, True] + weights[what, version, False])
    ]
    wrong = ", ".join(f"{name} {count}" for name, count in others.most_common(4))
    return "; ".join(shares) + (f"; else (IPv4 addresses): {wrong}" if wrong else "")


def _geofeed(path: Path) -> list[Listed]:
    text = path.read_text(encoding="utf-8")
    lines = [f"{line.partition('#')[0]},".split(",") for line in text.splitlines()]
    return [(fields[0].strip(), fields[1].strip()) for fields in lines if fields[0].strip()]


if __name__ == "__main__":
    sys.exit(main())
