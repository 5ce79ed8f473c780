"""Lines to a syslog server: RFC 5424 messages, over UDP (RFC 5426), TCP (RFC 6587) or a UNIX socket."""

import errno
import os
import re
import socket
from typing import Any

from monitor.publish.json_text import to_json_text
from monitor.publish.post import SECONDS, DeliveryError, RefusedError

MAX_DATAGRAM = 8192  # bytes; RFC 5426 section 3.2: larger ones may be lost
SEVERITIES = {"info": 6, "warning": 4, "critical": 2}  # RFC 5424 section 6.2.1
_APPLICATION = "egress-monitor"


def message(text: str, *, time: str, facility: int, severity: str, kind: str) -> bytes:
    """Give one message (RFC 5424 section 6) whose content is ASCII `text`.

    `time` is RFC 3339 with nanoseconds; RFC 5424 has microseconds at most.
    """
    priority = 8 * facility + SEVERITIES[severity]
    host = re.sub(r"[^\x21-\x7e]", "", socket.gethostname())[:255] or "-"
    stamp = re.sub(r"(\.\d{6})\d*Z$", r"\1Z", time)
    head = f"<{priority}>1 {stamp} {host} {_APPLICATION} {os.getpid()} {kind} - "
    return head.encode("ascii") + text.encode("ascii")


class SyslogSender:
    """Sends to ``udp://HOST:PORT``, ``tcp://HOST:PORT`` or ``unix:/PATH``; connects when there is a line."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._scheme, _, rest = address.partition(":")
        self._place = rest.removeprefix("//")
        self._socket: socket.socket | None = None

    def send(self, line: bytes) -> None:
        """Send one message; raises DeliveryError, and connects anew the next time."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            if self._scheme == "tcp":
                self._notice_end(self._socket)
                # octet counting (RFC 6587 section 3.4.1): a message may hold anything
                self._socket.sendall(b"%d %s" % (len(line), line))
            else:
                self._socket.send(line)
        except OSError as error:
            self.close()
            # larger than the way there takes: it would be so for ever
            kind = RefusedError if error.errno == errno.EMSGSIZE else DeliveryError
            raise kind(f"{self.address}: {error.strerror or error}") from None
        except UnicodeError:  # of the resolver
            raise DeliveryError(f"{self.address}: not the name of a host") from None

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()

    def _connect(self) -> socket.socket:
        if self._scheme == "unix":
            return _connected(socket.AF_UNIX, socket.SOCK_DGRAM, self._place)
        host, _, port = self._place.rpartition(":")
        host = host.strip("[]")
        kind = socket.SOCK_STREAM if self._scheme == "tcp" else socket.SOCK_DGRAM
        failure = OSError(f"{host} has no address")
        for family, _, _, _, where in socket.getaddrinfo(host, int(port), type=kind):
            try:
                return _connected(family, kind, where)
            except OSError as error:
                failure = error
        raise failure

    @staticmethod
    def _notice_end(connected: socket.socket) -> None:
        """Raise where the server has closed: the first write after that would still succeed and be lost."""
        connected.setblocking(False)
        try:
            if connected.recv(1) == b"":
                raise ConnectionResetError("the server closed the connection")
        except BlockingIOError:
            pass
        finally:
            connected.settimeout(SECONDS)


def _connected(family: int, kind: socket.SocketKind, where: Any) -> socket.socket:
    connected = socket.socket(family, kind)
    connected.settimeout(SECONDS)
    try:
        connected.connect(where)
    except OSError:
        connected.close()
        raise
    return connected


def shortened(event: dict[str, object], longest: int) -> str:
    """Give an event as JSON text of at most this many bytes where leaving out its lists can do that."""
    text = to_json_text(event)
    for name in ("related", "egress_monitor", "evidences", "unmapped"):
        if len(text) <= longest:
            break
        event = {key: value for key, value in event.items() if key != name}
        text = to_json_text(event)
    return text
