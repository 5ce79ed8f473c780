"""Addresses between the 16 bytes of a batch and the text that people read."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

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
    """Write a binary column as text; null stays null."""
    import polars as pl  # `lookup` needs single addresses only, and is three times faster without

    is_four = column.bin.starts_with(_MAPPED)
    # the texts of the 256 octets are written once and looked up: a third of the time of writing each
    number = pl.col(column.name).bin.slice(12).bin.reinterpret(dtype=pl.UInt32, endianness="big")
    written_octets = pl.lit(pl.Series([str(octet) for octet in range(256)]))
    octets = [written_octets.gather(number // 256**place % 256) for place in (3, 2, 1, 0)]
    six = column.filter(~is_four).unique()
    written = pl.Series([to_text(packed) for packed in six.to_list()], dtype=pl.String)
    return (
        column.to_frame()
        .select(
            pl.when(is_four)
            .then(pl.concat_str(octets, separator="."))
            .otherwise(pl.col(column.name).replace_strict(six, written, default=None, return_dtype=pl.String))
            .alias(column.name)
        )
        .to_series()
    )
