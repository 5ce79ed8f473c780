"""Passive DNS on disk, so that a restart does not forget which names the open connections go to.

The file is one line with the format and a checksum, then JSON lines. It is written aside and renamed,
so that a crash leaves the old one.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from monitor import state_file
from monitor.attribute.name_habit import Habit, NameHabits
from monitor.attribute.passive_dns import PassiveDns, Run
from monitor.attribute.questions import AskedNames

_FORMAT = "egress-monitor-passive-dns-1"
_LONGEST_FILE = 2**30


def save(path: Path, passive_dns: PassiveDns, asked: AskedNames, habits: NameHabits) -> None:
    """Write the file; raises OSError where that cannot be done, and the old file stays."""
    body = "".join(f"{line}\n" for line in _lines(passive_dns, asked, habits)).encode()
    state_file.write(path, f"{_FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode(), body)


def load(path: Path, passive_dns: PassiveDns, asked: AskedNames, habits: NameHabits) -> str | None:
    """Read the file into empty memories.

    Returns:
        One line for people where there is a file and it cannot be used; the memories are then as they
        were. None where all is well or there is no file yet.
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
        records = [_record(line) for line in body.splitlines()]
    except (ValueError, TypeError):
        return f"{path}: a line is not as expected; passive DNS starts empty"
    for record in records:
        if isinstance(record, bytes):
            asked.restore(record)
            continue
        key, content = record
        if isinstance(content, frozenset):
            for resolver in sorted(content):
                passive_dns.ask(key, resolver)
        elif isinstance(content, Habit):
            habits.restore(key, content)
        else:
            passive_dns.restore(key, content)
    return None


def _record(line: bytes) -> bytes | tuple[bytes, tuple[Run, ...] | frozenset[bytes] | Habit]:
    """Read one line; raises ValueError or TypeError where it is not as `_lines` writes it."""
    kind, key, *content = json.loads(line)
    if kind == "name":
        return bytes.fromhex(key)
    if kind == "asks":
        return bytes.fromhex(key), frozenset(bytes.fromhex(resolver) for resolver in content[0])
    if kind == "habit":
        return bytes.fromhex(key), Habit(*map(int, content[0]))
    runs = [
        Run(int(since), int(last), int(expires), tuple(map(str, chain)))
        for since, last, expires, chain in content[0]
    ]
    return bytes.fromhex(key), tuple(runs)


def _lines(passive_dns: PassiveDns, asked: AskedNames, habits: NameHabits) -> Iterator[str]:
    for key, runs in passive_dns.entries():
        yield json.dumps(["told", key.hex(), runs])
    for client, resolvers in passive_dns.clients():
        yield json.dumps(["asks", client.hex(), [resolver.hex() for resolver in resolvers]])
    for digest in asked.digests():
        yield json.dumps(["name", digest.hex()])
    for client, habit in habits.items():
        yield json.dumps(["habit", client.hex(), habit])
