"""Alert events as JSON lines: begun, growing, ended; one event a line, written at once."""

import os
import sys
from collections.abc import Sequence

from monitor.errors import InputError
from monitor.judge.alert import AlertEvent
from monitor.publish.json_text import to_json_text

STANDARD_OUTPUT = "-"


class AlertLog:
    """Appends alert events to a file, or to standard output where the path is ``-``.

    A file that was moved away (by logrotate) is opened anew before the next events. An event that cannot
    be written, for instance because the disk is full, is counted in `lost` and is not an error: detection
    goes on. A line that was cut off there is ended before the next one, so that only one is lost.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.written = 0
        self.lost = 0
        self._descriptor: int | None = None
        self._cut_off = False

    def start(self) -> None:
        """Open the file; raises InputError where it cannot be written."""
        try:
            self._open()
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error

    def write(self, events: Sequence[AlertEvent]) -> None:
        """Append events, one line each; what cannot be written is counted."""
        try:
            descriptor = self._open()
        except OSError:
            self.lost += len(events)
            return
        for event in events:
            line = to_json_text(event.to_json()).encode("ascii") + b"\n"
            try:
                self._append(descriptor, b"\n" + line if self._cut_off else line)
            except OSError:
                self.lost += 1
            else:
                self.written += 1

    def stop(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self.path != STANDARD_OUTPUT:
            os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is not None and self._is_moved(self._descriptor):
            self.stop()
        if self._descriptor is None:
            if self.path == STANDARD_OUTPUT:
                self._descriptor = sys.stdout.fileno()
            else:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o640)
        return self._descriptor

    def _is_moved(self, descriptor: int) -> bool:
        if self.path == STANDARD_OUTPUT:
            return False
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(descriptor))

    def _append(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
                self._cut_off = bool(rest)
        except OSError:
            self._cut_off = self._cut_off or len(rest) < len(data)
            raise
