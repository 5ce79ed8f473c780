"""Seeds of the fuzz targets: small inputs of every kind, made with scapy or taken from capture files.

    python -m tools.fuzz_seeds                        write the seeds of the repository anew
    python -m tools.fuzz_seeds --captures DIR --out OUT   inputs from real captures, for a longer run

The forms of the inputs are those that `monitor/hotpath/flowcore/fuzz/targets.rs` reads.
"""

import argparse
import gzip
import hashlib
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, Jumbo, PadN
from scapy.layers.l2 import ARP, GRE, CookedLinux, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import RawPcapReader

from monitor.flow_batch import APPLICATIONS

CORPUS = Path(__file__).resolve().parent.parent / "monitor" / "hotpath" / "flowcore" / "fuzz" / "corpus"
# the order of LINKS in targets.rs
LINKS = (1, 0, 12, 14, 101, 108, 113, 228, 229, 276, 9, 50, 104, 105, 127, 147)
ETHERNET, RAW, NULL, SLL = 1, 101, 0, 113
# RFC 8448 section 3: the ClientHello of the simple 1-RTT handshake, in its record
HELLO = bytes.fromhex(
    "16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113"
    "031302010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103"
    "01040023000000330026002400 1d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c00"
    "2b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202002d0002010100"
    "1c00024001".replace(" ", "")
)
HTTP = (
    b"GET /upload HTTP/1.1\r\nHost: www.example.org:8080\r\nAccept: */*\r\n\r\n",
    b"CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: proxy\r\n\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\nPOST / HTTP/1.0\r\nhost:example.org\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
)
# RFC 9001 appendix A.2 and RFC 9369 appendix A.2: CRYPTO frame and headers of a client's Initials, protected
INITIAL_FRAME = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c000004130113020100"
    "00c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e00"
    "0500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d74800"
    "2b0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffff"
    "ff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff"
)
INITIAL_HEADERS = (
    bytes.fromhex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b"),
    bytes.fromhex("d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071"),
)
Frame = tuple[int, bytes]  # link type, bytes


def dns_messages() -> Iterator[bytes]:
    """Questions and answers with compression, several types, and names that are odd."""
    question = DNSQR(qname="www.example.org", qtype="A")
    yield bytes(DNS(id=0x1234, rd=1, qd=question))
    answers = [
        DNSRR(rrname="www.example.org", type="CNAME", ttl=3600, rdata="cdn.example.org"),
        DNSRR(rrname="cdn.example.org", type="A", ttl=60, rdata="192.0.2.99"),
        DNSRR(rrname="cdn.example.org", type="AAAA", ttl=60, rdata="2001:db8::99"),
    ]
    yield bytes(DNS(id=0x1234, qr=1, rd=1, ra=1, qd=question, an=answers, ns=[], ar=[]))
    # RFC 1035 section 4.1.4: a name that points into the question, RFC 9460 section 2.2: an HTTPS record
    head = bytes.fromhex("1234 8180 0001 0001 0000 0000 03 777777 07 6578616d706c65 03 6f7267 00 0041 0001")
    yield head + bytes.fromhex("c00c 0041 0001 0000003c 000d 0001 00 0001 0006 02 6832 02 6833")
    yield bytes(DNS(id=7, qr=1, rcode=3, qd=DNSQR(qname="xn--bcher-kva.example", qtype=65)))
    yield bytes.fromhex("0001 0100 0001 0000 0000 0000 03 2e5c00 05 ff41422044 00 0010 0001")


def frames() -> Iterator[Frame]:
    """One frame of each kind of header that there is a decoder for, and some that there is none for."""
    v4, v6 = IP(src="10.0.1.5", dst="198.51.100.7"), IPv6(src="fd00::1", dst="2001:db8::2")
    with_options = IP(src="10.0.1.5", dst="198.51.100.7", options=bytes([1, 1, 1, 0]))
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    hello = TCP(sport=40000, dport=443, flags="PA", seq=100) / Raw(HELLO)
    small = UDP(sport=40001, dport=4000) / Raw(b"abc")
    # RFC 8926 section 3.4; 3GPP TS 29.281 section 5.1
    geneve, gtp = Raw(bytes.fromhex("0000655800000700")), Raw(bytes.fromhex("30ff001f00000007"))
    ethernet: list[Packet] = [
        ether / v4 / hello,
        ether / v6 / hello,
        ether / Dot1Q(vlan=7) / Dot1Q(vlan=8) / v4 / small,
        ether / Dot1AD(vlan=7) / v6 / small,
        ether / ARP(pdst="10.0.1.6"),
        ether / with_options / small,
        ether / v4 / ICMP() / Raw(b"ping"),
        ether / v4 / ICMP(type=3, code=1) / v4 / small,
        ether / v4 / SCTP(sport=1, dport=2) / SCTPChunkData(data=b"abc"),
        ether / v4 / v4 / small,
        ether / v4 / v6 / small,
        ether / v6 / v4 / hello,
        ether / v4 / GRE(key_present=1, key=7) / v4 / hello,
        ether / v4 / GRE(proto=0x6558) / ether / v4 / small,
        ether / v4 / GRE(proto=0x88BE, seqnum_present=1) / Raw(bytes(8)) / ether / v4 / small,
        ether / v4 / UDP(sport=50000, dport=4789) / VXLAN(vni=7) / ether / v4 / hello,
        ether / v4 / UDP(sport=50000, dport=6081) / geneve / ether / v4 / small,
        ether / v4 / UDP(sport=50000, dport=2152) / gtp / v4 / small,
        ether / v4 / UDP(sport=50000, dport=3544) / v6 / small,
        Ether(dst="02:00:00:00:00:02", type=0x8847) / Raw(bytes.fromhex("00007140")) / v4 / small,  # MPLS
        ether / v6 / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"12"), Jumbo(jumboplen=70000)]) / small,
        ether / v6 / IPv6ExtHdrFragment(m=1, id=9, nh=17) / small,
        ether / v6 / IPv6ExtHdrFragment(offset=5, id=9, nh=17) / Raw(bytes(24)),
    ]
    for message in dns_messages():
        ethernet.append(ether / v4 / UDP(sport=40002, dport=53) / Raw(message))
    for datagram in [*quic_datagrams(), *dtls_datagrams(), *(message[2:] for message in datagrams())]:
        ethernet.append(ether / v4 / UDP(sport=40005, dport=4433) / Raw(datagram))
    for text in HTTP:
        ethernet.append(ether / v4 / TCP(sport=40003, dport=80, flags="PA", seq=1) / Raw(text))
    for packet in ethernet:
        yield ETHERNET, bytes(packet)
    yield from pieces()
    yield RAW, bytes(v6 / small)
    yield NULL, bytes(Loopback() / v4 / small)
    yield SLL, bytes(CookedLinux() / v4 / small)


def pieces() -> Iterator[Frame]:
    """A datagram in three IPv4 fragments, and in two IPv6 ones."""
    datagram = bytes(UDP(sport=40004, dport=9, len=608, chksum=0) / Raw(bytes(600)))
    for start in (0, 208, 416):
        part = datagram[start : start + 208]
        more = "MF" if start < 416 else ""
        head = IP(src="10.0.1.5", dst="198.51.100.7", id=77, frag=start // 8, flags=more, proto=17)
        yield RAW, bytes(head / Raw(part))
    for start in (0, 304):
        extension = IPv6ExtHdrFragment(offset=start // 8, m=int(start == 0), id=9, nh=17)
        part = datagram[start : start + 304]
        yield RAW, bytes(IPv6(src="fd00::1", dst="2001:db8::2") / extension / Raw(part))


def conversations() -> Iterator[list[Frame]]:
    """Frames that belong together: what only a run of them reaches."""
    there, back = IP(src="10.0.1.5", dst="198.51.100.7"), IP(src="198.51.100.7", dst="10.0.1.5")

    def out(flags: str, seq: int, data: bytes = b"", port: int = 443) -> Frame:
        return RAW, bytes(there / TCP(sport=40000, dport=port, flags=flags, seq=seq) / Raw(data))

    def answer(flags: str, seq: int, data: bytes = b"", port: int = 443) -> Frame:
        return RAW, bytes(back / TCP(sport=port, dport=40000, flags=flags, seq=seq) / Raw(data))

    opening, closing = [out("S", 99), answer("SA", 7)], [out("FA", 900), answer("FA", 9)]
    halves = [out("PA", 100, HELLO[:90]), out("PA", 190, HELLO[90:])]
    yield [*opening, *halves, *closing, out("S", 5000)]
    yield [*opening, *reversed(halves), halves[1], answer("R", 8)]
    yield [*opening, out("PA", 100, HTTP[0]), answer("PA", 8, HTTP[3])]
    messages = list(dns_messages())
    for port in (53, 5353):
        ask = bytes(there / UDP(sport=40009, dport=port) / Raw(messages[0]))
        reply = bytes(back / UDP(sport=port, dport=40009) / Raw(messages[1]))
        yield [(RAW, ask), (RAW, reply)]
    # two fragments of a DTLS hello, in two datagrams, the second first; a QUIC client that is answered
    whole = list(dtls_datagrams())[1]
    parts = [whole[: len(whole) - 113 - 12], whole[len(whole) - 113 - 12 :]]
    for sent in (parts, [INITIAL_HEADERS[0].ljust(1200, b"\xa5"), *list(quic_datagrams())[3:5]]):
        yield [(RAW, bytes(there / UDP(sport=40010, dport=4433) / Raw(data))) for data in sent]
    framed = b"".join(struct.pack("!H", len(message)) + message for message in messages)
    yield [out("PA", 1, framed[:31], 53), out("PA", 32, framed[31:], 53), answer("PA", 1, framed, 53)]
    yield list(pieces())
    yield list(pieces())[::-1]


def quic_datagrams() -> Iterator[bytes]:
    """Each kind of packet (RFC 9000 section 17.2), and the frames of an Initial."""
    for header in INITIAL_HEADERS:
        yield header.ljust(1200, b"\xa5")
    # version negotiation; RFC 9001 appendix A.4: a Retry; 0-RTT behind a short Initial; Google's Q043
    yield bytes.fromhex("8a0000000000088394c8f03e5157086b3343cf1a2a3a4a")
    yield bytes.fromhex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba")
    short = bytes.fromhex("c000000001088394c8f03e5157080000") + bytes([40]) + bytes(40)
    yield short + bytes(9) + bytes.fromhex("d000000001088394c8f03e515708000a") + bytes(10)
    yield bytes.fromhex("0901020304050607085130343301a00143484c4f")
    yield INITIAL_FRAME + bytes(20)
    # RFC 9000 section 19.3: ACKs with a range and with ECN counts; a hello in two pieces, the second first
    acks = bytes.fromhex("0205000100010103050000000102030101")
    pieces = [(0x4000 | start, INITIAL_FRAME[4:][start : start + 130]) for start in (130, 0)]
    yield acks + b"".join(
        struct.pack("!BHB", 6, start, 0x40) + bytes([len(piece)]) + piece for start, piece in pieces
    )
    yield acks + bytes.fromhex("1c00000000")


def dtls_datagrams() -> Iterator[bytes]:
    """A ClientHello with a cookie, in one and in two fragments; a HelloVerifyRequest; encrypted data."""
    body = INITIAL_FRAME[8:]
    body = body[:35] + bytes([4, 1, 2, 3, 4]) + body[35:]
    size = len(body).to_bytes(3, "big")

    def record(kind: int, total: bytes, start: int, piece: bytes) -> bytes:
        fragment = (
            bytes([kind])
            + total
            + bytes(2)
            + start.to_bytes(3, "big")
            + len(piece).to_bytes(3, "big")
            + piece
        )
        return bytes.fromhex("16fefd0000000000000000") + struct.pack("!H", len(fragment)) + fragment

    yield record(1, size, 0, body)
    yield record(1, size, 100, body[100:]) + record(1, size, 0, body[:100])
    yield record(3, bytes([0, 0, 7]), 0, bytes.fromhex("feff0401020304"))
    yield bytes.fromhex("17fefd000100000000000500080001020304050607") + bytes.fromhex("2f1234")


def datagrams() -> Iterator[bytes]:
    """What is told over UDP by content, behind what was cut off."""
    for text, length in (
        ("01000000", 148), ("02000000", 92), ("03000000", 64), ("04000000112233440500000000000000", 64),
        ("000100602112a44278ad3433c6ad72c029da412e", 116), ("230006ec", 48), ("160200010000000000000000", 12),
        ("410012345f5e0f00000000000010000000010000", 20), ("0000041727101980000000000a0b0c0d", 16),
        ("302902010004067075626c6963a01c02043e8d1c5b020100020100300e300c06082b060102010101000500", 43),
        ("3801020304050607080000000000", 14),
    ):  # fmt: skip
        yield bytes(2) + bytes.fromhex(text).ljust(length, b"\x5a")
    for line in (b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", b"OPTIONS sip:a@b SIP/2.0\r\n"):
        yield bytes([0, 9]) + line


def fragmented() -> Iterator[bytes]:
    """Packets in pieces as the target `fragments` reads them: in order, turned round, and one twice."""
    kinds = [(16, struct.pack(">HHHH", 53, 40000, 0, 0) + message) for message in dns_messages()]
    kinds.append((8, struct.pack(">HHIIHHHH", 40000, 443, 1, 0, 0x5018, 0, 0, 0) + HELLO))
    for kind, packet in kinds:
        pieces = []
        for at in range(0, len(packet), 64):
            piece = packet[at : at + 64]
            pieces.append(bytes([len(piece), at // 8, kind | (at + 64 < len(packet)), 1]) + piece)
        yield b"".join(pieces)
        yield b"".join(reversed(pieces))
        yield b"".join([*pieces[:1], *pieces])


def sent_in_clear() -> Iterator[bytes]:
    """One of everything that is counted, behind the number of a protocol (APPLICATIONS)."""
    everything = (
        b"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
        b"alice@example.com,4111 1111 1111 1111;378282246310005\n"
        b"DE89370400440532013000 GB29 NWBK 6016 1331 9268 19\r\n"
        b"AKIAIOSFODNN7EXAMPLE ghp_" + b"0a" * 18 + b"\n"
        b"xoxb-123456789012-abcdefghij AIza" + b"0aZ-_" * 7 + b" k_live_\n-----BEGIN EC PRIVATE KEY-----\n"
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0K.dBjftJeZ4CVP\r\n"
    )
    messages = {
        "unknown": everything,
        "http": b"GET / HTTP/1.1\r\n" + everything,
        "ftp": b"USER u\r\nPASS p\r\n",
        "pop3": b"PASS p\r\nAUTH PLAIN AHRlc3QAdGVzdA==\r\n",
        "smtp": b"AUTH LOGIN\r\n",
        "imap": b"a001 LOGIN SMITH SESAME\r\na2 AUTHENTICATE PLAIN\r\n",
        "redis": b"*2\r\n$4\r\nAUTH\r\n$1\r\np\r\nAUTH p\r\n",
        "postgresql": b"p\0\0\0\x0chunter2\0",
        "mysql": b"\x30\0\0\x01\x85\xa6\xff\x01root\0hunter2\0mysql_clear_password\0",
        "ldap": bytes.fromhex("30160201016011020103040 4636e3d618006736563726574".replace(" ", "")),
        "snmp": bytes.fromhex("300d0201000406736563726574a000"),
        "mqtt": b"\x10\x16\0\x04MQTT\x04\xc2\0\x3c\0\x02id\0\x01u\0\x03pwd",
        "amqp": b"\x01\0\0\0\0\0\x20\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce",
        "socks": b"\x01\x04user\x03pwd",
        "cassandra": b"\x04\0\0\x01\x0f\0\0\0\x10\0\0\0\x0c\0user\0hunter",
    }
    for application, message in messages.items():
        yield bytes([APPLICATIONS.index(application)]) + message


def decode_input(frame: Frame) -> bytes:
    """One frame as the target `decode` reads it."""
    return bytes([LINKS.index(frame[0]), 0, 0]) + frame[1]


def line_input(run: Iterable[Frame]) -> bytes:
    """Frames as the target `line` reads them, with small and with large time steps."""
    out = b""
    for place, (link, data) in enumerate(run):
        out += struct.pack("!HBB", len(data), (1, 3, 7, 50)[place % 4], LINKS.index(link)) + data
    return out


def files() -> Iterator[bytes]:
    """Captures in each format."""
    packets = [data for link, data in frames() if link == ETHERNET][:3]
    for order, magic, extra in (("<", 0xA1B2C3D4, b""), (">", 0xA1B23C4D, b""), ("<", 0xA1B2CD34, bytes(8))):
        out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, ETHERNET)
        for place, data in enumerate(packets):
            out += struct.pack(f"{order}IIII", 1_700_000_000, place, len(data), len(data)) + extra + data
        yield out
        if not extra:
            yield gzip.compress(out, mtime=0)
    for order in "<>":
        section = struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)
        option = struct.pack(f"{order}HHB3xHH", 9, 1, 9, 0, 0)
        interface = struct.pack(f"{order}HHI", ETHERNET, 0, 0) + option
        out = _block(order, 0x0A0D0D0A, section) + _block(order, 1, interface)
        for data in packets:
            size = struct.pack(f"{order}I", len(data))
            out += _block(order, 6, struct.pack(f"{order}III", 0, 1, 2) + size + size + data)
            out += _block(order, 3, size + data)
        yield out


def _block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def made() -> dict[str, list[bytes]]:
    """The seeds of the repository, by target."""
    singles = list(frames())
    runs = [*conversations(), singles]
    return {
        "datagram": list(datagrams()),
        "decode": [decode_input(frame) for frame in singles],
        "dns": list(dns_messages()),
        "dtls": list(dtls_datagrams()),
        "files": list(files()),
        "fragments": list(fragmented()),
        "http": list(HTTP),
        "line": [line_input(run) for run in runs],
        "quic": list(quic_datagrams()),
        "sensitive": list(sent_in_clear()),
        "tls": [HELLO, HELLO[:60], HELLO[:5] + HELLO[5:].replace(b"server", b"SERVER")],
    }


def taken(folder: Path, limit: int = 4096) -> dict[str, list[bytes]]:
    """Inputs from the first frames of each capture in a folder, each of `limit` bytes at most."""
    found: dict[str, list[bytes]] = {"decode": [], "files": [], "line": []}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found["files"].append(path.read_bytes()[:limit])
        run: list[Frame] = []
        size = 0
        try:
            with RawPcapReader(str(path)) as reader:
                for data, meta in reader:
                    link = getattr(meta, "linktype", None) or reader.linktype
                    size += len(data) + 4
                    if link not in LINKS or size > limit:
                        break
                    run.append((link, data))
        except Exception as error:  # hostile captures break scapy's readers in every way
            print(f"{path.name}: {type(error).__name__}", file=sys.stderr)
        if run:
            found["decode"].append(decode_input(run[0]))
            found["line"].append(line_input(run))
    return found


def main() -> int:
    """Write one file an input, named by its content."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--captures", type=Path, help="take the inputs from the captures in this folder")
    parser.add_argument("--out", type=Path, default=CORPUS, help="folder with a folder for each target")
    options = parser.parse_args()
    inputs = taken(options.captures) if options.captures else made()
    for target, contents in inputs.items():
        folder = options.out / target
        folder.mkdir(parents=True, exist_ok=True)
        # inputs that once failed have names that say what they are; they stay
        for old in folder.glob("[0-9a-f]" * 16):
            old.unlink()
        for content in contents:
            (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
        print(f"{target}: {len(contents)} inputs, {sum(map(len, contents)):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
