"""Who asks for a reload, and what is answered."""

import subprocess
import sys
import threading

import pytest

from monitor.errors import InputError
from monitor.reloads import Reloads


def asking(reloads: Reloads, answers: list[str]) -> threading.Thread:
    """Ask from another thread; returns when it waits."""

    def ask() -> None:
        try:
            answers.append(reloads.wait())
        except InputError as error:
            answers.append(f"wrong: {error}")

    thread = threading.Thread(target=ask)
    thread.start()
    while not reloads._wanted:
        assert thread.is_alive()
    return thread


def test_a_signal_asks_and_waits_for_nothing() -> None:
    reloads = Reloads()
    assert reloads.take() is None
    reloads.want()
    reloads.want()
    assert reloads.take() == 0
    assert reloads.take() is None


def test_a_signal_waits_for_no_lock() -> None:
    """Its handler runs between any two steps of the main thread, also where that holds one."""
    reloads = Reloads()
    with reloads._changed:
        handler = threading.Thread(target=reloads.want, daemon=True)
        handler.start()
        handler.join(10)
        assert not handler.is_alive()


@pytest.mark.parametrize("outcome", ["2 rules at work", InputError("egress.yml:1: no")])
def test_who_waits_is_told(outcome: str | InputError) -> None:
    reloads, answers = Reloads(), list[str]()
    thread = asking(reloads, answers)
    taken = reloads.take()
    assert taken == 1
    reloads.tell(taken, outcome)
    thread.join(10)
    assert answers == [outcome if isinstance(outcome, str) else f"wrong: {outcome}"]


def test_who_asks_while_one_is_under_way_is_told_of_the_next() -> None:
    """What was changed before it asked may not have been read by the one under way."""
    reloads, answers = Reloads(), list[str]()
    reloads.want()
    before = reloads.take()
    assert before == 0
    thread = asking(reloads, answers)
    reloads.tell(before, "of the old files")
    assert thread.is_alive()
    taken = reloads.take()
    assert taken == 1
    reloads.tell(taken, "of the new files")
    thread.join(10)
    assert answers == ["of the new files"]


def test_nobody_waits_for_a_daemon_that_ends() -> None:
    reloads, answers = Reloads(), list[str]()
    thread = asking(reloads, answers)
    reloads.close()
    thread.join(10)
    with pytest.raises(InputError, match="the daemon ends"):
        reloads.wait()
    assert answers == ["wrong: no reload: the daemon ends"]


# The start reads and tests for seconds; a rotation of logs tells everybody meanwhile.
START = """
import os, signal
from monitor import daemon
from monitor.config import Config
from monitor.errors import InputError
def opened(*_, **__):
    os.kill(os.getpid(), signal.SIGHUP)
    raise InputError("went on")
daemon.Capture.of_interfaces = opened
try:
    daemon.run(Config(interfaces=["lo"], state="/nonexistent", evidence={"enabled": False}), None)
except InputError as error:
    print(error)
"""


def test_a_signal_during_the_start_does_not_end_it() -> None:
    command = [sys.executable, "-I", "-c", START]
    assert subprocess.run(command, check=True, timeout=60, capture_output=True).stdout == b"went on\n"
