"""Whose local address it is: workloads, the gateways that speak for the outside, published services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from monitor.address_text import texts, to_text
from monitor.attribute.addresses import PrefixMap
from monitor.config import Network

if TYPE_CHECKING:
    import polars as pl


class Workloads:
    """What the configuration says about addresses of ours.

    Args:
        workloads: networks by workload name; the longest network around an address wins.
        gateways: networks by gateway name: load balancers, proxies, NAT.
        published: local ports by workload, where strangers are meant to be answered. A workload that
            the configuration does not name goes by its address as text here too.
    """

    def __init__(
        self,
        workloads: Mapping[str, Sequence[Network]],
        gateways: Mapping[str, Sequence[Network]],
        published: Mapping[str, Sequence[int]],
    ) -> None:
        self._workloads = PrefixMap(
            [(network, name) for name, networks in workloads.items() for network in networks]
        )
        self._gateways = PrefixMap(
            [(network, name) for name, networks in gateways.items() for network in networks]
        )
        self.published = {name: frozenset(ports) for name, ports in published.items()}

    def configured(self, packed: bytes) -> str | None:
        """Give the configured name of an address (16 bytes), None where the configuration has none."""
        return self._workloads.find(packed)

    def name(self, packed: bytes) -> str:
        """Give the workload of an address (16 bytes): the configured name, else the address as text."""
        return self._workloads.find(packed) or to_text(packed)

    def names(self, packed: pl.Series) -> pl.Series:
        """Give the workloads of distinct addresses (binary)."""
        if not self._workloads:
            return texts(packed)
        import polars as pl  # `lookup` asks for single addresses only, and is faster without

        return pl.Series([self.name(address) for address in packed.to_list()], dtype=pl.String)

    @property
    def has_gateways(self) -> bool:
        """Whether the configuration names gateways."""
        return bool(self._gateways)

    def gateway(self, packed: bytes) -> str | None:
        """Give the gateway that an address (16 bytes) belongs to, None where it is none."""
        return self._gateways.find(packed)
