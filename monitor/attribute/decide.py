"""The provider decision: who is at the other end, from what is known of one flow.

A pure function of a few facts, so that it is computed once for all flows that share them. The rules are
those of design section 5. The network is the authority for where the bytes went; a name is only as good
as its evidence.

What `Decision.confidence` means:

- ``high``: an answer of DNS that the network does not contradict; a network known by its prefix; or a
  claimed name whose owner is also the network.
- ``medium``: an answer of DNS that the catalogue's carriers contradict, or one that only the client's
  resolver saw; a network known by its AS alone; a claimed name on a network known to carry that service;
  the target that a proxy of ours was asked for.
- ``low``: a shared answer that the carriers contradict; another name asked of a gateway of ours.
- ``none``: nothing is known.
"""

import re
from typing import NamedTuple

from monitor.attribute.catalogue import UNLISTED
from monitor.flow_batch import CERTIFICATE

_OUTSIDE_CATALOGUE = re.compile("as[0-9]+")


class Name(NamedTuple):
    """What the catalogue says about a name; names that customers point where they like are left out."""

    provider: str
    carriers: frozenset[str] = frozenset()  # networks known to carry the service; empty: not known
    storage: bool = False  # the name is a storage service's


class DnsAnswer(NamedTuple):
    """What DNS said about the address."""

    name: Name | None  # the catalogued name nearest the address; None: no name of the chain is in it
    providers: frozenset[str] = frozenset()  # of all names in the chain
    shared: bool = False  # told to the client's resolver


class Claim(NamedTuple):
    """What the client said, or what a server's certificate says."""

    name: Name | None
    source: str  # one of flow_batch.NAME_SOURCES
    outer: bool = False  # an encrypted ClientHello was offered: the true name may be another one


class Network(NamedTuple):
    """Who runs the address that the bytes went to."""

    provider: str | None  # catalogue id, else as<number>; None: unknown
    evidence: str = "none"  # prefix, asn or none


class Decision(NamedTuple):
    """The answer, as the columns of `flow_batch.ATTRIBUTED` carry it."""

    service_provider: str | None
    provider: str | None
    storage: bool  # a name of this provider, the deciding or the claimed one, is a storage service's
    evidence: str
    confidence: str
    disagreement: bool


def decide(
    network: Network, dns: DnsAnswer | None = None, claim: Claim | None = None, *, gateway: bool = False
) -> Decision:
    """Decide who is at the other end.

    The service provider is the primary answer only where (a) DNS said so, (b) it is also the network, or
    (c) this network is known to carry that service; otherwise the network provider is. What goes through a
    ``gateway`` of ours, whose other side is not seen, is judged by the name asked of it: there it goes. A
    name that may be only the outer one decides nothing, nor does a certificate's.
    """
    told = dns.name if dns else None
    # who runs a server shows whatever certificate he likes, so that it could excuse his address
    claimed = claim.name if claim and claim.source != CERTIFICATE else None
    service = told or claimed
    provider, evidence = network.provider, network.evidence
    confidence = _NETWORK_CONFIDENCE[evidence]
    if dns and told:
        provider, evidence = told.provider, "dns_shared" if dns.shared else "dns"
        confidence = _DNS_CONFIDENCE[dns.shared + _contradicts(network, told)]
    elif claim and claimed and not claim.outer:
        if gateway:
            provider, evidence = claimed.provider, claim.source
            confidence = "medium" if claim.source in _PROXY_TARGETS else "low"
        elif claimed.provider == network.provider:
            evidence, confidence = claim.source, "high"
        elif network.provider in claimed.carriers:
            provider, evidence, confidence = claimed.provider, claim.source, "medium"
    if service is None:
        return Decision(None, provider, False, evidence, confidence, False)
    owner = provider or service.provider
    supported = dns is not None and claimed is not None and claimed.provider in dns.providers
    return Decision(
        service_provider=service.provider,
        provider=provider,
        storage=_is_storage_of(told, owner) or _is_storage_of(claimed, owner),
        evidence=evidence,
        confidence=confidence,
        disagreement=claimed is not None and not (supported or gateway) and _contradicts(network, claimed),
    )


_PROXY_TARGETS = ("http_connect", "socks")  # a proxy connects to these, whatever else the client says
_NETWORK_CONFIDENCE = {"prefix": "high", "asn": "medium", "none": "none"}
_DNS_CONFIDENCE = ["high", "medium", "low"]  # one step down for each reason to doubt


def _contradicts(network: Network, name: Name) -> bool:
    """Say whether it is known who carries the named service, and this network is not among them."""
    return (
        bool(name.carriers)
        and network.provider is not None
        and network.provider != name.provider
        and network.provider not in name.carriers
        and not (UNLISTED in name.carriers and _OUTSIDE_CATALOGUE.fullmatch(network.provider))
    )


def _is_storage_of(name: Name | None, provider: str) -> bool:
    return name is not None and name.storage and name.provider == provider
