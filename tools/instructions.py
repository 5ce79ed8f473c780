"""Instructions per packet of the Rust side, counted by callgrind: a number that no other load disturbs.

    python -m tools.instructions BINARY [--packets 200000] [--flows 1000]

BINARY is `benches/line.rs` built with line tables. It plays two captures of plain TCP segments, one twice
as long as the other; the difference is what an ordinary packet costs, without start, first packets of a
flow, and rows. Instructions are summed by the source file that they were written in, inlined or not; what
the kernel does to read the file is not counted.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from .bench import captures

# a position that may be relative or repeated, then the cost
COST = re.compile(r"(?:\+\d+|-\d+|\*|\d+) (\d+)")
# a file is named where it comes first, which may be that of a function that is called (cfi, cfl)
FILE = re.compile(r"(c?)f[lie]=\((\d+)\)(?: (.*))?")
OTHERS = "standard library"
STAGES = ("source", "decode", "flow")


def stage(path: str) -> str:
    """Give the part of the house that a source file belongs to."""
    parts = Path(path).parts
    if "flowcore" in parts:
        inner = parts[len(parts) - parts[::-1].index("flowcore") + 1 :]
        return inner[0] if inner and inner[0] in STAGES else "worker"
    return OTHERS


def costs(text: str) -> Counter[str]:
    """Sum the costs in a callgrind file by source file, without the costs of what is called."""
    names: dict[str, str] = {}
    sums: Counter[str] = Counter()
    path, is_call = "", False
    for line in text.splitlines():
        if found := FILE.match(line):
            if found[3]:
                names[found[2]] = found[3]
            if not found[1]:
                path = names.get(found[2], "")
        elif line.startswith("calls="):
            is_call = True
        elif found := COST.fullmatch(line):
            if not is_call:
                sums[path] += int(found[1])
            is_call = False
    return sums


def count(binary: Path, packets: int, flows: int, folder: Path) -> Counter[str]:
    """Play that many packets under callgrind; gives instructions by source file."""
    capture, out = folder / "plain.pcap", folder / "callgrind.out"
    # all within one tick
    captures.write_frames(capture, captures.open_flows(packets, flows), 10_000_000)
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", str(binary), str(capture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-500:])
    return costs(out.read_text(encoding="utf-8", errors="replace"))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--packets", type=int, default=200_000, help="of the shorter capture (200 000)")
    parser.add_argument("--flows", type=int, default=1000, help="that the packets belong to (1 000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="egress-instructions-") as folder:
        few = count(options.binary, options.packets, options.flows, Path(folder))
        many = count(options.binary, 2 * options.packets, options.flows, Path(folder))
    by_stage: Counter[str] = Counter()
    by_file = {path: (many[path] - few[path]) / options.packets for path in many | few}
    for path, per_packet in by_file.items():
        by_stage[stage(path)] += round(per_packet * 1000)
    print(f"instructions per packet: {sum(by_file.values()):.1f}")
    for name, thousandths in by_stage.most_common():
        print(f"  {name:18}{thousandths / 1000:8.1f}")
    print("by file:")
    for path, per_packet in sorted(by_file.items(), key=lambda item: -item[1])[:12]:
        root = "/library/" if stage(path) == OTHERS else "/src/"
        print(f"  {path.rpartition(root)[2] or 'libc':44}{per_packet:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
