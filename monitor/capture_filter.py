"""The capture filter in tcpdump's language, compiled by libpcap (``pcap-filter(7)``).

libpcap is loaded when a filter is set, and only to compile: nothing is captured with it. Its headers are
not needed to build or to install this package.
"""

import ctypes
import re
from dataclasses import dataclass

# the library's name by Debian and by its own makefile
LIBRARIES = ("libpcap.so.1", "libpcap.so.0.8", "libpcap.so")

_ETHERNET = 1  # DLT_EN10MB
_RAW_IP = 12  # DLT_RAW on Linux
_WHOLE = 262_144  # tcpdump's default; what a frame that passes returns
_NO_NETMASK = 0xFFFF_FFFF  # PCAP_NETMASK_UNKNOWN
_VLAN = re.compile(r"\bvlan\b")

Instruction = tuple[int, int, int, int]  # code, jt, jf, k of struct sock_filter


@dataclass(frozen=True)
class CompiledFilter:
    """One filter as two classic BPF programs."""

    ethernet: list[Instruction]  # for frames that begin with an Ethernet header
    ip: list[Instruction]  # for frames that begin with an IP header


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("code", ctypes.POINTER(_Instruction)))


def compile_filter(text: str) -> CompiledFilter | None:
    """Compile a filter; None where `text` is empty, which lets everything in.

    Raises ValueError with libpcap's own message where it is wrong, and where there is no libpcap.
    """
    if not text.strip():
        return None
    if _VLAN.search(text):
        # compiled as written it would never match, and the monitor would be blind without a word
        raise ValueError(
            "a live frame comes without its VLAN tag, so `vlan` would let nothing in; leave it out: "
            "the rest of the filter matches tagged frames too"
        )
    library = _load()
    ethernet = _compile(library, text, _ETHERNET)
    try:
        ip = _compile(library, text, _RAW_IP)
    except ValueError:
        # a filter on Ethernet addresses: frames without them cannot match
        ip = [(0x06, 0, 0, 0)]
    return CompiledFilter(ethernet, ip)


def _load() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
        library.pcap_compile.argtypes = (
            ctypes.c_void_p, ctypes.POINTER(_Program), ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32,
        )  # fmt: skip
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = (ctypes.c_void_p,)
        library.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
        library.pcap_freecode.restype = None
        library.pcap_close.argtypes = (ctypes.c_void_p,)
        library.pcap_close.restype = None
        return library
    raise ValueError("a filter needs libpcap to compile it; install it (Debian: libpcap0.8)")


def _compile(library: ctypes.CDLL, text: str, link: int) -> list[Instruction]:
    handle = library.pcap_open_dead(link, _WHOLE)
    if not handle:
        raise ValueError("libpcap has no memory to compile the filter")
    program = _Program()
    try:
        if library.pcap_compile(handle, ctypes.byref(program), text.encode(), 1, _NO_NETMASK) != 0:
            message = library.pcap_geterr(handle).decode("utf-8", "replace")
            raise ValueError(f"{text!r} is no filter: {message}")
        code = [
            (one.code, one.jt, one.jf, one.k)
            for one in (program.code[place] for place in range(program.length))
        ]
        library.pcap_freecode(ctypes.byref(program))
        return code
    finally:
        library.pcap_close(handle)
