"""Addresses as text, one by one and as a column; what is right is what the standard library writes."""

import random
from ipaddress import IPv6Address, ip_address

import polars as pl

from monitor.address_text import texts, to_packed

WRITTEN = ["0.0.0.0", "10.0.1.200", "255.255.255.255", "::", "::1", "fd00:1::9", "2001:db8::ffff:1.2.3.4"]


def test_a_column_is_written_as_the_standard_library_does() -> None:
    chance = random.Random(7)
    addresses = [ip_address(text) for text in WRITTEN]
    addresses += [IPv6Address(chance.randbytes(16)) for _ in range(50)]
    addresses += [ip_address(chance.randbytes(4)) for _ in range(50)]
    column = pl.Series("address", [None, *map(to_packed, addresses), to_packed(addresses[0])])
    assert texts(column).to_list() == [None, *map(str, addresses), str(addresses[0])]


def test_nothing_gives_nothing() -> None:
    assert texts(pl.Series("address", [], dtype=pl.Binary)).to_list() == []
    assert texts(pl.Series("address", [None], dtype=pl.Binary)).to_list() == [None]
