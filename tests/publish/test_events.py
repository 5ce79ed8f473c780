"""Alert events for other systems: the published names and types of ECS and OCSF, and real receivers."""

import http.server
import ipaddress
import json
import re
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from monitor.config_delivery import EventsConfig
from monitor.publish import courier
from monitor.publish.ecs import to_ecs
from monitor.publish.events import Events
from monitor.publish.ocsf import to_ocsf
from monitor.publish.outlets import OutletCounts

FIELDS = yaml.safe_load(Path(__file__).with_name("ecs_fields.yml").read_text())
OBSERVER = {"hostname": "sensor-1", "version": "1.2.3"}
HOSTILE = 'a"b\\c\nd\r\x1b[31m\x00\u2028</script>' + "x" * 10_000
FLOW = {
    "flow_id": "0123456789abcdef", "local_address": "10.0.1.5", "local_port": 40000, "protocol": 6,
    "remote_address": "47.91.64.9", "remote_port": 443, "application": "tls", "country": "SG", "asn": 45102,
    "as_name": "Alibaba (US) Technology", "dns_name": None, "name": "oss.example", "payload_out": 5,
}  # fmt: skip


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def leaves(document: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


def is_of(kind: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    if kind == "long":
        return all(type(one) is int and -(2**63) <= one < 2**63 for one in values)
    if not all(isinstance(one, str) for one in values):
        return False
    if kind == "date":
        return all(datetime.fromisoformat(one[:26] + "+00:00") for one in values)
    if kind == "ip":
        return all(ipaddress.ip_address(one) for one in values)
    return True


@pytest.fixture
def events(given: Any) -> list[Any]:
    alert = given.alert(flows=[FLOW], names=["oss.example"], countries=["SG"], evidence=["sni"])
    bare = given.alert(workload=None, provider=None, mitre=[], flows=[])
    ended = given.alert(ended=given.START + 5, flows=[FLOW], names=[HOSTILE] * 30, workload=HOSTILE)
    return [
        given.event("begun", alert), given.event("growing", alert, given.START + 1),
        given.event("ended", ended, given.START + 5), given.event("begun", bare),
    ]  # fmt: skip


def test_every_field_is_one_of_ecs_with_its_type(events: list[Any]) -> None:
    used = set()
    for event in events:
        document = to_ecs(event, observer=OBSERVER, link="https://e.example/api/v1/alerts/a1")
        assert document.pop("egress_monitor")
        for name, value in leaves(document):
            assert name in FIELDS, f"{name} is no field of ECS"
            assert is_of(FIELDS[name], value), f"{name}: {value!r} is no {FIELDS[name]}"
            used.add(name)
        assert document["event"]["kind"] == "alert"
        # values that the reference allows for these categories
        assert set(document["event"]["category"]) == {"network", "intrusion_detection"}
        assert set(document["event"]["type"]) <= {"start", "info", "end"}
        assert document["network"]["direction"] in {"inbound", "outbound", "internal", "external", "unknown"}
    # the runbook is what the given alert has none of
    assert set(FIELDS) - used == {"event.reference", "rule.reference"}


def test_what_an_event_says(events: list[Any], given: Any) -> None:
    begun, growing, ended, _ = (to_ecs(event, observer=OBSERVER, link=None) for event in events)
    assert begun["@timestamp"] == "2025-12-01T00:00:00.000000000Z"
    assert begun["event"]["action"] == "alert-begun"
    assert begun["threat"] == {
        "framework": "MITRE ATT&CK",
        "technique": {"id": ["T1567"], "subtechnique": {"id": ["T1567.002"]}},
    }
    assert begun["source"] == {"address": "10.0.1.5", "ip": "10.0.1.5", "port": 40000, "bytes": 2**21}
    assert begun["destination"]["ip"] == "47.91.64.9"
    assert begun["destination"]["as"]["number"] == 45102
    assert begun["related"] == {"ip": ["10.0.1.5", "47.91.64.9"], "hosts": ["oss.example"]}
    assert "end" not in begun["event"]
    assert ended["event"]["end"] == "2025-12-01T00:00:00.000000005Z"
    assert len({begun["event"]["id"], growing["event"]["id"], ended["event"]["id"]}) == 3
    assert {begun["egress_monitor"]["alert_id"], ended["egress_monitor"]["alert_id"]} == {"a1"}


# what the class Detection Finding requires, and the values of its enumerations (ocsf-schema 1.3: base_event,
# finding, detection_finding, finding_info, analytic, metadata)
OCSF_SCHEMA = {
    "type": "object",
    "required": ["activity_id", "category_uid", "class_uid", "finding_info", "metadata", "severity_id",
                 "time", "type_uid"],
    "properties": {
        "activity_id": {"enum": [0, 1, 2, 3, 99]},
        "category_uid": {"const": 2},
        "class_uid": {"const": 2004},
        "type_uid": {"enum": [200401, 200402, 200403]},
        "severity_id": {"enum": [0, 1, 2, 3, 4, 5, 6, 99]},
        "status_id": {"enum": [0, 1, 2, 3, 4, 5, 6, 99]},
        "time": {"type": "integer", "minimum": 10**12, "maximum": 10**14},
        "is_alert": {"type": "boolean"},
        "finding_info": {
            "type": "object", "required": ["uid", "title"],
            "properties": {
                "analytic": {"required": ["type_id"],
                             "properties": {"type_id": {"enum": [0, 1, 2, 3, 4, 99]}}},
                "attacks": {"items": {"anyOf": [{"required": ["technique"]}, {"required": ["tactic"]}]}},
            },
        },
        "metadata": {
            "required": ["product", "version"],
            "properties": {"version": {"pattern": r"^\d+\.\d+\.\d+$"},
                           "product": {"required": ["vendor_name"]}},
        },
        "evidences": {"items": {"anyOf": [{"required": ["src_endpoint"]}, {"required": ["dst_endpoint"]}]}},
    },
}  # fmt: skip


def test_an_ocsf_event_has_what_the_class_requires(events: list[Any]) -> None:
    found = [to_ocsf(event, observer=OBSERVER, link="https://e.example/x") for event in events]
    for document in found:
        jsonschema.validate(document, OCSF_SCHEMA)
        assert document["type_uid"] == document["class_uid"] * 100 + document["activity_id"]
    assert [document["activity_id"] for document in found] == [1, 2, 3, 1]
    assert [document["is_alert"] for document in found] == [True, True, False, True]
    assert {document["finding_info"]["uid"] for document in found} == {"a1"}
    assert found[0]["time"] == 1_764_547_200_000
    assert found[0]["evidences"] == [
        {"src_endpoint": {"ip": "10.0.1.5", "port": 40000},
         "dst_endpoint": {"ip": "47.91.64.9", "port": 443, "hostname": "oss.example"}},
    ]  # fmt: skip


class Run:
    """Events with these receivers, started and stopped."""

    def __init__(self, *configs: dict[str, Any]) -> None:
        self.events = Events(
            [EventsConfig(**config) for config in configs], version="1.2.3", external_url="https://e.example"
        )

    def __enter__(self) -> Events:
        self.events.start()
        return self.events

    def __exit__(self, *_: object) -> None:
        self.events.stop()


def test_a_file_has_a_line_for_each_event(events: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Run({"file": path}, {"file": tmp_path / "ocsf.jsonl", "schema": "ocsf"}) as running:
        running.put(events)
        wait_for(lambda: running.counts()["2-file"].delivered == 4)
        wait_for(lambda: running.counts()["1-file"].delivered == 4)
    raw = path.read_bytes()
    assert all(32 <= byte < 127 or byte == 10 for byte in raw), "only printable ASCII"
    lines = [json.loads(line) for line in raw.splitlines()]
    assert [line["event"]["action"] for line in lines] == [
        "alert-begun", "alert-growing", "alert-ended", "alert-begun",
    ]  # fmt: skip
    assert lines[2]["service"]["name"] == HOSTILE[:1024]
    assert lines[2]["related"]["hosts"] == [HOSTILE[:255]] * 20
    assert lines[0]["event"]["url"] == "https://e.example/api/v1/alerts/a1"
    assert json.loads((tmp_path / "ocsf.jsonl").read_text().splitlines()[0])["class_uid"] == 2004


# RFC 5424 section 6: PRI, version, time, host, application, process, message id, no structured data
SYSLOG = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ([\x21-\x7e]{1,255}) egress-monitor (\d+) "
    rb"([\x21-\x7e]{1,32}) - (\{.*\})",
    re.DOTALL,
)


def check_syslog(message: bytes, facility: int, severity: int, kind: bytes) -> dict[str, Any]:
    found = SYSLOG.fullmatch(message)
    assert found is not None, message[:200]
    assert int(found[1]) == facility * 8 + severity
    assert found[5] == kind
    document: dict[str, Any] = json.loads(found[6])
    return document


def test_syslog_over_udp(events: list[Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        with Run({"syslog": address, "facility": "local3"}) as running:
            running.put(events)
            messages = [server.recv(65536) for _ in range(4)]
    assert check_syslog(messages[0], 19, 2, b"begun")["rule"]["id"] == "unsanctioned-cloud-alibaba"
    assert len(messages[2]) <= 8192, "lists are left out, so that a datagram arrives whole"
    long = check_syslog(messages[2], 19, 2, b"ended")
    assert "related" not in long
    assert long["egress_monitor"]["alert_id"] == "a1"


def test_syslog_over_tcp_takes_the_line_up_again(
    events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        with Run({"syslog": f"tcp://127.0.0.1:{server.getsockname()[1]}"}) as running:
            running.put(events[:1])
            first, _ = server.accept()
            with first, first.makefile("rb") as stream:
                # RFC 6587 section 3.4.1: the length, a space, the message
                length = int(b"".join(iter(lambda: stream.read(1), b" ")))
                check_syslog(stream.read(length), 16, 2, b"begun")
            running.put(events[1:2])
            second, _ = server.accept()
            with second, second.makefile("rb") as stream:
                length = int(b"".join(iter(lambda: stream.read(1), b" ")))
                check_syslog(stream.read(length), 16, 2, b"growing")
            wait_for(lambda: running.counts()["1-syslog"].delivered == 2)


def test_syslog_over_a_unix_socket(events: list[Any], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(10)
        with Run({"syslog": f"unix:{tmp_path / 'log'}"}) as running:
            running.put(events[:1])
            check_syslog(server.recv(65536), 16, 2, b"begun")


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers what the server says, and keeps what came."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.came.append((self.path, dict(self.headers), body))
        self.send_response(server.answers.pop(0) if server.answers else 200)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Callable[..., Any]]:
    servers: list[Any] = []

    def start(answers: list[int] | None = None, certificates: Path | None = None) -> Any:
        server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        server.came, server.answers = [], answers or []
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificates / "authority.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_webhook_gets_each_event_once_it_answers(
    events: list[Any], hook: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.05)
    server = hook([503, 302])
    (tmp_path / "password").write_text("s3cret\n")
    url = f"http://127.0.0.1:{server.server_port}/in?source=egress"
    config = {"webhook": url, "username": "egress", "password_file": tmp_path / "password"}
    with Run(config) as running:
        running.put(events[:2])
        wait_for(lambda: running.counts()["1-webhook"].delivered == 2)
        assert running.counts()["1-webhook"].retried == 2, "a redirect is no delivery"
    assert [json.loads(body)["event"]["action"] for _, _, body in server.came] == [
        "alert-begun", "alert-begun", "alert-begun", "alert-growing",
    ]  # fmt: skip
    path, headers, _ = server.came[0]
    assert path == "/in?source=egress"
    assert headers["Authorization"] == "Basic ZWdyZXNzOnMzY3JldA=="
    assert headers["Content-Type"] == "application/json"


def test_an_event_that_a_webhook_refuses_does_not_hold_up_the_others(
    events: list[Any], hook: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a filter before it does with names that look like an attack, and attackers choose names."""
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.01)
    server = hook([403] * 5)
    with Run({"webhook": f"http://127.0.0.1:{server.server_port}/in"}) as running:
        running.put(events[:2])
        wait_for(lambda: running.counts()["1-webhook"].delivered == 1)
        counts = running.counts()["1-webhook"]
    assert (counts.dropped, counts.retried, counts.waiting) == (1, 5, 0)
    actions = [json.loads(body)["event"]["action"] for _, _, body in server.came]
    assert actions == ["alert-begun"] * 5 + ["alert-growing"]


def test_a_webhook_that_is_away_gets_everything_in_order(
    events: list[Any], hook: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says that nobody is there, or not this way: RFC 9110 section 15, RFC 6585, RFC 8470."""
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(courier, "LAST_RETRY", 0.001)
    away = [301, 401, 404, 407, 408, 425, 429, 502, 503, 504]
    server = hook(list(away))
    with Run({"webhook": f"http://127.0.0.1:{server.server_port}/in"}) as running:
        running.put(events[:2])
        wait_for(lambda: running.counts()["1-webhook"].delivered == 2)
        counts = running.counts()["1-webhook"]
    assert (counts.dropped, counts.retried) == (0, len(away))


def test_a_token_that_http_cannot_carry_is_told_and_read_again(
    events: list[Any], hook: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field's value is at most Latin-1 (RFC 9110 section 5.5)."""
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.01)
    server = hook()
    token = tmp_path / "token"
    token.write_text("s3cret\u2013token\n")  # a dash that an editor made
    url = f"http://127.0.0.1:{server.server_port}/in"
    with Run({"webhook": url, "bearer_token_file": token}) as running:
        running.put(events[:1])
        wait_for(lambda: running.counts()["1-webhook"].trouble is not None)
        trouble = running.counts()["1-webhook"].trouble or ""
        assert "holds a sign that HTTP cannot carry" in trouble
        assert "s3cret" not in trouble
        token.write_text("s3cret-token\n")
        wait_for(lambda: running.counts()["1-webhook"].delivered == 1)
    assert [headers["Authorization"] for _, headers, _ in server.came] == ["Bearer s3cret-token"]


def test_at_the_end_receivers_that_hang_are_not_waited_for_one_by_one(
    events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is kept after it, and whoever started the daemon kills it some seconds after its signal."""
    monkeypatch.setattr(courier, "FIRST_RETRY", 60.0)
    path = tmp_path / "events.jsonl"
    running = Events(
        [EventsConfig(webhook="http://127.0.0.1:1/"), EventsConfig(file=path)], version="1", external_url=None
    )
    hangs, other = (receiver.courier for receiver in running._receivers)
    tried, told = threading.Event(), list[bool]()
    hangs._send = lambda _: told.append(tried.wait(1.5))
    answers: list[OSError | None] = [OSError("away"), None]

    def send(_: bytes) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        tried.set()

    other._send = send
    running.start()
    running.put(events[:1])
    wait_for(lambda: other.counts().retried == 1)
    running.stop()
    assert told == [True], "the second one made its last try while the first one still hung"


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl"
)


@needs_openssl
def test_a_webhook_over_tls_is_verified_and_verifies(
    events: list[Any], hook: Callable[..., Any], certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.05)
    server = hook(certificates=certificates)
    url = f"https://127.0.0.1:{server.server_port}/in"
    client = {"cert_file": certificates / "client.pem", "key_file": certificates / "client.key"}
    good = {"webhook": url, "ca_file": certificates / "authority.pem", **client}
    stranger = {"webhook": url, "ca_file": certificates / "stranger.pem", **client}
    with Run(good, stranger, {"webhook": url}) as running:
        running.put(events[:1])
        wait_for(lambda: running.counts()["1-webhook"].delivered == 1)
        wait_for(lambda: running.counts()["2-webhook"].retried > 0)
        wait_for(lambda: running.counts()["3-webhook"].retried > 0)
        counts = running.counts()
    assert len(server.came) == 1
    trouble = OutletCounts(counts, {}).troubles()
    assert set(trouble) == {"events 2-webhook", "events 3-webhook"}
    assert "certificate" in trouble["events 2-webhook"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "give exactly one of file, syslog and webhook"),
        ({"file": "a", "webhook": "http://h/"}, "give exactly one of file, syslog and webhook"),
        ({"webhook": "http://user:secret@h/"}, "`password_file`"),
        ({"webhook": "ftp://h/"}, "is not an address like https://receiver.example.org/hook"),
        ({"syslog": "127.0.0.1:514"}, "is not udp://HOST:PORT, tcp://HOST:PORT or unix:/PATH"),
        ({"syslog": "udp://h:1", "facility": "locl0"}, "'locl0' is not one of kern, user,"),
        ({"file": "a", "ca_file": "b"}, "ca_file is for a webhook only"),
        ({"webhook": "http://h", "username": "a"}, "username and password_file go together"),
        ({"webhook": "http://h..example/"}, "'http://h..example/': not a host and a port that there can be"),
        ({"webhook": "http://[::1/"}, "not a host and a port that there can be"),
        ({"webhook": "http://h:65536/"}, "not a host and a port that there can be"),
        ({"webhook": "http://h/h\u00f6k"}, "is written in ASCII, other signs as %C3%B6"),
        ({"webhook": "http://h?a=\x7f"}, "is written in ASCII, other signs as %C3%B6"),
        ({"syslog": "udp://h:65536"}, "not a host and a port that there can be"),
        ({"syslog": f"tcp://{'h' * 64}.example:601"}, "not a host and a port that there can be"),
    ],
)
def test_a_receiver_that_cannot_be_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        EventsConfig(**config)
