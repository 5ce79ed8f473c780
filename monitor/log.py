"""The daemon's log: one line an event on standard error, JSON where that is no terminal."""

import contextlib
import sys

import structlog

from monitor.publish.line_file import STANDARD_ERROR, LineFile


class _StandardError:
    """What the log is printed to.

    A disk that is full, a reader that went away or has stopped reading costs lines: the capture must not
    end, nor wait, because somebody cannot be told something.
    """

    def __init__(self) -> None:
        self._file = LineFile(STANDARD_ERROR)

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.append(text.removesuffix("\n").encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Do nothing: what was written has left already."""


def make_log() -> structlog.stdlib.BoundLogger:
    """Make the log."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(_StandardError()),  # type: ignore[arg-type]
    )
    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    return log
