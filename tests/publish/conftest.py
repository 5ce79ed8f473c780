"""What the tests of the publish stage share: hand-made flows, alerts and a clock that they set."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA, Counters
from monitor.judge.alert import Alert, AlertEvent, Kind
from monitor.judge.engine import Counters as JudgeCounters
from monitor.publish.alert_rows import RuleInfo
from monitor.publish.http import HttpServer
from monitor.publish.publisher import Publisher

from .serving import Serve

SECOND = 10**9
START = 1_764_547_200 * SECOND  # 2025-12-01T00:00:00Z

_DEFAULTS: dict[str, Any] = {
    "tick": START // 10**6,
    "flow_id": 1,
    "scope": "egress",
    "started": START,
    "first_seen": START,
    "last_seen": START,
    "local_address": bytes(16),
    "remote_address": bytes(16),
    "remote_id": 0,
    "local_port": 40000,
    "remote_port": 443,
    "protocol": 6,
    "initiator": "local",
    "initiator_confidence": "handshake",
    "packets_out": 1,
    "tunnel": None,
    "tunnel_id": 0,
    "interface": "eth0",
    "application": "tls",
    "ech": False,
    "workload": "api",
    "country": "US",
    "provider": "aws",
    "evidence": "dns",
    "confidence": "high",
    "disagreement": False,
    "published": False,
}
_COUNTS = (
    "bytes_out", "bytes_in", "packets_out", "packets_in", "payload_out", "payload_in", "tcp_flags",
    "credentials_out", "emails_out", "cards_out", "ibans_out", "secrets_out", "personal_data_out",
)  # fmt: skip


class Given:
    """Makers of inputs, and the clock that the publisher under test reads, in seconds."""

    START = START
    SECOND = SECOND

    def __init__(self) -> None:
        self.now = 1000.0
        self.rules = [RuleInfo("unsanctioned-cloud-alibaba", "critical"), RuleInfo("dns-tunnel", "warning")]

    def flows(self, *rows: dict[str, Any]) -> pl.DataFrame:
        """Give attributed flow rows; what a row does not say is a plain TLS connection to AWS."""
        schema = FLOW_SCHEMA | ATTRIBUTED
        whole = [dict.fromkeys(_COUNTS, 0) | _DEFAULTS | row for row in rows]
        return pl.DataFrame([{name: row.get(name) for name in schema} for row in whole], schema=schema)

    def alert(self, **values: Any) -> Alert:
        """Give an open alert of the Alibaba rule."""
        plain: dict[str, Any] = {
            "id": "a1",
            "rule": "unsanctioned-cloud-alibaba",
            "title": "Data leaves for Alibaba Cloud",
            "severity": "critical",
            "group": {"workload": "api"},
            "workload": "api",
            "provider": "alibaba",
            "began": START,
            "last": START,
            "ended": None,
            "value": 2**21,
            "threshold": 2**20,
            "measure": "sum of payload_out per workload in 10m",
            "sent_bytes": 2**21,
            "window": 600,
            "version": "v1",
            "runbook": None,
            "mitre": ["T1567.002"],
        }
        return Alert(**plain | values)

    def event(self, kind: Kind, alert: Alert, time: int = START) -> AlertEvent:
        return AlertEvent(kind, time, alert)

    def publisher(self, **options: Any) -> Publisher:
        given: dict[str, Any] = {
            "build_info": {"version": "1.2.3", "catalogue": "2026.1"},
            "catalogue_built": 1.75e9,
        } | options
        rules = given.pop("rules", self.rules)
        return Publisher(rules, monotonic=lambda: self.now, wall=lambda: START + 2 * SECOND, **given)

    def publish(self, publisher: Publisher, *rows: dict[str, Any], **options: Any) -> None:
        """Publish one batch: the rows, and by keyword what else `Publisher.publish` takes."""
        plain: dict[str, Any] = {
            "clock": START,
            "alerts": [],
            "judge_counters": JudgeCounters({}, {}, {}, None),
            "stage_seconds": {},
        }
        events = options.pop("events", [])
        counters = options.pop("counters", Counters())
        publisher.publish(self.flows(*rows), events, counters, **plain | options)

    def samples(self, publisher: Publisher, family: str) -> dict[tuple[str, ...], float]:
        """Read a family back with the official parser: values by label values, labels in name order."""
        found = {}
        for metric in text_string_to_metric_families(publisher.exposition().decode()):
            for sample in metric.samples:
                if sample.name == family:
                    found[tuple(sample.labels[name] for name in sorted(sample.labels))] = sample.value
        return found


@pytest.fixture
def given() -> Given:
    return Given()


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority with a certificate for the server and one for a client; and a stranger's."""
    folder = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("authority", "stranger"):
        openssl(
            folder, "req", "-x509", *new_key, "-days", "2", "-subj", f"/CN={authority}",
            "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", f"{authority}.key", "-out", f"{authority}.pem",
        )  # fmt: skip
    for name, issuer in (("server", "authority"), ("client", "authority"), ("intruder", "stranger")):
        openssl(
            folder, "req", *new_key, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key",
            "-days", "2", "-copy_extensions", "copyall", "-out", f"{name}.pem",
        )  # fmt: skip
    return folder


@pytest.fixture
def serve(given: Any) -> Iterator[Serve]:
    servers: list[HttpServer] = []

    def start(listen: str = "127.0.0.1:0", alerts: Any = (), **options: Any) -> HttpServer:
        shown = list(alerts)
        publisher = options.pop("publisher", None) or given.publisher()
        ready = options.pop("ready", lambda: (True, "capturing on eth0; 2 rules"))
        by_id = {alert.id: alert for alert in shown}
        server = HttpServer(publisher, lambda: shown, by_id.get, ready, listen, **options)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()
