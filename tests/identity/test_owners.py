"""Whose a connection is where several could be meant: a port used again, namespaces that are alike."""

import time
from collections.abc import Collection, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from monitor.address_text import to_packed
from monitor.identity import owners as module
from monitor.identity.owners import Owners
from monitor.identity.processes import Owner, Process, Processes
from monitor.identity.sockets import Socket

TCP, UDP = 6, 17
OURS, THEIRS, LOOPBACK, ANY = (
    to_packed(ip_address(text)) for text in ("10.0.0.1", "192.0.2.1", "127.0.0.1", "0.0.0.0")
)
OWN, CONTAINER, OTHER = 1, 2, 3  # numbers of namespaces
HOST, WEB, TOOL = Process(10, 1), Process(20, 1), Process(30, 1)
NAMES = {HOST: Owner("host"), WEB: Owner("web"), TOOL: Owner("tool")}


class Machine(Processes):
    """Processes in namespaces, and the sockets of each."""

    def __init__(self) -> None:
        super().__init__()
        self.where = {HOST: OWN, WEB: CONTAINER, TOOL: OTHER}
        self.sockets: dict[int, list[Socket]] = {}
        self.held: dict[int, Process] = {}
        self.silent: set[int] = set()  # namespaces whose diagnostics fail
        self.ended: set[Process] = set()

    def hold(self, process: Process, *sockets: Socket) -> None:
        self.sockets[self.where[process]] = list(sockets)
        self.held |= {one.inode: process for one in sockets}

    def all(self) -> Iterator[Process]:
        return iter(self.where)

    def own_namespace(self) -> int:
        return OWN

    def namespace(self, process: Process) -> tuple[int, str] | None:
        return self.where[process], f"/{self.where[process]}"

    def holders(self, processes: Collection[Process], inodes: set[int]) -> dict[int, Process]:
        return {inode: self.held[inode] for inode in inodes}

    def owner(self, process: Process) -> Owner | None:
        return None if process in self.ended else NAMES[process]


class Diagnostics:
    def __init__(self, path: str | None) -> None:
        self.number = OWN if path is None else int(path[1:])

    def close(self) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()

    def sockets(diagnostics: Any) -> Iterator[Socket]:
        if diagnostics.number in made.silent:
            raise OSError("no answer")
        return iter(made.sockets.get(diagnostics.number, []))

    monkeypatch.setattr(module, "open_diagnostics", Diagnostics)
    monkeypatch.setattr(module, "sockets", sockets)
    monkeypatch.setattr(module, "interface_addresses", lambda: [OURS, LOOPBACK])
    return made


def now() -> int:
    return time.time_ns()


def test_a_connection_that_began_when_the_socket_was_gone_is_anothers(machine: Machine) -> None:
    owners = Owners(machine)
    machine.hold(HOST, Socket(UDP, ANY, 40000, bytes(16), 0, 7), Socket(TCP, OURS, 50000, THEIRS, 443, 8))
    owners.look()
    before = now()
    machine.hold(HOST)
    owners.look()
    for protocol, port, remote_port in ((UDP, 40000, 53), (TCP, 50000, 443)):
        end = (protocol, OURS, port, THEIRS, remote_port)
        assert owners.find(*end, before) == NAMES[HOST], "its rows come when it is over"
        assert owners.find(*end, now() + 10**9) is None
    # the same port of the next process
    machine.where[TOOL] = OWN
    machine.hold(TOOL, Socket(UDP, ANY, 40000, bytes(16), 0, 9))
    owners.look()
    assert owners.find(UDP, OURS, 40000, THEIRS, 53, now()) == NAMES[TOOL]


def test_our_own_namespace_comes_before_others_with_the_same_addresses(machine: Machine) -> None:
    """All namespaces have 127.0.0.1, and those of containers often one network; we capture in ours."""
    same = (TCP, LOOPBACK, 50000, LOOPBACK, 6379)
    machine.hold(HOST, Socket(*same, 7))
    machine.hold(WEB, Socket(*same, 8))
    owners = Owners(machine)
    owners.look()
    assert owners.find(*same, now()) == NAMES[HOST]
    # ours is looked at last where it had to be opened again
    machine.silent = {OWN}
    owners.look()
    machine.silent = set()
    owners.look()
    assert owners.find(*same, now()) == NAMES[HOST]


def test_what_two_other_namespaces_have_alike_is_nobodys(machine: Machine) -> None:
    same = (TCP, OURS, 50000, THEIRS, 443)
    machine.hold(WEB, Socket(*same, 7))
    owners = Owners(machine)
    owners.look()
    assert owners.find(*same, now()) == NAMES[WEB]
    machine.hold(TOOL, Socket(*same, 8))
    owners.look()
    assert owners.find(*same, now()) is None


def test_a_socket_for_all_addresses_has_those_of_this_host(machine: Machine) -> None:
    """A mirror, or a bridge of containers, shows other hosts that use the same well-known port."""
    machine.hold(HOST, Socket(UDP, ANY, 123, bytes(16), 0, 7))
    owners = Owners(machine)
    owners.look()
    assert owners.find(UDP, OURS, 123, THEIRS, 123) == NAMES[HOST]
    assert owners.find(UDP, to_packed(ip_address("10.9.9.9")), 123, THEIRS, 123) is None


def test_a_socket_whose_first_holder_ended_at_once_is_asked_for_again(machine: Machine) -> None:
    """A server that forks: the parent opens the socket and ends, the child goes on with it."""
    owners = Owners(machine)
    machine.hold(HOST, Socket(TCP, OURS, 50000, THEIRS, 443, 7))
    machine.ended.add(HOST)
    owners.look()
    machine.held[7] = TOOL
    owners.look()
    assert owners.find(TCP, OURS, 50000, THEIRS, 443) == NAMES[TOOL]
