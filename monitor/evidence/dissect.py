"""The child process that dissects a capture with pyshark: ``python -I -m monitor.evidence.dissect``.

It is never part of the daemon: pyshark leaks memory on long captures and wants an event loop of its own.
What it finds goes to standard output, a JSON object a line, as soon as it is found, so that what was found
before a limit was reached is not lost. The lines are described in `monitor.evidence.dissection`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator
from types import FrameType
from typing import Any

from monitor.evidence import tshark_fields

MAX_PACKETS = 2_000_000  # of a capture that are counted
MAX_EVENTS = 5_000  # packets that are dissected
MAX_ADDRESSES = 1_000  # senders that are told apart over time
BINS = 60  # of the chart
LATER = 1  # seconds after which this process ends itself, where the one that started it was killed

# the packets that say something; everything else is only counted
_TELLING = ["dns", "tls.handshake", "dtls.handshake", "http.request", "http.response"]
# of a request a capsule may have kept the method and nothing else, and of a response its status
_STARTS = [f'tcp.payload[0:4] == "{word[:4]}"' for word in (*tshark_fields.METHODS, "HTTP")]
FILTER = " || ".join([*_TELLING, *_STARTS])


def limit(seconds: int, memory: int) -> None:
    """Bound this process and tshark, its child: CPU time, memory, and no file may be written."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_in(seconds: int) -> None:
    """End this process and tshark after a time, though the one that started them may be gone."""

    def end(number: int, frame: FrameType | None) -> None:
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)


def tell(kind: str, **what: Any) -> None:
    """Write one line; text from the wire is escaped as JSON in ASCII."""
    sys.stdout.write(json.dumps({"kind": kind, **what}, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def count(tshark: str, capture: str, decode_as: list[str]) -> None:
    """Count packets by conversation and over time."""
    columns = [option for name in tshark_fields.COUNTED for option in ("-e", name)]
    rules = [option for rule in decode_as for option in ("-d", rule)]
    command = [tshark, "-n", "-r", capture, "-c", str(MAX_PACKETS), *rules, "-T", "fields", *columns]
    times, lengths, senders = array("d"), array("L"), array("H")
    addresses: dict[str, int] = {}
    conversations: dict[tuple[str, ...], list[int]] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None, "a pipe was asked for"
        for line in process.stdout:
            packet = tshark_fields.counted(line)
            if packet is None:
                continue
            number = addresses.setdefault(packet.source, len(addresses))
            if number >= MAX_ADDRESSES:
                addresses.pop(packet.source)
                number = MAX_ADDRESSES
            times.append(packet.time)
            lengths.append(packet.length)
            senders.append(number)
            marks = (packet.reset, packet.retransmitted, packet.lost)
            if any(marks) and (packet.ends in conversations or len(conversations) < MAX_EVENTS):
                sums = conversations.setdefault(packet.ends, [0, 0, 0])
                for place, mark in enumerate(marks):
                    sums[place] += mark
    for ends, (resets, retransmitted, lost) in conversations.items():
        tell("tcp", ends=list(ends), resets=resets, retransmissions=retransmitted, lost_segments=lost)
    _tell_series(times, lengths, senders, addresses)


def _tell_series(
    times: array[float], lengths: array[int], senders: array[int], addresses: dict[str, int]
) -> None:
    if not times:
        tell("series", packets=0, begins=0.0, bin_seconds=0.0, senders=[])
        return
    begins, ends = min(times), max(times)
    width = max((ends - begins) / BINS, 1e-9)
    sums: dict[int, tuple[list[int], list[int]]] = {}
    for time, length, sender in zip(times, lengths, senders, strict=True):
        packets, volume = sums.setdefault(sender, ([0] * BINS, [0] * BINS))
        place = min(int((time - begins) / width), BINS - 1)
        packets[place] += 1
        volume[place] += length
    names = {number: address for address, number in addresses.items()}
    told = [
        {"address": names.get(sender), "packets": packets, "bytes": volume}
        for sender, (packets, volume) in sums.items()
    ]
    tell(
        "series",
        packets=len(times),
        begins=begins,
        bin_seconds=width,
        senders=told,
        cut=len(times) >= MAX_PACKETS,
    )


def packets(capture: str, decode_as: list[str]) -> Iterator[Any]:
    """Give the packets that say something, as pyshark dissects them."""
    import pyshark

    rules = dict(rule.rsplit(",", 1) for rule in decode_as)
    # bodies are not shown, and pyshark takes a second for a megabyte of one
    with pyshark.FileCapture(
        capture,
        keep_packets=False,
        display_filter=FILTER,
        decode_as=rules,
        custom_parameters=["-n"],
        override_prefs={"http.desegment_body": "FALSE"},
    ) as reader:
        for number, packet in enumerate(reader):
            if number >= MAX_EVENTS:
                tell("note", text=f"only the first {MAX_EVENTS} packets with names are shown")
                return
            yield packet


def main() -> int:
    """Dissect the capture that the arguments name: path, seconds, bytes of memory, decode-as rules."""
    capture, seconds, memory, *decode_as = sys.argv[1:]
    limit(int(seconds), int(memory))
    end_in(int(seconds) + LATER)
    from pyshark.tshark import tshark as locate

    try:
        program = locate.get_process_path()
        found = locate.get_tshark_version()
    except locate.TSharkNotFoundException:
        tell("tshark", version=None)
        return 0
    # what it prints is not ours: a wrapper, a broken installation, a version of another form
    except (locate.TSharkVersionException, OSError, ValueError, subprocess.SubprocessError) as error:
        tell("tshark", version="", why=str(error)[:200])
        return 0
    tell("tshark", version=str(found))
    if found.release < tshark_fields.OLDEST:
        return 0
    try:
        count(program, capture, decode_as)
        for packet in packets(capture, decode_as):
            for kind, what in tshark_fields.events(packet):
                tell(kind, **what)
    except MemoryError:
        tell("note", text="its memory was used up: what stands here is the beginning")
    # pyshark and tshark fail in many ways on a capture that is malformed or cut off; what was found stands
    except Exception as error:
        tell("note", text=f"tshark stopped early: {type(error).__name__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
