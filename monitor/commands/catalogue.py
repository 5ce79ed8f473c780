"""``egress-monitor catalogue import``: a provider's own address list becomes an entry of the user's."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from pathlib import Path

from monitor import terminal, yaml_file
from monitor.address_text import to_packed
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.catalogue_file import parse_prefix
from monitor.attribute.databases import Databases
from monitor.attribute.vendor_lists import published_prefixes
from monitor.config import Network, load_config
from monitor.errors import InputError

PLACES = 8  # in each prefix, at which it is asked who has it now
FOREIGN = 0.5  # of a list in the hands of other providers: it is theirs


@dataclass
class Comparison:
    """Whose the addresses of a list are now; IPv6 counts by prefix."""

    weights: Counter[str] = field(default_factory=Counter)  # by provider, ``as<number>`` or ``unknown``
    examples: dict[str, str] = field(default_factory=dict)

    def share(self, whose: str) -> float:
        """Give the share of one owner, from 0 to 1."""
        return self.weights[whose] / max(1, self.weights.total())


def import_lists(provider: str, lists: Sequence[Path], into: Path, config_path: Path | None) -> None:
    """Write ``PROVIDER.yml`` and ``PROVIDER.txt`` into a folder, and say what they change.

    Raises InputError for a provider that the catalogue does not know, for a file that is no list, and for a
    list most of which other providers of the catalogue announce.
    """
    config = load_config(config_path)
    target = into / f"{provider}.yml"
    # what it would replace must not be what it is compared with
    catalogue = Catalogue.load([path for path in config.catalogue if path != target.absolute()])
    if provider not in catalogue.providers:
        hint = yaml_file.nearest(provider, catalogue.providers)
        raise InputError(f"the catalogue has no provider {provider!r}{hint}")
    networks, refused = _read(lists)
    databases = Databases(
        country=config.databases.country, asn=config.databases.asn, catalogue=catalogue
    )
    databases.start()
    try:
        found = _compare(databases, networks)
    finally:
        databases.stop()
    others = [whose for whose in found.weights if whose in catalogue.providers and whose != provider]
    most = max(others, key=found.share, default="")
    if sum(map(found.share, others)) > FOREIGN:
        raise InputError(
            f"{lists[0]}: {found.share(most):.0%} of it is announced by {most}: is it {provider}'s list?"
        )
    _write(target.with_suffix(".txt"), _prefix_text(provider, lists, networks))
    _write(target, _entry_text(provider, lists))
    out = terminal.console()
    for line in _report(provider, networks, refused, found, others):
        out.print(terminal.safe(line, longest=terminal.LONGEST_LINE), soft_wrap=True)
    if target.absolute() not in config.catalogue:
        line = f"name it in the configuration: catalogue: [{target.absolute()}]"
        out.print(terminal.safe(line, "yellow", longest=terminal.LONGEST_LINE), soft_wrap=True)


def _read(lists: Sequence[Path]) -> tuple[list[Network], int]:
    """Give the networks of the lists, joined where they touch, and how many entries were refused."""
    networks: list[Network] = []
    refused = 0
    for path in lists:
        for text in published_prefixes(path):
            try:
                networks.append(parse_prefix(text))
            except ValueError:
                refused += 1
    if not networks:
        raise InputError(f"{lists[0]}: no prefix of public address space in it")
    four = collapse_addresses(one for one in networks if isinstance(one, IPv4Network))
    six = collapse_addresses(one for one in networks if isinstance(one, IPv6Network))
    return [*four, *six], refused


def _compare(databases: Databases, networks: Sequence[Network]) -> Comparison:
    found = Comparison()
    for network in networks:
        places = min(PLACES, network.num_addresses)
        for place in range(places):
            facts = databases.lookup(to_packed(network[network.num_addresses * place // places]))
            whose = facts.provider or "unknown"
            found.weights[whose] += max(1, network.num_addresses // places) if network.version == 4 else 1
            found.examples.setdefault(whose, str(network))
    return found


def _report(
    provider: str, networks: Sequence[Network], refused: int, found: Comparison, others: Sequence[str]
) -> Iterator[str]:
    addresses = sum(one.num_addresses for one in networks if one.version == 4)
    six = sum(one.version == 6 for one in networks)
    left_out = f"; {refused:,} entries left out, not public address space" if refused else ""
    yield f"{provider}: {addresses:,} IPv4 addresses and {six:,} IPv6 prefixes{left_out}"
    yield f"told so already: {found.share(provider):.2%}"
    new = [whose for whose in found.weights if whose != provider and whose not in others]
    if new:
        most = max(new, key=found.share)
        yield (
            f"new: {sum(map(found.share, new)):.2%}, such as {found.examples[most]}, until now {most}"
        )
    for whose in sorted(others, key=found.share, reverse=True):
        yield f"gives way: {found.share(whose):.2%} is announced by {whose}, such as {found.examples[whose]}"


def _prefix_text(provider: str, lists: Sequence[Path], networks: Sequence[Network]) -> str:
    names = ", ".join(terminal.visible(path.name) for path in lists)
    head = f"# {provider}, from {names}, {datetime.now(UTC):%Y-%m-%d}\n"
    return head + "".join(f"{network}\n" for network in networks)


def _entry_text(provider: str, lists: Sequence[Path]) -> str:
    names = ", ".join(terminal.visible(path.name) for path in lists).replace("'", "")
    source = f"'{names}, imported {datetime.now(UTC):%Y-%m-%d}'"
    return (
        f"providers:\n  - id: {provider}\n    prefix_files: [{provider}.txt]\n"
        f"    source: {{prefixes: {source}}}\n"
    )


def _write(path: Path, text: str) -> None:
    """Write aside and rename, so that a running monitor never reads half of it."""
    aside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
