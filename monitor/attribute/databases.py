"""Where an address is and whose network it is: the shipped database, and the ones that users bring.

The shipped file (``data/egress-monitor.mmdb``, see docs/data.md) has its own record form and is read with
``maxminddb``; GeoLite2, GeoIP2 and DB-IP files are read through ``geoip2`` and win over it, address by
address: where they know nothing, the shipped file is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from monitor.address_text import to_text
from monitor.attribute.catalogue import Catalogue, UserPrefix
from monitor.attribute.database_files import (
    DAMAGED,
    DatabaseInfo,
    DatabaseReader,
    NetworkFacts,
    Role,
    open_asn,
    open_country,
    open_shipped,
    read_file,
    text_of,
)
from monitor.attribute.kept_databases import KeptDatabases
from monitor.errors import InputError

if TYPE_CHECKING:
    import polars as pl

SHIPPED = Path(__file__).with_name("data") / "egress-monitor.mmdb"
STALE_AFTER = timedelta(days=90)

_NAT64 = bytes.fromhex("0064ff9b0000000000000000")  # 64:ff9b::/96, RFC 6052 section 2.1
_6TO4 = bytes.fromhex("2002")  # 2002::/16, RFC 3056 section 2
_MAPPED = bytes(10) + b"\xff\xff"


class AddressFacts(NamedTuple):
    """What is known about an address; None: unknown."""

    country: str | None = None  # ISO 3166-1 alpha-2
    asn: int | None = None
    as_name: str | None = None
    provider: str | None = None  # catalogue id, outside the catalogue as<number>
    provider_evidence: Literal["prefix", "asn"] | None = None  # what `provider` was told from


class Databases:
    """The databases in use. Paths are kept as given; `start` opens them, `stop` closes them.

    ``errors`` counts records that could not be read; they count as unknown. Look-ups are made by one
    thread; another may read the counter.

    Args:
        default: the shipped file, or one like it.
        country, asn: the user's own.
        catalogue: None: the shipped one.
        kept: where the last good files are kept; None: nowhere.
    """

    def __init__(
        self,
        default: Path | None = SHIPPED,
        country: Path | None = None,
        asn: Path | None = None,
        catalogue: Catalogue | None = None,
        kept: KeptDatabases | None = None,
    ) -> None:
        self.errors = 0
        self.stand_ins: list[str] = []  # one line for people for each file whose copy is at work instead
        self._default_path = default
        self._country_path = country
        self._asn_path = asn
        self._catalogue = catalogue
        self._kept = kept
        self._to_keep: dict[Role, bytes] = {}
        self._default: DatabaseReader | None = None
        self._country: DatabaseReader | None = None
        self._asn: DatabaseReader | None = None
        self._prefixes: dict[UserPrefix, int] = {}

    def start(self, *, fall_back: bool = False) -> None:
        """Open the files; raises InputError that names the one that is missing or no database.

        With `fall_back` the last good copy stands in for such a file, where there is one.
        """
        try:
            if self._catalogue is None:
                self._catalogue = Catalogue.load()
            self._default = self._open("default", self._default_path, open_shipped, fall_back)
            self._country = self._open("country", self._country_path, open_country, fall_back)
            self._asn = self._open("asn", self._asn_path, open_asn, fall_back)
        except InputError:
            self.stop()
            raise

    def _open(
        self, role: Role, path: Path | None, opener: Callable[[Path, bytes], DatabaseReader], fall_back: bool
    ) -> DatabaseReader | None:
        if path is None:
            return None
        try:
            content = read_file(path)
            reader = opener(path, content)
        except InputError as error:
            if self._kept is None or not fall_back:
                raise
            content = _last_good(self._kept, role, error)
            reader = opener(path, content)
            of = f"{reader.info.built:%Y-%m-%d}"
            self.stand_ins.append(f"{error}; its last good copy is at work, data of {of}")
        if self._kept is not None:
            self._to_keep[role] = content
        return reader

    def keep(self) -> list[str]:
        """Keep copies of the files that were opened, for a later start; gives one-line warnings."""
        contents, self._to_keep = self._to_keep, {}
        return self._kept.keep(contents) if self._kept is not None and contents else []

    def stop(self) -> None:
        """Close the files; harmless where none is open."""
        for reader in self._open_readers():
            reader.close()
        self._default = self._country = self._asn = None
        self._to_keep = {}

    def sources(self) -> list[DatabaseInfo]:
        """Give the open databases."""
        return [reader.info for reader in self._open_readers()]

    @property
    def is_shipped(self) -> bool:
        """Say whether these are the shipped data and nothing else."""
        return self._default_path == SHIPPED and self._country_path is None and self._asn_path is None

    @property
    def built(self) -> datetime | None:
        """Give the date of the shipped data; None where it is not in use."""
        return self._default.info.built if self._default else None

    def stale(self, now: datetime) -> str | None:
        """Give one line for people where the oldest data in use is older than 90 days, else None.

        The shipped data does not count where the user's own files stand before it.
        """
        chosen = [self._country or self._default, self._asn or self._default]
        oldest = min((reader.info for reader in chosen if reader), key=lambda info: info.built, default=None)
        if oldest is None or now - oldest.built <= STALE_AFTER:
            return None
        return (
            f"{oldest.path.name}: the {_ROLES[oldest.role]} data is from {oldest.built:%Y-%m-%d}, "
            f"{(now - oldest.built).days} days old; newer files: set databases.country and databases.asn "
            f"(docs/data.md)"
        )

    def keys(self, addresses: pl.Series) -> pl.DataFrame:
        """Give columns of numbers for addresses (16 bytes): `lookup` says the same where all are equal."""
        import polars as pl  # `lookup` asks for single addresses only, and is faster without

        column = addresses.to_frame()
        found = [pl.DataFrame(reader.tree.find(column)).to_series() for reader in self._open_readers()]
        if self._catalogue is not None and self._catalogue.has_prefixes:
            found.append(pl.Series([self._prefix(one) for one in addresses.to_list()], dtype=pl.UInt32))
        return pl.DataFrame([numbers.alias(str(place)) for place, numbers in enumerate(found)])

    def _prefix(self, address: bytes) -> int:
        """Give a number for the longest of the user's prefixes around an address; 0: there is none."""
        prefix = self._catalogue.prefix_of_address(embedded_ipv4(address)) if self._catalogue else None
        return 0 if prefix is None else self._prefixes.setdefault(prefix, len(self._prefixes) + 1)

    def lookup(self, address: bytes) -> AddressFacts:
        """Tell what is known about 16 bytes (IPv4 as IPv4-mapped); never raises on their content.

        NAT64 and 6to4 addresses are taken for the IPv4 address inside them: that is where the bytes go.
        """
        packed = embedded_ipv4(address)
        text = to_text(packed)
        record = self._ask(self._default, text) or {}
        country = self._ask(self._country, text) or record.get("country")
        users: NetworkFacts | None = self._ask(self._asn, text)
        network = users
        if network is None and "asn" in record:
            network = NetworkFacts(record["asn"], text_of(record.get("as_name")))
        asn, as_name = network or (None, None)
        listed = text_of(record.get("provider")) if record.get("evidence") == "prefix" else None
        provider, evidence = self._provider(packed, listed, asn, is_users=users is not None)
        return AddressFacts(country, asn, as_name, provider, evidence)

    def _provider(
        self, packed: bytes, listed: str | None, asn: int | None, *, is_users: bool
    ) -> tuple[str | None, Literal["prefix", "asn"] | None]:
        """Decide between the user's prefixes, the shipped ones (``listed``) and the AS.

        A list gives way where the AS is another provider's: lists grow old, and hold what others run. In
        the shipped data that is done; the user's AS data (``is_users``) may be newer than the lists.
        """
        if self._catalogue is None:
            raise RuntimeError("Databases.lookup before start()")
        catalogue = self._catalogue
        by_asn = None if asn is None else catalogue.provider_of_asn(asn)
        is_catalogued = by_asn in catalogue.providers
        user = catalogue.prefix_of_address(packed)
        if user is not None and not (user.is_listed and is_catalogued and by_asn != user.provider):
            return user.provider, "prefix"
        if listed in catalogue.providers and not (is_users and is_catalogued and by_asn != listed):
            return listed, "prefix"
        return (None, None) if by_asn is None else (by_asn, "asn")

    def _ask(self, reader: DatabaseReader | None, text: str) -> Any:
        if reader is None:
            return None
        try:
            return reader.ask(text)
        except DAMAGED:
            self.errors += 1
            return None

    def _open_readers(self) -> list[DatabaseReader]:
        return [reader for reader in (self._default, self._country, self._asn) if reader is not None]


def _last_good(kept: KeptDatabases, role: Role, error: InputError) -> bytes:
    """Give the copy that stands in for a file that ``error`` is about; raises InputError where none does."""
    try:
        copy = kept.find(role)
    except InputError as second:
        raise InputError(f"{error}; and {second}") from error
    if copy is None:
        raise error
    return copy


_ROLES = {"default": "shipped country and network", "country": "country", "asn": "network"}


def embedded_ipv4(address: bytes) -> bytes:
    """Give the IPv4 address (as IPv4-mapped) inside a NAT64 or 6to4 address; others unchanged."""
    if address.startswith(_NAT64):
        return _MAPPED + address[12:]
    if address.startswith(_6TO4):
        return _MAPPED + address[2:6]
    return address
