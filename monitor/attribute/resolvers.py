"""Which DNS servers are believed: only their answers say which name an address stands for."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from monitor.address_text import to_packed
from monitor.config import DEFAULT_LOCAL, Address

# Public resolvers that many networks use, and those that clouds give their machines under a public
# address. From the operators' own pages, 2026-11.
_PUBLIC = """
    8.8.8.8 8.8.4.4 2001:4860:4860::8888 2001:4860:4860::8844 2001:4860:4860::64 2001:4860:4860::6464
    1.1.1.1 1.0.0.1 1.1.1.2 1.0.0.2 1.1.1.3 1.0.0.3 2606:4700:4700::1111 2606:4700:4700::1001
    2606:4700:4700::1112 2606:4700:4700::1002 2606:4700:4700::1113 2606:4700:4700::1003
    2606:4700:4700::64 2606:4700:4700::6400
    9.9.9.9 149.112.112.112 9.9.9.10 149.112.112.10 9.9.9.11 149.112.112.11
    2620:fe::fe 2620:fe::9 2620:fe::10 2620:fe::fe:10 2620:fe::11 2620:fe::fe:11
    208.67.222.222 208.67.220.220 208.67.222.123 208.67.220.123 2620:119:35::35 2620:119:53::53
    94.140.14.14 94.140.15.15 2a10:50c0::ad1:ff 2a10:50c0::ad2:ff
    4.2.2.1 4.2.2.2 4.2.2.3 4.2.2.4 4.2.2.5 4.2.2.6
    64.6.64.6 64.6.65.6 76.76.2.0 76.76.10.0 185.228.168.9 185.228.169.9
    77.88.8.8 77.88.8.1 223.5.5.5 223.6.6.6 119.29.29.29 114.114.114.114 114.114.115.115
    168.63.129.16
"""

# Names of public resolvers, and what stands below them. From the operators' own pages and the list
# category-doh of domain-list-community (MIT), 2026-11.
_NAMES = """
    dns.google dns.google.com dns64.dns.google cloudflare-dns.com one.one.one.one dns.cloudflare.com
    cloudflare-gateway.com quad9.net opendns.com umbrella.com nextdns.io adguard-dns.com dns.adguard.com
    controld.com cleanbrowsing.org dns.mullvad.net dns0.eu joindns4.eu dns.sb doh.sb dns4all.eu
    applied-privacy.net digitale-gesellschaft.ch dns.switch.ch libredns.gr ffmuc.net dnsforge.de
    dnsforfamily.com rethinkdns.com wikimedia-dns.org canadianshield.cira.ca odvr.nic.cz doh.xfinity.com
    doh.dns.apple.com mask.icloud.com dns.surfsharkdns.com ordns.he.net public.dns.iij.jp dns.twnic.tw
    tiar.app tiarap.org ahadns.net decloudus.com oszx.co futuredns.eu.org doh.dns.sb dnsguard.pub
    dns.alidns.com doh.pub dot.pub dns.pub doh.360.cn dot.360.cn onedns.net dot.dns.yandex.net comss.one
    bebasid.com openbld.net resolver.dnsprivacy.org.uk kaitain.restena.lu unicast.uncensoreddns.org
    anycast.uncensoreddns.org dns.njal.la dnswarden.com blahdns.com
"""
_RESOLVERS = frozenset(_NAMES.split())
_LABELS = max(name.count(".") + 1 for name in _RESOLVERS)

_MULTICAST = ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")


class Resolvers:
    """The resolvers whose answers count.

    Args:
        listed: the configured ones. Empty: every local address, and the well-known public ones.
    """

    def __init__(self, listed: Sequence[Address] = ()) -> None:
        self.configured = tuple(to_packed(address) for address in listed)
        self.well_known = frozenset(to_packed(ip_address(written)) for written in _PUBLIC.split())

    def packed(self) -> tuple[list[bytes], list[bytes], list[tuple[bytes, int, bool]]]:
        """Give what `DnsMemory` decides by, addresses of 16 bytes each.

        Returns:
            The configured ones; the well-known public ones; networks with their prefix lengths in IPv6 and
            whether they are local: those that are not are multicast, from where no answer counts.
        """
        local, multicast = map(ip_network, DEFAULT_LOCAL), map(ip_network, _MULTICAST)
        ranges = [(network, True) for network in local] + [(network, False) for network in multicast]
        return (
            list(self.configured),
            sorted(self.well_known),
            [
                (to_packed(net.network_address), net.prefixlen + 128 - net.max_prefixlen, is_local)
                for net, is_local in ranges
            ],
        )

    def public(self, packed: bytes) -> bool:
        """Say whether this is a well-known public resolver, configured or not."""
        return packed in self.well_known


def is_resolver_name(name: str) -> bool:
    """Say whether a name is that of a well-known public resolver, or below one; lower case, no final dot."""
    labels = name.rsplit(".", _LABELS)[-_LABELS:]
    return any(".".join(labels[first:]) in _RESOLVERS for first in range(len(labels) - 1))
