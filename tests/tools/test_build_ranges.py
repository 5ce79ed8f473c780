import ipaddress
import random
from itertools import pairwise

from tools.catalogue.ranges import Range, coalesce, flatten, network_range, overlay


def value_at(ranges: list[Range[str]], address: int) -> str | None:
    found = [value for first, last, value in ranges if first <= address <= last]
    assert len(found) <= 1
    return found[0] if found else None


def test_longest_prefix_wins_as_in_a_routing_table() -> None:
    generator = random.Random(11)
    networks = []
    for number in range(120):
        length = generator.randint(2, 16)
        base = generator.getrandbits(16) >> (16 - length) << (16 - length)
        networks.append((ipaddress.ip_network((base << 16, length)), f"n{number}"))
    table: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = dict(networks)
    flat = flatten(list(table.items()))
    assert flat == sorted(flat)
    for _ in range(3000):
        address = generator.getrandbits(32)
        around = [network for network in table if ipaddress.ip_address(address) in network]
        longest = max(around, key=lambda network: network.prefixlen, default=None)
        assert value_at(flat, address) == (table[longest] if longest else None)


def test_flatten_reaches_the_ends_of_the_address_space() -> None:
    everything = ipaddress.ip_network("0.0.0.0/0")
    last = ipaddress.ip_network("255.255.255.255/32")
    first = ipaddress.ip_network("0.0.0.0/32")
    assert flatten([(everything, "a"), (last, "b"), (first, "c")]) == [
        (0, 0, "c"),
        (1, 2**32 - 2, "a"),
        (2**32 - 1, 2**32 - 1, "b"),
    ]
    assert flatten([]) == []


def test_overlay_gives_each_layer_at_each_address() -> None:
    generator = random.Random(5)
    layers = []
    for layer in range(3):
        cuts = sorted(generator.sample(range(2000), 60))
        layers.append(
            [
                (first, last, f"{layer}-{first}")
                for first, last in zip(cuts[::2], cuts[1::2], strict=True)
                if generator.random() < 0.8
            ]
        )
    laid = list(overlay(layers))
    for (_, last, _), (first, _, _) in pairwise(laid):
        assert last < first
    for address in range(2001):
        expected = tuple(value_at(layer, address) for layer in layers)
        found = [value for first, last, value in laid if first <= address <= last]
        assert found == ([expected] if any(expected) else [])


def test_coalesce_joins_only_neighbours_with_equal_values() -> None:
    assert list(coalesce([(0, 1, "a"), (2, 3, "a"), (5, 6, "a"), (7, 7, "b")])) == [
        (0, 3, "a"),
        (5, 6, "a"),
        (7, 7, "b"),
    ]


def test_network_range() -> None:
    assert network_range(ipaddress.ip_network("10.0.0.0/8")) == (0x0A000000, 0x0AFFFFFF)
    assert network_range(ipaddress.ip_network("::/0")) == (0, 2**128 - 1)
