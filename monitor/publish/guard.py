"""What a request must be before anything answers it, and the headers that every answer carries."""

import ipaddress
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.publish.auth import BasicAuth

MAX_BODY_BYTES = 1024  # no endpoint reads a body
BURST_SECONDS = 4  # seconds' worth of requests that may come at once

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

STRICT_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class AllowedHosts:
    """The values of ``Host`` that are meant for this server; all others are refused.

    A page of an attacker can let its own name resolve to 127.0.0.1 and then read what the browser's
    user can reach (DNS rebinding); the name in ``Host`` gives it away. Where the server is bound to all
    addresses, any address is allowed, as an address cannot be rebound, and so is the machine's own name.
    A UNIX socket is out of reach for a browser, so any name is allowed there.
    """

    def __init__(self, listener: socket.socket, external_url: str | None) -> None:
        self._any_name = listener.family == socket.AF_UNIX
        self._any_address = False
        names = set(LOOPBACK)
        if not self._any_name:
            bound = ipaddress.ip_address(listener.getsockname()[0])
            names.add(str(bound))
            self._any_address = bound.is_unspecified
            if self._any_address:
                names.add(socket.gethostname().lower())
        if external_url is not None:
            names.add((urlsplit(external_url).hostname or "").lower())
        self._names = frozenset(names)

    def allows(self, authority: str) -> bool:
        """Say whether a ``host[:port]`` (RFC 9110 section 7.2) is meant for this server; any port is."""
        host = _host(authority)
        if host is None:
            return False
        if self._any_name or host in self._names:
            return True
        return self._any_address and _is_address(host)


def _host(authority: str) -> str | None:
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises where the port is not a number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None or not parts.hostname:
        return None
    host = parts.hostname.rstrip(".")
    return str(ipaddress.ip_address(host)) if _is_address(host) else host


def _authority(origin: str) -> str:
    """Give the ``host[:port]`` of an origin (RFC 6454 section 7.1), nothing where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Allowance:
    """So many requests a second, of all clients together; some more may come at once (a token bucket)."""

    def __init__(self, each_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each_second = each_second
        self._clock = clock
        self._left = float(each_second * BURST_SECONDS)
        self._at = clock()

    def take(self) -> bool:
        """Say whether one more may come now."""
        now = self._clock()
        most = float(self._each_second * BURST_SECONDS)
        self._left = min(most, self._left + (now - self._at) * self._each_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Guard:
    """ASGI middleware: refuses foreign hosts and origins, unknown users, floods and bodies; adds headers.

    The headers that the user's file sets win over the strict ones.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: AllowedHosts,
        auth: BasicAuth,
        extra_headers: dict[str, str],
        allowance: Allowance,
    ) -> None:
        self._allowance = allowance
        self._app = app
        self._hosts = hosts
        self._auth = auth
        self._headers = {**STRICT_HEADERS, **extra_headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        request_headers = Headers(scope=scope)
        # before the password: checking one costs the most
        refusal = (429, "Too many requests.") if not self._allowance.take() else None
        refusal = refusal or self._refusal(request_headers)
        if refusal is None and not await self._auth.passes(request_headers.get("authorization")):
            refusal = 401, "Name and password are needed."
        if refusal is None:
            await self._app(scope, receive, send_strictly)
            return
        status, text = refusal
        # an unread body would be taken for the next request
        response = PlainTextResponse(f"{text}\n", status, {"Connection": "close"})
        if status == 429:
            response.headers["Retry-After"] = "1"
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="egress-monitor", charset="UTF-8"'
        await response(scope, receive, send_strictly)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        if not self._hosts.allows(headers.get("host", "")):
            return 421, "This host name is not served here; if it should be, set external_url."
        origin = headers.get("origin")
        if origin is not None and not self._hosts.allows(_authority(origin)):
            return 403, "Requests from pages of other sites are refused."
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Requests from pages of other sites are refused."
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return 413, "No endpoint takes a body."
        return None
