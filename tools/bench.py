"""Packets per second of CPU: `egress-monitor replay` beside other tools, on the same capture, in one run.

Each tool runs as a whole process, once over the capture and once over several repetitions of it (the
times shifted, so that the repetitions are one long capture). The slope between the two is what a packet
costs; the rest is the start-up, given beside it. CPU time is user and system time as the kernel
accounts it for the finished process, so a second thread counts too.

    python tools/bench.py CAPTURE [--repeat 10] [--rounds 3] [--peers tshark,dpkt,nfstream]

CAPTURE is a classic little-endian pcap, or one compressed with zstd. Peers that are not installed are
named as not run. Slow peers get fewer repetitions: theirs is the same slope.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What the issue of a capture reader would do with dpkt: headers of each packet, bytes by 5-tuple.
DPKT = """
import sys, collections, dpkt
sums = collections.Counter()
with open(sys.argv[1], "rb") as file:
    for _, frame in dpkt.pcap.Reader(file):
        try:
            ip = dpkt.ethernet.Ethernet(frame).data
            if isinstance(ip, (dpkt.ip.IP, dpkt.ip6.IP6)):
                upper = ip.data
                key = (ip.src, getattr(upper, "sport", 0), ip.dst, getattr(upper, "dport", 0))
                sums[key] += len(ip)
        except (dpkt.UnpackError, ValueError, AttributeError, IndexError):
            pass
"""
NFSTREAM = """
import sys, nfstream
for flow in nfstream.NFStreamer(source=sys.argv[1], n_dissections=20, n_meters=1):
    pass
"""


@dataclass(frozen=True)
class Tool:
    """A program to time; `{}` in the command stands for the capture."""

    name: str
    command: tuple[str, ...]
    repeat: int  # repetitions of the longer run
    gives: str


def tools(repeat: int, wanted: Sequence[str]) -> tuple[list[Tool], list[str]]:
    """Give the tools that are here, and the names of those that are not."""
    python = sys.executable
    replay = (python, "-I", "-m", "monitor", "replay", "{}")
    found, missing = [Tool("egress-monitor", replay, repeat, "flows, names, rules")], []
    for name in wanted:
        if name == "tshark" and shutil.which("tshark"):
            fields = ("-T", "fields", "-e", "tls.handshake.extensions_server_name", "-e", "dns.a")
            found.append(Tool(name, ("tshark", "-n", "-r", "{}", *fields), 2, "names"))
        elif name == "dpkt" and _imports("dpkt"):
            found.append(Tool(name, (python, "-I", "-c", DPKT, "{}"), 2, "bytes by 5-tuple"))
        elif name == "nfstream" and _imports("nfstream"):
            found.append(Tool(name, (python, "-I", "-c", NFSTREAM, "{}"), 2, "flows, names"))
        else:
            missing.append(name)
    return found, missing


def _imports(module: str) -> bool:
    command = [sys.executable, "-I", "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def repeat_capture(source: Path, target: Path, times: int) -> int:
    """Write a pcap with its records `times` times, each repetition later than the one before.

    Gives the number of records in one repetition. Raises ValueError for another format.
    """
    import numpy as np

    data = np.fromfile(source, dtype=np.uint8)
    raw = data.tobytes()
    if raw[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        raise ValueError(f"{source}: not a little-endian pcap")
    starts, at = [], 24
    while at + 16 <= len(raw):
        starts.append(at)
        at += 16 + int.from_bytes(raw[at + 8 : at + 12], "little")
    places = np.array(starts)[:, None] + np.arange(4)
    seconds = data[places].copy().view("<u4").reshape(-1)
    span = int(seconds.max()) - int(seconds.min()) + 1
    with target.open("wb") as file:
        file.write(raw[:24])
        for turn in range(times):
            data[places] = (seconds + np.uint32(turn * span)).astype("<u4").view(np.uint8).reshape(-1, 4)
            file.write(data[24:at].tobytes())
    return len(starts)


def cpu_seconds(command: Sequence[str]) -> float:
    """Run a command to its end and give its user and system time; raises where it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        text = complaint.decode(errors="replace").strip()
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {text[-300:]}")
    return usage.ru_utime + usage.ru_stime


def measure(tool: Tool, short: Path, long: Path, packets: int, rounds: int) -> tuple[float, float]:
    """Give packets per CPU second (the slope) and the start-up in CPU seconds, medians over rounds."""
    once, often = [], []
    for _ in range(rounds):
        once.append(cpu_seconds([part.replace("{}", str(short)) for part in tool.command]))
        often.append(cpu_seconds([part.replace("{}", str(long)) for part in tool.command]))
    few, many = statistics.median(once), statistics.median(often)
    per_packet = (many - few) / (packets * (tool.repeat - 1))
    return 1 / per_packet, few - packets * per_packet


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--repeat", type=int, default=10, help="repetitions of the longer run (10)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, the median counts (3)")
    parser.add_argument("--peers", default="tshark,dpkt,nfstream", help="other tools, by comma")
    options = parser.parse_args()
    found, missing = tools(options.repeat, [name for name in options.peers.split(",") if name])
    with tempfile.TemporaryDirectory(prefix="egress-bench-") as folder:
        plain = options.capture
        if plain.suffix == ".zst":
            plain = Path(folder) / "once.pcap"
            subprocess.run(["zstd", "-q", "-d", str(options.capture), "-o", str(plain)], check=True)
        print(f"{'tool':16}{'M packets/CPU s':>16}{'start-up CPU s':>16}  gives")
        ours = 0.0
        for tool in found:
            long = Path(folder) / f"times-{tool.repeat}.pcap"
            if not long.exists():
                packets = repeat_capture(plain, long, tool.repeat)
            speed, start = measure(tool, plain, long, packets, options.rounds)
            ours = ours or speed
            factor = "" if speed == ours else f"  ({ours / speed:.0f} times slower)"
            print(f"{tool.name:16}{speed / 1e6:16.4f}{start:16.2f}  {tool.gives}{factor}", flush=True)
        for name in missing:
            print(f"{name:16}{'not run: it is not installed':>32}")
        print(f"{packets:,} packets in one repetition; median of {options.rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
