"""Real captures and what an independent dissector (tshark) found in them.

The captures are not part of this project; the variable EGRESS_CAPTURES names the folder that holds
them (``core/pcaps`` and ``core/truth``, or several such folders).
"""

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import polars as pl

from monitor.capture import Capture
from monitor.config import Config
from monitor.errors import InputError
from monitor.flow_batch import Counters, Drain

SECOND = 10**9
FRAGMENTS = {"ipv4_fragment", "ext:ipv6.fraghdr"}
# wiretap encapsulations that stand for the link types we decode
DECODED_ENCAPSULATIONS = {"1", "4", "7", "15", "25", "28", "129", "130", "210"}
PROTOCOLS = {"tcp": 6, "udp": 17}

Conversation = tuple[str, str, int, str, int]


def folder() -> Path | None:
    """Give the folder of real captures, if it is there."""
    named = os.environ.get("EGRESS_CAPTURES")
    return Path(named) if named else None


@dataclass(frozen=True)
class Case:
    """One capture and its truth."""

    path: Path
    truth_path: Path

    @cached_property
    def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.truth_path.read_text(encoding="utf-8"))
        return found

    @property
    def features(self) -> set[str]:
        return set(self.truth["features"])

    @property
    def has_fragments(self) -> bool:
        """Whether tshark puts packets together: only their payload counts then as it does with us."""
        return bool(self.features & FRAGMENTS)

    @property
    def is_decoded(self) -> bool:
        return set(self.truth["encap_types"]) <= DECODED_ENCAPSULATIONS


def cases(root: Path) -> list[Case]:
    """Find each capture that has a truth file."""
    found = []
    for truth_path in sorted((root / "core" / "truth").rglob("*.json")):
        source = truth_path.parent.name
        name = truth_path.name.removesuffix(".json").replace("__", "/")
        path = root / "core" / "pcaps" / source / name
        if path.exists():
            found.append(Case(path, truth_path))
    return found


@dataclass
class Seen:
    """What we found in one capture."""

    drains: list[Drain] = field(default_factory=list)

    @property
    def counters(self) -> Counters:
        return self.drains[-1].counters

    @property
    def warnings(self) -> list[str]:
        return [text for drain in self.drains for text in drain.counters.warnings]

    @cached_property
    def flows(self) -> pl.DataFrame:
        return pl.concat([drain.flows.frame for drain in self.drains])

    @cached_property
    def dns(self) -> pl.DataFrame:
        return pl.concat([drain.dns.frame for drain in self.drains])


def read(*paths: Path, workers: int = 1) -> Seen:
    """Read captures through the hot path alone."""
    config = Config()
    names = [str(path) for path in paths]
    capture = Capture.of_files(names, config.networks.local, [], SECOND, workers=workers)
    capture.start()
    try:
        return Seen(list(capture))
    finally:
        capture.close()


def address_text(packed: bytes) -> str:
    """Write 16 bytes as tshark does."""
    address = ip_address(packed)
    plain = getattr(address, "ipv4_mapped", None)
    return str(plain or address)


def _book(
    sums: dict[Conversation, list[int]], name: str, ends: list[tuple[str, int]], numbers: list[int]
) -> None:
    """Add numbers (first end to second, then back) to a conversation; the end that sorts first leads."""
    if ends[0] > ends[1]:
        ends, numbers = ends[::-1], numbers[3:] + numbers[:3]
    total = sums[(name, *ends[0], *ends[1])]
    for place, number in enumerate(numbers):
        total[place] += number


def conversations(flows: pl.DataFrame) -> dict[Conversation, list[int]]:
    """Sum the rows of each 5-tuple: frames, IP bytes and payload bytes, a to b and b to a, a < b as text."""
    sums: dict[Conversation, list[int]] = defaultdict(lambda: [0] * 6)
    columns = [
        "protocol", "local_address", "local_port", "remote_address", "remote_port",
        "packets_out", "bytes_out", "payload_out", "packets_in", "bytes_in", "payload_in",
    ]  # fmt: skip
    keys = columns[:5]
    for row in flows.group_by(keys).agg(pl.col(columns[5:]).sum()).select(columns).iter_rows():
        protocol, local, local_port, remote, remote_port, *numbers = row
        name = next((name for name, number in PROTOCOLS.items() if number == protocol), str(protocol))
        ends = [(address_text(local), local_port), (address_text(remote), remote_port)]
        _book(sums, name, ends, numbers)
    return dict(sums)


def true_conversations(case: Case) -> dict[Conversation, list[int]]:
    """The same out of the truth file."""
    sums: dict[Conversation, list[int]] = defaultdict(lambda: [0] * 6)
    for name, a, aport, b, bport, *numbers in case.truth["conv_l4_inner"]:
        # an IPv4-mapped address in a real IPv6 header is written as IPv4 in our rows
        ends = [(a.removeprefix("::ffff:"), aport), (b.removeprefix("::ffff:"), bport)]
        _book(sums, name, ends, numbers)
    return dict(sums)


def broken_laws(counters: Counters) -> list[str]:
    """Check the laws of design section 4 and tell which do not hold."""
    broken = []
    received = sum(counters.frames.values())
    booked = sum(counters.scope_frames.values()) + sum(counters.undecoded_frames.values())
    if received != booked:
        broken.append(f"frames: {received} received, {booked} booked")
    left = sum(counters.wire_bytes.values()) + counters.overclaimed_bytes
    right = (
        sum(counters.scope_sent_bytes.values())
        + sum(counters.scope_received_bytes.values())
        + counters.overhead_bytes
        + sum(counters.undecoded_bytes.values())
    )
    if left != right:
        broken.append(f"bytes: {left} on the wire and overclaimed, {right} booked")
    return broken


def is_capture_error(error: InputError) -> bool:
    """Whether this is the one line about a file that is no pcap or pcapng."""
    return "is not a pcap" in str(error) or "is empty" in str(error)
