"""The last good databases: kept, found again, and never believed without their hash."""

import os
import shutil
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from monitor.address_text import to_packed
from monitor.attribute import kept_databases
from monitor.attribute.database_files import Role
from monitor.attribute.databases import Databases
from monitor.attribute.kept_databases import KeptDatabases
from monitor.errors import InputError

FILES = Path(__file__).parent / "databases"
ASN, COUNTRY = FILES / "GeoLite2-ASN-Test.mmdb", FILES / "GeoLite2-Country-Test.mmdb"
TELSTRA = to_packed(IPv4Address("1.128.0.1"))  # of AS1221, says MaxMind's test data


@pytest.fixture
def kept(tmp_path: Path) -> KeptDatabases:
    return KeptDatabases(tmp_path / "state" / "databases")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's file, and a state folder."""
    (tmp_path / "state").mkdir(mode=0o700)
    shutil.copy(ASN, tmp_path / "asn.mmdb")
    return tmp_path / "asn.mmdb"


def start(
    path: Path, kept: KeptDatabases, *, fall_back: bool = True
) -> tuple[int | None, list[str], list[str]]:
    """Start as a daemon does; give the AS of an address, the stand-ins and the warnings."""
    databases = Databases(default=None, asn=path, kept=kept)
    databases.start(fall_back=fall_back)
    warnings = databases.keep()
    asn = databases.lookup(TELSTRA).asn
    databases.stop()
    return asn, databases.stand_ins, warnings


def copies(kept: KeptDatabases) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir())


def name(role: str, content: bytes) -> str:
    return f"{role}-{sha256(content).hexdigest()}.mmdb"


def broken(path: Path, how: str) -> str:
    """Break the file; give what is said of it."""
    whole = ASN.read_bytes()
    if how == "missing":
        path.unlink()
        return "No such file or directory"
    path.write_bytes({"cut off": whole[:-4000], "corrupt": bytes(len(whole)), "empty": b""}[how])
    return "the file is empty" if how == "empty" else "not a MaxMind DB file, or cut off"


BREAKS = ["missing", "cut off", "corrupt", "empty"]


@pytest.mark.parametrize("how", BREAKS)
def test_the_last_good_copy_stands_in_for_a_file_that_broke(own: Path, kept: KeptDatabases, how: str) -> None:
    assert start(own, kept) == (1221, [], [])
    assert copies(kept) == [name("asn", ASN.read_bytes())]
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert next(kept.folder.iterdir()).stat().st_mode & 0o777 == 0o600
    what = broken(own, how)
    for _ in range(2):  # and once more: what stands in is not forgotten by standing in
        asn, stand_ins, warnings = start(own, kept)
        assert (asn, warnings, len(stand_ins)) == (1221, [], 1)
        assert stand_ins[0].startswith(f"{own}: {what}")
        assert "; its last good copy is at work, data of 20" in stand_ins[0]
        assert "\n" not in stand_ins[0]
    shutil.copy(ASN, own)
    assert start(own, kept) == (1221, [], [])


@pytest.mark.parametrize("how", BREAKS)
def test_without_a_copy_or_without_leave_it_is_an_error(own: Path, kept: KeptDatabases, how: str) -> None:
    what = broken(own, how)
    with pytest.raises(InputError, match=f"{own}: {what}"):
        start(own, kept)
    shutil.copy(ASN, own)
    start(own, kept)
    broken(own, how)
    with pytest.raises(InputError, match=f"{own}: {what}"):
        start(own, kept, fall_back=False)


def test_a_damaged_copy_is_not_believed_and_is_written_anew(own: Path, kept: KeptDatabases) -> None:
    start(own, kept)
    copy = next(kept.folder.iterdir())
    content = bytearray(copy.read_bytes())
    content[1000] ^= 1
    copy.write_bytes(content)
    own.unlink()
    with pytest.raises(InputError) as caught:
        start(own, kept)
    assert str(caught.value) == (
        f"{own}: No such file or directory; and {copy}: the copy kept there is damaged"
    )
    shutil.copy(ASN, own)
    assert start(own, kept) == (1221, [], [])
    assert copy.read_bytes() == ASN.read_bytes()


def test_a_copy_that_others_can_write_is_not_believed(own: Path, kept: KeptDatabases) -> None:
    start(own, kept)
    copy = next(kept.folder.iterdir())
    copy.chmod(0o666)
    own.unlink()
    with pytest.raises(InputError, match=f"chmod go-w {copy}"):
        start(own, kept)


def test_a_link_is_no_copy(own: Path, kept: KeptDatabases) -> None:
    start(own, kept)
    copy = next(kept.folder.iterdir())
    copy.rename(kept.folder / "elsewhere")
    copy.symlink_to(kept.folder / "elsewhere")
    own.unlink()
    with pytest.raises(InputError, match="Too many levels of symbolic links"):
        start(own, kept)


def test_one_copy_a_role_and_none_of_what_is_not_in_use(own: Path, kept: KeptDatabases) -> None:
    start(own, kept)
    newer = ASN.read_bytes().replace(b"Telstra", b"Telstrb")
    old: dict[Role, bytes] = {"asn": ASN.read_bytes(), "country": COUNTRY.read_bytes()}
    assert kept.keep(old) == []
    assert copies(kept) == [name(role, content) for role, content in sorted(old.items())]
    # what a run that was killed left, and what is not ours
    (kept.folder / f"{name('asn', newer)}.new").write_bytes(b"half")
    (kept.folder / "note").write_bytes(b"mine")
    assert kept.keep({"asn": newer}) == []
    assert copies(kept) == [name("asn", newer), "note"]
    # killed between writing the new one and removing the old one: either is good
    (kept.folder / name("asn", b"")).write_bytes(b"not this")
    assert kept.find("asn") == newer


def test_the_copy_is_not_written_again_while_it_is_the_same(own: Path, kept: KeptDatabases) -> None:
    start(own, kept)
    before = next(kept.folder.iterdir()).stat()
    start(own, kept)
    after = next(kept.folder.iterdir()).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_where_no_copy_can_be_kept_the_one_before_stays(
    own: Path, kept: KeptDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(own, kept)
    own.write_bytes(ASN.read_bytes().replace(b"Telstra", b"Telstrb"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        asn, stand_ins, warnings = start(own, kept)
    assert (asn, stand_ins, len(warnings)) == (1221, [], 1)
    assert warnings[0].endswith(
        "No space left on device: no copy of the asn database is kept for the next start"
    )
    assert copies(kept) == [name("asn", ASN.read_bytes())]
    monkeypatch.setattr(kept_databases, "LARGEST", 1000)
    assert "larger than 0 MiB" in start(own, kept)[2][0]


def test_a_pipe_is_no_database_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: is no file"):
        Databases(default=None, asn=tmp_path / "pipe").start()
