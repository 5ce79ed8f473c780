"""The bytes that the machines of the scenario say: TLS records and HTTP, built by hand.

Nothing here encrypts: what a monitor sees of TLS 1.3 is the ClientHello in clear and then records
that say only their length.
"""

import hashlib
import json
import struct

RECORD_MAX = 2**14  # RFC 8446 section 5.1, before the expansion of encryption


def noise(seed: str, length: int) -> bytes:
    """Give bytes that look encrypted and are the same each time."""
    return hashlib.shake_128(seed.encode()).digest(length)


def _sized(width: int, content: bytes) -> bytes:
    """Put the length of ``content`` before it, in ``width`` bytes (RFC 8446 section 3.4)."""
    return len(content).to_bytes(width, "big") + content


def _extension(number: int, content: bytes) -> bytes:
    return struct.pack("!H", number) + _sized(2, content)


def _handshake(kind: int, content: bytes) -> bytes:
    """One handshake message in one record (RFC 8446 sections 4 and 5.1)."""
    return b"\x16\x03\x01" + _sized(2, bytes([kind]) + _sized(3, content))


def client_hello(server_name: str) -> bytes:
    """A ClientHello (RFC 8446 section 4.1.2) with server_name (RFC 6066 section 3)."""
    host = b"\x00" + _sized(2, server_name.encode("ascii"))
    extensions = b"".join(
        [
            _extension(0, _sized(2, host)),
            _extension(10, _sized(2, b"\x00\x1d")),  # supported_groups: x25519
            _extension(13, _sized(2, b"\x04\x03\x08\x04")),  # signature_algorithms
            _extension(16, _sized(2, _sized(1, b"http/1.1"))),  # ALPN, RFC 7301
            _extension(43, _sized(1, b"\x03\x04")),  # supported_versions: TLS 1.3
            _extension(51, _sized(2, b"\x00\x1d" + _sized(2, noise(server_name + "key", 32)))),
        ]
    )
    session = _sized(1, noise(server_name + "session", 32))
    suites = _sized(2, b"\x13\x01\x13\x02\x13\x03")
    random = noise(server_name + "random", 32)
    return _handshake(1, b"\x03\x03" + random + session + suites + b"\x01\x00" + _sized(2, extensions))


def server_hello(server_name: str) -> bytes:
    """The ServerHello that answers `client_hello` (RFC 8446 section 4.1.3), and its encrypted rest."""
    key_share = _extension(51, b"\x00\x1d" + _sized(2, noise(server_name + "share", 32)))
    extensions = _extension(43, b"\x03\x04") + key_share
    session = _sized(1, noise(server_name + "session", 32))
    random = noise(server_name + "server", 32)
    hello = _handshake(2, b"\x03\x03" + random + session + b"\x13\x01\x00" + _sized(2, extensions))
    change_cipher_spec = b"\x14\x03\x03\x00\x01\x01"
    return hello + change_cipher_spec + encrypted(server_name + "certificate", 2800)


def encrypted(seed: str, length: int) -> bytes:
    """Give application data records (RFC 8446 section 5.2) that carry ``length`` bytes in all."""
    block = noise(seed, RECORD_MAX)
    sizes = [RECORD_MAX] * (length // RECORD_MAX) + [length % RECORD_MAX] * bool(length % RECORD_MAX)
    return b"".join(b"\x17\x03\x03" + _sized(2, block[:size]) for size in sizes)


def http_request(method: str, path: str, host: str, body: bytes = b"") -> bytes:
    """Write an HTTP/1.1 request (RFC 9112)."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + b"\r\n" + body


def http_answer(body: bytes) -> bytes:
    """Write an HTTP/1.1 answer that carries JSON."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def search_hits(page: int, length: int) -> bytes:
    """Give about ``length`` bytes of what a search for everything answers: made-up customers."""
    hits: list[str] = []
    size = 0
    while size < length:
        number = page * 1_000_000 + len(hits)
        customer = {"name": f"Customer {number}", "mail": f"c{number}@shop.example", "city": "Springfield"}
        hits.append(json.dumps({"_index": "customers", "_id": str(number), "_source": customer}))
        size += len(hits[-1]) + 1
    return b'{"hits":{"hits":[' + ",".join(hits).encode("ascii") + b"]}}"
