"""Sets of networks with the longest match, and addresses as people write them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Generic, TypeVar

from monitor.address_text import to_packed
from monitor.config import Network

Value = TypeVar("Value")

_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2
_MAPPED_BITS = 96


def parse(written: str) -> bytes:
    """Read an address that a person wrote into 16 bytes, IPv4 as IPv4-mapped.

    Raises ValueError where it is no address, or names an interface beside it.
    """
    try:
        return to_packed(IPv4Address(written))
    except ValueError:
        address = IPv6Address(written)
    if address.scope_id is not None:
        raise ValueError(f"{written!r} names an interface; an address alone is needed")
    return address.packed


class PrefixMap(Generic[Value]):
    """Networks, each with a value; the longest network around an address wins.

    An IPv6 network never holds an IPv4 address, however short its prefix is. Where one network is given
    twice, the first holds. A look-up costs one dict look-up for each prefix length in use.
    """

    def __init__(self, items: Iterable[tuple[Network, Value]]) -> None:
        by_length: tuple[dict[int, dict[int, Value]], dict[int, dict[int, Value]]] = ({}, {})
        for network, value in items:
            first, length = int.from_bytes(to_packed(network.network_address)), network.prefixlen
            mapped = network.version == 4
            if mapped:
                length += _MAPPED_BITS
            elif length >= _MAPPED_BITS and network.network_address.packed.startswith(_MAPPED):
                mapped = True
            by_length[mapped].setdefault(length, {}).setdefault(first >> (128 - length), value)
        self._six, self._four = (
            [(128 - length, table[length]) for length in sorted(table, reverse=True)] for table in by_length
        )

    def __bool__(self) -> bool:
        return bool(self._six or self._four)

    def find(self, packed: bytes) -> Value | None:
        """Give the value of the longest network around the address (16 bytes), None where none is."""
        tables = self._four if packed.startswith(_MAPPED) else self._six
        if not tables:
            return None
        number = int.from_bytes(packed)
        for shift, networks in tables:
            value = networks.get(number >> shift)
            if value is not None:
                return value
        return None
