"""Files that change judgement must belong to root or to the daemon's user, and only they may write.

Who can write a rule can make the monitor blind, so the daemon refuses such a file, like ``sshd`` with
its ``StrictModes``. The folders above count too: who can rename a folder can replace the file.
"""

import os
import stat
from pathlib import Path

from monitor.config import Config
from monitor.errors import InputError

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def require_trusted(path: Path) -> None:
    """Raise InputError where ``path``, or anything inside or above it, is open to other users.

    A folder with the sticky bit (``/tmp``) is fine: there nobody can move the files of others. Links
    are followed, and the folders above the link and above its target are both looked at.
    """
    whole = path.absolute()
    target = whole.resolve()
    folders = dict.fromkeys([*whole.parents, *target.parents])
    for folder in reversed(folders):
        _require(folder, path)
    _require(target, path)
    if target.is_dir():
        try:
            entries = sorted(target.rglob("*"))
        except OSError as error:  # a folder went while it was read
            raise InputError(f"{error.filename or path}: {error.strerror or error}") from error
        for below in entries:
            _require(below, path)


def require_trusted_config(config: Config) -> None:
    """Apply `require_trusted` to the configuration and the files it names; raises InputError.

    The shipped rules and databases are not looked at: who owns the package owns the program as well.
    """
    if config.path is not None:
        require_trusted(config.path)
    for place, path in config.chosen_files():
        if place[0] == "databases" and not os.path.exists(path):
            continue  # its last good copy may stand in for it
        require_trusted(path)


def _require(entry: Path, asked: Path) -> None:
    try:
        status = entry.stat()
    except OSError as error:
        raise InputError(f"{entry}: {error.strerror or error}") from error
    whose = "" if entry == asked else f" (above or below {asked})"
    if status.st_uid not in (0, os.geteuid()):
        raise InputError(
            f"{entry}{whose}: belongs to user {status.st_uid}; it must belong to root or to the user "
            f"that runs the daemon: chown root {entry}"
        )
    is_sticky_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & _OTHERS and not is_sticky_folder:
        raise InputError(
            f"{entry}{whose}: other users can write it, and it changes judgement: chmod go-w {entry}"
        )
