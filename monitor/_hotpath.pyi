"""Types of the compiled module; `tests/test_hotpath_stub.py` holds them against it."""

from collections.abc import Sequence
from typing import Any, final

__version__: str

Network = tuple[bytes, int]
Program = Sequence[tuple[int, int, int, int]]

class CaptureError(RuntimeError): ...

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
        initiators: tuple[tuple[int, int], bytes] | None,
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
