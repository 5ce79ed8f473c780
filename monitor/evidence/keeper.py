"""Keeps evidence beside the line: rows and packets of the recent past, and a capsule for each alert.

The pipeline hands over rows and events and goes on; one thread does the work. Live nothing waits for it:
what it has no room for is counted.
"""

import os
import queue
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from monitor.config import EvidenceConfig
from monitor.evidence import alert_flows, capsule
from monitor.evidence.capsule import Packets, PacketsTold, Versions
from monitor.evidence.capsules import FOLDER, Bounds, Capsules, take
from monitor.evidence.in_words import kept_in_words, opens_with
from monitor.evidence.ring import PacketRing
from monitor.evidence.rows import WAIT, RowSpool
from monitor.flow_batch import EvidenceCounters
from monitor.judge.alert import Alert, AlertEvent
from monitor.judge.lists import AddressLists
from monitor.judge.rule import Rule

RING, ROWS = "ring", "rows"  # folders beside the capsules
REPLAY = ".replay"  # the folder for both in a replay: it removes them, and those of a monitor at work stay
MAX_WAITING = 4096  # batches and events on their way to the thread
MAX_WAITING_ROWS = 1_000_000  # rows on their way, some 400 MB
MAX_GIVEN = 100_000  # alerts that are known to have a capsule
TOGETHER = 32  # capsules for which rows and ring are gone through once
ROOM = 64 * 2**20  # bytes of packets for all of them; one alone may have its own bound
ROOM_FLOWS = 40_000  # connections of all of them, some 3 KB each while they are looked for
PATIENCE = 10_000  # milliseconds for packets on their way to the disk
REPLAY_PATIENCE = 600_000
STOPS_WITHIN = 20.0  # seconds that a live monitor that ends takes for capsules that wait


@dataclass(frozen=True)
class _Wanted:
    event: AlertEvent
    rule: Rule
    lists: AddressLists
    open: frozenset[str]
    told: dict[str, Any]  # the alert as JSON has it


_Found = tuple[_Wanted, alert_flows.AlertFlows]
_Packets = Packets | OSError  # or why there are none
# whatever is wrong with one capsule, the thread goes on with the next
_ANYTHING = (Exception, pl.exceptions.PanicException)


class Keeper:
    """Everything that keeps evidence; `start` before the capture, `stop` behind it.

    Args:
        folder: where `ring`, `rows` and `capsules` are; of a replay only the capsules stay.
        config: bounds, and the rules whose packets are kept with payload.
        live: nothing waits, and what is old goes; a replay waits and keeps what the bounds allow.
    """

    def __init__(self, folder: Path, config: EvidenceConfig, *, live: bool) -> None:
        self.folder = folder
        self.config = config
        self.live = live
        self._means = folder if live else folder / REPLAY
        self.ring = PacketRing(self._means / RING, config, live=live) if config.ring else None
        self.rows = RowSpool(self._means / ROWS, size=config.rows, age=config.age if live else None)
        bounds = Bounds(config.capsules.number, config.capsules.size, config.capsules.age)
        self.capsules = Capsules(folder / FOLDER, bounds)
        self.rules: dict[str, Rule] = {}
        self.lists = AddressLists({})
        self.versions = Versions(version("egress-monitor"), "")
        self.written = 0  # capsules
        self.lost = 0  # capsules that could not be written or had no room
        self.lost_rows = 0
        self.trouble: str | None = None  # why one could not be written the last time
        self._reason: str | None = None  # the same, whichever capsule it was
        self._told: str | None = None
        self._queue: queue.Queue[pl.DataFrame | _Wanted | None] = queue.Queue(MAX_WAITING)
        self._given: dict[str, None] = {}  # alerts that have a capsule, the oldest first
        self._open: frozenset[str] = frozenset()  # alerts
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None
        self._taken: int | None = None  # the folder of the capsules, open while it is ours

    def start(self) -> list[str]:
        """Take up what an earlier run left; gives warnings, raises InputError where a folder is unusable.

        Captures that the ring is for are to be opened before.
        """
        self._taken = take(self.folder / FOLDER)
        self.capsules.start()
        if not self.live:
            # what a replay that was killed has left is of other packets, or of the same once more
            self._clear_up()
        self.rows.start()
        warnings = self.ring.start() if self.ring else []
        self._thread = threading.Thread(target=self._work, name="egress-evidence", daemon=True)
        self._thread.start()
        return warnings

    def stop(self) -> None:
        """Write the capsules that wait and end; the capture is to be closed before. Twice does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self.live:
                self._deadline = time.monotonic() + STOPS_WITHIN
            self._queue.put(None)
            thread.join()
        if self.ring is not None:
            self.ring.stop()
        taken, self._taken = self._taken, None
        if taken is not None:
            if not self.live:
                self._clear_up()
            os.close(taken)

    def _clear_up(self) -> None:
        """Remove the ring and the rows of a replay: means to the capsules; the capture is still there."""
        shutil.rmtree(self._means, ignore_errors=True)

    def at_work(self, rules: Sequence[Rule], lists: AddressLists, catalogue: str) -> None:
        """Say which rules judge, the lists that they ask, and the catalogue's version."""
        self.rules = {rule.id: rule for rule in rules}
        self.lists = lists
        self.versions = Versions(self.versions.monitor, catalogue)

    def in_words(self) -> str:
        """Say in one line what is kept."""
        return kept_in_words(self.config)

    def note(self, flows: pl.DataFrame, events: Sequence[AlertEvent], alerts: Sequence[Alert]) -> None:
        """Take the rows of a batch and what happened to alerts, and fill in `Alert.capsule`.

        `alerts` are the judge's own: what is filled in there stands in later events too.
        """
        if flows.height:
            self._hand_over_rows(flows)
        open_now = self._open = frozenset(alert.id for alert in alerts if alert.is_open)
        own = {alert.id: alert for alert in alerts}
        # a batch of days may end an alert that the judge has forgotten by its end
        has_one = self._given
        has_one.update(dict.fromkeys(alert.id for alert in alerts if alert.capsule))
        for event in events:
            identity = event.alert.id
            rule = self.rules.get(event.alert.rule)
            both = [alert for alert in (event.alert, own.get(identity)) if alert is not None]
            if event.kind != "growing" and rule is not None:
                self._name(both, identity)
                # written now: what an alert keeps of its flows goes on changing, and is forgotten one day
                if self._put(_Wanted(event, rule, self.lists, open_now, event.alert.to_json())):
                    has_one[identity] = None
                else:
                    self.lost += 1
            self._name(both, identity if identity in has_one else None)
        while len(has_one) > MAX_GIVEN:
            del has_one[next(iter(has_one))]

    def _name(self, alerts: Sequence[Alert], identity: str | None) -> None:
        """Write into alerts what their capsule is, and what opens it."""
        for alert in alerts:
            alert.capsule = identity
            alert.inspect = None if identity is None else opens_with(self.folder, identity)

    def counters(self) -> EvidenceCounters:
        """Give what the metrics show."""
        ring = self.ring.counters() if self.ring else {}
        return EvidenceCounters(
            kept_frames=ring.get("kept_frames", 0),
            shed_frames={"slow": ring.get("shed_queue", 0), "disk": ring.get("shed_disk", 0)},
            bytes={
                "ring": ring.get("held_headers", 0),
                "payload": ring.get("held_payload", 0),
                "rows": self.rows.held,
                "capsules": self.capsules.held,
            },
            oldest=ring.get("oldest", 0),
            capsules=self.written,
            lost={"capsule": self.lost, "flow_row": self.lost_rows + self.rows.lost},
            removed=self.capsules.removed,
        )

    def warnings(self) -> list[str]:
        """Say in one line why capsules could not be written, once for each reason that is another one."""
        reason = self._reason
        if reason == self._told or reason is None:
            return []
        self._told = reason
        return [f"evidence: capsules could not be written, {self.lost} are lost until now: {reason}"]

    def _hand_over_rows(self, flows: pl.DataFrame) -> None:
        with self._lock:
            has_room = not self.live or self._waiting_rows < MAX_WAITING_ROWS
            self._waiting_rows += flows.height if has_room else 0
        if has_room and self._put(flows):
            return
        self.lost_rows += flows.height
        with self._lock:
            self._waiting_rows -= flows.height if has_room else 0

    def _put(self, item: pl.DataFrame | _Wanted) -> bool:
        try:
            self._queue.put(item, block=not self.live)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=WAIT)
            except queue.Empty:
                self.rows.flush()
                self.capsules.trim(self._open)  # they go in time where no new one comes, too
                continue
            if item is None:
                self.rows.flush()
                return
            if isinstance(item, pl.DataFrame):
                self._add(item)
                continue
            wanted, is_over = self._more_of(item)
            self._make(wanted)
            if is_over:
                self.rows.flush()
                return

    def _more_of(self, first: _Wanted) -> tuple[list[_Wanted], bool]:
        """Take the events that wait directly behind the first one: the rows are looked through once."""
        wanted = [first]
        while len(wanted) < TOGETHER:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return wanted, True
            if isinstance(item, pl.DataFrame):
                self._add(item)
            else:
                wanted.append(item)
        return wanted, False

    def _add(self, rows: pl.DataFrame) -> None:
        with self._lock:
            self._waiting_rows -= rows.height
        self.rows.add(rows)

    def _make(self, wanted: Sequence[_Wanted]) -> None:
        while wanted:
            if self._is_over():
                self.lost += len(wanted)
                return
            since = min(one.event.alert.began - one.event.alert.window * 10**9 for one in wanted)
            asked = [(one.rule, one.event.alert, one.lists) for one in wanted]
            try:
                found = alert_flows.find(asked, self._frames(since), ROOM_FLOWS)
            except _ANYTHING as error:
                self._make_alone(wanted, error)
                return
            self._make_found(list(zip(wanted, found, strict=False)))
            wanted = wanted[len(found) :]

    def _make_found(self, waiting: list[_Found]) -> None:
        while waiting:
            if self._is_over():
                self.lost += len(waiting)
                return
            chosen, rest = self._apart(waiting)
            try:
                put_off = self._make_together(chosen)
            except _ANYTHING as error:
                put_off = []
                self._make_alone([one for one, _ in chosen], error)
            waiting = put_off + rest

    def _make_alone(self, wanted: Sequence[_Wanted], error: BaseException) -> None:
        """Make capsules one by one where one of them failed: that one is lost, and the others are not."""
        if len(wanted) > 1:
            for one in wanted:
                self._make([one])
            return
        self._lose(wanted[0].event.alert.id, error)

    def _lose(self, identity: str, error: BaseException) -> None:
        self.lost += 1
        self.trouble = f"capsule {identity}: {error}"
        what = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        self._reason = f"{type(error).__name__}: {what.splitlines()[0] if what else ''}"

    def _frames(self, since: int) -> Iterator[pl.DataFrame]:
        """Give the rows of the recent past, until there is no time for more."""
        for frame in self.rows.frames(since):
            if self._is_over():
                return
            yield frame

    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _apart(self, waiting: Sequence[_Found]) -> tuple[list[_Found], list[_Found]]:
        """Take apart what one pass over the ring can serve: one event an alert, all with payload or none."""
        chosen: list[_Found] = []
        rest: list[_Found] = []
        seen: set[str] = set()
        payload = self._has_payload(waiting[0][0])
        for one in waiting:
            identity = one[0].event.alert.id
            is_chosen = identity not in seen and self._has_payload(one[0]) == payload
            (chosen if is_chosen else rest).append(one)
            seen.add(identity)
        return chosen, rest

    def _has_payload(self, wanted: _Wanted) -> bool:
        return wanted.rule.id in self.config.payload_for

    def _make_together(self, chosen: Sequence[_Found]) -> list[_Found]:
        """Make capsules with one pass over the ring; gives those that there was no room for."""
        later = []
        with self.capsules.aside() as aside:
            for one, packets in zip(chosen, self._packets(chosen, aside), strict=True):
                if packets is None:
                    later.append(one)
                else:
                    self._make_one(*one, packets)
        return later

    def _packets(self, chosen: Sequence[_Found], aside: Path) -> list[_Packets | None]:
        """Take the packets of each out of the ring, into a file; None: there was no room for them yet."""
        if self.ring is None:
            return [Packets()] * len(chosen)
        payload = self._has_payload(chosen[0][0])
        limit = self.config.capsules.packets
        files = [aside / str(number) for number in range(len(chosen))]
        asked = [
            capsule.selection(
                found, file, earlier=self.capsules.find(found.alert.id), payload=payload, limit=limit
            )
            for (_, found), file in zip(chosen, files, strict=True)
        ]
        patience = PATIENCE if self.live else REPLAY_PATIENCE
        answers = self.ring.extract(asked, payload=payload, patience=patience, room=ROOM)
        return [
            Packets(file, PacketsTold(**answer)) if isinstance(answer, dict) else answer
            for file, answer in zip(files, answers, strict=True)
        ]

    def _make_one(self, wanted: _Wanted, found: alert_flows.AlertFlows, packets: _Packets) -> None:
        event = wanted.event
        identity = event.alert.id
        earlier = self.capsules.find(identity)
        payload = self._has_payload(wanted)
        shed = self.ring.counters() if self.ring else {}

        def fill(folder: Path) -> None:
            if isinstance(packets, OSError):
                raise packets
            capsule.fill(
                folder,
                found,
                event.kind,
                wanted.told,
                self.versions,
                packets,
                earlier=earlier,
                payload=payload,
                shed=shed.get("shed_queue", 0) + shed.get("shed_disk", 0),
            )

        try:
            self.capsules.put(identity, fill, wanted.open)
        except _ANYTHING as error:
            # a full disk, for instance: detection goes on, and so does the next capsule
            self._lose(identity, error)
            return
        self.written += 1
