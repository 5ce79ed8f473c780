"""Posts a body to a web address of the user's: TLS verified, bounded in time and size, no redirects."""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from monitor.config_delivery import HttpTarget

SECONDS = 10.0  # for connecting, and for each step after it
IN_ALL = 30.0  # seconds from the request to the end of the answer, in however many steps that comes
_MAX_ANSWER = 64 * 1024
# statuses that tell of the receiver, its door or the way there, and not of what was sent
_AWAY = frozenset({401, 404, 407, 408, 425, 429, 502, 503, 504})


class DeliveryError(OSError):
    """Why something did not arrive: one line that holds no secret."""


class RefusedError(DeliveryError):
    """The receiver is there and does not take this one: the next may well be taken."""


def post(url: str, target: HttpTarget, body: bytes, content_type: str) -> None:
    """Post `body`; raises DeliveryError unless the answer is a 2xx, RefusedError where it is about `body`.

    Certificates and passwords are read from their files each time, so that they can be exchanged.
    """
    parts = urlsplit(url)
    headers = {"Content-Type": content_type, "User-Agent": "egress-monitor"}
    where = f"{parts.scheme}://{parts.netloc}"
    try:
        if target.username is not None and target.password_file is not None:
            credentials = f"{target.username}:{_secret(target.password_file)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        elif target.bearer_token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(target.bearer_token_file)}"
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, target)
    except (OSError, ValueError) as error:
        raise DeliveryError(f"{where}: {_reason(error)}") from None
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.connect()
        with _cut_off_late(connection.sock):
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                answer.read(_MAX_ANSWER)  # so that it was not sent in vain; what counts has come
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a token is not Latin-1
        raise DeliveryError(f"{where}: {_reason(error)}") from None
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return
    is_about_body = answer.status >= 400 and answer.status not in _AWAY
    raise (RefusedError if is_about_body else DeliveryError)(f"{where}: answers {answer.status}")


@contextlib.contextmanager
def _cut_off_late(connected: socket.socket) -> Iterator[None]:
    """Raise TimeoutError where what is within takes longer than `IN_ALL`: bytes may come one by one."""
    is_late = threading.Event()

    def cut_off() -> None:
        is_late.set()
        with contextlib.suppress(OSError):
            # past TLS, whose own way would change what the other thread reads from
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(IN_ALL, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if is_late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def _connection(
    scheme: str, host: str, port: int | None, target: HttpTarget
) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=SECONDS)
    context = ssl.create_default_context(cafile=None if target.ca_file is None else str(target.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if target.cert_file is not None:
        context.load_cert_chain(target.cert_file, target.key_file, password=_no_passphrase)
    return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)


def _no_passphrase() -> str:
    raise DeliveryError("key_file: has a passphrase; a daemon needs a key without one")


def _secret(path: Path) -> str:
    text = path.read_text("utf-8").strip()
    if "\n" in text or "\r" in text:
        raise DeliveryError(f"{path}: holds more than one line")
    return text


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror or error}"
    if isinstance(error, UnicodeError):  # its own text may hold a part of the secret
        return "the file of the password or token holds a sign that HTTP cannot carry"
    return type(error).__name__
