"""What is spoken in the TCP connections of a capture, as tshark tells it: the truth of `protocols.yml`.

``python -m tests.captures.protocols`` writes that file anew from the captures in ``EGRESS_CAPTURES``.
"""

import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import yaml

from . import truth

FILE = Path(__file__).with_name("protocols.yml")
# tshark's protocol, ours
PROTOCOLS = {
    "amqp": "amqp", "bittorrent": "bittorrent", "cql": "cassandra", "dns": "dns", "ftp": "ftp",
    "http": "http", "http2": "http", "imap": "imap", "kafka": "kafka", "ldap": "ldap",
    "memcache": "memcached", "mongo": "mongodb", "mqtt": "mqtt", "mysql": "mysql", "pgsql": "postgresql",
    "pop": "pop3", "rdp": "rdp", "redis": "redis", "sip": "sip", "smb": "smb", "smb2": "smb",
    "smtp": "smtp", "socks": "socks", "ssh": "ssh", "tds": "mssql", "tls": "tls",
}  # fmt: skip
NAMES = {
    "http2.headers.authority": "http_host",
    "socks.remote_name": "socks",
    "x509ce.dNSName": "certificate",
}
SNI = "tls.handshake.extensions_server_name"
FIELDS = ["tcp.stream", "frame.protocols", SNI, *NAMES]


def told_by_tshark(capture: Path) -> dict[str, Any]:
    """Count the connections of each protocol, and list the names that their streams claim."""
    fields = [word for field in FIELDS for word in ("-e", field)]
    command = ["tshark", "-r", str(capture), "-Y", "tcp", "-T", "fields", "-E", "aggregator=|", *fields]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    protocols: dict[str, str] = {}
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for line in done.stdout.splitlines():
        stream, layers, *claimed = line.split("\t")
        known = [PROTOCOLS[layer] for layer in layers.split(":") if layer in PROTOCOLS]
        if known:
            protocols.setdefault(stream, known[0])
        for field, value in zip((SNI, *NAMES), claimed, strict=True):
            if value:
                # of a certificate chain the first name; of an authority the host alone
                first = value.split("|")[0].rsplit("@")[-1]
                names[stream].setdefault(field, first.split(":")[0].lower())
    for found in names.values():
        if SNI in found:
            found.pop("x509ce.dNSName", None)
    told = {NAMES[field]: name for found in names.values() for field, name in found.items() if field in NAMES}
    return {"connections": dict(sorted(Counter(protocols.values()).items())), **dict(sorted(told.items()))}


INDIRECT = truth.FRAGMENTS | {
    "ip_in_ip_or_tunnel", "gre", "gtp", "mpls", "erspan", "geneve", "vxlan", "pppoes", "wg", "lisp", "nsh",
    "teredo", "l2tp", "capwap.data", "ieee8021ah", "esp", "ext:esp",
}  # fmt: skip


def main() -> None:
    root = truth.folder()
    assert root is not None, "EGRESS_CAPTURES names no folder"
    # across tunnels and after reassembly tshark numbers TCP connections in its own way
    plain = [case for case in truth.cases(root) if case.is_decoded and not case.features & INDIRECT]
    found = {case.truth["capture"]: told_by_tshark(case.path) for case in plain}
    kept = {name: told for name, told in sorted(found.items()) if told["connections"]}
    head = "# What tshark 4.0 finds in TCP connections: `python -m tests.captures.protocols`.\n"
    FILE.write_text(head + yaml.safe_dump(kept, default_flow_style=None, width=200), encoding="utf-8")


if __name__ == "__main__":
    main()
