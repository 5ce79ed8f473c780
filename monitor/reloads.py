"""Reloads that the main thread is asked for: by a signal, and by threads that wait for what came of it."""

import threading

from monitor.errors import InputError

WITHIN = 60.0  # seconds that a thread waits


class Reloads:
    """Who asks, and what is answered. Whoever asks while one is under way gets the next one's outcome."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted = False
        self._asked = 0  # by threads
        self._answered = 0  # of them
        self._outcome: str | InputError = ""
        self._is_over = False

    def want(self) -> None:
        """Ask and wait for nothing; for a signal's handler.

        That runs in the midst of what the main thread does, so no lock may be taken here (nor by an Event):
        the main thread might hold it.
        """
        self._wanted = True

    def wait(self) -> str:
        """Ask, for other threads; gives one line for people. Raises InputError where something is wrong."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._wanted = True
            self._changed.wait_for(lambda: self._answered >= mine or self._is_over, WITHIN)
            if self._answered < mine:
                why = "the daemon ends" if self._is_over else f"not within {WITHIN:.0f} s; it may still come"
                raise InputError(f"no reload: {why}")
            outcome = self._outcome
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def take(self) -> int | None:
        """Begin one for all who have asked until now; gives what `tell` wants, None where nobody has."""
        if not self._wanted:
            return None
        self._wanted = False
        with self._changed:
            return self._asked

    def tell(self, taken: int, outcome: str | InputError) -> None:
        """Say what came of it."""
        with self._changed:
            self._answered, self._outcome = taken, outcome
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
