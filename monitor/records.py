"""Record files: flows, DNS answers and alerts as JSON lines or Parquet, by the file's suffix.

The keys are the column names of `monitor.flow_batch`. Addresses are text, ``flow_id`` is 16 hex
digits, closed sets are their names. In JSON lines a time is RFC 3339 with nanoseconds; in Parquet it
stays a timestamp. Files are written batch by batch, so memory does not grow with the capture.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, Self

import polars as pl

from monitor import address_text, flow_batch
from monitor.errors import InputError
from monitor.publish.json_text import to_json_text

QUESTION_ONLY = ["kind", "address", "question_bytes", "fresh_question_bytes"]
DNS_FIRST = ["time", "client", "name", "type", "value", "ttl"]
# mnemonics of the registry "DNS Resource Record (RR) TYPEs"; others as RFC 3597 section 5 writes them
DNS_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 17: "RP",
    18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR", 36: "KX",
    37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG",
    47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA",
    55: "HIP", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB",
    65: "HTTPS", 99: "SPF", 108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR",
    252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA", 32768: "TA", 32769: "DLV",
}  # fmt: skip
_RFC3339 = "%Y-%m-%dT%H:%M:%S%.9fZ"
# what writing fails with; Polars says of a full disk that the file is out of its specification
_FAILURES = (OSError, pl.exceptions.PolarsError)
_HEX = pl.Series([f"{byte:02x}" for byte in range(256)])


def hex_ids(column: pl.Series) -> pl.Series:
    """Write 64-bit numbers as 16 hex digits, most significant first."""
    digits = [_HEX.gather((column // 2**shift % 256).cast(pl.UInt32)) for shift in range(56, -8, -8)]
    joined = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(digits)])
    return joined.select(pl.concat_str(pl.all())).to_series().alias(column.name)


def readable(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn packed columns into what people read: addresses, ids and closed sets as text."""
    columns = []
    for column in frame.drop(flow_batch.INDEXES, strict=False):
        if column.dtype == pl.Binary:
            columns.append(address_text.texts(column))
        elif column.name == "flow_id":
            columns.append(hex_ids(column))
        elif isinstance(column.dtype, pl.Enum):
            columns.append(column.cast(pl.String))
        else:
            columns.append(column)
    return pl.DataFrame(columns)


def answers(frame: pl.DataFrame) -> pl.DataFrame:
    """Take the answers of a DNS batch: ``name`` is the record's owner, ``type`` its mnemonic.

    A response without records is one row without an owner in a batch, and no row here.
    """
    is_record = (pl.col("kind") == "answer") & pl.col("owner").is_not_null()
    frame = frame.filter(is_record).drop(QUESTION_ONLY, strict=False)
    number = pl.col("type")
    mnemonic = number.replace_strict(DNS_TYPES, default=None, return_dtype=pl.String)
    frame = frame.rename({"owner": "name"}).with_columns(
        mnemonic.fill_null(pl.concat_str(pl.lit("TYPE"), number.cast(pl.String))).alias("type")
    )
    return readable(frame.select(*DNS_FIRST, pl.exclude(DNS_FIRST)))


class _Sink(Protocol):
    def start(self) -> None: ...
    def write(self, frame: pl.DataFrame) -> None: ...
    def stop(self) -> None: ...


class _JsonLines:
    """One JSON object a row, appended batch by batch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None

    def start(self) -> None:
        self.file = self.path.open("wb")

    def write(self, frame: pl.DataFrame) -> None:
        assert self.file is not None, "start() comes first"
        times = pl.col(pl.Datetime).dt.strftime(_RFC3339)
        frame.with_columns(times).write_ndjson(self.file)

    def append(self, lines: bytes) -> None:
        assert self.file is not None, "start() comes first"
        self.file.write(lines)

    def stop(self) -> None:
        if self.file is not None:
            self.file.close()


class _Parquet:
    """Parts beside the file, joined at the end: Polars writes a Parquet file only in one go."""

    def __init__(self, path: Path, schema: Mapping[str, Any]) -> None:
        self.path = path
        self.schema = schema
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.parts: list[Path] = []

    def start(self) -> None:
        self.path.touch()  # an unwritable place is told before the work, not after it
        self.folder = tempfile.TemporaryDirectory(prefix=f".{self.path.name}.", dir=self.path.parent)

    def write(self, frame: pl.DataFrame) -> None:
        assert self.folder is not None, "start() comes first"
        part = Path(self.folder.name) / f"{len(self.parts):08}.parquet"
        frame.write_parquet(part)
        self.parts.append(part)

    def stop(self) -> None:
        if self.folder is None:
            return
        with self.folder:
            if self.parts:
                # columns that only some parts have are null in the others
                parts = [pl.scan_parquet(part, glob=False) for part in self.parts]
                pl.concat(parts, how="diagonal_relaxed").sink_parquet(self.path)
            else:
                pl.DataFrame(schema=self.schema).write_parquet(self.path)


class RecordWriter:
    """A file of records; ``shape`` turns a batch into the rows to write.

    `start` and `write` raise InputError where the file cannot be written. An empty batch writes
    nothing. ``empty`` is a batch without rows, for the columns of a Parquet file that got none.
    """

    def __init__(
        self, path: Path, shape: Callable[[pl.DataFrame], pl.DataFrame], empty: pl.DataFrame
    ) -> None:
        self.path = path
        self.shape = shape
        self.empty = empty
        self.sink: _Sink | None = None
        self.rows = 0

    def start(self) -> None:
        """Open the file."""
        if self.path.suffix == ".jsonl":
            self.sink = _JsonLines(self.path)
        elif self.path.suffix == ".parquet":
            self.sink = _Parquet(self.path, self.shape(self.empty).schema)
        else:
            raise InputError(f"{self.path}: a record file ends in .jsonl or .parquet")
        try:
            self.sink.start()
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error

    def write(self, frame: pl.DataFrame) -> None:
        """Append the rows of one batch."""
        assert self.sink is not None, "start() comes first"
        if frame.is_empty():
            return
        rows = self.shape(frame)
        try:
            self.sink.write(rows)
        except _FAILURES as error:
            raise self._failed(error) from error
        self.rows += len(rows)

    def stop(self) -> None:
        """Finish the file; a second call does nothing."""
        sink, self.sink = self.sink, None
        if sink is not None:
            try:
                sink.stop()
            except _FAILURES as error:
                raise self._failed(error) from error

    def _failed(self, error: Exception) -> InputError:
        reason = error.strerror if isinstance(error, OSError) else None
        return InputError(f"{self.path}: {reason or ' '.join(str(error).split())[:200]}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.stop()
        except InputError:
            if kind is None:  # else it has a reason already
                raise


class FlowWriter(RecordWriter):
    """Attributed flow rows (`flow_batch.FLOW_SCHEMA` with `flow_batch.ATTRIBUTED`)."""

    def __init__(self, path: Path) -> None:
        empty = pl.DataFrame(schema={**flow_batch.FLOW_SCHEMA, **flow_batch.ATTRIBUTED})
        super().__init__(path, readable, empty)


class DnsWriter(RecordWriter):
    """DNS answers seen, one row a resource record (`flow_batch.DNS_SCHEMA`)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, answers, pl.DataFrame(schema=flow_batch.DNS_SCHEMA))


class AlertWriter(RecordWriter):
    """Alert events, one row each, as `AlertEvent.to_json` words them.

    In Parquet, what an event nests is JSON text: events of different rules nest different things.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, lambda frame: frame, pl.DataFrame())

    def write_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append events, each a mapping of names to values."""
        if isinstance(self.sink, _JsonLines):
            lines = b"".join(to_json_text(event).encode("ascii") + b"\n" for event in events)
            try:
                self.sink.append(lines)
            except _FAILURES as error:
                raise self._failed(error) from error
        else:
            rows = [{key: _flat(value) for key, value in event.items()} for event in events]
            self.write(pl.DataFrame(rows, infer_schema_length=None))


def _flat(value: Any) -> Any:
    return to_json_text(value) if isinstance(value, Mapping | list | tuple) else value
