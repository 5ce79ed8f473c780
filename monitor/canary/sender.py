"""Sends the canary's packet out of an interface, as a frame: no route and no neighbour is asked for."""

import secrets
import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from monitor.canary import packet

SYSFS = Path("/sys/class/net")
ROUTES = Path("/proc/net/route")
NEIGHBOURS = Path("/proc/net/arp")

_ETHERNET = (1, 772)  # ARPHRD_ETHER and ARPHRD_LOOPBACK of linux/if_arp.h; others are sent without a header
_TYPES = {4: 0x0800, 6: 0x86DD}
_FIRST_PORT = 49152  # RFC 6335 section 6: dynamic ports
_COMPLETE = 0x2  # ATF_COM of linux/if_arp.h

Addresses = Callable[[str], Sequence[IPv4Network | IPv6Network]]


def source_of(addresses: Sequence[IPv4Network | IPv6Network]) -> IPv4Address | IPv6Address | None:
    """Choose the address to send from, IPv4 first; None: the interface has none, as that of a mirror."""
    ordered = sorted((network.network_address for network in addresses), key=lambda one: one.version)
    return ordered[0] if ordered else None


def send(interface: str, source: IPv4Address | IPv6Address, name: str) -> None:
    """Send one canary whose server name is `name`; raises OSError where the interface does not take it."""
    data = packet.build(source, _FIRST_PORT + secrets.randbelow(2**16 - _FIRST_PORT), name)
    kind = _TYPES[source.version]
    is_ethernet = _number(SYSFS / interface / "type", 10) in _ETHERNET
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW if is_ethernet else socket.SOCK_DGRAM) as out:
        if is_ethernet:
            own = bytes.fromhex((SYSFS / interface / "address").read_text("ascii").strip().replace(":", ""))
            # to ourselves where no router is known: a switch then keeps it, and nobody else is bothered
            data = (router(interface) or own) + own + struct.pack("!H", kind) + data
            out.bind((interface, 0))
            out.send(data)
        else:
            out.sendto(data, (interface, kind))


def router(interface: str) -> bytes | None:
    """Give the hardware address of the interface's IPv4 default router; None where that is not known."""
    try:
        routes = [line.split() for line in ROUTES.read_text("ascii").splitlines()[1:]]
        neighbours = [line.split() for line in NEIGHBOURS.read_text("ascii").splitlines()[1:]]
    except OSError:
        return None
    # Iface Destination Gateway ...: hexadecimal, in the order of bytes of this machine (net/ipv4/fib_trie.c)
    gateways = {
        str(IPv4Address(struct.pack("=I", int(route[2], 16))))
        for route in routes
        if route[0] == interface and int(route[1], 16) == 0
    }
    for address, _, flags, hardware, _, device in neighbours:
        if device == interface and address in gateways and int(flags, 16) & _COMPLETE:
            return bytes.fromhex(hardware.replace(":", ""))
    return None


def _number(path: Path, base: int) -> int:
    return int(path.read_text("ascii"), base)
