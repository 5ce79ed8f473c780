"""Addresses between the 16 bytes of a batch and the text that people read."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from monitor._hotpath import address_texts

if TYPE_CHECKING:
    import polars as pl

_MAPPED = bytes(10) + b"\xff\xff"


def to_text(packed: bytes) -> str:
    """Write 16 bytes as text; ``::ffff:a.b.c.d`` is IPv4 (RFC 4291 section 2.5.5.2, RFC 5952)."""
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def to_packed(address: IPv4Address | IPv6Address) -> bytes:
    """Give the 16 bytes of an address, IPv4 as ``::ffff:a.b.c.d``."""
    return _MAPPED + address.packed if isinstance(address, IPv4Address) else address.packed


def texts(column: pl.Series) -> pl.Series:
    """Write a binary column of addresses as text; null stays null."""
    import polars as pl  # `lookup` needs single addresses only, and is three times faster without

    return pl.DataFrame(address_texts(column.to_frame())).to_series().alias(column.name)
