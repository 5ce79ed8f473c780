"""What a configuration names, opened and checked: catalogue and databases, rules, lists.

The daemon, a replay and a reload all open them here, so that each finds the same things wrong.
"""

from collections.abc import Sequence
from pathlib import Path

from monitor import shipped
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.attribute.kept_databases import KeptDatabases
from monitor.canary import RULE as CANARY_RULE
from monitor.captured_rows import CapturedRows
from monitor.config import Config
from monitor.errors import InputError
from monitor.judge.lists import AddressLists
from monitor.judge.rule_set import RuleSet, load_configured

DATABASES = "databases"  # folder in the state folder


def open_databases(
    config: Config, state: Path | None = None, *, fall_back: bool = False
) -> tuple[Catalogue, Databases]:
    """Open catalogue and databases; raises InputError where one of them is wrong.

    `state`: in which folder the last good databases are kept. With `fall_back` they stand in for those that
    are wrong.
    """
    catalogue = Catalogue.load(config.catalogue)
    config.check_providers(set(catalogue.provider_ids()))
    databases = Databases(
        country=config.databases.country,
        asn=config.databases.asn,
        catalogue=catalogue,
        kept=None if state is None else KeptDatabases(state / DATABASES),
    )
    try:
        databases.start(fall_back=fall_back)
    except InputError as error:
        for place, path in config.chosen_files():
            if place[0] == "databases" and str(error).startswith(f"{path}: "):
                raise config.error(place, str(error)) from error
        raise
    return catalogue, databases


def load_rules(config: Config, catalogue: Catalogue, databases: Databases, *, trusted: bool) -> RuleSet:
    """Load the rules that a configuration names, and with them always the canary's.

    `databases` are open, with this catalogue. `trusted`: captures in their tests must be safe from other
    users, as the rules themselves must.
    """
    rules = read_rules(config, config.rules, catalogue, databases, trusted=trusted)
    if not any(rule.id == CANARY_RULE for rule in rules.rules):
        # whoever brings rules of their own still wants to know that rules are judged at all
        canary = [shipped.rules() / "egress-canary.yml"]
        own = read_rules(config, canary, catalogue, databases, trusted=trusted)
        rules.rules += own.rules
        rules.broken += own.broken
    # they have been run, and their rows are not small
    rules.cases.clear()
    return rules


def load_sound_rules(config: Config, catalogue: Catalogue, databases: Databases) -> RuleSet:
    """Load the rules for a daemon that judges already; raises InputError about the first that is broken."""
    rules = load_rules(config, catalogue, databases, trusted=True)
    if rules.broken:
        raise rules.broken[0]
    return rules


def read_rules(
    config: Config,
    paths: Sequence[Path],
    catalogue: Catalogue,
    databases: Databases | None = None,
    *,
    trusted: bool = False,
) -> RuleSet:
    """Load the rules of files and folders for a configuration and run all their tests."""
    captures = CapturedRows(catalogue, databases, trusted=trusted)
    try:
        return load_configured(config, paths, catalogue.provider_ids(), captures.read)
    finally:
        captures.stop()


def load_lists(config: Config) -> AddressLists:
    """Read the lists that rules name; raises InputError where one of them is wrong."""
    lists = AddressLists(config.lists)
    lists.load()
    return lists
