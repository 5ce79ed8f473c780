"""Packets per second of CPU: `egress-monitor replay` beside other programs, in one run.

    python -m tools.bench CAPTURE [--short 2000000] [--long 20000000] [--rounds 3] [--only NAME,...]

Each program runs as a whole process over the capture repeated to two lengths, with clients and times
shifted, so that each repetition is new flows. The slope between the two is what a packet costs; the rest
is the start-up. CPU time is user and system time as the kernel accounts it for the finished process and
its children. Slow programs get shorter captures: theirs is the same slope.

CAPTURE is a little-endian pcap of Ethernet frames, or one compressed with zstd.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from . import captures, installing, programs
from .captures import Bytes, Repeated
from .measure import Result, play, slope
from .programs import Program

EXAMPLES = Path(__file__).resolve().parents[2] / "monitor" / "hotpath" / "target" / "release" / "examples"
OURS = ("egress-monitor", "the worker alone")  # what the made captures are measured with
RECORD = 16 + 54  # bytes of a made packet without payload, with its record header


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--short", type=int, default=2_000_000, help="packets of the shorter run (2 M)")
    parser.add_argument("--long", type=int, default=20_000_000, help="packets of the longer run (20 M)")
    parser.add_argument(
        "--clients", choices=("new", "same"), default="new", help="hosts of each repetition (new)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, the median counts (3)")
    parser.add_argument("--only", default="", help="names of the programs to run, by comma; all")
    parser.add_argument("--limit", type=Path, help="a bare loop to run beside ours: LIMIT CAPTURE fullb")
    parser.add_argument("--install", action="store_true", help="install the programs that are missing")
    parser.add_argument("--made", type=float, default=1.0, help="scale of the made captures; 0: none (1)")
    options = parser.parse_args()
    # the captures take gigabytes: a bench that is ended gives them back too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    wanted = set(options.only.split(",")) - {""}
    chosen = [p for p in programs.programs(EXAMPLES, options.limit) if not wanted or p.name in wanted]
    missing = [program for program in chosen if not installing.is_here(program)]
    if missing and options.install:
        for line in installing.install(missing):
            print(f"could not install {line}")
        missing = [program for program in missing if not installing.is_here(program)]
    try:
        with tempfile.TemporaryDirectory(prefix="egress-bench-") as folder:
            here = [program for program in chosen if program not in missing]
            plain = captures.plain(options.capture, Path(folder))
            source = Repeated(plain, options.clients == "new")
            _real(here, source, Path(folder), options.short, options.long, options.rounds)
            print(flush=True)
            # by itself, because what it measures is the installed package and not the folder `monitor` here
            subprocess.run([sys.executable, "-I", str(Path(__file__).with_name("judge.py"))], check=False)
            for program in missing:
                print(f"{program.name:18}not run: {program.install or 'cargo build --release --examples'}")
            if options.made:
                _made(here, Path(folder), options.made, options.rounds)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def _real(chosen: list[Program], source: Repeated, folder: Path, few: int, many: int, rounds: int) -> None:
    """Measure all over the capture, repeated."""
    least, most = max(1, round(few / source.packets)), max(2, round(many / source.packets))
    print(f"{'program':18}{'M packets/CPU s':>16}{'ours is':>9}{'start-up s':>12}{'peak MB':>9}  gives")
    ours = 0.0
    written: dict[int, Path] = {}
    lengths = {program.name: min(most, max(2, round(program.most / source.packets))) for program in chosen}
    starts = {name: least if length > 2 * least else 1 for name, length in lengths.items()}
    captures.room_for(folder, source.size * sum({*lengths.values(), *starts.values()}))
    for program in chosen:
        long, short = lengths[program.name], starts[program.name]
        for times in (short, long):
            if times not in written:
                written[times] = folder / f"times-{times}.pcap"
                source.write(written[times], times)
                _settle(written[times])
        packets = (short * source.packets, long * source.packets)
        result = slope(program, written[short], packets[0], written[long], packets[1], rounds)
        ours = ours or result.per_packet
        _row(program.name, result, result.per_packet / ours, program.gives)
    for path in written.values():
        path.unlink()
    print(f"{source.packets:,} packets, repeated to {least} and {most} times; median of {rounds} rounds")


def _settle(path: Path) -> None:
    """Let a file that was just written come to rest: the first to read it would pay for that."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _row(name: str, result: Result, ratio: float, gives: str) -> None:
    speed = f"{1e-6 / result.per_packet:.3f}" if result.per_packet > 0 else "-"
    factor = "1" if ratio == 1 else f"x {ratio:.2f}"
    print(f"{name:18}{speed:>16}{factor:>9}{result.start:12.2f}{result.peak / 1e6:9.0f}  {gives}", flush=True)


def _made(chosen: list[Program], folder: Path, scale: float, rounds: int) -> None:
    """Measure ours where a single thing grows: open flows, random addresses, distinct remotes."""

    def sized(count: float) -> int:
        return max(2, int(count * scale))

    def opened(count: float) -> Callable[[int], Iterator[Bytes]]:
        return lambda packets: captures.open_flows(packets, sized(count))

    # A flow has a row in each tick with packets of it. So that the number of flows is all that differs: once
    # all in one tick, so that the second half has no rows; and once, in each tick, as many packets for each
    # flow as make half a row a packet.
    each = 1.6
    cases: list[tuple[str, int, int, Callable[[int], Iterator[Bytes]]]] = [
        ("20 k flows, no row", sized(4e6), 100_000_000, opened(2e4)),
        ("1 M flows, no row", sized(8e6), 100_000_000, opened(1e6)),
        ("20 k flows, 1/2 row", sized(4e6), sized(2e4 * each), opened(2e4)),
        ("1 M flows, 1/2 row", sized(8e6), sized(1e6 * each), opened(1e6)),
        ("1 M remotes", sized(4e6), 500_000, lambda count: captures.distinct_remotes(count, sized(1e6))),
        ("random SYNs", sized(1e7), 200_000, captures.random_syns),
    ]
    for program in (program for program in chosen if program.name in OURS):
        roomy = replace(program, command=(*program.command, *program.roomy))
        print(f"\n{program.name:20}{'packets':>12}{'first half ns':>15}{'second half ns':>16}{'peak MB':>9}")
        for name, packets, rate, chunks in cases:
            captures.room_for(folder, 2 * packets * (RECORD + 60))
            half_path, whole = folder / "half.pcap", folder / "whole.pcap"
            captures.write_frames(half_path, chunks(packets // 2), rate)
            captures.write_frames(whole, chunks(packets), rate)
            measured = roomy if " flows" in name else program
            result = slope(measured, half_path, packets // 2, whole, packets, rounds)
            start = play(measured, _empty(folder)).seconds
            first = (result.start + packets // 2 * result.per_packet - start) / (packets // 2)
            times = f"{first * 1e9:15.0f}{result.per_packet * 1e9:16.0f}"
            print(f"{name:20}{packets:12,}{times}{result.peak / 1e6:9.0f}", flush=True)
            half_path.unlink()
            whole.unlink()


def _empty(folder: Path) -> Path:
    """Write a capture without a packet: what it costs is the start-up."""
    path = folder / "empty.pcap"
    path.write_bytes(captures.HEADER)
    return path


if __name__ == "__main__":
    sys.exit(main())
