"""Whoever only connects takes a file of the process; the capture needs some too, so there is a bound."""

import errno
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import InputError
from monitor.publish import http
from monitor.publish.bounded_listener import BoundedListener
from monitor.publish.http import HttpServer

from .serving import Serve, get
from .test_courier import wait_for
from .test_web_config import needs_openssl, tls

MOST = 20


def connect(server: HttpServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def is_closed(connection: socket.socket) -> bool:
    """Wait for what the server does with a connection that said nothing."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def refresh(server: HttpServer) -> None:
    """Look at the files until they stand still."""
    while not server.refresh():
        pass


def test_past_the_bound_a_connection_is_closed_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_OPEN", MOST)
    monkeypatch.setattr(http, "MAX_CONNECTIONS", MOST // 2)
    server = serve()
    with ExitStack() as open_ones:
        several = [open_ones.enter_context(connect(server)) for _ in range(3 * MOST)]
        assert all(is_closed(one) for one in several[MOST:])
        for one in several[:MOST]:
            one.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(12) in {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    # those that went have left their places
    for _ in range(2 * MOST):
        assert get(server, "/-/healthy").status_code == 200


def test_where_no_file_is_left_the_old_web_configuration_stays_at_work(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_config = tmp_path / "web.yml"
    web_config.write_text("")
    server = serve(web_config=web_config)
    web_config.write_text("http_server_config: {headers: {X-Frame-Options: SAMEORIGIN}}\n")

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "dup", none_left)
        with pytest.raises(InputError, match="Too many open files"):
            refresh(server)
    assert get(server, "/-/healthy").headers["X-Frame-Options"] == "DENY"
    web_config.write_text("http_server_config: {headers: {X-Frame-Options: ''}}\n")
    refresh(server)
    # the old one goes within a second
    wait_for(lambda: get(server, "/-/healthy").headers["X-Frame-Options"] == "")


def test_the_old_server_answers_until_the_new_one_is_there(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_config = tmp_path / "web.yml"
    web_config.write_text("")
    server = serve(web_config=web_config)
    web_config.write_text("http_server_config: {headers: {X-Frame-Options: SAMEORIGIN}}\n")
    asked: list[int] = []

    def slowly(*arguments: Any) -> BoundedListener:
        asked.extend(get(server, "/-/healthy").status_code for _ in range(3))
        return BoundedListener(*arguments)

    monkeypatch.setattr(http, "BoundedListener", slowly)
    refresh(server)
    assert asked == [200] * 3


@needs_openssl
def test_a_handshake_that_is_never_ended_counts_and_is_cut_off(
    serve: Serve, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_OPEN", MOST)
    monkeypatch.setattr(http, "HEAD_SECONDS", 2)
    web_config = tmp_path / "web.yml"
    web_config.write_text(tls(certificates))
    server = serve(web_config=web_config)
    with ExitStack() as open_ones:
        several = [open_ones.enter_context(connect(server)) for _ in range(2 * MOST)]
        # the first bytes of a record with a ClientHello in it (RFC 8446 section 5.1)
        several[0].sendall(b"\x16\x03\x01\x02\x00\x01")
        assert all(is_closed(one) for one in several[MOST:])
        assert all(is_closed(one) for one in several[:MOST])
