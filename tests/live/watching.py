"""A capture that runs in a namespace of its own process until it is told to stop, and what it counted."""

import json
import subprocess
from typing import Any

from . import namespaces

# Captures until a line comes on standard input, then prints sums. Arguments: interfaces, the options of
# `Capture.of_interfaces` as JSON, and a filter.
_WATCH = """
import json, sys, threading
import polars as pl
from monitor.capture import Capture
from monitor.capture_filter import compile_filter
from monitor.config import Config
from monitor.laws import Laws
capture = Capture.of_interfaces(
    sys.argv[1].split(","), Config().networks.local, [], 10**9,
    filter=compile_filter(sys.argv[3]), **{"ring": 8 << 20, "promiscuous": False, **json.loads(sys.argv[2])}
)
frames = {}
if capture._join is not None:
    add = capture._join.add
    def watched(number, drain):
        frames[number] = sum(drain.counters.frames.values())
        return add(number, drain)
    capture._join.add = watched
capture.start()
print("ready")
threading.Thread(target=lambda: (sys.stdin.readline(), capture.stop()), daemon=True).start()
flows, laws = [], Laws()
for drain in capture:
    flows += drain.flows.frame.select(
        "flow_id", "protocol", "local_port", "remote_port", "packets_out", "packets_in", "bytes_out",
        "bytes_in", "payload_out", "payload_in", "name", "application", "interface",
        pl.col("local_address", "remote_address").bin.encode("hex"),
    ).to_dicts()
    last = drain
    laws.check(drain.counters, done=drain.done)
capture.close()
c = last.counters
print(json.dumps({
    "flows": flows, "frames": c.frames, "wire": c.wire_bytes, "packets": c.kernel_packets,
    "drops": {reason: n for (_, reason), n in c.dropped_frames.items()},
    "superframes": c.superframes, "repeated": {basis: n for (_, basis), n in c.repeated_headers.items()},
    "backlog": c.backlog_dropped, "laws": c.laws_broken, "undecoded": c.undecoded_frames,
    "by_worker": [frames[number] for number in sorted(frames)], "workers": sorted(c.worker_cpu_seconds),
}))
"""


class Watcher:
    """A running capture."""

    def __init__(
        self, spaces: namespaces.Namespaces, interfaces: str = namespaces.INTERFACE, filter: str = "",
        **options: Any,
    ) -> None:  # fmt: skip
        self.process = spaces.python(spaces.backend, _WATCH, interfaces, json.dumps(options), filter)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> dict[str, Any]:
        """End the capture; give what it counted."""
        out, _ = self.process.communicate("stop\n", timeout=60)
        found: dict[str, Any] = json.loads(out)
        return found


def send(spaces: namespaces.Namespaces, namespace: str, code: str, *arguments: str) -> None:
    """Run Python code in a namespace to its end."""
    process: subprocess.Popen[str] = spaces.python(namespace, code, *arguments)
    process.communicate(timeout=60)
    assert process.returncode == 0
