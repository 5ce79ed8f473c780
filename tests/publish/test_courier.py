"""The courier: in order, retried, bounded, counted; and nobody waits for it."""

import threading
import time
from collections.abc import Callable

import pytest

from monitor.publish import courier
from monitor.publish.courier import Courier
from monitor.publish.post import RefusedError


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def test_what_fails_is_tried_again_and_the_order_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.01)
    came: list[bytes] = []
    failures = iter([True, True, False, True, False, False])

    def send(line: bytes) -> None:
        if next(failures):
            raise OSError("no route to host")
        came.append(line)

    one = Courier("one", send)
    one.start()
    for line in (b"a", b"b", b"c"):
        one.put(line)
    wait_for(lambda: one.counts().delivered == 3)
    one.stop()
    assert came == [b"a", b"b", b"c"]
    counts = one.counts()
    assert (counts.delivered, counts.retried, counts.dropped, counts.waiting) == (3, 3, 0, 0)
    assert counts.trouble is None


def test_a_receiver_that_hangs_holds_nobody_up_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MAX_WAITING", 10)
    hangs, reached = threading.Event(), threading.Event()
    came: list[bytes] = []

    def send(line: bytes) -> None:
        reached.set()
        hangs.wait(10)
        came.append(line)

    one = Courier("one", send)
    one.start()
    one.put(b"0")
    assert reached.wait(10)
    for number in range(1, 25):
        one.put(b"%d" % number)
    assert one.counts().waiting == 11
    assert one.counts().dropped == 14
    hangs.set()
    wait_for(lambda: one.counts().waiting == 0)
    one.stop()
    assert came == [b"0", *(b"%d" % number for number in range(15, 25))], "the one under way still arrives"


def test_a_line_that_is_refused_again_and_again_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "FIRST_RETRY", 0.001)
    tried: list[bytes] = []
    # a failure of the way does not count as a refusal
    answers: list[OSError | None] = [OSError("away"), *[RefusedError("answers 400")] * 5, None]

    def send(line: bytes) -> None:
        tried.append(line)
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    one = Courier("one", send)
    for line in (b"a", b"b"):
        one.put(line)
    one.start()
    wait_for(lambda: one.counts().delivered == 1)
    one.stop()
    assert tried == [b"a"] * 6 + [b"b"]
    counts = one.counts()
    assert (counts.dropped, counts.retried, counts.waiting, counts.trouble) == (1, 6, 0, None)


def test_what_waits_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MAX_BYTES", 1000)
    one = Courier("one", lambda line: None)
    for _ in range(5):
        one.put(bytes(300))
    assert (one.counts().waiting, one.counts().dropped) == (3, 2)
    one.put(bytes(1000))
    assert (one.counts().waiting, one.counts().dropped) == (1, 5)


def test_a_line_beyond_the_bound_is_dropped() -> None:
    one = Courier("one", lambda line: None)
    one.put(bytes(courier.MAX_LINE + 1))
    assert (one.counts().dropped, one.counts().waiting) == (1, 0)


def test_at_the_end_what_waits_is_tried_once_more() -> None:
    came: list[bytes] = []
    one = Courier("one", came.append)
    for line in (b"a", b"b"):
        one.put(line)
    one.start()
    one.stop()
    one.stop()
    assert came == [b"a", b"b"]


def test_a_receiver_that_is_gone_does_not_hold_up_the_end() -> None:
    def refuse(line: bytes) -> None:
        raise OSError("connection refused")

    one = Courier("one", refuse)
    one.put(b"a")
    one.start()
    wait_for(lambda: one.counts().retried > 0)
    assert one.counts().trouble == "connection refused"
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < courier.LAST_SECONDS
    assert not [thread for thread in threading.enumerate() if thread.name == "courier-one"]
