"""Processes, as ``/proc`` shows them (proc(5)): who they are, which sockets they hold.

A number of a process is used again after its end, so a process is a number and the moment of its start.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from monitor.attribute.bounded import BoundedCache
from monitor.identity import cgroup
from monitor.terminal import visible

PROC = Path("/proc")
KNOWN = 2**15  # processes, about 500 bytes each
LONGEST = 4096  # bytes read of a file there
SHOWN = 256  # characters of a name


class Process(NamedTuple):
    """One process."""

    pid: int
    started: int  # clock ticks since the boot


class Owner(NamedTuple):
    """Who owns a connection; text is escaped, and None where not known."""

    process: str | None = None
    unit: str | None = None
    container: str | None = None
    pod: str | None = None


class Processes:
    """What is known of them, remembered."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._owners: BoundedCache[Process, Owner] = BoundedCache(KNOWN)

    def all(self) -> Iterator[Process]:
        """Give those that run now."""
        for name in os.listdir(self._proc):
            if name.isdigit():
                process = self.process(int(name))
                if process is not None:
                    yield process

    def process(self, pid: int) -> Process | None:
        """Give the process that has a number now, None where there is none."""
        stat = self._read(pid, "stat")
        # the name in it, in brackets, may hold anything
        fields = stat.rpartition(b")")[2].split()
        return Process(pid, int(fields[19])) if len(fields) > 19 else None

    def namespace(self, process: Process) -> tuple[int, str] | None:
        """Give number and path of its network namespace, None where that may not be seen."""
        path = self._proc / str(process.pid) / "ns" / "net"
        try:
            return os.stat(path).st_ino, str(path)
        except OSError:
            return None

    def own_namespace(self) -> int:
        """Give the number of our own network namespace."""
        return os.stat(self._proc / "self" / "ns" / "net").st_ino

    def holders(self, processes: Collection[Process], inodes: set[int]) -> dict[int, Process]:
        """Find who holds these sockets; of several the one that began first, which opened it."""
        found: dict[int, Process] = {}
        for process in sorted(processes, key=lambda one: one.started):
            for inode in self._sockets(process.pid) & inodes:
                found.setdefault(inode, process)
        return found

    def owner(self, process: Process) -> Owner | None:
        """Say who a process is; None where it has ended, though its number may be another's now."""
        known = self._owners.get(process)
        if known is not None:
            return known
        name = self._read(process.pid, "comm").rstrip(b"\n").decode("utf-8", "backslashreplace")
        place = cgroup.parse(self._read(process.pid, "cgroup").decode("utf-8", "backslashreplace"))
        if not name or self.process(process.pid) != process:
            return None
        owner = Owner(*(None if text is None else visible(text, SHOWN) for text in (name, *place)))
        self._owners.put(process, owner)
        return owner

    def _sockets(self, pid: int) -> set[int]:
        folder = f"{self._proc}/{pid}/fd"
        found = set()
        try:
            for name in os.listdir(folder):
                target = os.readlink(f"{folder}/{name}")
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
        except OSError:  # it has ended, closed something meanwhile, or is another user's
            return found
        return found

    def _read(self, pid: int, name: str) -> bytes:
        try:
            with open(f"{self._proc}/{pid}/{name}", "rb") as file:
                return file.read(LONGEST)
        except OSError:
            return b""
