"""Owners of real connections of real processes; and a /proc made by hand where the real one cannot be."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from monitor.address_text import to_packed
from monitor.identity.owners import Owners
from monitor.identity.processes import Owner, Process, Processes

from . import namespaces

LOOPBACK = to_packed(ip_address("127.0.0.1"))
is_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

# connects to ADDRESS PORT with FAMILY and TYPE, says its own port, waits for a line
CLIENT = """
import socket, sys
s = socket.socket(int(sys.argv[3]), int(sys.argv[4]))
s.connect((sys.argv[1], int(sys.argv[2])))
print(s.getsockname()[1], flush=True)
sys.stdin.readline()
"""


@contextmanager
def client(address: str, port: int, kind: int, *before: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that holds a connection; `before` starts it (``ip netns exec NAME``)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    arguments = [address, str(port), str(int(family)), str(int(kind))]
    process = subprocess.Popen(
        [*before, sys.executable, "-I", "-c", CLIENT, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.stdin.close()


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_the_owner_of_a_connection_and_of_its_other_end(address: str, kind: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            server.listen()
        with client(address, port, kind) as (process, own_port):
            owners = Owners()
            owners.look()
            packed, protocol = to_packed(ip_address(address)), 6 if kind == socket.SOCK_STREAM else 17
            found = owners.find(protocol, packed, own_port, packed, port)
            assert found is not None
            assert found.process == comm(process.pid)
            assert owners.is_ours(packed)
            assert not owners.is_ours(to_packed(ip_address("192.0.2.1")))
            other = owners.find(protocol, packed, port, packed, own_port)
            if kind == socket.SOCK_DGRAM:  # not connected, and found by its own end
                assert other is not None
                assert other.process == comm(os.getpid())
            else:  # not accepted yet: nobody has it open
                assert other is None
            owners.stop()


def test_it_is_remembered_after_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        owners = Owners()
        with client("127.0.0.1", port, socket.SOCK_STREAM) as (_, own_port):
            owners.look()
        owners.look()
        assert owners.find(6, LOOPBACK, own_port, LOOPBACK, port) is not None
        owners.stop()


@is_root
def test_a_connection_in_another_network_namespace() -> None:
    with ExitStack() as stack:
        spaces = stack.enter_context(namespaces.joined("owner"))
        before = ("ip", "netns", "exec", spaces.backend)
        datagram = client(namespaces.CLOUD_ADDRESS, 9, socket.SOCK_DGRAM, *before)
        process, port = stack.enter_context(datagram)
        owners = Owners()
        here = os.stat("/proc/thread-self/ns/net").st_ino
        owners.look()
        assert os.stat("/proc/thread-self/ns/net").st_ino == here
        local, remote = (
            to_packed(ip_address(text)) for text in (namespaces.HOST_ADDRESS, namespaces.CLOUD_ADDRESS)
        )
        found = owners.find(17, local, port, remote, 9)
        assert found is not None
        assert found.process == comm(process.pid)
        assert owners.trouble is None
        owners.stop()


@is_root
def test_the_control_group_of_a_real_process() -> None:
    """A process in a group that is named like a container's."""
    container = "ab" * 32
    root = next((Path(path) for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids")
                 if (Path(path) / "cgroup.procs").exists()), None)  # fmt: skip
    if root is None:
        pytest.skip("no hierarchy of control groups is mounted")
    group = root / f"docker-{container}.scope"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        try:
            with client("127.0.0.1", port, socket.SOCK_STREAM) as (process, own_port):
                (group / "cgroup.procs").write_text(str(process.pid))
                owners = Owners()
                owners.look()
                found = owners.find(6, LOOPBACK, own_port, LOOPBACK, port)
                owners.stop()
        finally:
            group.rmdir()
    assert found is not None
    assert found.container == container


def test_the_thread_looks_again_and_again() -> None:
    owners = Owners()
    owners.start()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with client("127.0.0.1", port, socket.SOCK_STREAM) as (_, own_port):
                deadline = time.monotonic() + 10
                while owners.find(6, LOOPBACK, own_port, LOOPBACK, port) is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
    finally:
        owners.stop()


def lay_process(
    proc: Path, pid: int, *, started: int, name: bytes = b"api", sockets: tuple[int, ...] = ()
) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True, exist_ok=True)
    # proc(5): the 20th field behind the name is the start
    fields = [b"S", *[b"0"] * 18, str(started).encode(), b"0"]
    (folder / "stat").write_bytes(b"%d (%b) %b\n" % (pid, name, b" ".join(fields)))
    (folder / "comm").write_bytes(name + b"\n")
    (folder / "cgroup").write_bytes(b"0::/system.slice/" + name + b".service\n")
    for number, inode in enumerate(sockets):
        (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def test_a_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    lay_process(tmp_path, 7, started=100)
    first = processes.process(7)
    assert first == Process(7, 100)
    assert processes.owner(first) == Owner("api", "api.service")
    lay_process(tmp_path, 7, started=200, name=b"curl")
    assert processes.owner(Process(7, 200)) == Owner("curl", "curl.service")
    assert processes.owner(first) == Owner("api", "api.service")  # as it was
    assert processes.owner(Process(7, 150)) is None  # it ended before it was looked at


def test_of_two_holders_the_one_that_began_first(tmp_path: Path) -> None:
    lay_process(tmp_path, 9, started=100, sockets=(1, 2))
    lay_process(tmp_path, 8, started=200, sockets=(2, 3))
    processes = Processes(tmp_path)
    found = processes.holders(list(processes.all()), {2, 3, 4})
    assert found == {2: Process(9, 100), 3: Process(8, 200)}


def test_a_name_is_escaped_and_cannot_pretend_to_be_other_fields(tmp_path: Path) -> None:
    lay_process(tmp_path, 7, started=100, name=b"a) S 1 2 \x1b[2J\xff")
    processes = Processes(tmp_path)
    assert processes.process(7) == Process(7, 100)
    owner = processes.owner(Process(7, 100))
    assert owner is not None
    assert owner.process is not None
    assert owner.process.isprintable()
    assert owner.process.startswith("a) S 1 2 ")
