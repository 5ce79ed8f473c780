"""What a configuration names, opened and checked: catalogue and databases, rules, lists.

The daemon, a replay and a reload all open them here, so that each finds the same things wrong.
"""

from monitor import shipped
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.canary import RULE as CANARY_RULE
from monitor.config import Config
from monitor.judge.lists import AddressLists
from monitor.judge.rule_set import RuleSet, load_configured


def open_databases(config: Config) -> tuple[Catalogue, Databases]:
    """Open catalogue and databases; raises InputError where one of them is wrong."""
    catalogue = Catalogue.load(config.catalogue)
    config.check_providers(set(catalogue.provider_ids()))
    databases = Databases(country=config.databases.country, asn=config.databases.asn, catalogue=catalogue)
    databases.start()
    return catalogue, databases


def load_rules(config: Config, catalogue: Catalogue) -> RuleSet:
    """Load the rules that a configuration names, and with them always the canary's."""
    rules = load_configured(config, config.rules, catalogue.provider_ids())
    if not any(rule.id == CANARY_RULE for rule in rules.rules):
        # whoever brings rules of their own still wants to know that rules are judged at all
        own = load_configured(config, [shipped.rules() / "egress-canary.yml"], catalogue.provider_ids())
        rules.rules += own.rules
        rules.broken += own.broken
    return rules


def load_lists(config: Config) -> AddressLists:
    """Read the lists that rules name; raises InputError where one of them is wrong."""
    lists = AddressLists(config.lists)
    lists.load()
    return lists
