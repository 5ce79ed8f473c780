"""Passive DNS on disk, so that a restart does not forget which names the open connections go to.

The file is one line with the format and a checksum, then JSON lines. It is written aside and renamed,
so that a crash leaves the old one. Names stand in it once for all addresses that they lead to; in its first
format they stood beside each address, and such a file is read too.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

from monitor import state_file
from monitor._hotpath import DnsMemory as Memory
from monitor.attribute.dns_memory import DnsMemory

_FORMAT = "egress-monitor-passive-dns-2"
_FORMATS = (_FORMAT, "egress-monitor-passive-dns-1")
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
    written = head.decode("ascii", "replace").split(" ")
    if written not in [[form, hashlib.sha256(body).hexdigest()] for form in _FORMATS]:
        return f"{path}: damaged, or of another version; passive DNS starts empty"
    reader = _Reader()
    try:
        calls = [call for line in body.splitlines() for call in reader.calls(line)]
    except (ValueError, TypeError, RecursionError):
        return f"{path}: a line is not as expected; passive DNS starts empty"
    for call in calls:
        call(memory.kept)
    memory.kept.restored()
    return None


class _Reader:
    """Reads lines in their order."""

    def __init__(self) -> None:
        self._chains = 0  # so far

    def calls(self, line: bytes) -> Iterator[Callable[[Memory], object]]:
        """Give what puts a line back; raises ValueError or TypeError where it is not as `_lines` has it."""
        kind, written, *content = json.loads(line)
        if kind == "chain":
            yield self._chain(written)
        elif kind == "told":
            key, (runs,) = bytes.fromhex(written), content
            client, address = _long(key[:_ADDRESS], _ADDRESS), _long(key[_ADDRESS : 2 * _ADDRESS], _ADDRESS)
            shared_only, told = _shared_only(key[2 * _ADDRESS :]), []
            for since, last, expires, chain in runs:
                if isinstance(chain, list):  # the first format
                    yield self._chain(chain)
                number = self._chains - 1 if isinstance(chain, list) else _whole(chain)
                if not 0 <= number < self._chains:
                    raise ValueError(chain)
                told.append((_whole(since), _whole(last), _whole(expires), number))
            yield methodcaller("restore_told", client, address, shared_only, told)
        else:
            yield from _calls(kind, bytes.fromhex(written), content)

    def _chain(self, names: object) -> Callable[[Memory], object]:
        if not isinstance(names, list):
            raise TypeError(names)
        self._chains += 1
        return methodcaller("restore_chain", [_text(name) for name in names])


def _calls(kind: object, key: bytes, content: list[Any]) -> Iterator[Callable[[Memory], object]]:
    """Give what puts back a line that is about no answer."""
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
    raise ValueError(kind)


def _lines(memory: DnsMemory) -> Iterator[str]:
    chains, told = memory.kept.told()
    for chain in chains:
        yield json.dumps(["chain", chain])
    for client, address, shared_only, runs in told:
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
