"""A thread that looks at the sockets of this host again and again, and remembers whose each connection is."""

import socket
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from monitor._hotpath import CaptureError, interface_addresses
from monitor.identity.processes import Owner, Process, Processes
from monitor.identity.sockets import Socket, open_diagnostics, sockets

SHORTEST_WAIT = 0.2  # seconds between two looks
LARGEST_SHARE = 0.1  # of a CPU, that looking may take
KEPT = 60.0  # seconds that a connection is remembered after it was seen last
CONNECTIONS = 2**18  # about 400 bytes each
NAMESPACES = 512

UDP = 17
NO_ADDRESS = frozenset({bytes(16), bytes(10) + b"\xff\xff" + bytes(4)})
Key = tuple[int, bytes, int, bytes, int]  # protocol, local address and port, remote address and port


class _Found(NamedTuple):
    owner: Owner
    last: float  # when it was seen last, by the clock that never goes back
    gone: int | None = None  # when it was first missed, by the clock of packets; None: it is there


class Owners:
    """Whose connections are. `find` is for another thread, and never waits.

    Sockets are looked for in each network namespace that a process is in, which needs the right to enter
    it (CAP_SYS_ADMIN); whose they are, in the ``/proc`` of each process (CAP_SYS_PTRACE).
    """

    def __init__(self, processes: Processes | None = None) -> None:
        self.full = 0  # connections that were left out because of the bound
        self.trouble: str | None = None  # one line for people: why something is not seen
        self._processes = processes or Processes()
        self._found: dict[Key, _Found] = {}
        self._local: set[bytes] = set()
        self._own: frozenset[bytes] = frozenset()  # addresses of our own namespace
        # as the clock of packets does (flowcore/src/source/ring.rs)
        self._boot_to_event = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._holders: dict[int, Process] = {}  # by inode, of the sockets of the last look
        self._diagnostics: dict[int, socket.socket] = {}  # by number of the namespace
        self._closed: set[int] = set()  # namespaces that may not be entered
        self._thread: threading.Thread | None = None
        self._end = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="identity", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        for diagnostics in self._diagnostics.values():
            diagnostics.close()
        self._diagnostics.clear()

    def find(
        self, protocol: int, local: bytes, local_port: int, remote: bytes, remote_port: int, began: int = 0
    ) -> Owner | None:
        """Give the owner of a connection, None where none was seen; addresses are 16 bytes.

        `began`: when, in nanoseconds of packets since 1970. What began after a socket was gone was another's.
        """
        keys: list[Key] = [(protocol, local, local_port, remote, remote_port)]
        if protocol == UDP:
            # a socket that is not connected is known by its own end alone
            keys.append((UDP, local, local_port, b"", 0))
            if local in self._own:
                keys.append((UDP, b"", local_port, b"", 0))
        for key in keys:
            found = self._found.get(key)
            if found is not None and (found.gone is None or began <= found.gone):
                return found.owner
        return None

    def is_ours(self, address: bytes) -> bool:
        """Say whether any socket that was seen has this address (16 bytes)."""
        return address in self._local

    def look(self) -> None:
        """Look once at all sockets."""
        processes = list(self._processes.all())
        seen: list[tuple[Socket, bool]] = []
        for number, is_own in self._namespaces(processes).items():
            try:
                seen += [(one, is_own) for one in sockets(self._diagnostics[number]) if one.inode]
            except OSError as error:
                self._diagnostics.pop(number).close()
                self.trouble = f"socket diagnostics: {error.strerror or error}"
        inodes = {one.inode for one, _ in seen}
        holders = {inode: process for inode, process in self._holders.items() if inode in inodes}
        new = inodes - holders.keys()
        if new:
            holders |= self._processes.holders(processes, new)
        self._holders = holders
        self._own = self._own_addresses()
        self._remember(seen, time.monotonic())

    def _own_addresses(self) -> frozenset[bytes]:
        try:
            return frozenset(map(bytes, interface_addresses()))
        except CaptureError as error:
            self.trouble = str(error)
            return self._own

    def _remember(self, seen: Iterable[tuple[Socket, bool]], now: float) -> None:
        owners = {process: self._processes.owner(process) for process in set(self._holders.values())}
        # one that has ended before it could be asked: whoever holds the socket now is looked for next
        self._holders = {inode: process for inode, process in self._holders.items() if owners[process]}
        local = set()
        there: dict[Key, tuple[Owner | None, bool]] = {}
        for one, is_own in seen:
            local.add(one.local)
            process = self._holders.get(one.inode)
            owner = None if process is None else owners[process]
            key = _key(one, is_own)
            if owner is None or key is None:
                continue
            known, is_known_own = there.get(key, (owner, is_own))
            if is_own == is_known_own:
                # whose of two it is cannot be told
                there[key] = (owner if owner == known else None, is_own)
            elif is_own:
                # namespaces may have the same addresses, as all have loopback; ours is where we capture
                there[key] = (owner, is_own)
        for key, (owner, _) in there.items():
            if owner is None:
                self._found.pop(key, None)
            elif key in self._found or len(self._found) < CONNECTIONS:
                self._found[key] = _Found(owner, now)
            else:
                self.full += 1
        self._local = local | {key[1] for key in self._found}
        # another thread reads it, so what is gone goes one by one and not by a new dict
        moment = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self._boot_to_event
        for key, found in list(self._found.items()):
            if now - found.last > KEPT:
                del self._found[key]
            elif key not in there and found.gone is None:
                self._found[key] = found._replace(gone=moment)

    def _namespaces(self, processes: Iterable[Process]) -> dict[int, bool]:
        """Open the namespaces that there are now, close those that are gone; say which is our own."""
        own = self._processes.own_namespace()
        there: dict[int, str | None] = {own: None}
        for process in processes:
            namespace = self._processes.namespace(process)
            if namespace is not None:
                there.setdefault(*namespace)
        for number in self._diagnostics.keys() - there.keys():
            self._diagnostics.pop(number).close()
        self._closed &= there.keys()
        for number, path in there.items():
            if number in self._diagnostics or number in self._closed or len(self._diagnostics) >= NAMESPACES:
                continue
            try:
                self._diagnostics[number] = open_diagnostics(path)
            except OSError as error:
                self._closed.add(number)
                self.trouble = f"sockets of another network namespace: {error.strerror or error}"
        return {number: number == own for number in self._diagnostics}

    def _run(self) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            try:
                self.look()
            except OSError as error:
                self.trouble = f"/proc: {error.strerror or error}"
            took = time.monotonic() - began
            self._end.wait(max(SHORTEST_WAIT, took * (1 / LARGEST_SHARE - 1)))


def _key(one: Socket, is_own: bool) -> Key | None:
    if one.remote_port:
        return one.protocol, one.local, one.local_port, one.remote, one.remote_port
    if one.protocol != UDP or not one.local_port:
        return None
    if one.local not in NO_ADDRESS:
        return UDP, one.local, one.local_port, b"", 0
    # all addresses of its namespace; which these are is known of our own only
    return (UDP, b"", one.local_port, b"", 0) if is_own else None
