"""Attributed rows of small captures, for the tests of rules.

They go through the stages that a replay goes through: source, decode and flow, then attribute. What they
say must not depend on whose machine it is, so addresses are looked up in the shipped database, whatever
the configuration names. The catalogue is the configured one, as it is for all that a rule says.
"""

import stat
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import polars as pl

from monitor import shipped
from monitor.attribute.attributor import Attributor
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.capture import Capture
from monitor.config import CaptureConfig, MemoryConfig
from monitor.errors import InputError
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge.case_rows import Row
from monitor.judge.fields import Record
from monitor.judge.rule_file import CaseConfig
from monitor.trusted import require_trusted

MAX_BYTES = 2**20  # of a capture, unpacked
MAX_ROWS = 2000  # of one record that a capture may give, some 5 KB each
MIB = 2**20
TICK = 10**9
_MEMORY = MemoryConfig(flows=16 * MIB, fragments=MIB, streams=4 * MIB, dns=4 * MIB)
_COLUMNS: dict[Record, dict[str, Any]] = {
    "flows": {**FLOW_SCHEMA, **ATTRIBUTED},
    "dns": {**DNS_SCHEMA, **DNS_ATTRIBUTED},
}


class CapturedRows:
    """Reads captures; `stop` closes the database that the first one opened.

    Args:
        catalogue: the one at work.
        databases: open ones with this catalogue; they are asked where they are the shipped set alone, for
            tests must give the same everywhere.
        trusted: refuse a capture that other users can write: what fails a test takes a rule away.
    """

    def __init__(self, catalogue: Catalogue, databases: Databases | None = None, *, trusted: bool) -> None:
        self._catalogue = catalogue
        self._given = databases if databases is not None and databases.is_shipped else None
        self._trusted = trusted
        self._databases: Databases | None = None

    def stop(self) -> None:
        """Close what is open; harmless where nothing is."""
        if self._databases is not None:
            self._databases.stop()
            self._databases = None

    def read(self, path: Path, config: CaseConfig) -> dict[Record, list[Row]]:
        """Give the rows of a capture in the order of ticks.

        Raises InputError where it is missing, no capture, damaged, or larger than a test's may be.
        """
        _require_small_file(path)
        if self._trusted and not path.resolve().is_relative_to(shipped.rules().resolve()):
            require_trusted(path)
        frames = list(self._attributed(path, config))
        return {
            "flows": _rows([flows for flows, _ in frames], "flows", path),
            "dns": _rows([dns for _, dns in frames], "dns", path),
        }

    def _attributed(self, path: Path, config: CaseConfig) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        gateways = config.networks.gateways
        capture = Capture.of_files(
            [str(path)],
            config.networks.local,
            _all(gateways),
            TICK,
            memory=_MEMORY,
            content=CaptureConfig().content,
            limit=MAX_BYTES,
        )
        attributor = Attributor(
            self._catalogue,
            self._opened(),
            config.workloads,
            gateways,
            config.published,
            config.resolvers,
        )
        capture.start()
        try:
            for drain in capture:
                for warning in drain.counters.warnings:
                    raise InputError(warning.removesuffix("; counted as far as it goes"))
                flows, dns = attributor.attribute(drain.flows, drain.dns)
                yield flows.frame, dns.frame
        finally:
            capture.close()

    def _opened(self) -> Databases:
        if self._given is not None:
            return self._given
        if self._databases is None:
            databases = Databases(catalogue=self._catalogue)
            databases.start()
            self._databases = databases
        return self._databases


def _require_small_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder, not a capture")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is no file")
    if status.st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB; a test needs few packets")


def _all(named: dict[str, list[IPv4Network | IPv6Network]]) -> list[IPv4Network | IPv6Network]:
    return [network for networks in named.values() for network in networks]


def _rows(frames: list[pl.DataFrame], record: Record, path: Path) -> list[Row]:
    """Make rows as tests write them: ticks in seconds, other times in nanoseconds, closed sets as names."""
    count = sum(frame.height for frame in frames)
    if count > MAX_ROWS:
        raise InputError(f"{path}: gives {count:,} rows of {record}; a test has at most {MAX_ROWS:,}")
    columns = [_plain(name, dtype) for name, dtype in _COLUMNS[record].items()]
    return [row for frame in frames for row in frame.select(columns).iter_rows(named=True)]


def _plain(name: str, dtype: Any) -> pl.Expr:
    column = pl.col(name)
    if not isinstance(dtype, pl.Datetime):
        return column
    return column.dt.epoch("s" if name == "tick" else "ns")
