"""The place where HTTP is served: ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` (all) or ``unix:/PATH``."""

import contextlib
import errno
import os
import re
import socket
import stat
from pathlib import Path

from monitor.errors import InputError

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]*)):(\d{1,5})")
_BACKLOG = 64


def bind(listen: str) -> socket.socket:
    """Bind and listen; raises InputError, in one line, where that cannot be done.

    Nothing is resolved: a host is an address or ``localhost``. A UNIX socket that nobody serves any more
    is replaced, and only its user and group may connect.
    """
    if listen.startswith("unix:"):
        return _bind_unix(Path(listen.removeprefix("unix:")))
    match = _HOST_PORT.fullmatch(listen)
    if match is None or int(match[3]) > 65535:
        raise InputError(f"listen: {listen!r} is not HOST:PORT, [IPV6]:PORT or unix:/PATH")
    host = match[1] or {"localhost": "127.0.0.1"}.get(match[2], match[2])
    everywhere = not host
    if everywhere:
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        try:
            socket.inet_pton(family, host)
        except OSError:
            raise InputError(f"listen: {match[2]!r} is not an address; names are not resolved") from None
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not everywhere)
        listener.bind((host, int(match[3])))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(f"listen: {_reason(listen, error)}") from error
    except InputError:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """Give what a client connects to, in the form of `bind`'s argument; port 0 has become a real one."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        os.chmod(path, 0o660)  # nobody can connect before listen()
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(f"listen: {_reason(f'unix:{path}', error)}") from error
    return listener


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "there is a file that is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # else it waits where one that hangs has not accepted for long (unix(7))
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except BlockingIOError:
                pass
            raise OSError(errno.EADDRINUSE, "in use")


def _reason(listen: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{listen} is already in use by another program; stop it or choose another address"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{listen}: no interface of this machine has this address"
    return f"{listen}: {error.strerror or error}"
