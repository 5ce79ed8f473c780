"""A file that lines are appended to, by one writer; it may be moved away meanwhile."""

import os
import sys

STANDARD_OUTPUT = "-"


class LineFile:
    """Appends whole lines to a file, or to standard output where the path is ``-``.

    A file that was moved away (by logrotate) is opened anew before the next line. A line that was cut off,
    as by a full disk, is ended before the next one, so that only one is lost.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._cut_off = False

    def open(self) -> None:
        """Open the file, where it is not open or was moved away; raises OSError."""
        if self._descriptor is not None and self._is_moved(self._descriptor):
            self.close()
        if self._descriptor is None:
            if self.path == STANDARD_OUTPUT:
                self._descriptor = sys.stdout.fileno()
            else:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o640)

    def append(self, line: bytes) -> None:
        """Write a line and its end; raises OSError where not all of it could be written."""
        self.open()
        assert self._descriptor is not None
        data = b"\n" * self._cut_off + line + b"\n"
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
                self._cut_off = bool(rest)
        except OSError:
            self._cut_off = self._cut_off or len(rest) < len(data)
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self.path != STANDARD_OUTPUT:
            os.close(descriptor)

    def _is_moved(self, descriptor: int) -> bool:
        if self.path == STANDARD_OUTPUT:
            return False
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(descriptor))
