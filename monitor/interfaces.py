"""What the kernel says about network interfaces, read without any special right.

Used by ``check``: an interface that does not exist, offloads that make our byte counters differ from the
interface's own, interfaces stacked on each other that would show every packet twice.
"""

import array
import errno
import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class/net")
PROC_STATUS = Path("/proc/self/status")

_SIOCETHTOOL = 0x8946  # linux/sockios.h
# linux/ethtool.h: commands that read one value each; LRO is a bit of the flags
_OFFLOADS = {"gro": (0x2B, 1), "gso": (0x23, 1), "tso": (0x1E, 1), "lro": (0x25, 1 << 15)}
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_CAP_NET_RAW = 13  # linux/capability.h
_IFF_UP = 0x1


@dataclass(frozen=True)
class Interface:
    """One interface as it is now."""

    name: str
    is_up: bool
    offloads: tuple[str, ...]  # of gro, gso, tso, lro: those that are on
    below: tuple[str, ...]  # interfaces that this one is stacked on (of a VLAN: its parent)


def names() -> list[str]:
    """Give the names of all interfaces."""
    return sorted(name for _, name in socket.if_nameindex())


def inspect(name: str) -> Interface:
    """Look at one interface; raises FileNotFoundError where there is none of this name."""
    if name not in names():
        raise FileNotFoundError(f"no interface {name!r}")
    below = sorted(path.name.removeprefix("lower_") for path in (SYSFS / name).glob("lower_*"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        answer = fcntl.ioctl(handle, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        asked = [(offload, _ethtool(handle, name, ask) & mask) for offload, (ask, mask) in _OFFLOADS.items()]
    flags: int = struct.unpack("16sH14x", answer)[1]
    offloads = tuple(offload for offload, is_on in asked if is_on)
    return Interface(name, bool(flags & _IFF_UP), offloads, tuple(below))


def can_open_raw_sockets() -> bool:
    """Tell whether this process has CAP_NET_RAW (capabilities(7))."""
    return has_right(_CAP_NET_RAW)


def has_right(capability: int) -> bool:
    """Tell whether this process has a capability, by its number in linux/capability.h."""
    for line in PROC_STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def _ethtool(handle: socket.socket, name: str, command: int) -> int:
    """Ask the driver one value; 0 where it does not know the question."""
    value = array.array("B", struct.pack("II", command, 0))  # struct ethtool_value
    address, _ = value.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)  # struct ifreq
    try:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM, errno.ENODEV):
            return 0
        raise
    return int(struct.unpack("II", value.tobytes())[1])
