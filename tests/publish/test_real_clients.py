"""curl and openssl against the real server: TLS, client certificates, passwords, sockets, limits."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.errors import InputError
from monitor.publish import http
from monitor.publish.guard import Allowance
from monitor.publish.http import HttpServer

# of the exporter-toolkit's documentation: the hash of "test", made by htpasswd
HASH_OF_TEST = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
Serve = Callable[..., HttpServer]

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None,
    reason="curl or openssl is not installed: apt-get install curl openssl",
)


@pytest.fixture
def serve(given: Any) -> Iterator[Serve]:
    servers: list[HttpServer] = []

    def start(listen: str = "127.0.0.1:0", **options: Any) -> HttpServer:
        ready = (True, "ready")
        server = HttpServer(given.publisher(), list, lambda _: None, lambda: ready, listen, **options)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def curl(url: str, *arguments: str) -> str:
    """Give the status code, 000 where there was no answer."""
    command = ["curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", *arguments, url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def until(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def web(folder: Path, certificates: Path, name: str = "server", users: str = "") -> Path:
    path = folder / "web.yml"
    path.write_text(
        f"tls_server_config:\n  cert_file: {certificates}/{name}.pem\n  key_file: {certificates}/{name}.key\n"
        f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {certificates}/authority.pem\n"
        f"basic_auth_users: {{{users}}}\n"
    )
    return path


def test_curl_with_a_certificate_and_a_password(serve: Serve, certificates: Path, tmp_path: Path) -> None:
    server = serve(web_config=web(tmp_path, certificates, users=f"alice: {HASH_OF_TEST}"))
    url = f"https://{server.address}/metrics"
    ours = ("--cacert", f"{certificates}/authority.pem")
    client = ("--cert", f"{certificates}/client.pem", "--key", f"{certificates}/client.key")
    intruder = ("--cert", f"{certificates}/intruder.pem", "--key", f"{certificates}/intruder.key")
    assert curl(url, *ours, *client, "-u", "alice:test") == "200"
    assert curl(url, *ours, *client, "-u", "alice:wrong") == "401"
    assert curl(url, *ours, *client) == "401"
    assert curl(url, *ours, "-u", "alice:test") == "000", "no certificate"
    assert curl(url, *ours, *intruder, "-u", "alice:test") == "000", "a stranger's certificate"
    assert curl(url, *client, "-u", "alice:test") == "000", "the client does not know our authority"


@pytest.mark.parametrize(("option", "works"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_openssl_gets_no_less_than_tls_1_2(
    serve: Serve, certificates: Path, tmp_path: Path, option: str, works: bool
) -> None:
    path = tmp_path / "web.yml"
    path.write_text(
        f"tls_server_config: {{cert_file: {certificates}/server.pem, key_file: {certificates}/server.key}}\n"
    )
    command = ["openssl", "s_client", "-connect", serve(web_config=path).address, option, "-brief",
               "-cipher", "DEFAULT@SECLEVEL=0"]  # fmt: skip
    asked = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=20)
    assert ("CONNECTION ESTABLISHED" in asked.stderr) is works, asked.stderr


def test_curl_over_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    serve(f"unix:{tmp_path / 'egress.sock'}")
    assert curl("http://any.name/metrics", "--unix-socket", f"{tmp_path / 'egress.sock'}") == "200"


def test_a_foreign_host_is_refused(serve: Serve) -> None:
    url = f"http://{serve().address}/metrics"
    assert curl(url) == "200"
    assert curl(url, "-H", "Host: rebound.example") == "421"
    assert curl(url, "-X", "POST", "-d", "x" * 2000) == "413"


def test_a_changed_web_configuration_is_taken_up_and_a_wrong_one_is_not(
    serve: Serve, certificates: Path, tmp_path: Path
) -> None:
    path = web(tmp_path, certificates, users=f"alice: {HASH_OF_TEST}")
    server = serve(web_config=path)
    url = f"https://{server.address}/-/ready"
    client = ("--cacert", f"{certificates}/authority.pem", "--cert", f"{certificates}/client.pem",
              "--key", f"{certificates}/client.key")  # fmt: skip
    assert curl(url, *client, "-u", "alice:test") == "200"
    assert not server.refresh()
    web(tmp_path, certificates, users=f"bob: {HASH_OF_TEST}")
    # it is read when it has stood still between two looks
    assert [server.refresh(), server.refresh(), server.refresh()] == [False, True, False]
    # who serves by the old one stops within a moment
    assert until(lambda: curl(url, *client, "-u", "alice:test") == "401")
    assert curl(url, *client, "-u", "bob:test") == "200"
    path.write_text("basic_auth_users: {carol: plain}\n")
    assert not server.refresh()
    with pytest.raises(InputError, match="not a bcrypt hash") as told:
        server.refresh()
    assert "plain" not in str(told.value)
    assert curl(url, *client, "-u", "bob:test") == "200", "the last good one is at work"
    # another certificate, here one that the client does not trust
    web(tmp_path, certificates, name="intruder", users=f"bob: {HASH_OF_TEST}")
    assert [server.refresh(), server.refresh()] == [False, True]
    assert until(lambda: curl(url, *client, "-u", "bob:test") == "000")


def test_more_requests_than_are_allowed_get_429(serve: Serve) -> None:
    server = serve(requests=5)
    with httpx.Client() as client:
        statuses = [client.get(f"http://{server.address}/-/healthy").status_code for _ in range(60)]
    assert statuses[:20] == [200] * 20
    assert 429 in statuses
    assert statuses.count(200) < 40


def test_the_allowance_is_a_token_bucket() -> None:
    now = [0.0]
    allowance = Allowance(10, clock=lambda: now[0])
    assert sum(allowance.take() for _ in range(100)) == 40
    now[0] += 0.5
    assert sum(allowance.take() for _ in range(100)) == 5
    now[0] += 1000
    assert sum(allowance.take() for _ in range(100)) == 40


def test_a_client_that_does_not_read_is_cut_off(
    serve: Serve, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.5)
    server = serve()
    publisher = server.sources.publisher
    rows = [{"workload": f"w{number}", "bytes_out": 1} for number in range(1500)]
    given.publish(publisher, *rows)
    host, port = server.address.split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.settimeout(10)
        for _ in range(30):  # more than the kernel's buffers take
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1.5)
        got = 0
        try:
            while piece := slow.recv(1 << 20):
                got += len(piece)
        except ConnectionResetError:
            pass
        assert 0 < got < 30 * 100_000, "some answers of over 100 kB, not all 30"
