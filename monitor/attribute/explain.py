"""Why a flow was attributed as it was: the evidence, its age and the catalogue's version, step by step."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from monitor.attribute.catalogue import Catalogue, NameMatch
from monitor.attribute.dns_memory import Found
from monitor.terminal import visible

_NAME_SOURCES = {
    "sni": "server name in the TLS ClientHello",
    "quic_sni": "server name in the QUIC ClientHello",
    "dtls_sni": "server name in the DTLS ClientHello",
    "http_host": "Host of the HTTP request",
    "http_connect": "target of the CONNECT request",
    "socks": "target of the SOCKS request",
    "certificate": "certificate that the server showed; it may show any",
}
_NETWORK = {"prefix": "the address stands in a published prefix", "asn": "the AS is the provider's"}


# the columns of `FLOW_SCHEMA` and `ATTRIBUTED` that an explanation reads
COLUMNS = [
    "started", "name", "name_source", "ech", "country", "asn", "as_name", "network_provider", "provider",
    "dns_name", "evidence", "confidence", "disagreement", "via",
]  # fmt: skip


class Step(NamedTuple):
    """One step of the chain; text from the wire in it is escaped."""

    what: str
    answer: str
    why: str


def explain_flow(flow: Mapping[str, Any], catalogue: Catalogue, answer: Found | None = None) -> list[Step]:
    """Explain one attributed row.

    Args:
        flow: `COLUMNS` of the row, by name.
        catalogue: the one in use.
        answer: what `Attributor.answer_of` gives for the flow, where it is still known.

    Returns:
        The steps in the order in which they were taken; the last is the decision.
    """
    steps = [_network(flow)]
    if flow["via"]:
        steps.append(Step("gateway", flow["via"], "the true other end is behind it"))
    if flow["dns_name"]:
        steps.append(Step("asked for", _chain(flow["dns_name"], answer), _age(flow["started"], answer)))
    names = answer.chain if answer else [flow["dns_name"]] if flow["dns_name"] else []
    steps += _catalogued("in DNS", names, catalogue)
    if flow["name"]:
        steps.append(Step("claims", visible(flow["name"]), _claim(flow)))
        steps += _catalogued("claimed", [flow["name"]], catalogue)
    if flow["disagreement"]:
        steps.append(Step("disagreement", "yes", "this network is not known to carry the claimed service"))
    why = f"{_rule(flow)}; confidence {flow['confidence']}; catalogue {catalogue.version}"
    steps.append(Step("provider", flow["provider"] or "unknown", why))
    return steps


def as_dicts(steps: Sequence[Step]) -> list[dict[str, str]]:
    """Give the steps for JSON."""
    return [step._asdict() for step in steps]


def _network(flow: Mapping[str, Any]) -> Step:
    if flow["asn"] is None:
        return Step("network", flow["network_provider"] or "unknown", "")
    number = f"AS{flow['asn']} {visible(flow['as_name'] or '')}".rstrip()
    return Step(
        "network", flow["network_provider"] or "unknown", f"{number}, {flow['country'] or 'country unknown'}"
    )


def _chain(dns_name: str, answer: Found | None) -> str:
    chain = reversed(answer.chain) if answer else [dns_name]
    return " -> ".join(visible(name) for name in chain)


def _age(started: datetime, answer: Found | None) -> str:
    if answer is None:
        return "DNS answer seen; its time is no longer known"
    told = "told to the client's resolver" if answer.shared else "told to this client"
    age = timedelta(microseconds=max(0, _nanoseconds(started) - answer.time) // 1000)
    return f"{told} {age} before the flow began"


def _nanoseconds(moment: datetime) -> int:
    """Give nanoseconds since 1970 without a float; a datetime holds microseconds."""
    since = moment - datetime.fromtimestamp(0, moment.tzinfo)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def _claim(flow: Mapping[str, Any]) -> str:
    source = _NAME_SOURCES[flow["name_source"]]
    return f"{source}; may be only the outer name, ECH was offered" if flow["ech"] else source


def _catalogued(what: str, names: Sequence[str], catalogue: Catalogue) -> list[Step]:
    found = ((name, catalogue.provider_of_name(name)) for name in names)
    return [Step(what, match.provider, _suffix(name, match)) for name, match in found if match is not None]


def _suffix(name: str, match: NameMatch) -> str:
    parts = [f"{visible(name)} matches {match.suffix}"]
    if match.customer_chosen:
        parts.append("never decides: customers choose where such names lead")
    if match.storage:
        parts.append("storage")
    if match.carriers:
        parts.append(f"carried by {', '.join(sorted(match.carriers))}")
    return "; ".join(parts)


def _rule(flow: Mapping[str, Any]) -> str:
    evidence, provider, network = flow["evidence"], flow["provider"], flow["network_provider"]
    if evidence in {"dns", "dns_shared"}:
        return "DNS says so"
    if evidence in _NAME_SOURCES:
        if provider == network:
            return "the claimed name and the network agree"
        return "the gateway was asked for it" if flow["via"] else "this network carries it"
    return _NETWORK.get(evidence, "neither a network nor a DNS answer is known")
