"""``egress-monitor lookup``: how an address or a name is attributed, step by step; nothing is sent."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from monitor import terminal
from monitor.address_text import to_packed
from monitor.attribute.catalogue import UNLISTED, Catalogue
from monitor.attribute.databases import Databases, embedded_ipv4
from monitor.attribute.resolvers import Resolvers, is_resolver_name
from monitor.attribute.workloads import Workloads
from monitor.config import Address, Config, load_config
from monitor.errors import InputError

_HOST = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_*-]{1,63}(\.[A-Za-z0-9_-]{1,63})+\.?")
_BY = {"prefix": "a published prefix", "asn": "the AS number"}
_CHOSEN = "Customers choose where such names lead, so they never decide."


@dataclass
class Chain:
    """The steps for people, and the same facts for machines."""

    facts: dict[str, Any]
    steps: list[tuple[str, str, str]] = field(default_factory=list)  # what, answer, where it comes from
    notes: list[str] = field(default_factory=list)

    def step(self, what: str, answer: str, source: str = "") -> None:
        """Add a step."""
        self.steps.append((what, answer, source))


def lookup(what: str, config_path: Path | None, *, as_json: bool = False) -> None:
    """Print the steps of the attribution; raises InputError for what is neither address nor name."""
    config = load_config(config_path)
    catalogue = Catalogue.load(config.catalogue)
    try:
        address = ip_address(what.strip("[]"))
    except ValueError:
        if not _HOST.fullmatch(what):
            raise InputError(f"{what!r} is neither an IP address nor a host name") from None
        chain = _name(what, catalogue)
    else:
        chain = _address(getattr(address, "ipv4_mapped", None) or address, config, catalogue)
    chain.facts |= {"catalogue": catalogue.version, "notes": chain.notes}
    if as_json:
        print(json.dumps(chain.facts | {"steps": [list(step) for step in chain.steps]}, indent=1))
    else:
        _show(chain)


def _show(chain: Chain) -> None:
    out = terminal.console()
    table = Table.grid(padding=(0, 2))
    for step, answer, source in chain.steps:
        table.add_row(Text(step, style="bold"), terminal.safe(answer), terminal.safe(source, "dim"))
    out.print(table)
    for note in chain.notes:
        out.print()
        out.print(terminal.safe(note, "yellow"))


def _address(address: Address, config: Config, catalogue: Catalogue) -> Chain:
    packed = to_packed(address)
    chain = Chain({"address": str(address)})
    chain.step("address", str(address))
    local = next((network for network in config.networks.local if address in network), None)
    if local is not None:
        _local(chain, packed, config, str(local))
        return chain
    chain.facts["side"] = "remote"
    chain.step("side", "remote", "in no network of networks.local")
    inside = embedded_ipv4(packed)
    if inside != packed:
        chain.facts["carries"] = str(ip_address(inside[-4:]))
        chain.step("carries", chain.facts["carries"], "the IPv4 address in it, RFC 6052 or 3056")
    databases = Databases(
        country=config.databases.country, asn=config.databases.asn, catalogue=catalogue
    )
    databases.start()
    try:
        facts = databases.lookup(packed)
        sources = {info.role: f"{info.path.name}, {info.built:%Y-%m-%d}" for info in databases.sources()}
        stale = databases.stale(datetime.now(UTC))
    finally:
        databases.stop()
    shipped = sources.get("default", "")
    chain.facts |= {"country": facts.country, "asn": facts.asn, "as_name": facts.as_name, "sources": sources}
    chain.step("country", facts.country or "unknown", sources.get("country", shipped))
    network = f"AS{facts.asn} {facts.as_name or ''}".rstrip() if facts.asn else "unknown"
    chain.step("network", network, sources.get("asn", shipped))
    evidence = facts.provider_evidence
    chain.facts["evidence"] = evidence or "none"
    _provider(chain, facts.provider, _BY[evidence or "asn"], catalogue)
    if Resolvers(config.resolvers).public(inside):
        chain.facts["resolver"] = True
        chain.step("service", "DNS", "a well-known public resolver; on ports 443 and 853 it hides names")
    chain.notes += [stale] if stale else []
    return chain


def _local(chain: Chain, packed: bytes, config: Config, network: str) -> None:
    workloads = Workloads(config.workloads, config.networks.gateways, config.published)
    workload, gateway = workloads.configured(packed), workloads.gateway(packed)
    chain.facts |= {"side": "local", "network": network, "workload": workload, "gateway": gateway}
    chain.step("side", "local", f"inside {network} of networks.local")
    chain.step("workload", workload or "-", "workloads in the configuration")
    chain.step("gateway", gateway or "-", "networks.gateways in the configuration")


def _name(name: str, catalogue: Catalogue) -> Chain:
    chain = Chain({"name": name})
    chain.step("name", name)
    match = catalogue.provider_of_name(name)
    if match is None:
        chain.facts["provider"] = None
        chain.step("provider", "unknown", f"no suffix in the catalogue, {catalogue.version}")
    else:
        _provider(chain, match.provider, f"the suffix {match.suffix}", catalogue)
        if match.storage:
            chain.step("service", "storage", f"the suffix {match.suffix}")
        carriers = sorted(match.carriers - {UNLISTED})
        outside = ["networks outside the catalogue"] if UNLISTED in match.carriers else []
        text = ", ".join([*carriers, *outside]) or "not known"
        chain.step("carried by", text, "elsewhere, the name is a disagreement" if match.carriers else "")
        chain.facts |= {
            "suffix": match.suffix,
            "storage": match.storage,
            "carriers": sorted(match.carriers),
            "customer_chosen": match.customer_chosen,
        }
        chain.notes += [_CHOSEN] if match.customer_chosen else []
    if is_resolver_name(name.lower().removesuffix(".")):
        chain.facts["resolver"] = True
        chain.step("service", "DNS", "a public resolver over TLS, HTTPS or QUIC; it hides names")
    chain.step("believed", "as far as its evidence goes", "a DNS answer decides; a client's claim does not")
    return chain


def _provider(chain: Chain, provider: str | None, by: str, catalogue: Catalogue) -> None:
    chain.facts["provider"] = provider
    if provider is None:
        chain.step("provider", "unknown", "no network is known for this address")
        return
    known = catalogue.providers.get(provider)
    if known is None:
        chain.step("provider", provider, f"by {by}; not in the catalogue, {catalogue.version}")
        return
    chain.facts |= {"category": known.category, "hq_country": known.hq_country, "provider_name": known.name}
    chain.step("provider", f"{known.id} ({known.name})", f"by {by}; catalogue {catalogue.version}")
    chain.step("category", f"{known.category}, headquarters in {known.hq_country}", "catalogue")
