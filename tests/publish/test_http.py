"""The server as a client meets it: real sockets on loopback, nothing mocked."""

import json
import re
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.errors import InputError
from monitor.judge.alert import KeptFlows
from monitor.publish import http

from .serving import HOSTILE, Serve, exchange, get


def test_metrics_are_negotiated(given: Any, serve: Serve) -> None:
    publisher = given.publisher(live=False)
    given.publish(publisher, {"bytes_out": 5})
    server = serve(publisher=publisher)
    plain = get(server, "/metrics", headers={"Accept": "*/*"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'egress_sent_bytes_total{country="US",provider="aws",workload="api"} 5.0\n' in plain.text
    new = get(server, "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert new.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert new.text.endswith("# EOF\n")
    packed = get(server, "/metrics", headers={"Accept-Encoding": "gzip"})
    bare = get(server, "/metrics", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in bare.headers
    assert "process_resident_memory_bytes" in bare.text


def test_a_scrape_sees_the_last_batch(given: Any, serve: Serve) -> None:
    publisher = given.publisher(live=False)
    server = serve(publisher=publisher)
    for total in (5, 10):
        given.publish(publisher, {"bytes_out": 5})
        assert f'provider="aws",workload="api"}} {total}.0' in get(server, "/metrics").text


def test_scrapes_while_batches_come_are_whole_and_consistent(given: Any, serve: Serve) -> None:
    publisher = given.publisher(live=False)
    server = serve(publisher=publisher)
    done = threading.Event()

    def publish() -> None:
        while not done.is_set():
            given.publish(
                publisher, *({"bytes_out": 3, "bytes_in": 6, "workload": f"w{n}"} for n in range(50))
            )

    writer = threading.Thread(target=publish)
    writer.start()
    try:
        last = 0.0
        for _ in range(30):
            families = {
                family.name: family for family in text_string_to_metric_families(get(server, "/metrics").text)
            }
            sent = sum(sample.value for sample in families["egress_sent_bytes"].samples)
            received = sum(sample.value for sample in families["egress_received_bytes"].samples)
            attributed = sum(sample.value for sample in families["egress_attributed_bytes"].samples)
            assert received == 2 * sent, "a scrape saw half a batch"
            assert attributed == sent + received
            assert sent >= last
            last = sent
    finally:
        done.set()
        writer.join()
    assert last > 0


def test_a_scrape_does_not_wait_for_a_batch(given: Any, serve: Serve) -> None:
    publisher = given.publisher()
    server = serve(publisher=publisher)
    with publisher._writing:  # a batch that never ends
        assert get(server, "/metrics").status_code == 200


def test_health_and_readiness(serve: Serve) -> None:
    state = [(False, "no rules are loaded")]
    server = serve(ready=lambda: state[0])
    assert get(server, "/-/healthy").status_code == 200
    assert (get(server, "/-/ready").status_code, get(server, "/-/ready").text) == (
        503,
        "no rules are loaded\n",
    )
    state[0] = (True, "capturing")
    assert (get(server, "/-/ready").status_code, get(server, "/-/ready").text) == (200, "capturing\n")


def test_the_alerts_api(given: Any, serve: Serve) -> None:
    server = serve(alerts=[given.alert(), given.alert(id="a2", workload="10.0.0.9", provider="as64500")])
    answer = get(server, "/api/v1/alerts")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["total"] == 2
    assert [alert["id"] for alert in answer.json()["alerts"]] == ["a1", "a2"]
    assert get(server, "/api/v1/alerts/a2").json()["provider"] == "as64500"
    assert "flows" in get(server, "/api/v1/alerts/a2").json()
    assert "flows" not in answer.json()["alerts"][0]
    missing = get(server, "/api/v1/alerts/nope")
    assert (missing.status_code, missing.json()) == (404, {"error": "there is no alert with this id"})


def test_the_list_of_alerts_writes_out_no_flows(given: Any, serve: Serve) -> None:
    """Those of a thousand alerts at each of fifty requests a second would leave the line no time."""
    written: list[str] = []

    class Kept:
        def identities(self) -> list[int]:
            return []

        def to_list(self) -> list[dict[str, Any]]:
            written.append("once")
            return []

    alert = given.alert()
    alert.flows = KeptFlows(Kept(), [])
    server = serve(alerts=[alert])
    assert get(server, "/api/v1/alerts").json()["alerts"][0]["id"] == "a1"
    assert written == []
    assert get(server, "/api/v1/alerts/a1").json()["flows"] == []
    assert written == ["once"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("rule=unsanctioned-cloud-alibaba&workload=api", ["a1"]),
        ("workload=unnamed&provider=unlisted", ["a2"]),
        ("workload=other&provider=other", ["a1", "a2"]),
        ("severity=info", []),
    ],
)
def test_alerts_are_found_by_the_labels_of_their_metric(
    given: Any, serve: Serve, query: str, ids: list[str]
) -> None:
    server = serve(alerts=[given.alert(), given.alert(id="a2", workload="10.0.0.9", provider="as64500")])
    assert [alert["id"] for alert in get(server, f"/api/v1/alerts?{query}").json()["alerts"]] == ids
    page = get(server, f"/alerts?{query}").text
    assert [id_ for id_ in ("a1", "a2") if f'"api/v1/alerts/{id_}"' in page] == ids


def test_hostile_names_are_data_in_json_and_on_the_page(given: Any, serve: Serve) -> None:
    alert = given.alert(
        title=HOSTILE, workload=HOSTILE, provider=HOSTILE, group={HOSTILE: HOSTILE}, id="<b>/.."
    )
    server = serve(alerts=[alert])
    answer = get(server, "/api/v1/alerts")
    assert all(32 <= byte < 127 or byte == 10 for byte in answer.content)
    assert b"<" not in answer.content
    assert json.loads(answer.content)["alerts"][0]["group"] == {HOSTILE: HOSTILE}
    page = get(server, "/")
    assert re.findall("<script[^>]*>", page.text) == ['<script src="static/page.js" defer>']
    assert "<b>" not in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    assert len(page.text) < 20_000
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


def test_every_answer_has_the_strict_headers(serve: Serve) -> None:
    server = serve()
    for path in ("/", "/metrics", "/api/v1/alerts", "/nothing", "/-/healthy"):
        headers = get(server, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("localhost:9465", 200),
        ("LOCALHOST", 200),
        ("[::1]:9465", 200),
        ("egress.example.org", 200),
        ("attacker.example", 421),
        ("localhost.attacker.example", 421),
        ("attacker.example:9465@localhost", 421),
        ("localhost@attacker.example", 421),
        ("10.0.0.1", 421),
        ("localhost:port", 421),
        ("", 421),
    ],
)
def test_only_hosts_that_are_served_here_are_answered(serve: Serve, host: str, status: int) -> None:
    server = serve(external_url="https://egress.example.org/monitor")
    assert get(server, "/metrics", headers={"Host": host}).status_code == status


def test_an_origin_that_is_none_is_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Each error would be a traceback in the daemon's log, for whoever can connect."""
    assert get(serve(), "/metrics", headers={"Origin": "http://["}).status_code == 403
    assert not caplog.records


def test_a_request_without_a_host_is_refused(serve: Serve) -> None:
    assert exchange(serve(), b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_bound_everywhere_any_address_is_answered_but_no_name(serve: Serve) -> None:
    server = serve("0.0.0.0:0")
    url = f"http://127.0.0.1:{server.address.rpartition(':')[2]}/metrics"
    assert httpx.get(url, headers={"Host": "10.1.2.3:9465"}).status_code == 200
    assert httpx.get(url, headers={"Host": "[2001:db8::1]"}).status_code == 200
    assert httpx.get(url, headers={"Host": "attacker.example"}).status_code == 421


def test_reload_is_refused_where_it_is_not_enabled(serve: Serve) -> None:
    server = serve()
    assert httpx.post(f"http://{server.address}/-/reload").status_code == 403
    assert get(server, "/-/reload").status_code == 405


def test_reload_where_it_is_enabled(serve: Serve) -> None:
    # a file's name may hold any byte but NUL and a slash
    wrong = InputError("rules/\x1b[31m\udcff.yml:3: unknown key 'matsh'")
    answers: list[str | InputError] = ["6 rules loaded", wrong]

    def reload() -> str:
        answer = answers.pop(0)
        if isinstance(answer, InputError):
            raise answer
        return answer

    url = f"http://{serve(reload=reload).address}/-/reload"
    for headers in (
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://a]b"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert httpx.post(url, headers=headers).status_code == 403
    good, bad = httpx.post(url), httpx.post(url)
    assert (good.status_code, good.text) == (200, "6 rules loaded\n")
    assert (bad.status_code, bad.text) == (500, "rules/\\u{1b}[31m\\u{dcff}.yml:3: unknown key 'matsh'\n")


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5000\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_bodies_are_refused(serve: Serve, body: bytes) -> None:
    answer = exchange(serve(reload=lambda: ""), b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_long_head_is_refused(serve: Serve) -> None:
    server = serve()
    answer = exchange(server, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_connection_that_does_not_finish_a_head_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 1)
    server = serve()
    host, _, port = server.address.rpartition(":")
    whole = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for first, then in ((b"", b""), (b"", b"GET / HT"), (whole, b"GET / HT")):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(first)
            answer = b""
            while first and not answer.endswith(b"is running.\n"):
                answer += connection.recv(65536)
            connection.sendall(then)
            try:
                rest = connection.recv(65536)
            except ConnectionResetError:
                rest = b""
            assert rest == b""
    assert get(server, "/-/healthy").status_code == 200


def test_a_port_in_use_is_one_line(serve: Serve) -> None:
    server = serve()
    with pytest.raises(InputError) as error:
        serve(server.address)
    assert str(error.value) == (
        f"listen: {server.address} is already in use by another program; stop it or choose another address"
    )


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("192.0.2.1:9465", "listen: 192.0.2.1:9465: no interface of this machine has this address"),
        ("example.org:80", "listen: 'example.org' is not an address; names are not resolved"),
        ("9465", "listen: '9465' is not HOST:PORT, [IPV6]:PORT or unix:/PATH"),
        ("127.0.0.1:70000", "listen: '127.0.0.1:70000' is not HOST:PORT, [IPV6]:PORT or unix:/PATH"),
        ("unix:/nowhere/at/all", "listen: unix:/nowhere/at/all: No such file or directory"),
    ],
)
def test_a_wrong_address_is_one_line(serve: Serve, listen: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        serve(listen)
    assert str(error.value) == message


def test_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "monitor.sock"
    server = serve(f"unix:{path}")
    assert path.stat().st_mode & 0o777 == 0o660
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://localhost/-/healthy").status_code == 200
    with pytest.raises(InputError, match="already in use by another program"):
        serve(f"unix:{path}")
    server.stop()
    assert not path.exists()


def test_a_unix_socket_that_was_left_behind_is_replaced(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "monitor.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    serve(f"unix:{path}")
    (tmp_path / "notes").write_text("precious")
    with pytest.raises(InputError, match="there is a file that is not a socket"):
        serve(f"unix:{tmp_path / 'notes'}")
    assert (tmp_path / "notes").read_text() == "precious"


def test_a_unix_socket_of_one_that_hangs_is_in_use(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "egress.sock"
    with socket.socket(socket.AF_UNIX) as hangs, ExitStack() as several:
        hangs.bind(str(path))
        hangs.listen(0)
        waiting = True
        while waiting:  # until the kernel takes no more for it
            one = several.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            try:
                one.connect(str(path))
            except BlockingIOError:
                waiting = False
        with pytest.raises(InputError, match="is already in use by another program"):
            serve(f"unix:{path}")
    assert path.is_socket()


def test_stop_gives_the_address_back_though_a_client_is_connected(serve: Serve) -> None:
    server = serve()
    address = server.address
    with httpx.Client() as client:
        client.get(f"http://{address}/-/healthy")  # the connection stays open
        server.stop()
        server.stop()
        again = serve(address)
        assert get(again, "/-/healthy").status_code == 200


def test_no_thread_is_left(serve: Serve) -> None:
    server = serve()
    get(server, "/-/healthy")
    server.stop()
    deadline = time.monotonic() + 5
    while any(thread.name == "http" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
