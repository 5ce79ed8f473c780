"""How much of everything was watched: what each interface carried beside what was seen of it.

A sensor that went blind must be told, because its zeros look like those of a quiet network. It is blind for a
`reason` of `REASONS`; each is a series that is 0 from the start.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from monitor.flow_batch import Counters

DOWN = "down"  # the interface is gone, switched off or without a carrier
SILENT = "silent"  # not one frame came
MISSED = "missed"  # the interface carried much more than was seen
DROPPED = "dropped"  # many frames were lost before they could be read
ONE_WAY = "one_way"  # of TCP connections only one direction is seen
REASONS = (DOWN, SILENT, MISSED, DROPPED, ONE_WAY)

EVERY = 3.0  # seconds between two samples; more than a tick and its drain
WINDOW = 60.0  # seconds that are looked at
SILENCE = 300.0  # seconds without a frame after which an interface is silent, if it carried nothing either
SEEN_SHARE = 0.9  # of the bytes carried; link layers count preambles and checksums differently
MISSED_BYTES = 2**20  # below this nothing is said about shares
DROPPED_SHARE = 0.1  # of the frames
ONE_WAY_PACKETS = 1000  # TCP packets in the window from which on both directions are asked for
COLUMNS = ["interface", "protocol", "packets_out", "packets_in"]  # that are read of flows
ONE_WAY_SHARE = 0.01  # of TCP packets in the rarer direction; acknowledgements alone are a third


@dataclass(frozen=True)
class InterfaceCoverage:
    """What is said of one interface; `ratio` is None where nothing can be said of the last minute."""

    ratio: float | None
    blind: Mapping[str, bool]  # by reason


@dataclass(frozen=True)
class _Sample:
    time: float  # seconds
    frames: int
    seen: int  # bytes, super-frames as their segments
    carried: int  # bytes, as the interface counts
    dropped: int  # frames
    tcp_out: int  # packets
    tcp_in: int


class Coverage:
    """Compares, interface by interface, over the last minute; times are of a clock that never goes back.

    With `filtered` the user's own filter refuses frames, so an interface that carries more than is seen,
    or shows nothing, is not blind for that.
    """

    def __init__(self, *, filtered: bool) -> None:
        self._filtered = filtered
        self._samples: dict[str, deque[_Sample]] = {}
        self._tcp: dict[str, tuple[int, int]] = {}
        self._moved: dict[str, tuple[int, float]] = {}  # frames, and when they last grew

    def update(self, flows: pl.DataFrame, counters: Counters, now: float) -> dict[str, InterfaceCoverage]:
        """Take a batch (`COLUMNS`) and the totals after it; give what is to be said of each interface."""
        self._add_tcp(flows)
        return {name: self._interface(name, counters, now) for name in counters.interface_up}

    def _add_tcp(self, flows: pl.DataFrame) -> None:
        sums = (
            flows.lazy()
            .filter(pl.col("protocol") == 6)
            .group_by("interface")
            .agg(pl.col("packets_out", "packets_in").sum())
            .collect()
        )
        for name, sent, received in sums.iter_rows():
            before = self._tcp.get(name, (0, 0))
            self._tcp[name] = before[0] + sent, before[1] + received

    def _interface(self, name: str, counters: Counters, now: float) -> InterfaceCoverage:
        repeated = sum(amount for (of, _), amount in counters.repeated_headers.items() if of == name)
        newest = _Sample(
            now,
            counters.frames.get(name, 0),
            counters.wire_bytes.get(name, 0) + repeated,
            counters.interface_bytes.get(name, 0),
            sum(frames for (of, _), frames in counters.dropped_frames.items() if of == name),
            *self._tcp.get(name, (0, 0)),
        )
        samples = self._samples.setdefault(name, deque([newest]))
        if now - samples[-1].time >= EVERY:
            samples.append(newest)
            while len(samples) > 2 and now - samples[1].time >= WINDOW:
                samples.popleft()
        frames, moved = self._moved.get(name, (-1, now))
        if newest.frames != frames:
            moved = now
        self._moved[name] = newest.frames, moved
        return self._judged(samples, newest, counters.interface_up[name], now - moved)

    def _judged(
        self, samples: Sequence[_Sample], newest: _Sample, is_up: bool, silence: float
    ) -> InterfaceCoverage:
        oldest = samples[0]
        # what is counted now is seen with the next tick: the interface is read some seconds earlier
        earlier = next((one for one in reversed(samples) if newest.time - one.time >= EVERY), oldest)
        carried, seen = earlier.carried - oldest.carried, newest.seen - oldest.seen
        ratio = min(1.0, seen / carried) if carried > 0 and not self._filtered else None
        frames, dropped = newest.frames - oldest.frames, newest.dropped - oldest.dropped
        directions = newest.tcp_out - oldest.tcp_out, newest.tcp_in - oldest.tcp_in
        packets = sum(directions)
        blind = {
            DOWN: not is_up,
            SILENT: not self._filtered and silence >= (WINDOW if carried else SILENCE),
            MISSED: ratio is not None and ratio < SEEN_SHARE and carried - seen > MISSED_BYTES,
            DROPPED: dropped > 0 and dropped > DROPPED_SHARE * (frames + dropped),
            ONE_WAY: packets >= ONE_WAY_PACKETS and min(directions) < ONE_WAY_SHARE * packets,
        }
        return InterfaceCoverage(ratio, blind)
