"""Runs the dissection of a capture in a child process, with limits, and gathers what it finds."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.errors import InputError
from monitor.evidence.tshark_fields import OLDEST

SECONDS = 120
MEMORY = 2 << 30  # bytes of the child and of tshark, each
MAX_OUTPUT = 64 << 20  # bytes that the child may tell
INSTALL = "install it (Debian and Ubuntu: apt install tshark)"


@dataclass
class Dissection:
    """What was found. Texts are from the wire: who prints them escapes them."""

    tshark: str = ""
    dns: list[dict[str, Any]] = field(default_factory=list)  # questions and responses
    client_hellos: list[dict[str, Any]] = field(default_factory=list)
    server_hellos: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    http: list[dict[str, Any]] = field(default_factory=list)  # requests and responses
    tcp: list[dict[str, Any]] = field(default_factory=list)  # conversations with resets or losses
    series: dict[str, Any] = field(default_factory=dict)  # packets and bytes over time by sender
    notes: list[str] = field(default_factory=list)


_LISTS = {
    "dns": "dns",
    "client_hello": "client_hellos",
    "server_hello": "server_hellos",
    "certificate": "certificates",
    "http": "http",
    "tcp": "tcp",
}


def dissect(
    capture: Path, decode_as: Sequence[str] = (), *, seconds: int = SECONDS, memory: int = MEMORY
) -> Dissection:
    """Dissect a capture file; raises InputError where tshark is missing or too old.

    Args:
        capture: pcap or pcapng, compressed or not.
        decode_as: what to read traffic as, like ``tcp.port==9200,http``.
        seconds: that it may take; what was found until then is given.
        memory: bytes that the child may have.
    """
    command = [sys.executable, "-I", "-m", "monitor.evidence.dissect", str(capture.absolute())]
    command += [str(seconds), str(memory), *decode_as]
    # a session of its own, so that tshark ends with it
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True, env=_environment(),
    )  # fmt: skip
    found = Dissection()
    expired = threading.Event()

    def end() -> None:
        expired.set()
        _kill(process)

    output = process.stdout
    assert output is not None, "a pipe was asked for"
    timer = threading.Timer(seconds, end)
    timer.start()
    told = 0
    try:
        for line in output:
            told += len(line)
            if told > MAX_OUTPUT:
                found.notes.append("more was found than is shown")
                break
            _take(found, line)
    finally:
        timer.cancel()
        _kill(process)
        output.close()
        process.wait()
    if expired.is_set():
        found.notes.append(f"stopped after {seconds} s: what stands here is the beginning")
    elif process.returncode < 0 and told <= MAX_OUTPUT and not found.series:
        found.notes.append("stopped at its limit of memory or CPU time: what stands here is the beginning")
    _require_tshark(found)
    return found


def _take(found: Dissection, line: bytes) -> None:
    try:
        what = json.loads(line)
    except ValueError:
        return  # a line that was cut off when the child was ended
    kind = what.pop("kind")
    if kind in _LISTS:
        getattr(found, _LISTS[kind]).append(what)
    elif kind == "series":
        found.series = what
    elif kind == "note":
        found.notes.append(what["text"])
    elif kind == "tshark":
        found.tshark = what["version"] or ("missing" if what["version"] is None else "unknown")


def _require_tshark(found: Dissection) -> None:
    least = ".".join(map(str, OLDEST))
    if found.tshark == "missing":
        raise InputError(f"tshark is not installed, and packets are dissected with it: {INSTALL}")
    numbers = [int(part) for part in found.tshark.split(".") if part.isdecimal()]
    if found.tshark and tuple(numbers) < OLDEST:
        raise InputError(f"tshark {found.tshark} is too old, {least} or newer is needed: {INSTALL}")


def _environment() -> dict[str, str]:
    """Give the child what finds programs and nothing that could change what they do."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
