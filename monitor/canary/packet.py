"""The canary's packet, as bytes: a DTLS ClientHello in UDP with TTL 1, whose server name carries the nonce.

By hand and not with scapy: that costs half a second and 50 MB in the daemon, for a hundred fixed bytes. The
tests read the packet back with scapy and tshark.
"""

import os
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from monitor.canary import ADDRESS_V4, ADDRESS_V6

PORT = 9  # discard, RFC 863
_UDP = 17
_DTLS_1_2 = b"\xfe\xfd"
_SUITE = b"\xc0\x2b"  # TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, RFC 5289


def build(source: IPv4Address | IPv6Address, port: int, name: str) -> bytes:
    """Give the IP packet from `source` and this UDP port; its server name is `name` (ASCII)."""
    hello = client_hello(name)
    version = source.version
    target = ip_address(ADDRESS_V4 if version == 4 else ADDRESS_V6)
    length = 8 + len(hello)
    udp = struct.pack("!HHHH", port, PORT, length, 0) + hello
    pseudo = source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, _UDP)
    # RFC 768: a sum of zero is sent as all ones
    udp = udp[:6] + struct.pack("!H", _checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    if version == 6:  # RFC 8200 section 3
        return struct.pack("!IHBB", 6 << 28, length, _UDP, 1) + source.packed + target.packed + udp
    # RFC 791 section 3.1: no options, don't fragment, TTL 1
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 1, _UDP, 0)
    head += source.packed + target.packed
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + udp


def client_hello(name: str) -> bytes:
    """Give a datagram with one whole ClientHello (RFC 6347 section 4.2) that asks for `name` (RFC 6066)."""
    host = name.encode("ascii")
    server_name = struct.pack("!HHHBH", 0, len(host) + 5, len(host) + 3, 0, len(host)) + host
    body = _DTLS_1_2 + os.urandom(32)
    body += b"\0\0"  # no session, no cookie
    body += struct.pack("!H", len(_SUITE)) + _SUITE + b"\x01\0"
    body += struct.pack("!H", len(server_name)) + server_name
    size = len(body).to_bytes(3, "big")
    handshake = b"\x01" + size + bytes(2) + bytes(3) + size + body
    return b"\x16" + _DTLS_1_2 + bytes(8) + struct.pack("!H", len(handshake)) + handshake


def _checksum(data: bytes) -> int:
    """Give the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
