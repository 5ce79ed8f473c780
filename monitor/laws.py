"""The laws of counting (docs/metrics.md), checked while the monitor runs.

A law that does not hold means that frames vanished without a number: nothing may then be concluded from
what was not seen.
"""

from monitor.flow_batch import Counters

LAWS = ("frames", "bytes", "kernel")


class Laws:
    """Checks each drain's counters; remembers by how much a law was off."""

    def __init__(self) -> None:
        self._off = dict.fromkeys(LAWS, 0)
        self._broken = dict.fromkeys(LAWS, 0)

    def check(self, counters: Counters, *, done: bool) -> None:
        """Set `counters.laws_broken`; add one line to its warnings when a law is first broken.

        The kernel's law is exact only when the capture is over (`done`): before, its counters are read a
        moment after ours.
        """
        for law, (left, right) in _sides(counters, done).items():
            off = left - right
            if off != self._off[law]:
                self._off[law] = off
                self._broken[law] += 1
                if self._broken[law] == 1:
                    counters.warnings.append(
                        f"law of {law} broken: {left} counted, {right} accounted for; please report this"
                    )
        counters.laws_broken = dict(self._broken)


def _sides(counters: Counters, done: bool) -> dict[str, tuple[int, int]]:
    """Give the two sides of each law that can be checked now."""
    frames = sum(counters.frames.values())
    undecoded = sum(counters.undecoded_frames.values())
    ip_bytes = sum(counters.scope_sent_bytes.values()) + sum(counters.scope_received_bytes.values())
    laws = {
        "frames": (frames, sum(counters.scope_frames.values()) + undecoded),
        "bytes": (
            sum(counters.wire_bytes.values()) + counters.overclaimed_bytes,
            ip_bytes + counters.overhead_bytes + sum(counters.undecoded_bytes.values()),
        ),
    }
    if done and counters.kernel_packets:
        dropped = sum(n for (_, reason), n in counters.dropped_frames.items() if reason == "ring")
        laws["kernel"] = (sum(counters.kernel_packets.values()), frames + dropped)
    return laws
