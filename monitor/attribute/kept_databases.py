"""Copies of the last good databases in the state folder: a start does not fail for a file that broke since.

One copy a role, named by its role and the SHA-256 of what is in it, so that one rename both puts a copy in
place and says what must be in it. A copy that does not have its hash is as good as none.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from monitor import state_file
from monitor.attribute.database_files import Role
from monitor.errors import InputError
from monitor.trusted import require_trusted

LARGEST = 512 * 2**20  # bytes of a copy; the largest of MaxMind has under 450 MB

_NAME = re.compile(r"(default|country|asn)-([0-9a-f]{64})\.mmdb")


class KeptDatabases:
    """The copies in one folder, which need not be there yet. One process writes there at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, role: Role) -> bytes | None:
        """Give the copy of a role; None where there is none.

        Raises InputError where there is one that cannot be used: damaged, or open to other users.
        """
        trouble: InputError | None = None
        for path in self._copies(role):
            try:
                require_trusted(path)
                return _read(path)
            except InputError as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return None

    def keep(self, contents: Mapping[Role, bytes]) -> list[str]:
        """Keep these, and nothing else: a role that is not among them has no copy afterwards.

        Returns:
            One line for people for each copy that could not be kept; its role then keeps the one before.
        """
        warnings = []
        good: set[str] = set()
        failed: set[str] = set()
        for role, content in contents.items():
            name = f"{role}-{hashlib.sha256(content).hexdigest()}.mmdb"
            try:
                self._keep_one(name, content)
                good.add(name)
            except InputError as error:
                warnings.append(f"{error}: no copy of the {role} database is kept for the next start")
                failed.add(role)
        self._clear(good, failed)
        return warnings

    def _keep_one(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            if _read(path) == content:
                return
        except InputError:
            pass  # none yet, or a damaged one, which is written anew
        if len(content) > LARGEST:
            raise InputError(f"{path}: larger than {LARGEST >> 20} MiB")
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            state_file.write(path, content)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error

    def _copies(self, role: Role) -> list[Path]:
        """Give the copies of a role; two where an earlier run ended between writing one and removing one."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return []
        return [self.folder / name for name in names if (of := _NAME.fullmatch(name)) and of[1] == role]

    def _clear(self, good: set[str], failed: set[str]) -> None:
        """Remove what is no copy any more, and what an earlier run left half-written."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return
        for name in names:
            role = name.partition("-")[0]
            if name in good or (role in failed and _NAME.fullmatch(name)):
                continue
            if _NAME.fullmatch(name.removesuffix(".new")):
                try:
                    (self.folder / name).unlink()
                except OSError:
                    return  # it is tried again at the next start or reload


def _read(path: Path) -> bytes:
    """Give what is in a copy; raises InputError where that is not what its name says."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    name = _NAME.fullmatch(path.name)
    if name is None or hashlib.sha256(content).hexdigest() != name[2]:
        raise InputError(f"{path}: the copy kept there is damaged")
    return content
