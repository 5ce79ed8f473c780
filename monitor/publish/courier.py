"""A thread that delivers lines one after the other: bounded, retried, counted; nobody ever waits for it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from monitor.publish.post import RefusedError

MAX_WAITING = 10_000  # lines
MAX_BYTES = 32 * 2**20  # of all lines that wait; a line is some 2 KiB
MAX_LINE = 256 * 1024  # bytes; a longer one is dropped
FIRST_RETRY = 1.0  # seconds, doubled up to
LAST_RETRY = 60.0
REFUSALS = 5  # of one line; then it is dropped, so that what nobody takes does not hold up all others
LAST_SECONDS = 2.0  # for what still waits at the end


@dataclass
class CourierCounts:
    """Lines since the start; `trouble` is why the last try failed, in one line, None where it did not."""

    delivered: int = 0
    dropped: int = 0
    retried: int = 0
    waiting: int = 0
    trouble: str | None = None


class Courier:
    """Hands lines to `send`, in order; `send` raises OSError where that fails, and gets the line again.

    The oldest line is dropped when too many wait, and one that the receiver itself refuses (RefusedError)
    after `REFUSALS` tries. What waits at the end is tried once more.
    """

    def __init__(self, name: str, send: Callable[[bytes], None]) -> None:
        self.name = name
        self._send = send
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._taken: bytes | None = None  # the line under way
        self._refusals = 0  # of it
        self._counts = CourierCounts()
        self._changed = threading.Condition()
        self._stopping = False
        self._until = float("inf")  # what waits is tried no longer than this, monotonic seconds
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"courier-{self.name}", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Take a line; never waits."""
        with self._changed:
            if len(line) > MAX_LINE:
                self._counts.dropped += 1
                return
            while self._lines and (
                len(self._lines) >= MAX_WAITING or self._bytes + len(line) > MAX_BYTES
            ):
                self._bytes -= len(self._lines.popleft())
                self._counts.dropped += 1
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify()

    def counts(self) -> CourierCounts:
        """Give what was counted so far."""
        with self._changed:
            return CourierCounts(
                self._counts.delivered,
                self._counts.dropped,
                self._counts.retried,
                len(self._lines) + (self._taken is not None),
                self._counts.trouble,
            )

    def begin_stop(self) -> None:
        """Let the last try for what waits begin; a second call does nothing."""
        with self._changed:
            if not self._stopping:
                self._stopping = True
                self._until = time.monotonic() + LAST_SECONDS
                self._changed.notify()

    def stop(self) -> None:
        """End, with a last try for what waits; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self.begin_stop()
        thread.join(max(0.0, self._until - time.monotonic()))

    def _run(self) -> None:
        pause = FIRST_RETRY
        while True:
            with self._changed:
                while not self._lines and self._taken is None and not self._stopping:
                    self._changed.wait()
                if self._taken is None and self._lines:
                    self._taken = self._lines.popleft()
                    self._bytes -= len(self._taken)
                if self._taken is None or time.monotonic() >= self._until:
                    return
            try:
                self._send(self._taken)
            except OSError as error:
                if not self._failed(error, pause):
                    return
                # also behind a line that was dropped: who refuses all of them loses few
                pause = min(2 * pause, LAST_RETRY)
                continue
            pause = FIRST_RETRY
            with self._changed:
                self._counts.delivered += 1
                self._counts.trouble = None
                self._taken, self._refusals = None, 0

    def _failed(self, error: OSError, pause: float) -> bool:
        """Wait before the next try; false where there is none, because this is the end."""
        with self._changed:
            self._counts.retried += 1
            self._counts.trouble = str(error)
            self._refusals += isinstance(error, RefusedError)
            if self._refusals >= REFUSALS:
                self._counts.dropped += 1
                self._taken, self._refusals = None, 0
            if not self._stopping:
                self._changed.wait_for(lambda: self._stopping, pause)
                return True
            return False
