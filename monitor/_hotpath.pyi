"""Types of the compiled module; `tests/test_hotpath_stub.py` holds them against it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

__version__: str

Network = tuple[bytes, int]
Program = Sequence[tuple[int, int, int, int]]

class CaptureError(RuntimeError): ...

End = tuple[bytes, int]
RingFlow = tuple[End, End, int, int | None, str | None, int, int]

@final
class AddressTree:
    def __new__(cls, file: bytes) -> AddressTree: ...
    def find(self, addresses: bytes) -> list[int]: ...

@final
class Ring:
    def __new__(
        cls, folder: Path, *, size: int, payload: int, age: int | None, waits: bool, version: str
    ) -> Ring: ...
    def start(self) -> list[str]: ...
    def stop(self) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def extract(
        self,
        flows: Sequence[RingFlow],
        to: Path,
        *,
        payload: bool,
        earlier: Path | None,
        comments: Sequence[str],
        limit: int,
        patience: int,
    ) -> dict[str, Any]: ...

@final
class Settings:
    def __new__(
        cls,
        local: Sequence[Network],
        gateways: Sequence[Network],
        *,
        tick: int,
        rows: int,
        ticks: int,
        memory: tuple[int, int, int, int],
        content: bool,
        initiators: tuple[tuple[int, int], bytes] | None,
        ring: Ring | None = None,
    ) -> Settings: ...

@final
class Capture:
    @staticmethod
    def files(paths: Sequence[str], settings: Settings, *, workers: int) -> Capture: ...
    @staticmethod
    def rings(
        interfaces: Sequence[str],
        settings: Settings,
        *,
        ring: int,
        promiscuous: bool,
        busy_poll: bool,
        snap: bool,
        superframe_sizes: bool,
        filter: tuple[Program, Program] | None,
        workers: int,
    ) -> Capture: ...
    def start(self) -> None: ...
    def drain(self, patience: int) -> dict[str, Any] | None: ...
    def progress(self) -> tuple[int, int | None]: ...
    def set_sides(self, local: Sequence[Network], gateways: Sequence[Network]) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...

def interface_addresses(name: str | None = None) -> list[list[int]]: ...
