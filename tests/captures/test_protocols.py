"""Applications and names of TCP connections in real captures, against what tshark found."""

from collections import Counter

import polars as pl
import pytest
import yaml

from monitor.errors import InputError

from . import protocols, truth

# tshark goes by the port, where the content is another protocol's or nobody's
BY_PORT = [
    "ndpi/tests/cfgs/default/pcap/dingtalk.pcap",
    "suricata-verify/tests/issue-3341-tcphdr-01/urgent11_cve_2019_12260.pcap",
    "suricata-verify/tests/output-eve-anomaly-02/input.pcap",
    "suricata-verify/tests/pgsql/pgsql-events/UnknownMessage.pcap",
    "suricata-verify/tests/protocol-change-failed-event/input.pcap",
    "zeek/testing/btest/Traces/http/get-to-ssh-server.pcap",
    "zeek/testing/btest/Traces/http/http-to-ssh.pcap",
    "zeek/testing/btest/Traces/postgresql/bad-startup-message-1.pcap",
]
# the capture begins within the connection, where nothing tells the protocol but its port
NO_BEGINNING = [
    "suricata-verify/tests/smtp-quit/input.pcap",
    "tcpdump/tests/kday3.pcap",
]
# commands that end with a bare line feed
BARE_LINE_FEED = [
    "suricata-verify/tests/smtp-rset-starttls/input.pcap",
    "suricata-verify/tests/transform-base64-7296/input.pcap",
]
# PostgreSQL that goes on as TLS, on a port that tshark does not know
BY_CONTENT = ["zeek/testing/btest/Traces/postgresql/psql-aws-ssl-require-15432.pcap"]
# the capture carries its keys, and tshark looks inside TLS
DECRYPTED = ["ja4/pcap/chrome-cloudflare-quic-with-secrets.pcapng"]
KNOWN = {*BY_PORT, *NO_BEGINNING, *BARE_LINE_FEED, *BY_CONTENT, *DECRYPTED}


def told_by_us(seen: truth.Seen) -> dict[str, object]:
    """Give the same as `protocols.told_by_tshark`."""
    flows = seen.flows.filter(pl.col("protocol") == 6)
    ends = ["local_address", "local_port", "remote_address", "remote_port"]
    last = flows.group_by(ends, maintain_order=True).last()
    applications = Counter(last["application"].cast(pl.String).to_list())
    # tshark has one name for what goes over HTTP
    applications["http"] += applications.pop("elasticsearch", 0)
    del applications["unknown"]
    return {name: count for name, count in applications.items() if count}


def differs(case: truth.Case, told: dict[str, object], seen: truth.Seen) -> bool:
    if told_by_us(seen) != told["connections"]:
        return True
    for source in set(told) - {"connections"}:
        if told[source] not in seen.flows.filter(pl.col("name_source") == source)["name"].to_list():
            return True
    return False


def test_connections_are_of_the_protocols_that_tshark_finds() -> None:
    root = truth.folder()
    if root is None:
        pytest.skip("EGRESS_CAPTURES names no folder of real captures")
    true = yaml.safe_load(protocols.FILE.read_text(encoding="utf-8"))
    compared, different = 0, set()
    for case in truth.cases(root):
        name = case.truth["capture"]
        if name not in true:
            continue
        try:
            seen = truth.read(case.path)
        except InputError:
            continue
        compared += 1
        if differs(case, true[name], seen):
            different.add(name)
            print(name, told_by_us(seen), true[name])
    assert compared > 150
    assert different - KNOWN == set(), "these are right no longer"
    assert KNOWN - different == set(), "these are right now: take them out"
