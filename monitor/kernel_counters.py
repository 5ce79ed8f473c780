"""What the kernel counted by itself, beside what we saw: interfaces and the backlog.

Published as evidence. An interface's own bytes equal ours only where GRO, LRO and TSO are off; frames can
die in the backlog of a CPU, before any socket sees them, while ``tp_drops`` stays 0.
"""

from pathlib import Path

SYSFS = Path("/sys/class/net")
SOFTNET = Path("/proc/net/softnet_stat")

# columns of softnet_stat, hexadecimal (net/core/net-procfs.c): dropped frames, and the number of the CPU
_DROPPED = 1
_CPU = 12


def interface_bytes(name: str) -> int | None:
    """Give the bytes that an interface received and sent; None where it is gone."""
    folder = SYSFS / name / "statistics"
    try:
        return sum(int((folder / counter).read_text("ascii")) for counter in ("rx_bytes", "tx_bytes"))
    except (OSError, ValueError):
        return None


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
