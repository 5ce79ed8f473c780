"""Writes a file of the state folder whole or not at all."""

import contextlib
import os
from pathlib import Path


def write(path: Path, *parts: bytes) -> None:
    """Write the parts aside, then rename; raises OSError, and the old file then stays.

    Only the daemon's user may read it: what is kept there tells who talked to whom.
    """
    aside = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
