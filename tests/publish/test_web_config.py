"""TLS, client certificates and basic auth from a file of the exporter-toolkit's form."""

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.errors import InputError
from monitor.publish import auth
from monitor.publish.http import HttpServer
from monitor.publish.web_config import load_web_config

# from the exporter-toolkit's documentation: the hash of "test", made by htpasswd
HASH_OF_TEST = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(
    OPENSSL is None, reason="openssl is not installed: apt-get install openssl"
)


@pytest.fixture
def serve(given: Any, tmp_path: Path) -> Iterator[Callable[[str], HttpServer]]:
    servers: list[HttpServer] = []

    def start(text: str) -> HttpServer:
        path = tmp_path / "web.yml"
        path.write_text(text)
        server = HttpServer(
            given.publisher(), list, lambda _: None, lambda: (True, "ready"), "127.0.0.1:0", web_config=path
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def client_context(folder: Path, name: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    if name is not None:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def tls(folder: Path, more: str = "") -> str:
    return f"tls_server_config:\n  cert_file: {folder}/server.pem\n  key_file: {folder}/server.key\n{more}"


@needs_openssl
def test_tls(certificates: Path, serve: Callable[[str], HttpServer]) -> None:
    server = serve(tls(certificates))
    url = f"https://{server.address}/-/ready"
    assert httpx.get(url, verify=client_context(certificates)).status_code == 200
    old = client_context(certificates)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert httpx.get(url, verify=old).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(url.replace("https", "http"))


@needs_openssl
def test_the_lowest_version_is_the_users_choice(
    certificates: Path, serve: Callable[[str], HttpServer]
) -> None:
    server = serve(tls(certificates, "  min_version: TLS13\n"))
    old = client_context(certificates)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"https://{server.address}/-/ready", verify=old)


@needs_openssl
def test_client_certificates(certificates: Path, serve: Callable[[str], HttpServer]) -> None:
    more = f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {certificates}/authority.pem\n"
    url = f"https://{serve(tls(certificates, more)).address}/metrics"
    assert httpx.get(url, verify=client_context(certificates, "client")).status_code == 200
    for name in (None, "intruder"):
        with pytest.raises(httpx.TransportError):  # in TLS 1.3 the client learns it on its first read
            httpx.get(url, verify=client_context(certificates, name))


def test_basic_auth(serve: Callable[[str], HttpServer], monkeypatch: pytest.MonkeyPatch) -> None:
    checks = []
    real = auth._matches

    def counted(password: bytes, expected: bytes) -> bool:
        checks.append(password)
        return real(password, expected)

    monkeypatch.setattr(auth, "_matches", counted)
    url = f"http://{serve(f'basic_auth_users: {{alice: {HASH_OF_TEST}}}').address}/metrics"
    for wrong in (None, ("alice", "Test"), ("alice", ""), ("bob", "test"), ("alice", "test\0")):
        answer = httpx.get(url, auth=wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="egress-monitor", charset="UTF-8"'
    for header in ("Basic", "Basic !!", "Basic YWxpY2U=", "Bearer x", "Basic /w=="):
        assert httpx.get(url, headers={"Authorization": header}).status_code == 401
    assert len(checks) == 4, "an unknown user costs a check too"
    for _ in range(3):
        assert httpx.get(url, auth=("alice", "test")).status_code == 200
    assert len(checks) == 5, "a right password is remembered"


def test_headers_of_the_file_win(serve: Callable[[str], HttpServer]) -> None:
    server = serve("http_server_config: {http2: false, headers: {X-Frame-Options: SAMEORIGIN}}")
    assert httpx.get(f"http://{server.address}/-/ready").headers["x-frame-options"] == "SAMEORIGIN"


def test_an_empty_file_is_plain_http(serve: Callable[[str], HttpServer]) -> None:
    assert httpx.get(f"http://{serve('').address}/-/ready").status_code == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tls_server_confg: {}", ":1: unknown key 'tls_server_confg'; did you mean 'tls_server_config'?"),
        ("tls_server_config:\n  cert_file: a", ":1: 'key_file' is missing in tls_server_config"),
        (
            "tls_server_config:\n  cert_file: nothing.pem\n  key_file: nothing.key",
            ":3: key_file: No such file or directory",
        ),
        (
            "tls_server_config:\n  cert_file: web.yml\n  key_file: web.yml",
            ":2: cert_file with key_file: no certificate or key in PEM form",
        ),
        (
            "basic_auth_users:\n  alice: secret",
            ":2: basic_auth_users.alice: not a bcrypt hash; make one with: htpasswd -nBC 10 ''",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c",
            ":1: tls_server_config: client_ca_file and a client_auth_type that verifies go together",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]",
            "'TLS_RSA_WITH_RC4_128_SHA' is not a cipher suite that is offered",
        ),
        ("http_server_config:\n  headers: {Set-Cookie: x}", "http_server_config.headers"),
    ],
)
def test_a_mistake_is_one_line_with_its_place_and_no_secret(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "web.yml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_web_config(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}:")
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


@needs_openssl
def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(certificates: Path, tmp_path: Path) -> None:
    key = ("ec", "-in", str(certificates / "server.key"), "-aes256", "-passout", "pass:x")
    subprocess.run(["openssl", *key, "-out", "locked.key"], cwd=tmp_path, check=True, capture_output=True)
    path = tmp_path / "web.yml"
    path.write_text(f"tls_server_config:\n  cert_file: {certificates}/server.pem\n  key_file: locked.key\n")
    with pytest.raises(InputError, match="web.yml:3: key_file: has a passphrase"):
        load_web_config(path)
