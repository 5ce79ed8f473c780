"""Open database files and ask them: one `DatabaseReader` a file, whatever its form.

GeoLite2, GeoIP2 and DB-IP files are read through ``geoip2``; the shipped file and those of ip-location-db
have record forms that it does not know and are read with ``maxminddb``, the library under it.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import maxminddb

from monitor._hotpath import AddressTree
from monitor.attribute.catalogue import SHIPPED_TYPE
from monitor.errors import InputError

Role = Literal["default", "country", "asn"]

# what readers raise on a file that is damaged inside: the C extension InvalidDatabaseError and Unicode
# errors, geoip2's models the others when a record has an unexpected form
DAMAGED = (maxminddb.InvalidDatabaseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)

_ISO_CODE = re.compile("[A-Z]{2}")
LARGEST = 2**31  # bytes of a file; the largest of MaxMind has a fifth of that

_PROBES = ("1.1.1.1", "8.8.8.8", "2001:4860:4860::8888")


class DatabaseInfo(NamedTuple):
    """One open database, for `check` and for metrics."""

    role: Role
    path: Path
    kind: str  # the file's own database type
    built: datetime  # date of the data in it


class NetworkFacts(NamedTuple):
    """What an AS database says about an address."""

    asn: int
    as_name: str | None


@dataclass(frozen=True)
class DatabaseReader:
    """An open file. ``ask`` takes an address as text and raises one of `DAMAGED` on a broken record."""

    info: DatabaseInfo
    ask: Callable[[str], Any]  # default: the record; country: an ISO code; asn: NetworkFacts; or None
    close: Callable[[], None]
    tree: AddressTree  # gives the same number for addresses of which it says the same, 0 for nothing


def text_of(value: object) -> str | None:
    """Give a value that should be text, None where it is not."""
    return value if isinstance(value, str) else None


def open_shipped(path: Path, content: bytes) -> DatabaseReader:
    """Open a database that the builder made; raises InputError where the content of the file is not one."""
    with _private(path, content) as (copy, tree):
        reader, info, has_ipv6 = _open(copy, path, "default")
    if info.kind != SHIPPED_TYPE:
        reader.close()
        raise _wrong_kind(info, SHIPPED_TYPE)

    def ask(text: str) -> dict[str, Any] | None:
        record: Any = reader.get(text)
        if record is None:
            return None
        _country(record.get("country"))
        _as_number(record.get("asn", 0))
        return record  # type: ignore[no-any-return]  # what is not a map has no get()

    return _ready(info, ask, reader.close, has_ipv6, tree)


def open_country(path: Path, content: bytes) -> DatabaseReader:
    """Open a user's country database; raises InputError where the content of the file is not one."""
    with _private(path, content) as (copy, tree):
        return _open_country(copy, path, tree)


def _open_country(copy: str, path: Path, tree: AddressTree) -> DatabaseReader:
    plain, info, has_ipv6 = _open(copy, path, "country")
    if info.kind.startswith("country ip"):  # ip-location-db's own files

        def ask_plain(text: str) -> str | None:
            record: Any = plain.get(text)
            return None if record is None else _country(record["country_code"])

        return _ready(info, ask_plain, plain.close, has_ipv6, tree)
    plain.close()
    import geoip2.database
    import geoip2.errors

    reader = geoip2.database.Reader(copy)
    method: Callable[[str], Any]
    if "Country" in info.kind:
        method = reader.country
    elif "City" in info.kind:
        method = reader.city
    elif "Enterprise" in info.kind:
        method = reader.enterprise
    else:
        reader.close()
        raise _wrong_kind(info, "GeoLite2-Country, GeoIP2-City, DBIP-Country-Lite or the like")

    def ask(text: str) -> str | None:
        try:
            return _country(method(text).country.iso_code)
        except geoip2.errors.AddressNotFoundError:
            return None

    return _ready(info, ask, reader.close, has_ipv6, tree)


def open_asn(path: Path, content: bytes) -> DatabaseReader:
    """Open a user's AS database; raises InputError where the content of the file is not one."""
    with _private(path, content) as (copy, tree):
        return _open_asn(copy, path, tree)


def _open_asn(copy: str, path: Path, tree: AddressTree) -> DatabaseReader:
    plain, info, has_ipv6 = _open(copy, path, "asn")
    if info.kind.startswith("asn ip"):  # ip-location-db's own files

        def ask_plain(text: str) -> NetworkFacts | None:
            record: Any = plain.get(text)
            return None if record is None else _network(record.get)

        return _ready(info, ask_plain, plain.close, has_ipv6, tree)
    plain.close()
    import geoip2.database
    import geoip2.errors

    reader = geoip2.database.Reader(copy)
    method: Callable[[str], Any]
    if "GeoLite2-ASN" in info.kind:
        method = reader.asn
    elif "GeoIP2-ISP" in info.kind:
        method = reader.isp
    else:
        reader.close()
        raise _wrong_kind(info, "GeoLite2-ASN, GeoIP2-ISP, DBIP-ASN-Lite or the like")

    def ask(text: str) -> NetworkFacts | None:
        try:
            return _network(partial(getattr, method(text)))
        except geoip2.errors.AddressNotFoundError:
            return None

    return _ready(info, ask, reader.close, has_ipv6, tree)


def _network(field: Callable[[str], Any]) -> NetworkFacts | None:
    number = field("autonomous_system_number")
    if number is None:
        return None
    return NetworkFacts(_as_number(number), text_of(field("autonomous_system_organization")))


def _as_number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**32:
        raise TypeError(f"{value!r} is not an AS number")
    return value


def _country(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and _ISO_CODE.fullmatch(value)):
        raise TypeError(f"{value!r} is not a country code")
    return value


def _wrong_kind(info: DatabaseInfo, expected: str) -> InputError:
    return InputError(f"{info.path}: its type is {info.kind!r}, not {expected}")


def read_file(path: Path) -> bytes:
    """Read a database file whole; raises InputError where it cannot be read or changes meanwhile."""
    try:
        # whoever waits for a pipe that nobody writes to waits for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise InputError(f"{path}: is no file")
            if not 0 < before.st_size <= LARGEST:
                raise InputError(f"{path}: the file is {'too large' if before.st_size else 'empty'}")
            content = file.read(before.st_size)
            after = os.fstat(descriptor)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise InputError(f"{path}: it is being written; write it aside and rename it")
    return content


@contextmanager
def _private(path: Path, content: bytes) -> Iterator[tuple[str, AddressTree]]:
    """Check all of a file's content and copy it into memory of our own; gives a path there, and its tree.

    The libraries map the file that they are given. Were that the user's, whoever writes into it in place
    would change answers under way, and cutting it short would end the process with SIGBUS.

    Raises InputError where it is damaged.
    """
    try:
        tree = AddressTree(content)
    except ValueError as error:
        raise InputError(f"{path}: not a MaxMind DB file, or cut off: {error}") from error
    copy = os.memfd_create(path.name[:200])
    try:
        with open(copy, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{copy}", tree
    finally:
        os.close(copy)


def _open(copy: str, path: Path, role: Role) -> tuple[maxminddb.Reader, DatabaseInfo, bool]:
    """Open the copy of a file: its reader, what it says about itself, and whether it knows IPv6."""
    try:
        reader = maxminddb.open_database(copy)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except DAMAGED as error:
        raise InputError(f"{path}: not a MaxMind DB file, or cut off") from error
    try:
        metadata = reader.metadata()
        built = datetime.fromtimestamp(metadata.build_epoch, UTC)
        info = DatabaseInfo(role, path, str(metadata.database_type), built)
    except (*DAMAGED, OverflowError, OSError) as error:
        reader.close()
        raise InputError(f"{path}: not a MaxMind DB file: its metadata is damaged") from error
    return reader, info, metadata.ip_version == 6


def _ready(
    info: DatabaseInfo,
    ask: Callable[[str], Any],
    close: Callable[[], None],
    has_ipv6: bool,
    tree: AddressTree,
) -> DatabaseReader:
    """Ask for a few addresses, so that a wholly broken file is told at the start and not by a counter."""

    def ask_ipv4(text: str) -> Any:
        return None if ":" in text else ask(text)

    reader = DatabaseReader(info, ask if has_ipv6 else ask_ipv4, close, tree)
    try:
        for text in _PROBES:
            reader.ask(text)
    except DAMAGED as error:
        close()
        raise InputError(f"{info.path}: the file is damaged inside") from error
    return reader
