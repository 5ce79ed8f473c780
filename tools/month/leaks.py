"""Eight leaks, each of another kind, each begun at a moment of its own."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .events import Events
from .world import DAY, HOUR, KIB, MIB, Parameters


@dataclass(frozen=True)
class Leak:
    """What was planted: what it is, and the tick in which its first byte left, in seconds since START."""

    number: int
    what: str
    began: int


def add_leaks(events: Events, month: Parameters) -> list[str]:
    """Add all of them, numbered from 0; sizes and rates are drawn anew for each seed. Gives what they are."""
    makers: list[tuple[str, Callable[[Events, int, float, Parameters], None]]] = [
        ("bulk upload to a cloud that nobody allowed", _cloud),
        ("archive to a file locker", _locker),
        ("copy of a data store, taken by a stranger", _store),
        ("slow drip to a small network", _drip),
        ("data in DNS questions", _dns),
        ("data in pings", _pings),
        ("beacon to a rented server", _beacon),
        ("dump to a bucket of somebody else in the sanctioned cloud", _bucket),
    ]
    last = max(month.first_leak + 1, month.days - 6.0)
    for number, (_, make) in enumerate(makers):
        # what takes weeks begins early
        latest = month.first_leak + 3 if make is _drip else last
        began = float(events.random.uniform(month.first_leak, latest)) * DAY
        make(events, number, began, month)
    return [what for what, _ in makers]


def _cloud(events: Events, leak: int, began: float, month: Parameters) -> None:
    size = events.random.uniform(40, 400) * MIB * month.leak_size
    events.bulk("batch", "oss", began, size, rate=2 * MIB, leak=leak)


def _locker(events: Events, leak: int, began: float, month: Parameters) -> None:
    size = events.random.uniform(300, 900) * MIB * month.leak_size
    for part in range(6):
        events.bulk("api-2", "mega", began + part * 400, size / 6, rate=MIB, leak=leak)


def _store(events: Events, leak: int, began: float, month: Parameters) -> None:
    """Some nights, page by page; the answers are data, the questions are small."""
    for night in range(4):
        if began + night * DAY > month.days * DAY:
            break
        pages = int(60 * month.leak_size)
        times = began + night * DAY + np.arange(pages) * 3.0
        events.add(
            "search",
            "taker",
            times,
            out=events.sizes(pages, 700 * KIB),
            back=400,
            initiator="remote",
            local_port=9200,
            remote_port=51_000 + night,
            application="http",
            leak=leak,
        )


def _drip(events: Events, leak: int, began: float, month: Parameters) -> None:
    """A part every hour or so, with a handshake around it."""
    every = events.random.uniform(0.5, 2) * HOUR
    times = np.arange(began, month.days * DAY, every)
    times = times + events.random.uniform(0, 0.4 * every, len(times))
    size = events.random.uniform(40, 150) * KIB * month.leak_size * every / HOUR
    events.add("reports", "drop", times, out=events.sizes(len(times), size, 0.3), back=5 * KIB, leak=leak)


def _dns(events: Events, leak: int, began: float, month: Parameters) -> None:
    rate = events.random.uniform(4, 60) * month.leak_size  # bytes a second
    times = began + np.arange(int(1_500_000 / 110)) * (110 / rate)
    times = times[times < month.days * DAY]
    names = []
    for _ in times:
        data = base64.b32encode(events.random.bytes(68)).decode().lower().rstrip("=")
        names.append(f"{data[:55]}.{data[55:]}.cdn-sync.example")
    events.ask("build", times, names, "cdn-sync.example", 16, leak)


def _pings(events: Events, leak: int, began: float, month: Parameters) -> None:
    size = int(events.random.uniform(200, 1400))
    every = events.random.uniform(0.5, 2)
    count = int(min(6 * HOUR, month.days * DAY - began) / 10)
    times = began + np.arange(count) * 10.0
    amount = int(size * 10 / every * month.leak_size)
    events.add(
        "node-2",
        "pinged",
        times,
        out=amount,
        back=amount,
        protocol=1,
        application="icmp",
        local_port=0,
        remote_port=0,
        address=0,
        age=times - began,
        connection=np.zeros(count, dtype=int),
        leak=leak,
    )


def _beacon(events: Events, leak: int, began: float, month: Parameters) -> None:
    every = events.random.uniform(60, 3600)
    times = np.arange(began, month.days * DAY, every)
    times = times + events.random.uniform(-0.06, 0.06, len(times)) * every
    events.add(
        "auth",
        "operator",
        times,
        out=events.sizes(len(times), 400, 0.2),
        back=4800,
        address=0,
        leak=leak,
    )


def _bucket(events: Events, leak: int, began: float, month: Parameters) -> None:
    size = events.random.uniform(4, 15) * 1024 * MIB * month.leak_size
    events.bulk("database", "bucket", began, size, rate=8 * MIB, leak=leak)
