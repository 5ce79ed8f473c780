"""The ring of packets on disk; the work is done in Rust, `monitor/hotpath/flowcore/src/evidence`."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from monitor import _hotpath
from monitor.config import EvidenceConfig
from monitor.errors import InputError


class PacketRing:
    """A ring in a folder; `native` is what captures are opened with."""

    def __init__(self, folder: Path, config: EvidenceConfig, *, live: bool) -> None:
        self.native = _hotpath.Ring(
            folder,
            size=config.ring,
            payload=config.payload_ring if config.payload_for else 0,
            age=config.age if live else None,
            waits=not live,
            version=version("egress-monitor"),
        )

    def start(self) -> list[str]:
        """Take up what an earlier run left and begin; gives warnings, raises InputError."""
        try:
            return self.native.start()
        except _hotpath.CaptureError as error:
            raise InputError(str(error)) from error

    def stop(self) -> None:
        """Write what waits and end."""
        self.native.stop()

    def counters(self) -> dict[str, int]:
        """Give totals, and what is held."""
        return self.native.counters()

    def extract(
        self, selections: Sequence[tuple[Any, ...]], *, payload: bool, patience: int, room: int
    ) -> list[dict[str, Any] | OSError | None]:
        """Take packets out of the ring, see `_hotpath.Ring.extract`."""
        return self.native.extract(selections, payload=payload, patience=patience, room=room)
