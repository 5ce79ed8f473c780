"""What passes between the stages: the columns of a batch, each with its unit and what null means.

`FLOW_SCHEMA` and `DNS_SCHEMA` come out of the hot path (`monitor._hotpath`, an Arrow record batch
over the PyCapsule interface, read by Polars without a copy). `ATTRIBUTED` is what the attribute stage
adds to flows, `DNS_ATTRIBUTED` to DNS rows. Closed sets are Polars ``Enum``; there is no
``Categorical`` anywhere, because it interns every name for ever and attackers choose the names.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from monitor.flow_rows import DnsRows, FlowRows

SCOPES = ["egress", "internal", "transit"]
INITIATORS = ["local", "remote", "unknown"]
INITIATOR_CONFIDENCES = ["handshake", "content", "ports", "none"]
APPLICATIONS = [
    "unknown", "tls", "quic", "http", "dns", "ssh", "dtls", "postgresql", "mysql", "mssql",
    "mongodb", "redis", "cassandra", "memcached", "elasticsearch", "kafka", "amqp", "mqtt", "smb",
    "ftp", "smtp", "imap", "pop3", "ldap", "rdp", "socks", "bittorrent", "wireguard", "openvpn",
    "icmp", "ntp", "stun", "snmp", "sip",
]  # fmt: skip
CERTIFICATE = "certificate"  # the one source of names that is the server's, not the client's
NAME_SOURCES = ["sni", "quic_sni", "dtls_sni", "http_host", "http_connect", "socks", CERTIFICATE]
TUNNELS = [
    "vlan", "mpls", "pppoe", "gre", "erspan", "ipip", "6in4", "vxlan", "geneve", "gtpu", "l2tp", "teredo",
    "nsh",
]  # fmt: skip
ENDINGS = ["fin", "rst", "idle", "evicted", "shutdown"]
SUPERFRAME_BASES = ["told", "estimated"]  # by the kernel, or from the longest frame of the interface
DNS_KINDS = ["question", "answer"]
DNS_SECTIONS = ["question", "answer", "authority", "additional"]

EVIDENCES = [
    "dns", "dns_shared", "sni", "quic_sni", "dtls_sni", "http_host", "http_connect", "socks",
    "prefix", "asn", "none",
]  # fmt: skip
CONFIDENCES = ["high", "medium", "low", "none"]
CATEGORIES = ["cloud", "cdn", "hosting", "saas", "storage"]

NANOSECONDS = pl.Datetime("ns", "UTC")
TICKS = pl.Datetime("ms", "UTC")

FLOW_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "tick": TICKS,  # start of the tick (whole seconds) that the row belongs to
    "flow_id": pl.UInt64,  # the same for all rows of a connection; 16 hex digits in JSON
    "scope": pl.Enum(SCOPES),
    "started": NANOSECONDS,  # first packet of the connection
    "first_seen": NANOSECONDS,  # first packet here; only in a connection's first row not after `started`
    "last_seen": NANOSECONDS,  # last packet in this row
    "local_address": pl.Binary,  # 16 bytes, IPv4 as ::ffff:a.b.c.d
    "local_id": pl.UInt32,  # dense index of local_address within this batch, from 0
    "remote_address": pl.Binary,  # 16 bytes
    "remote_id": pl.UInt32,  # dense index of remote_address within this batch, from 0
    "local_port": pl.UInt16,  # 0 where the protocol has none
    "remote_port": pl.UInt16,
    "protocol": pl.UInt8,  # IANA protocol number
    "initiator": pl.Enum(INITIATORS),
    "initiator_confidence": pl.Enum(INITIATOR_CONFIDENCES),
    "bytes_out": pl.UInt64,  # local to remote, IP header to end of IP payload, in this tick
    "bytes_in": pl.UInt64,
    "packets_out": pl.UInt64,
    "packets_in": pl.UInt64,
    "payload_out": pl.UInt64,  # above the transport header
    "payload_in": pl.UInt64,
    # what went out in clear in this row, local to remote, as far as it was looked at (docs/content.md):
    "credentials_out": pl.UInt32,  # passwords and tokens that protocols carry: HTTP Basic, FTP, LDAP, ...
    "emails_out": pl.UInt32,  # e-mail addresses
    "cards_out": pl.UInt32,  # payment card numbers: an issuer's prefix, the Luhn check digit
    "ibans_out": pl.UInt32,  # bank account numbers: a country's length, the check digits (ISO 13616)
    "secrets_out": pl.UInt32,  # API keys, private keys, JSON Web Tokens
    "personal_data_out": pl.UInt32,  # emails_out, cards_out and ibans_out together
    "tcp_flags": pl.UInt8,  # union over the row's packets (RFC 9293 section 3.1), 0 for others
    "application": pl.Enum(APPLICATIONS),  # by content, not by port
    "name": pl.String,  # what the client claims (SNI, Host), else what a server shows; null: none seen
    "name_id": pl.UInt32,  # dense index of name within this batch; null: no name
    "name_source": pl.Enum(NAME_SOURCES),  # null: no name
    "ech": pl.Boolean,  # an encrypted ClientHello was offered, name may be the outer one
    "ja4_id": pl.UInt32,  # dense index of ja4 within this batch; null: none
    "ja4": pl.String,  # FoxIO's fingerprint of the TLS client, for people to compare; null: no hello seen
    "tunnel": pl.Enum(TUNNELS),  # the innermost around the flow's first packet; null: none
    "tunnel_id": pl.UInt32,  # its VLAN id, label, session, key, VNI, TEID; 0: none
    "interface_id": pl.UInt32,  # dense index of interface
    "interface": pl.String,  # live: its name; capture files: "capture"
    "ended": pl.Enum(ENDINGS),  # null while open
}

DNS_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "tick": TICKS,
    "time": NANOSECONDS,  # of the packet
    "kind": pl.Enum(DNS_KINDS),  # one row a question sent; one row a record of a response
    "scope": pl.Enum(SCOPES),  # of the flow that carried it
    "client": pl.Binary,  # 16 bytes: who asked
    "client_id": pl.UInt32,  # dense index of client within this batch, from 0
    "resolver": pl.Binary,  # 16 bytes: who was asked
    "resolver_id": pl.UInt32,  # dense index of resolver within this batch, from 0
    "client_port": pl.UInt16,
    "resolver_port": pl.UInt16,
    "query_id": pl.UInt16,
    "matched": pl.Boolean,  # answer: a question with this client, port, id and name was seen
    "question": pl.String,  # name asked for, lower case, RFC 4343 escapes, no final dot ("." = root)
    "question_id": pl.UInt32,  # dense index of question within this batch, from 0; null has one too
    "owner": pl.String,  # answer: name the record belongs to; null in questions
    "type": pl.UInt16,  # RFC 1035 TYPE: of the record, or in a question the QTYPE
    "value": pl.String,  # A/AAAA: address text; CNAME/HTTPS/SVCB/NS/PTR: target; null: others
    "address": pl.Binary,  # A/AAAA: 16 bytes; else null
    "ttl": pl.UInt32,  # seconds; null in questions
    "section": pl.Enum(DNS_SECTIONS),
    "rcode": pl.UInt8,  # of the message; null in questions
    "message_bytes": pl.UInt32,  # length of the DNS message
    "record_index": pl.UInt16,  # place of the record in its message, from 0
}

ATTRIBUTED: dict[str, pl.DataType | type[pl.DataType]] = {
    "workload": pl.String,  # configured name, else the local address as text; never null
    "country": pl.String,  # ISO 3166-1 alpha-2 of the remote address; null: unknown
    "asn": pl.UInt32,  # null: unknown
    "as_name": pl.String,
    "network_provider": pl.String,  # catalogue id, else as<number>; null: unknown
    "service_provider": pl.String,  # catalogue id that the name belongs to; null: none
    "provider": pl.String,  # the primary answer (design section 5); null: unknown
    "category": pl.Enum(CATEGORIES),  # of provider; "storage" where the name is a storage service's
    "dns_name": pl.String,  # name this client asked for to get this address; null: none seen
    "evidence": pl.Enum(EVIDENCES),  # what decided provider
    "confidence": pl.Enum(CONFIDENCES),
    "disagreement": pl.Boolean,
    "via": pl.String,  # gateway the flow goes through; null: direct
    "published": pl.Boolean,  # the answer of a service that is meant to answer strangers
    "encrypted_dns": pl.Boolean,  # the remote answers DNS over TLS, HTTPS or QUIC: names will be missing
    "unasked_name": pl.Boolean,  # a TLS or QUIC name that no DNS answer led to, where one usually does
    "process": pl.String,  # of the local side, with ``workload_identity``; null: not known
    "unit": pl.String,  # its systemd unit
    "container": pl.String,  # its container's id
    "pod": pl.String,  # its pod's UID
    # dense index, from 0, of what was decided (country to disagreement); null: the row was not numbered
    "case_id": pl.UInt32,
    "answer_id": pl.UInt32,  # dense index, from 0, of what DNS said (dns_name); 0: nothing
}

DNS_ATTRIBUTED: dict[str, pl.DataType | type[pl.DataType]] = {
    "workload": pl.String,  # of the client
    "domain": pl.String,  # registrable domain of the question (heuristic), "" for root
    "question_bytes": pl.UInt32,  # question row: bytes of the labels left of domain; else 0
    "fresh_question_bytes": pl.UInt32,  # the same, but 0 where this client asked the same name lately
    "listed": pl.Boolean,  # answers of this resolver count
}


# Dense indexes: the same value has the same number throughout a batch, so that a stage looks at each
# distinct value once and gathers the answer for the rows. They mean nothing outside their batch.
INDEXES = ["local_id", "remote_id", "name_id", "client_id", "resolver_id", "question_id", "ja4_id",
           "interface_id", "case_id", "answer_id"]  # fmt: skip


@dataclass(frozen=True)
class EvidenceCounters:
    """What the evidence beside the line counts; totals since the start, but for `bytes` and `oldest`."""

    kept_frames: int  # that the ring kept
    shed_frames: dict[str, int]  # that it did not, by reason: slow, disk
    bytes: dict[str, int]  # on disk now, by what: ring, payload, rows, capsules
    oldest: int  # time of the oldest packet in the ring, nanoseconds; 0: there is none
    capsules: int  # written
    lost: dict[str, int]  # capsules and flow rows that were not kept, by what
    removed: int  # capsules that went because of a bound


@dataclass
class Counters:
    """Totals since the start, as the hot path counts them; every field only ever grows.

    Frames and bytes obey the laws of design section 4:
    ``frames_received == sum(scope_frames) + sum(undecoded_frames)`` and
    ``wire_bytes + overclaimed_bytes == sum(scope_sent) + sum(scope_received) + overhead_bytes +
    sum(undecoded_bytes)``.
    """

    frames: dict[str, int] = field(default_factory=dict)  # by interface
    wire_bytes: dict[str, int] = field(default_factory=dict)  # by interface, as seen at the tap
    superframes: dict[str, int] = field(default_factory=dict)  # by interface: each stands for several frames
    # by interface and `SUPERFRAME_BASES`: header bytes that the segments of super-frames repeat on the wire
    repeated_headers: dict[tuple[str, str], int] = field(default_factory=dict)
    dropped_frames: dict[tuple[str, str], int] = field(default_factory=dict)  # interface, reason
    interface_bytes: dict[str, int] = field(default_factory=dict)  # live: what the interface counted itself
    interface_up: dict[str, bool] = field(default_factory=dict)  # live: there, switched on, with a carrier
    interface_resets: dict[str, int] = field(default_factory=dict)  # live: its own counters began anew
    backlog_dropped: dict[str, int] = field(default_factory=dict)  # live: by CPU, machine-wide, since boot
    kernel_packets: dict[str, int] = field(default_factory=dict)  # live: tp_packets, drops included
    undecoded_frames: dict[str, int] = field(default_factory=dict)  # by reason, all reasons present
    undecoded_bytes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)  # by kind: counted, but the frame has a flow
    overhead_bytes: int = 0
    overclaimed_bytes: int = 0
    scope_frames: dict[str, int] = field(default_factory=dict)  # by scope, all scopes present
    scope_sent_bytes: dict[str, int] = field(default_factory=dict)
    scope_received_bytes: dict[str, int] = field(default_factory=dict)
    late_frames: int = 0
    clamped_times: int = 0
    flows_open: int = 0  # a gauge
    flows_evicted: dict[str, int] = field(default_factory=dict)  # by reason
    merged_ticks: int = 0
    given_up: dict[str, int] = field(default_factory=dict)  # by what: forgotten or dropped at a bound
    ignored_answers: dict[str, int] = field(default_factory=dict)  # DNS answers that do not count, by reason
    encrypted_dns: dict[str, int] = field(default_factory=dict)  # bytes with such resolvers, by workload
    identity: dict[str, int] = field(default_factory=dict)  # connections of this host: owner found or missed
    laws_broken: dict[str, int] = field(default_factory=dict)  # by law: drains in which more went missing
    worker_cpu_seconds: dict[str, float] = field(default_factory=dict)  # by worker
    evidence: EvidenceCounters | None = None  # None: none is kept
    warnings: list[str] = field(default_factory=list)  # one-line texts for people, e.g. a file cut off

    def copied(self) -> "Counters":
        """Give the numbers as they are now. What belongs to `evidence` is shared: it is never changed."""
        # deepcopy looks at each number, and `encrypted_dns` may have many
        copied = replace(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list):
                setattr(copied, name, value.copy())
        return copied


@dataclass
class Drain:
    """What one call hands over: all whole ticks that were ready, in tick order."""

    flows: "FlowRows"
    dns: "DnsRows"
    counters: Counters
    clock: int  # event clock, nanoseconds since 1970; ticks before clock // tick are complete
    tick: int  # nanoseconds a tick
    done: bool  # the source has ended and this is the last drain
    opened: bytes | None = None  # who opened flows, for the next run; None: as it was
