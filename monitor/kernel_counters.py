"""What the kernel counted by itself, beside what we saw: interfaces and the backlog.

Published as evidence. An interface's own bytes equal ours only where GRO, LRO and TSO are off; frames can
die in the backlog of a CPU, before any socket sees them, while ``tp_drops`` stays 0.
"""

from collections.abc import Sequence
from pathlib import Path

from monitor.flow_batch import Counters

SYSFS = Path("/sys/class/net")
SOFTNET = Path("/proc/net/softnet_stat")

# columns of softnet_stat, hexadecimal (net/core/net-procfs.c): dropped frames, and the number of the CPU
_DROPPED = 1
_CPU = 12
_IFF_UP = 0x1  # linux/if.h
_IFF_LOOPBACK = 0x8


def interface_bytes(name: str) -> int | None:
    """Give the bytes that an interface received and sent; None where it is gone.

    On loopback each packet is sent and received, and is captured once: there only what was received counts.
    """
    folder = SYSFS / name / "statistics"
    kinds = ("rx_bytes",) if _flags(name) & _IFF_LOOPBACK else ("rx_bytes", "tx_bytes")
    try:
        return sum(int((folder / counter).read_text("ascii")) for counter in kinds)
    except (OSError, ValueError):
        return None


def is_up(name: str) -> bool:
    """Say whether an interface is there, is switched on and has a carrier."""
    try:
        has_carrier = (SYSFS / name / "carrier").read_text("ascii").strip() == "1"
    except OSError:  # the kernel refuses to tell while the interface is off
        return False
    return has_carrier and bool(_flags(name) & _IFF_UP)


def _flags(name: str) -> int:
    try:
        return int((SYSFS / name / "flags").read_text("ascii"), 16)
    except (OSError, ValueError):
        return 0


def interface_drops(name: str) -> int | None:
    """Give the frames that an interface received and dropped by itself; None where it is gone."""
    folder = SYSFS / name / "statistics"
    try:
        return sum(
            int((folder / counter).read_text("ascii")) for counter in ("rx_dropped", "rx_missed_errors")
        )
    except (OSError, ValueError):
        return None


def backlog_drops() -> dict[str, int]:
    """Give the frames that each CPU's backlog dropped since boot, machine-wide; empty where unknown."""
    try:
        lines = SOFTNET.read_text("ascii").splitlines()
    except OSError:
        return {}
    found = {}
    for place, line in enumerate(lines):
        columns = line.split()
        # kernels before 5.10 do not tell the CPU: there the lines are in its order
        cpu = int(columns[_CPU], 16) if len(columns) > _CPU else place
        found[str(cpu)] = int(columns[_DROPPED], 16)
    return found


class KernelWatch:
    """Adds up what the kernel counts from the start on, over resets of its counters.

    An interface that goes and comes back counts from 0 again: what it has counted since then is added, and
    the reset is counted.
    """

    def __init__(self, interfaces: Sequence[str]) -> None:
        self._interfaces = tuple(interfaces)
        self._last: dict[tuple[str, str], int] = {}
        self._sums: dict[tuple[str, str], int] = {}
        self._resets = dict.fromkeys(interfaces, 0)

    def start(self) -> None:
        """Begin to count: what was before does not."""
        for name in self._interfaces:
            self._add(name)

    def ask(self, counters: Counters) -> None:
        """Set what the kernel tells, in the counters of a drain."""
        for name in self._interfaces:
            self._add(name)
            counters.interface_bytes[name] = self._sums.get((name, "bytes"), 0)
            counters.dropped_frames[name, "interface"] = self._sums.get((name, "drops"), 0)
            counters.interface_up[name] = is_up(name)
            counters.interface_resets[name] = self._resets[name]
        if self._interfaces:
            counters.backlog_dropped = backlog_drops()

    def _add(self, name: str) -> None:
        is_reset = False
        for what, number in (("bytes", interface_bytes(name)), ("drops", interface_drops(name))):
            if number is None:
                continue
            key = (name, what)
            last = self._last.get(key, number)
            is_reset |= number < last
            self._sums[key] = self._sums.get(key, 0) + (number if number < last else number - last)
            self._last[key] = number
        self._resets[name] += is_reset
