"""The manifest of a capsule: what is in it, with SHA-256 hashes, and whether all of it is still so."""

import errno
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from monitor.errors import InputError

MANIFEST = "manifest.json"
SEAL = "manifest.sha256"  # the hash of the manifest itself, in the form of sha256sum(1)
LAYOUT = 1
_PIECE = 1 << 20
_LARGEST_MANIFEST = 1 << 20
_LONGEST_SEAL = 200


@dataclass(frozen=True)
class Fault:
    """One file of a capsule that is not what the manifest says."""

    file: str
    what: str  # in words, with the expected and the found hash where they differ


def is_capsule(folder: Path) -> bool:
    """Tell whether a folder is a capsule; one that may not be looked into is none for us."""
    try:
        return (folder / MANIFEST).is_file()
    except OSError:
        return False


def sha256(path: Path) -> str:
    """Give the hash of a file as hex digits; raises OSError."""
    found = hashlib.sha256()
    with _open(path) as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _open(path: Path) -> IO[bytes]:
    """Open a plain file: a pipe in a capsule would be waited for, and a device read for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file")
    return os.fdopen(descriptor, "rb")


def write(folder: Path, about: dict[str, Any]) -> None:
    """Write manifest and seal over all files that are in a folder; raises OSError."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())
    }
    text = json.dumps({"layout": LAYOUT, **about, "files": files}, indent=1, ensure_ascii=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="ascii")
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    (folder / SEAL).write_text(f"{digest}  {MANIFEST}\n", encoding="ascii")


def read(folder: Path) -> dict[str, Any]:
    """Read the manifest; raises InputError where there is none that can be read."""
    path = folder / MANIFEST
    try:
        with _open(path) as file:
            text = file.read(_LARGEST_MANIFEST + 1)
        if len(text) > _LARGEST_MANIFEST:
            raise InputError(f"{path}: is no manifest of a capsule")
        about = json.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is no manifest of a capsule") from None
    is_ours = isinstance(about, dict) and about.get("layout") == LAYOUT
    parts = (about.get("files"), about.get("packets", {})) if is_ours else ()
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{path}: is no manifest of a capsule, or one of a newer egress-monitor")
    found: dict[str, Any] = about
    return found


def verify(folder: Path) -> list[Fault]:
    """Hold each file against its hash; gives what is wrong, nothing where all is as it was written.

    Raises InputError where the folder is no capsule.
    """
    faults = []
    try:
        with _open(folder / SEAL) as file:
            sealed = file.read(_LONGEST_SEAL).decode("ascii", errors="replace").split()
        found = sha256(folder / MANIFEST)
        if sealed != [found, MANIFEST]:
            faults.append(Fault(MANIFEST, _differs(sealed[0] if sealed else "nothing", found)))
    except OSError as error:
        faults.append(Fault(SEAL, error.strerror or str(error)))
    try:
        told = read(folder)["files"]
    except InputError:
        if faults:
            return faults
        raise
    for name, entry in told.items():
        expected = entry.get("sha256") if isinstance(entry, dict) else None
        if Path(name).name != name:
            faults.append(Fault(name, "is no file of a capsule"))
            continue
        try:
            found = sha256(folder / name)
        except OSError as error:
            faults.append(Fault(name, error.strerror or str(error)))
            continue
        except ValueError:  # no name that a file can have
            faults.append(Fault(name, "is no file of a capsule"))
            continue
        if found != expected:
            faults.append(Fault(name, _differs(str(expected), found)))
    there = {path.name for path in folder.iterdir()} - {MANIFEST, SEAL}
    faults += [Fault(name, "does not belong to the capsule") for name in sorted(there - set(told))]
    return faults


def _differs(expected: str, found: str) -> str:
    return f"was changed: expected sha256 {expected[:64]}, found {found}"
