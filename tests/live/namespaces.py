"""Two network namespaces joined by a veth pair, made by a test and removed after it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

HOST_ADDRESS = "10.77.0.1"
CLOUD_ADDRESS = "47.91.64.9"  # Alibaba Cloud's published range 47.91.64.0/18; routed nowhere but here
INTERFACE = "watched"


# Takes one connection and reads it to its end.
_TAKE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 443))
print("ready")
connection, _ = listener.accept()
while connection.recv(1 << 20):
    pass
"""


@dataclass(frozen=True)
class Namespaces:
    """Names of the two: the backend, whose `INTERFACE` is watched, and the cloud at its other end."""

    backend: str
    cloud: str

    def command(self, namespace: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", namespace, *command]

    def python(self, namespace: str, code: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start Python code in a namespace; what it prints can be read."""
        command = self.command(namespace, sys.executable, "-I", "-u", "-c", code, *arguments)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)

    def receiver(self) -> "subprocess.Popen[str]":
        """Start what takes one connection to port 443 of the cloud and reads it to its end."""
        process = self.python(self.cloud, _TAKE, CLOUD_ADDRESS)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def run(self, namespace: str, *command: str) -> str:
        return subprocess.run(
            self.command(namespace, *command), check=True, capture_output=True, text=True, timeout=30
        ).stdout


@contextmanager
def joined(tag: str) -> Iterator[Namespaces]:
    """Make the pair; `tag` and the process keep the names of tests that run at once apart."""
    name = f"egress-{tag}-{os.getpid()}"
    spaces = Namespaces(f"{name}-backend", f"{name}-cloud")
    try:
        for name in (spaces.backend, spaces.cloud):
            _ip("netns", "add", name)
        _ip(
            "link", "add", INTERFACE, "netns", spaces.backend,
            "type", "veth", "peer", "name", "far", "netns", spaces.cloud,
        )  # fmt: skip
        for name, device, address in (
            (spaces.backend, INTERFACE, HOST_ADDRESS),
            (spaces.cloud, "far", CLOUD_ADDRESS),
        ):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", spaces.backend, "route", "add", "default", "dev", INTERFACE)
        _ip("-n", spaces.cloud, "route", "add", "default", "dev", "far")
        yield spaces
    finally:
        for name in (spaces.backend, spaces.cloud):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def link_statistics(spaces: Namespaces) -> dict[str, Any]:
    """What the kernel itself counted on the watched interface."""
    text = spaces.run(spaces.backend, "ip", "-j", "-s", "link", "show", INTERFACE)
    found: dict[str, Any] = json.loads(text)[0]["stats64"]
    return found
