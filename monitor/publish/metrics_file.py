"""Writes the metrics to a file, for `replay --metrics`."""

import os
import tempfile
from pathlib import Path

from monitor.errors import InputError


def write_metrics(path: Path, exposition: bytes) -> None:
    """Write `exposition` to `path`, whole or not at all; raises InputError where that cannot be done.

    A file is replaced in one step, as node_exporter's textfile collector needs it; a pipe or a device
    is written to.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(exposition)
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(exposition)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
