"""A file that lines are appended to, by one writer; it may be moved away meanwhile."""

import errno
import os
import select
import stat
import sys

STANDARD_OUTPUT = "-"
STANDARD_ERROR = "/dev/stderr"
PATIENCE = 1.0  # seconds that the reader of a pipe is waited for, once until it reads again

_STANDARD = {STANDARD_OUTPUT: 1, STANDARD_ERROR: 2}


class LineFile:
    """Appends whole lines to a file, or to standard output where the path is ``-``.

    A file that was moved away (by logrotate) is opened anew before the next line. A line that was cut off,
    as by a full disk, is ended before the next one, so that only one is lost. A pipe that nobody reads is
    full some time: then lines fail instead of waiting for ever.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._cut_off = False
        self._is_stuck = False

    def open(self) -> None:
        """Open the file, where it is not open or was moved away; raises OSError."""
        if self._descriptor is not None and self._is_moved(self._descriptor):
            self.close()
        if self._descriptor is None:
            standard = _STANDARD.get(self.path)
            self._descriptor = _open(self.path) if standard is None else _without_waiting(standard)

    def append(self, line: bytes) -> None:
        """Write a line and its end; raises OSError where not all of it could be written."""
        self.open()
        assert self._descriptor is not None
        data = b"\n" * self._cut_off + line + b"\n"
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._write(self._descriptor, rest) :]
                self._cut_off = bool(rest)
        except OSError:
            self._cut_off = self._cut_off or len(rest) < len(data)
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and descriptor != _STANDARD.get(self.path):
            os.close(descriptor)

    def _write(self, descriptor: int, data: memoryview) -> int:
        while True:
            try:
                written = os.write(descriptor, data)
            except BlockingIOError:
                if self._is_stuck or not _has_room(descriptor):
                    self._is_stuck = True
                    raise
            else:
                self._is_stuck = False
                return written

    def _is_moved(self, descriptor: int) -> bool:
        if self.path in _STANDARD:
            return False
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(descriptor))


def _open(path: str) -> int:
    # O_NONBLOCK means nothing for a file on disk; a named pipe would else wait for its reader, here and later
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, os.O_WRONLY | flags, 0o640)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.open(path, os.O_RDWR | flags, 0o640)  # a pipe that nobody reads yet (fifo(7))


def _without_waiting(descriptor: int) -> int:
    """Open the pipe behind a descriptor for ourselves: others that have it may count on waiting."""
    if (sys.stdout if descriptor == 1 else sys.stderr) is None:
        # closed when the program began, so the number is that of some other file now
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        try:
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # of another user, or no /proc
            pass
    return descriptor


def _has_room(descriptor: int) -> bool:
    """Wait for the reader."""
    asked = select.poll()
    asked.register(descriptor, select.POLLOUT)
    return any(found & select.POLLOUT for _, found in asked.poll(PATIENCE * 1000))
