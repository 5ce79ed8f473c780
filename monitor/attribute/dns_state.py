"""Passive DNS on disk, so that a restart does not forget which names the open connections go to.

The file is one line with the format and a checksum, then JSON lines. It is written aside and renamed,
so that a crash leaves the old one.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from operator import methodcaller
from pathlib import Path

from monitor import state_file
from monitor._hotpath import DnsMemory as Memory
from monitor.attribute.dns_memory import DnsMemory

_FORMAT = "egress-monitor-passive-dns-1"
_LONGEST_FILE = 2**30
_ADDRESS, _DIGEST = 16, 12  # bytes
_SHARED_ONLY = b"s"  # ends the key of what a resolver of ours was told by one that is not listed


def save(path: Path, memory: DnsMemory) -> None:
    """Write the file; raises OSError where that cannot be done, and the old file stays."""
    body = "".join(f"{line}\n" for line in _lines(memory)).encode()
    state_file.write(path, f"{_FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode(), body)


def load(path: Path, memory: DnsMemory) -> str | None:
    """Read the file into an empty memory.

    Returns:
        One line for people where there is a file and it cannot be used; the memory is then as it was. None
        where all is well or there is no file yet.
    """
    try:
        if path.stat().st_size > _LONGEST_FILE:
            return f"{path}: too large for passive DNS; it starts empty"
        head, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: {error.strerror or error}; passive DNS starts empty"
    if head.decode("ascii", "replace").split(" ") != [_FORMAT, hashlib.sha256(body).hexdigest()]:
        return f"{path}: damaged, or of another version; passive DNS starts empty"
    try:
        calls = [call for line in body.splitlines() for call in _calls(line)]
    except (ValueError, TypeError, RecursionError):
        return f"{path}: a line is not as expected; passive DNS starts empty"
    for call in calls:
        call(memory.kept)
    return None


def _calls(line: bytes) -> Iterator[Callable[[Memory], object]]:
    """Give what puts a line back; raises ValueError or TypeError where it is not as `_lines` writes it."""
    kind, written, *content = json.loads(line)
    key = bytes.fromhex(written)
    if kind == "name":
        yield methodcaller("restore_asked", _long(key, _DIGEST))
        return
    client, (content,) = _long(key[:_ADDRESS], _ADDRESS), content
    if kind == "asks":
        for resolver in sorted({_long(bytes.fromhex(resolver), _ADDRESS) for resolver in content}):
            yield methodcaller("ask", client, resolver)
        return
    if kind == "habit":
        day, *counts = map(_whole, content)
        named, asked, named_before, asked_before = map(abs, counts)
        yield methodcaller("restore_habit", client, (day, named, asked, named_before, asked_before))
        return
    address = _long(key[_ADDRESS : 2 * _ADDRESS], _ADDRESS)
    shared_only = _shared_only(key[2 * _ADDRESS :])
    runs = [
        (_whole(since), _whole(last), _whole(expires), [_text(name) for name in chain])
        for since, last, expires, chain in content
    ]
    yield methodcaller("restore_told", client, address, shared_only, runs)


def _lines(memory: DnsMemory) -> Iterator[str]:
    for client, address, shared_only, runs in memory.kept.told():
        yield json.dumps(["told", (client + address).hex() + _SHARED_ONLY.hex() * shared_only, runs])
    for client, resolvers in memory.kept.clients():
        yield json.dumps(["asks", client.hex(), [resolver.hex() for resolver in resolvers]])
    for digest in memory.kept.asked():
        yield json.dumps(["name", digest.hex()])
    for client, habit in memory.kept.habits():
        yield json.dumps(["habit", client.hex(), habit])


def _shared_only(end: bytes) -> bool:
    if end not in {b"", _SHARED_ONLY}:
        raise ValueError(end)
    return end == _SHARED_ONLY


def _text(name: object) -> str:
    """Give text as UTF-8 has it; JSON can write halves of characters."""
    return str(name).encode().decode()


def _long(read: bytes, length: int) -> bytes:
    if len(read) != length:
        raise ValueError(read)
    return read


def _whole(number: object) -> int:
    """Give a number of 64 bits."""
    if not isinstance(number, int) or not -(2**63) <= number < 2**63:
        raise ValueError(number)
    return number
