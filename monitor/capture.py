"""The Python face of the hot path: captures in, `Drain`s out.

The work is done by a thread in `monitor._hotpath`, which never holds the interpreter's lock. Here
its batches become Polars frames with the columns of `monitor.flow_batch`.
"""

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Any

from monitor import _hotpath, canary
from monitor.capture_filter import CompiledFilter
from monitor.config import MemoryConfig
from monitor.errors import InputError
from monitor.evidence.ring import PacketRing
from monitor.flow_batch import SUPERFRAME_BASES, Counters, Drain
from monitor.flow_rows import DnsRows, FlowRows
from monitor.initiators import Initiators
from monitor.join_workers import WorkerJoin
from monitor.kernel_counters import KernelWatch

Network = IPv4Network | IPv6Network

# What makes a batch at the end of a tick, by weight in flow rows. A call of the later stages costs
# milliseconds however few the rows, and looks at each address and open flow once (docs/performance-tried.md).
REPLAY_ROWS = 3 << 17
REPLAY_TICKS = 256
# How long one wait for a batch lasts, so that a signal is noticed in between, in milliseconds.
PATIENCE = 200

_V4_PREFIX = 96  # bits before an IPv4 address in ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)


class Capture:
    """One source with its workers; iterate over it to get its drains."""

    def __init__(self, native: Any, tick: int, interfaces: Sequence[str] = (), *, workers: int = 1) -> None:
        """Keep an opened `_hotpath.Capture`, nanoseconds a tick, the live interfaces, how many workers."""
        self._native = native
        self._tick = tick
        self._kernel = KernelWatch(interfaces)
        self._join = WorkerJoin(workers) if workers > 1 else None

    @classmethod
    def of_files(
        cls,
        paths: Sequence[str],
        local: Sequence[Network],
        gateways: Sequence[Network],
        tick: int,
        *,
        workers: int = 1,
        memory: MemoryConfig | None = None,
        content: bool = True,
        initiators: Initiators | None = None,
        ring_on_disk: PacketRing | None = None,
        limit: int | None = None,
    ) -> "Capture":
        """Open capture files as one stream; ``-`` is standard input.

        `ring_on_disk` keeps the recent past. A file of more than `limit` bytes, unpacked, is read no further
        and told in a warning. Raises InputError for a path that cannot be read or is no
        capture.
        """
        handover = (REPLAY_ROWS, REPLAY_TICKS)
        settings = _settings(local, gateways, tick, handover, memory, content, initiators, ring_on_disk)
        try:
            native = _hotpath.Capture.files(list(paths), settings, workers=workers, limit=limit)
            return cls(native, tick, workers=workers)
        except _hotpath.CaptureError as error:
            raise InputError(str(error)) from error

    @classmethod
    def of_interfaces(
        cls,
        names: Sequence[str],
        local: Sequence[Network],
        gateways: Sequence[Network],
        tick: int,
        *,
        ring: int,
        promiscuous: bool,
        busy_poll: bool = False,
        snap: bool = False,
        superframe_sizes: bool = False,
        filter: CompiledFilter | None = None,
        workers: int = 1,
        memory: MemoryConfig | None = None,
        content: bool = True,
        initiators: Initiators | None = None,
        ring_on_disk: PacketRing | None = None,
    ) -> "Capture":
        """Open a ring of ``ring`` bytes on each interface for each worker.

        With ``snap`` only the headers of what looks like bulk are taken; ``filter`` says what is taken at
        all; with ``superframe_sizes`` the kernel tells how each super-frame is cut. Raises InputError for an
        unknown interface and for a right that is missing.
        """
        settings = _settings(local, gateways, tick, (0, 1), memory, content, initiators, ring_on_disk)
        try:
            native = _hotpath.Capture.rings(
                list(names),
                settings,
                ring=ring,
                promiscuous=promiscuous,
                busy_poll=busy_poll,
                snap=snap,
                superframe_sizes=superframe_sizes,
                filter=None if filter is None else (filter.ethernet, filter.ip),
                workers=workers,
            )
        except _hotpath.CaptureError as error:
            raise InputError(str(error)) from error
        return cls(native, tick, names, workers=workers)

    def start(self) -> None:
        """Start the workers."""
        self._kernel.start()
        self._native.start()

    def stop(self) -> None:
        """Ask the workers to end: what is in the ring is still counted, and the last drain says done."""
        self._native.stop()

    def close(self) -> None:
        """Give up drains that wait, and wait for the workers."""
        self._native.close()

    def progress(self) -> tuple[int, int | None]:
        """Give the bytes read so far and in all (None where that is unknown)."""
        read, total = self._native.progress()
        return read, total

    def set_sides(self, local: Sequence[Network], gateways: Sequence[Network]) -> None:
        """Change what is local for flows that begin from the next tick on."""
        self._native.set_sides(_networks([*local, *canary.NETWORKS]), _networks(gateways))

    def drain(self) -> Drain | None:
        """Take the next drain; None where none was ready within `PATIENCE`.

        Raises InputError where the source cannot go on.
        """
        batch = self._native.drain(PATIENCE)
        if batch is None:
            return None
        if batch["failure"] is not None:
            raise InputError(batch["failure"])
        drain = Drain(
            flows=FlowRows.of_hot_path(batch["flows"]),
            dns=DnsRows.of_hot_path(batch["dns"]),
            counters=_counters(batch["counters"], batch["warnings"], batch["worker"]),
            clock=batch["clock"],
            tick=self._tick,
            done=batch["done"],
            opened=batch["opened"],
        )
        joined = self._join.add(batch["worker"], drain) if self._join else drain
        if joined is not None:
            self._kernel.ask(joined.counters)
        return joined

    def __iter__(self) -> Iterator[Drain]:
        """Give each drain, the last one with ``done``."""
        return self.drains(lambda read, total: None)

    def drains(self, on_progress: Callable[[int, int | None], None]) -> Iterator[Drain]:
        """Give each drain, the last one with ``done``; tell the `progress` before each and while waiting."""
        while True:
            drain = self.drain()
            on_progress(*self.progress())
            if drain is not None:
                done = drain.done
                yield drain
                # who keeps none of its rows gives their memory back before the next is waited for
                drain = None
                if done:
                    return


def own_addresses(interface: str | None = None) -> list[Network]:
    """Give the addresses of an interface, or of all, as networks of one address.

    Raises InputError where the kernel does not tell.
    """
    try:
        found = _hotpath.interface_addresses(interface)
    except _hotpath.CaptureError as error:
        raise InputError(str(error)) from error
    networks: list[Network] = []
    for raw in found:
        address = IPv6Address(bytes(raw))
        plain = address.ipv4_mapped
        networks.append(IPv4Network(plain) if plain is not None else IPv6Network(address))
    return networks


def _networks(networks: Sequence[Network]) -> list[tuple[bytes, int]]:
    return [
        (b"\0" * 10 + b"\xff\xff" + network.network_address.packed, network.prefixlen + _V4_PREFIX)
        if network.version == 4
        else (network.network_address.packed, network.prefixlen)
        for network in networks
    ]


def _settings(
    local: Sequence[Network],
    gateways: Sequence[Network],
    tick: int,
    handover: tuple[int, int],
    memory: MemoryConfig | None,
    content: bool,
    initiators: Initiators | None,
    ring_on_disk: PacketRing | None,
) -> Any:
    bounds = memory or MemoryConfig()
    rows, ticks = handover
    return _hotpath.Settings(
        _networks([*local, *canary.NETWORKS]),
        _networks(gateways),
        tick=tick,
        rows=rows,
        ticks=ticks,
        memory=(bounds.flows, bounds.fragments, bounds.streams, bounds.dns),
        content=content,
        initiators=None if initiators is None else (initiators.secret, initiators.known),
        ring=None if ring_on_disk is None else ring_on_disk.native,
    )


def _counters(raw: dict[str, Any], warnings: list[str], worker: int) -> Counters:
    return Counters(
        frames=raw["frames"],
        wire_bytes=raw["wire_bytes"],
        dropped_frames={(name, "ring"): drops for name, drops in raw["kernel_drops"].items()},
        superframes=raw["superframes"],
        repeated_headers={
            (name, basis): amount
            for basis in SUPERFRAME_BASES
            for name, amount in raw[f"repeated_{basis}"].items()
        },
        kernel_packets=raw["kernel_packets"],
        undecoded_frames=raw["undecoded_frames"],
        undecoded_bytes=raw["undecoded_bytes"],
        faults=raw["faults"],
        overhead_bytes=raw["overhead_bytes"],
        overclaimed_bytes=raw["overclaimed_bytes"],
        scope_frames=raw["scope_frames"],
        scope_sent_bytes=raw["scope_sent_bytes"],
        scope_received_bytes=raw["scope_received_bytes"],
        late_frames=raw["late_frames"],
        clamped_times=raw["clamped_times"],
        flows_open=raw["flows_open"],
        flows_evicted={"table_full": raw["flows_evicted"]},
        merged_ticks=raw["merged_ticks"],
        given_up={
            "client_hello": raw["names_skipped"],
            "dns_question": raw["questions_evicted"],
            "dns_row": raw["dns_rows_dropped"],
            "fragmented_packet": raw["fragments_evicted"],
            "fragment": raw["fragments_unplaced"],
            "fragmented_content": raw["fragments_unread"],
        },
        worker_cpu_seconds={str(worker): raw["cpu_nanoseconds"] / 1e9},
        warnings=warnings,
    )
