"""Longest match against a slow and obvious search with the standard library."""

import random
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from monitor.address_text import to_packed, to_text
from monitor.attribute.addresses import PrefixMap, parse


def test_the_longest_network_wins_as_in_a_slow_search() -> None:
    rng = random.Random(7)
    networks: list[IPv4Network | IPv6Network] = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    networks += [IPv4Network((rng.getrandbits(32), rng.randrange(4, 33)), strict=False) for _ in range(200)]
    networks += [IPv6Network((rng.getrandbits(128), rng.randrange(4, 129)), strict=False) for _ in range(200)]
    distinct = list(dict.fromkeys(networks))
    prefixes = PrefixMap([(network, str(network)) for network in distinct])
    for network in distinct:
        address = network[rng.randrange(network.num_addresses)]
        expected = max(
            (other for other in distinct if other.version == address.version and address in other),
            key=lambda other: other.prefixlen,
        )
        assert prefixes.find(to_packed(address)) == str(expected)


def test_an_ipv6_default_holds_no_ipv4_address() -> None:
    prefixes = PrefixMap([(ip_network("::/0"), "six")])
    assert prefixes.find(to_packed(ip_address("10.0.0.1"))) is None
    assert prefixes.find(to_packed(ip_address("2001:db8::1"))) == "six"


def test_ipv4_written_as_ipv6_is_ipv4() -> None:
    prefixes = PrefixMap([(ip_network("::ffff:10.0.0.0/104"), "ten")])
    assert prefixes.find(to_packed(ip_address("10.9.9.9"))) == "ten"
    assert prefixes.find(to_packed(ip_address("11.0.0.0"))) is None


def test_a_false_value_is_a_value() -> None:
    prefixes = PrefixMap([(ip_network("10.0.0.0/8"), True), (ip_network("10.1.0.0/16"), False)])
    assert prefixes.find(parse("10.1.2.3")) is False
    assert prefixes.find(parse("10.2.2.3")) is True


def test_of_one_network_given_twice_the_first_holds() -> None:
    prefixes = PrefixMap([(ip_network("10.0.0.0/8"), "first"), (ip_network("10.0.0.0/8"), "second")])
    assert prefixes.find(parse("10.0.0.1")) == "first"


def test_an_empty_map_is_false_and_finds_nothing() -> None:
    assert not PrefixMap([])
    assert PrefixMap([]).find(parse("10.0.0.1")) is None


@pytest.mark.parametrize("written", ["192.0.2.1", "2001:db8::1", "::1", "255.255.255.255", "fe80::1"])
def test_what_a_person_writes_comes_back(written: str) -> None:
    assert to_text(parse(written)) == written


@pytest.mark.parametrize("written", ["", "10.0.0", "10.0.0.0/8", "fe80::1%eth0", "010.0.0.1", "example.com"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(written)
