"""A server under test, and what a client does with it."""

import socket
from collections.abc import Callable
from typing import Any

import httpx

from monitor.publish.http import HttpServer

HOSTILE = "<script>alert('x')</script>\"\n\x1b[31m\u202e" + "n" * 10_000

Serve = Callable[..., HttpServer]


def get(server: HttpServer, path: str, **options: Any) -> httpx.Response:
    return httpx.get(f"http://{server.address}{path}", timeout=5, **options)


def exchange(server: HttpServer, request: bytes) -> bytes:
    """Send raw bytes and read until the server closes."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer
