"""Out of tshark's fields: what of a packet is counted, and what it says of names, handshakes and requests.

Field names are those of Wireshark's display filter reference, from version 3.4 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OLDEST = (3, 4)
MAX_TEXT = 300  # characters of one text
MAX_LIST = 20

COUNTED = [
    "frame.time_epoch", "frame.len", "frame.protocols", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst",
    "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "tcp.flags.reset",
    "tcp.analysis.retransmission", "tcp.analysis.lost_segment",
]  # fmt: skip
METHODS = ("GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "TRACE ", "CONNECT ")
# RFC 8446 section 4.2.1, RFC 9147 section 5.3
VERSIONS = {
    0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3",
    0xFEFF: "DTLS 1.0", 0xFEFD: "DTLS 1.2", 0xFEFC: "DTLS 1.3",
}  # fmt: skip
_ANSWERS = (
    "dns.cname", "dns.a", "dns.aaaa", "dns.ptr.domain_name", "dns.mx.mail_exchange", "dns.srv.target",
)  # fmt: skip
_STATUS = re.compile(r"HTTP/1\.\d (\d{3})")
_NAME_PARTS = re.compile(r"id-at-(commonName|organizationName)=([^,)]*)")


@dataclass(frozen=True)
class Counted:
    """What of a packet is counted. `ends`: both as ``address|port``, sorted, and the protocol."""

    time: float
    length: int
    source: str
    ends: tuple[str, str, str]
    reset: bool
    retransmitted: bool
    lost: bool


def counted(line: str) -> Counted | None:
    """Read a line of ``tshark -T fields`` with `COUNTED`; None where it has no addresses."""
    words = line.rstrip("\n").split("\t")
    if len(words) != len(COUNTED):
        return None
    time, length, protocols, v4, v6, v4_to, v6_to, *ports, reset, again, lost = words
    is_v4, place = _inner(protocols)
    try:
        source, target = (all_of.split(",")[place] for all_of in ((v4, v4_to) if is_v4 else (v6, v6_to)))
    except IndexError:
        return None
    if not source or not target:
        return None
    protocol = "tcp" if ports[0] else "udp" if ports[2] else "other"
    sport, dport = (ports[0], ports[1]) if protocol == "tcp" else (ports[2], ports[3])
    one, other = sorted((f"{source}|{sport.split(',')[-1]}", f"{target}|{dport.split(',')[-1]}"))
    try:
        seconds, size = float(time), int(length)
    except ValueError:
        return None
    is_reset = reset.split(",")[-1] in ("1", "True")
    return Counted(seconds, size, source, (one, other, protocol), is_reset, bool(again), bool(lost))


def _inner(protocols: str) -> tuple[bool, int]:
    """Tell which IP header is meant: whether it is one of version 4, and its place among these."""
    layers = protocols.split(":")
    # behind an ICMP header stands the packet that it is about; in a tunnel the inner one is meant
    behind = min((layers.index(name) for name in ("icmp", "icmpv6") if name in layers), default=len(layers))
    headers = [name for name in layers[:behind] if name in ("ip", "ipv6")]
    return headers[-1:] == ["ip"], headers.count(headers[-1]) - 1 if headers else 0


def events(packet: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what a packet of pyshark says: kind and facts of each thing."""
    fields = _fields(packet)
    about = _about(fields, packet)
    if about is None:
        return
    if "dns.flags.response" in fields:
        yield "dns", {**about, **_dns(fields)}
    if "tls.handshake.type" in fields or "dtls.handshake.type" in fields:
        yield from _handshakes(fields, about)
    start = _start(fields)
    begun = next((method.strip() for method in METHODS if start.startswith(method)), None)
    method = _one(fields, "http.request.method") or begun
    if method:
        yield "http", {
            **about,
            "method": method,
            "host": _one(fields, "http.host"),
            "asked": _one(fields, "http.request.uri"),
        }
    answered = _STATUS.match(start)
    status = _one(fields, "http.response.code") or (answered and answered[1])
    if status:
        yield "http", {**about, "status": status}


def _fields(packet: Any) -> dict[str, list[tuple[str, str]]]:
    """Give value and wording of each field of all layers, by the field's name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for layer in packet.layers:
        for name, container in getattr(layer, "_all_fields", {}).items():
            several = found.setdefault(name, [])
            for field in container.all_fields[: MAX_LIST * 4]:
                several.append((str(field.show or ""), str(field.showname or "")))
    return found


def _about(fields: dict[str, list[tuple[str, str]]], packet: Any) -> dict[str, Any] | None:
    headers = [layer.layer_name for layer in packet.layers if layer.layer_name in ("ip", "ipv6")]
    inner = headers[-1] if headers else ""
    source, target = _last(fields, f"{inner}.src"), _last(fields, f"{inner}.dst")
    if source is None or target is None:
        return None
    return {
        "time": str(packet.sniff_timestamp)[:40],
        "source": source,
        "source_port": _last(fields, "tcp.srcport", "udp.srcport"),
        "target": target,
        "target_port": _last(fields, "tcp.dstport", "udp.dstport"),
        "stream": _last(fields, "tcp.stream", "udp.stream"),
    }


def _dns(fields: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    answers = [value for name in _ANSWERS for value in _all(fields, name)]
    return {
        "response": _one(fields, "dns.flags.response") in ("1", "True"),
        "name": _one(fields, "dns.qry.name"),
        "type": _worded(fields, "dns.qry.type"),
        "rcode": _worded(fields, "dns.flags.rcode"),
        "answers": answers[:MAX_LIST],
    }


def _handshakes(
    fields: dict[str, list[tuple[str, str]]], about: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    kinds = {value for name in ("tls", "dtls") for value in _all(fields, f"{name}.handshake.type")}
    over = "dtls" if "dtls.handshake.type" in fields else "tls"
    prefix = f"{over}.handshake."
    names = [*fields.get("tls.handshake.extensions.supported_version", [])]
    offered = [_version(value) for value, _ in names or fields.get(f"{prefix}version", [])]
    alpn = _all(fields, "tls.handshake.extensions_alpn_str") or _all(fields, "tls.handshake.alpn.str")
    if "1" in kinds:
        yield "client_hello", {
            **about,
            "over": "quic" if "quic.version" in fields else over,
            "name": _one(fields, "tls.handshake.extensions_server_name"),
            "versions": [version for version in offered if version][:MAX_LIST],
            "alpn": alpn,
            "ja4": _one(fields, "tls.handshake.ja4"),
        }
    if "2" in kinds:
        yield "server_hello", {
            **about,
            "version": next((version for version in offered if version), None),
            "cipher": _worded(fields, f"{prefix}ciphersuite"),
            "alpn": alpn,
        }
    if "11" in kinds:
        sequences = fields.get("x509if.rdnSequence") or fields.get("x509af.rdnSequence") or []
        parties = [_party(text) for _, text in sequences]
        yield "certificate", {
            **about,
            "issuer": parties[0] if parties else None,
            "subject": parties[1] if len(parties) > 1 else None,
            "names": _all(fields, "x509ce.dNSName"),
        }


def _party(text: str) -> str:
    """Name an issuer or subject: its common name, with the organization where there is one."""
    parts = dict(_NAME_PARTS.findall(text))
    words = [parts.get("commonName"), parts.get("organizationName")]
    return ", ".join(word for word in words if word)[:MAX_TEXT] or text[:MAX_TEXT]


def _version(value: str) -> str | None:
    try:
        return VERSIONS.get(int(value, 16 if value.startswith("0x") else 10))
    except ValueError:
        return None


def _start(fields: dict[str, list[tuple[str, str]]]) -> str:
    """Give the first bytes of a segment: a capsule has kept nothing else of a request and its response."""
    payload = _one(fields, "tcp.payload")
    try:
        return bytes.fromhex((payload or "").replace(":", "")[:24]).decode("latin-1")
    except ValueError:
        return ""


def _all(fields: dict[str, list[tuple[str, str]]], name: str) -> list[str]:
    return [value[:MAX_TEXT] for value, _ in fields.get(name, [])][:MAX_LIST]


def _one(fields: dict[str, list[tuple[str, str]]], name: str) -> str | None:
    return next(iter(_all(fields, name)), None) or None


def _last(fields: dict[str, list[tuple[str, str]]], *names: str) -> str | None:
    return next((values[-1][0][:MAX_TEXT] for name in names if (values := fields.get(name))), None)


def _worded(fields: dict[str, list[tuple[str, str]]], name: str) -> str | None:
    """Give a number as Wireshark words it, without its field's title: ``TLS_AES_128_GCM_SHA256``."""
    found = fields.get(name)
    if not found:
        return None
    value, text = found[0]
    words = text.rsplit(": ", 1)[-1].split(" (")[0].split(" = ")[-1]
    return (words or value)[:MAX_TEXT]
