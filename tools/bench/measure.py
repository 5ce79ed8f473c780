"""CPU time and memory of whole processes, and the slope between two captures of different length."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .programs import CONFIGURATIONS, SURICATA, Program

# A child counts as its own what its parent had in memory at the fork: a small process starts it, waits, and
# prints what the kernel says of it.
STARTER = """
import os, sys
child = os.posix_spawnp(
    sys.argv[1],
    sys.argv[1:],
    os.environ,
    file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)],
)
_, status, usage = os.wait4(child, 0)
print(usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


@dataclass(frozen=True)
class Run:
    """One finished process: user and system time of it and its children, and its largest memory."""

    seconds: float
    peak: int  # bytes


@dataclass(frozen=True)
class Result:
    """What two lengths of the same capture tell of a program; medians over the rounds."""

    per_packet: float  # CPU seconds: the slope
    start: float  # CPU seconds that no packet explains
    peak: int  # bytes, of the longer run


def run(command: Sequence[str]) -> Run:
    """Run a command to its end; raises RuntimeError where it fails."""
    with tempfile.TemporaryFile() as complaint:
        starter = [sys.executable, "-I", "-S", "-c", STARTER, *command]
        done = subprocess.run(starter, stdout=subprocess.PIPE, stderr=complaint, check=False)
        if done.returncode != 0:
            complaint.seek(0)
            text = complaint.read().decode(errors="replace").strip()
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {text[-300:]}")
    user, system, peak = done.stdout.split()
    return Run(float(user) + float(system), int(peak) * 1024)


def _read(capture: Path) -> None:
    """Bring a file whole into the page cache, in pieces as large as the kernel makes them.

    Kernels take pages back that were not read of late, and fill the gaps with single pages, which cost a
    reader up to twice as much: so what is there is dropped first.
    """
    with capture.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(1 << 24):
            pass


def play(program: Program, capture: Path) -> Run:
    """Run a program over a capture that is in memory, with a folder of its own to write in."""
    _read(capture)
    with tempfile.TemporaryDirectory(prefix="out-", dir=capture.parent) as out:
        for name, text in {"suricata.yaml": SURICATA, **CONFIGURATIONS}.items():
            (Path(out) / name).write_text(text, encoding="utf-8")
        return run([part.replace("{}", str(capture)).replace("{out}", out) for part in program.command])


def slope(program: Program, short: Path, few: int, long: Path, many: int, rounds: int) -> Result:
    """Measure a program over two captures of `few` and `many` packets, in turn."""
    pairs = [(play(program, short), play(program, long)) for _ in range(rounds)]
    less = statistics.median(pair[0].seconds for pair in pairs)
    more = statistics.median(pair[1].seconds for pair in pairs)
    per_packet = (more - less) / (many - few)
    return Result(per_packet, less - few * per_packet, max(pair[1].peak for pair in pairs))
