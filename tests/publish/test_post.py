"""What a web address may do with a request: drip, talk for ever, hold the answer back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitor.config_delivery import HttpTarget
from monitor.publish import post as module
from monitor.publish.post import DeliveryError, post


@contextmanager
def answering(*pieces: bytes, then: bytes) -> Iterator[str]:
    """Serve one request with these pieces, and then with one more every few milliseconds, for ten seconds."""
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                    for _ in range(1000):
                        if gone.wait(0.01):
                            return
                        connection.sendall(then)
                except OSError:
                    pass

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/in"
        finally:
            gone.set()
            server.join(20)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 2", b"0"),  # a status that never ends
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),  # any number may come before (RFC 9110 section 15.2)
    ],
)
def test_an_answer_that_never_comes_to_its_end_is_none(
    first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_ALL", 0.3)
    with answering(first, then=then) as url, pytest.raises(DeliveryError, match="no answer in time"):
        post(url, HttpTarget(), b"{}", "application/json")


@pytest.mark.parametrize("length", [b"Content-Length: 50000", b"Transfer-Encoding: chunked", b"X: y"])
def test_a_body_that_drips_does_not_unsay_what_the_head_said(
    length: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_ALL", 0.3)
    head = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n"
    with answering(head, then=b"1\r\n") as url:
        post(url, HttpTarget(), b"{}", "application/json")


@pytest.mark.parametrize(
    "answer", [b"", b"\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 " + b"x" * 70_000, b"HTTP/1.1 999999 x\r\n\r\n",
               b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"\xff\xfe\x00\n"],
)  # fmt: skip
def test_what_is_no_http_is_a_failure_in_one_line(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        with pytest.raises(DeliveryError) as caught:
            post(f"http://127.0.0.1:{listener.getsockname()[1]}/in", HttpTarget(), b"{}", "application/json")
        server.join(10)
    assert "\n" not in str(caught.value)
