"""The provider decision against the sentences of the design, one by one."""

import itertools

import pytest

from monitor.attribute.decide import Claim, Decision, DnsAnswer, Name, Network, decide
from monitor.flow_batch import CONFIDENCES, EVIDENCES

AWS = Name("aws", carriers=frozenset({"aws"}))
S3 = Name("aws", carriers=frozenset({"aws"}), storage=True)
OSS = Name("alibaba", carriers=frozenset({"alibaba"}), storage=True)
GITHUB = Name("github", carriers=frozenset({"fastly", "azure"}))
SHOP = Name("shop")  # nobody knows who carries it

ON_AWS = Network("aws", "prefix")
ON_ALIBABA = Network("alibaba", "asn")
ON_FASTLY = Network("fastly", "prefix")
ELSEWHERE = Network("as64500", "asn")
NOWHERE = Network(None)


def dns(name: Name | None, *others: Name, shared: bool = False) -> DnsAnswer:
    names = [other for other in (name, *others) if other]
    return DnsAnswer(name, frozenset(other.provider for other in names), shared)


def test_without_a_name_the_network_is_the_answer() -> None:
    assert decide(ON_AWS) == Decision(None, "aws", False, "prefix", "high", False)
    assert decide(ON_ALIBABA) == Decision(None, "alibaba", False, "asn", "medium", False)
    assert decide(NOWHERE) == Decision(None, None, False, "none", "none", False)


def test_a_dns_answer_decides_whatever_the_network() -> None:  # rule (a)
    decision = decide(ON_FASTLY, dns(SHOP))
    assert (decision.provider, decision.service_provider, decision.evidence) == ("shop", "shop", "dns")
    assert decision.confidence == "high"
    assert decide(ON_ALIBABA, dns(S3)).provider == "aws"
    assert decide(ON_ALIBABA, dns(S3)).confidence == "medium"  # the catalogue says otherwise
    assert decide(ON_ALIBABA, dns(S3)).disagreement is False  # more than the claim supports the name


def test_a_shared_dns_answer_decides_with_less_confidence() -> None:
    assert decide(ON_AWS, dns(S3, shared=True)) == Decision("aws", "aws", True, "dns_shared", "medium", False)
    assert decide(ON_ALIBABA, dns(S3, shared=True)).confidence == "low"


def test_a_claim_that_is_also_the_network_decides() -> None:  # rule (b)
    assert decide(ON_AWS, None, Claim(S3, "sni")) == Decision("aws", "aws", True, "sni", "high", False)


def test_a_claim_on_a_network_that_carries_the_service_decides() -> None:  # rule (c)
    decision = decide(ON_FASTLY, None, Claim(GITHUB, "quic_sni"))
    assert decision == Decision("github", "github", False, "quic_sni", "medium", False)


@pytest.mark.parametrize("network", [ON_AWS, ON_FASTLY, ON_ALIBABA, NOWHERE])
@pytest.mark.parametrize("name", [S3, GITHUB])
def test_what_a_server_shows_decides_nothing(network: Network, name: Name) -> None:
    assert decide(network, None, Claim(name, "certificate")) == decide(network)
    assert decide(network, dns(SHOP), Claim(name, "certificate")) == decide(network, dns(SHOP))


@pytest.mark.parametrize("network", [ON_ALIBABA, ELSEWHERE])
def test_a_bare_claim_never_decides_and_disagrees(network: Network) -> None:
    decision = decide(network, None, Claim(S3, "sni"))
    assert decision.provider == network.provider
    assert decision.evidence == network.evidence
    assert decision.service_provider == "aws"
    assert decision.storage is False  # the storage is of another provider
    assert decision.disagreement is True


def test_no_disagreement_where_the_catalogue_does_not_know_who_carries() -> None:
    decision = decide(ON_ALIBABA, None, Claim(SHOP, "sni"))
    assert (decision.provider, decision.disagreement) == ("alibaba", False)


def test_a_service_whose_caches_stand_outside_the_catalogue_disagrees_only_inside_it() -> None:
    cached = Name("google", carriers=frozenset({"google", "unlisted"}))
    assert decide(ELSEWHERE, None, Claim(cached, "sni")).disagreement is False
    assert decide(ELSEWHERE, None, Claim(cached, "sni")).provider == "as64500"  # and is not believed there
    assert decide(ON_ALIBABA, None, Claim(cached, "sni")).disagreement is True


def test_no_disagreement_where_the_network_is_unknown() -> None:
    decision = decide(NOWHERE, None, Claim(S3, "http_connect"))
    assert decision == Decision("aws", None, True, "none", "none", False)


def test_a_claim_against_a_dns_answer_disagrees() -> None:
    decision = decide(ON_ALIBABA, dns(OSS), Claim(S3, "sni"))
    assert (decision.provider, decision.service_provider) == ("alibaba", "alibaba")
    assert decision.evidence == "dns"
    assert decision.disagreement is True


def test_a_claim_that_the_chain_supports_does_not_disagree() -> None:
    # api.github.example is a CNAME to a name of AWS: the nearest decides, the claim is in the chain
    decision = decide(ON_AWS, dns(AWS, GITHUB), Claim(GITHUB, "sni"))
    assert (decision.provider, decision.disagreement) == ("aws", False)


def test_an_uncatalogued_dns_name_leaves_the_network() -> None:
    decision = decide(ON_ALIBABA, dns(None), Claim(S3, "sni"))
    assert (decision.provider, decision.evidence, decision.disagreement) == ("alibaba", "asn", True)


def test_an_outer_name_decides_nothing() -> None:
    carried = decide(ON_FASTLY, None, Claim(GITHUB, "sni", outer=True))
    assert (carried.provider, carried.evidence, carried.service_provider) == ("fastly", "prefix", "github")
    same = decide(ON_AWS, None, Claim(S3, "sni", outer=True))
    assert (same.provider, same.evidence, same.confidence) == ("aws", "prefix", "high")


@pytest.mark.parametrize(
    ("source", "confidence"), [("http_connect", "medium"), ("socks", "medium"), ("http_host", "low")]
)
@pytest.mark.parametrize("network", [NOWHERE, ELSEWHERE])
def test_through_a_gateway_the_name_asked_of_it_decides(
    network: Network, source: str, confidence: str
) -> None:
    decision = decide(network, None, Claim(OSS, source), gateway=True)
    assert decision == Decision("alibaba", "alibaba", True, source, confidence, False)
    assert decide(network, None, Claim(OSS, "sni", outer=True), gateway=True).provider == network.provider
    assert decide(network, None, Claim(OSS, "certificate"), gateway=True) == decide(network)


def test_what_always_holds() -> None:
    networks = [ON_AWS, ON_ALIBABA, ON_FASTLY, ELSEWHERE, NOWHERE]
    names = [None, AWS, S3, OSS, GITHUB, SHOP]
    answers = [None, *(dns(name, shared=shared) for name in names for shared in (False, True))]
    claims = [None, *(Claim(name, "sni", outer) for name in names for outer in (False, True))]
    for network, answer, claim in itertools.product(networks, answers, claims):
        decision = decide(network, answer, claim)
        assert decision.evidence in EVIDENCES
        assert decision.confidence in CONFIDENCES
        # only the service or the network can be the answer
        assert decision.provider in {network.provider, decision.service_provider}
        told = answer is not None and answer.name is not None
        if not told and decision.provider != network.provider:
            assert claim is not None
            assert claim.name is not None
            assert network.provider in claim.name.carriers
        assert (decision.evidence == "none") == (decision.provider is None)
        if claim is None or claim.name is None:
            assert not decision.disagreement
