"""Alert events as JSON lines: begun, growing, ended; one event a line, written at once."""

from collections.abc import Sequence

from monitor.errors import InputError
from monitor.judge.alert import AlertEvent
from monitor.publish.json_text import to_json_text
from monitor.publish.line_file import STANDARD_OUTPUT, LineFile

__all__ = ["STANDARD_OUTPUT", "AlertLog"]


class AlertLog:
    """Appends alert events to a file, or to standard output where the path is ``-``.

    An event that cannot be written, for instance because the disk is full, is counted in `lost` and is not
    an error: detection goes on.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.written = 0
        self.lost = 0
        self._file = LineFile(path)

    def start(self) -> None:
        """Open the file; raises InputError where it cannot be written."""
        try:
            self._file.open()
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error

    def write(self, events: Sequence[AlertEvent]) -> None:
        """Append events, one line each; what cannot be written is counted."""
        for event in events:
            try:
                self._file.append(to_json_text(event.to_json()).encode("ascii"))
            except OSError:
                self.lost += 1
            else:
                self.written += 1

    def stop(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()
