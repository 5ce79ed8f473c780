"""``egress-monitor lookup``: how an address or a name is attributed, step by step; nothing is sent."""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from rich.table import Table
from rich.text import Text

from monitor import terminal
from monitor.address_text import to_packed
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases, embedded_ipv4
from monitor.attribute.workloads import Workloads
from monitor.config import Address, Config, load_config
from monitor.errors import InputError

_HOST = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_*-]{1,63}(\.[A-Za-z0-9_-]{1,63})+\.?")
_BY = {"prefix": "a published prefix", "asn": "the AS number"}

Steps = list[tuple[str, str, str]]  # what, the answer, where the answer comes from


def lookup(what: str, config_path: Path | None) -> None:
    """Print the steps of the attribution; raises InputError for what is neither address nor name."""
    config = load_config(config_path)
    catalogue = Catalogue.load(config.catalogue)
    try:
        address = ip_address(what.strip("[]"))
    except ValueError:
        if not _HOST.fullmatch(what):
            raise InputError(f"{what!r} is neither an IP address nor a host name") from None
        steps, notes = _name_steps(what, catalogue)
    else:
        whole: Address = getattr(address, "ipv4_mapped", None) or address
        steps, notes = _address_steps(whole, config, catalogue)
    out = terminal.console()
    table = Table.grid(padding=(0, 2))
    for step, answer, source in steps:
        table.add_row(Text(step, style="bold"), terminal.safe(answer), terminal.safe(source, "dim"))
    out.print(table)
    for note in notes:
        out.print()
        out.print(terminal.safe(note, "yellow"))


def _address_steps(address: Address, config: Config, catalogue: Catalogue) -> tuple[Steps, list[str]]:
    packed = to_packed(address)
    steps: Steps = [("address", str(address), "")]
    local = next((network for network in config.networks.local if address in network), None)
    workloads = Workloads(config.workloads, config.networks.gateways, config.published)
    if local is not None:
        steps.append(("side", "local", f"inside {local} of networks.local"))
        steps.append(("workload", workloads.configured(packed) or "-", "workloads in the configuration"))
        steps.append(("gateway", workloads.gateway(packed) or "-", "networks.gateways in the configuration"))
        return steps, []
    steps.append(("side", "remote", "in no network of networks.local"))
    inside = embedded_ipv4(packed)
    if inside != packed:
        steps.append(("carries", str(ip_address(inside[-4:])), "the IPv4 address in it, RFC 6052 or 3056"))
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
    steps.append(("country", facts.country or "unknown", sources.get("country", shipped)))
    network = f"AS{facts.asn} {facts.as_name or ''}".rstrip() if facts.asn else "unknown"
    steps.append(("network", network, sources.get("asn", shipped)))
    steps += _provider_steps(facts.provider, _BY[facts.provider_evidence or "asn"], catalogue)
    return steps, [stale] if stale else []


def _name_steps(name: str, catalogue: Catalogue) -> tuple[Steps, list[str]]:
    steps: Steps = [("name", name, "")]
    match = catalogue.provider_of_name(name)
    if match is None:
        steps.append(("provider", "unknown", f"no suffix in the catalogue, {catalogue.version}"))
        return steps, []
    steps += _provider_steps(match.provider, f"the suffix {match.suffix}", catalogue)
    if match.storage:
        steps.append(("service", "storage", f"the suffix {match.suffix}"))
    carriers = ", ".join(sorted(match.carriers)) or "not known"
    steps.append(("carried by", carriers, "elsewhere, the name is a disagreement" if match.carriers else ""))
    chosen = "Customers choose where such names lead, so they never decide."
    return steps, [chosen] if match.customer_chosen else []


def _provider_steps(provider: str | None, by: str, catalogue: Catalogue) -> Steps:
    if provider is None:
        return [("provider", "unknown", "no network is known for this address")]
    known = catalogue.providers.get(provider)
    if known is None:
        return [("provider", provider, f"by {by}; not in the catalogue, {catalogue.version}")]
    return [
        ("provider", f"{known.id} ({known.name})", f"by {by}; catalogue {catalogue.version}"),
        ("category", f"{known.category}, headquarters in {known.hq_country}", "catalogue"),
    ]
