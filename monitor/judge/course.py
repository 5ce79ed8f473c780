"""The course of one rule's alerts: when a group's sum crosses the line, grows, and has fallen for long.

A group is followed tick by tick only where it may have crossed the line, or has an open alert; all others
are sums in a table. Times are seconds since 1970, event time, unless they are said to be nanoseconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from monitor.judge.alert import Alert, AlertEvent, Kind, alert_id
from monitor.judge.groups import Key
from monitor.judge.rule import Rule
from monitor.judge.sample import Sample, absorb, add_words

SECOND = 10**9
REOPENS_WITHIN = 86_400  # seconds after its end an alert comes back under the same id
MAX_ENDED = 512  # alerts a rule that are kept after their end
PART_COLUMNS = ("workload", "provider", "country", "evidence")

Part = tuple[Any, ...]  # values of `PART_COLUMNS`


@dataclass
class Track:
    """An alert, and what the judge needs to go on with it."""

    alert: Alert
    key: Key
    falls: int  # when the sum falls below the line, if nothing more comes
    counted_until: int  # last tick whose bytes are in `alert.sent_bytes`
    told_value: int
    told_sent: int
    identities: list[int] = field(default_factory=list)  # of `alert.flows`, place by place


@dataclass
class Bucket:
    """What one part of a group added: the columns of `window.SCHEMA` less the group."""

    leaves: int
    part: int
    value: int
    sent: int
    last: int


@dataclass
class Segment:
    """A stretch of an alert's life within a batch; its rows are to be added before its event is told."""

    track: Track
    event: AlertEvent | None = None


@dataclass
class Course:
    """The alerts of one rule. `part_of` tells what a part's number stands for."""

    rule: Rule
    part_of: Callable[[int], Part]
    open: dict[Key, Track] = field(default_factory=dict)
    ended: dict[Key, Track] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    marks: list[tuple[int, int, int]] = field(default_factory=list)  # tick, group, place in `segments`
    _current: dict[str, int] = field(default_factory=dict)  # alert id: its segment that is not told yet

    def follow(
        self,
        key: Key,
        group: int,
        old: list[Bucket],
        new: Iterable[tuple[int, list[Bucket]]],
        may_begin: bool,
    ) -> bool:
        """Judge a group at each tick in which it had something; tell whether an alert began.

        Args:
            key: the group.
            group: its number.
            old: what is in its window from before, in the order in which it leaves.
            new: ticks in order, each with what it adds.
            may_begin: false where the group cannot begin an alert (its value is not novel).
        """
        line = self.rule.line
        buckets = list(old)
        # `head` buckets have left; when `fallen` have left, what remains is not above the line
        head = fallen = 0
        total = remaining = sum(bucket.value for bucket in buckets)
        began = False
        for tick, added in new:
            track = self.open.get(key)
            if track is not None and tick >= track.falls + self.rule.resolve_after:
                self._end(track)
                track = None
            buckets += added
            gain = sum(bucket.value for bucket in added)
            total += gain
            remaining += gain
            while head < len(buckets) and buckets[head].leaves <= tick:
                total -= buckets[head].value
                head += 1
            while remaining > line:
                remaining -= buckets[fallen].value
                fallen += 1
            falls = buckets[fallen - 1].leaves if fallen else tick
            if track is not None:
                self._go_on(track, group, tick, total, falls, added)
            elif falls > tick and may_begin and not (began and self.rule.novel):
                began = True
                self._begin(key, group, tick, total, falls, buckets[head:], added)
        return began

    def sweep(self, limit: int) -> None:
        """End the alerts whose condition has been false for long enough at `limit`."""
        for track in list(self.open.values()):
            if track.falls + self.rule.resolve_after <= limit:
                self._end(track)
        oldest = sorted(self.ended.values(), key=lambda track: (track.alert.ended, track.alert.id))
        for place, track in enumerate(oldest):
            if place < len(oldest) - MAX_ENDED or _ended_at(track) + REOPENS_WITHIN <= limit:
                del self.ended[track.key]

    def tell(self, samples: dict[int, Sample]) -> list[AlertEvent]:
        """Add the rows of each segment to its alert, then give the events as they were at their time."""
        events = []
        for place, segment in enumerate(self.segments):
            track, event = segment.track, segment.event
            if place in samples:
                absorb(track.alert, track.identities, samples[place], self.rule.record)
            if event is None:
                continue
            if event.kind == "begun":
                track.alert.exceptions = self._not_applied(track.alert)
            now = track.alert.snapshot()
            told = event.alert
            told.flows, told.exceptions = now.flows, now.exceptions
            told.countries, told.names, told.evidence = now.countries, now.names, now.evidence
            events.append(event)
        self.segments.clear()
        self.marks.clear()
        self._current.clear()
        return events

    def _begin(
        self,
        key: Key,
        group: int,
        tick: int,
        total: int,
        falls: int,
        window: list[Bucket],
        added: list[Bucket],
    ) -> None:
        rule = self.rule
        last = max(tick * SECOND, max(bucket.last for bucket in added))
        shares = self._shares(window)
        sent = sum(bucket.sent for bucket in window)
        track = self.ended.pop(key, None)
        if track is not None and tick - _ended_at(track) < REOPENS_WITHIN:
            since = track.counted_until + rule.measure.window
            alert = track.alert
            alert.ended = None
            alert.reopened += 1
            alert.sent_bytes += sum(bucket.sent for bucket in window if bucket.leaves > since)
            alert.version, alert.last, alert.value = rule.version, last, max(alert.value, total)
            track.falls, track.counted_until = falls, tick
        else:
            group_of = dict(zip(rule.group_fields, key, strict=True))
            workload, provider = _heaviest(shares, 0, 1)
            alert = Alert(
                id=alert_id(rule.id, group_of, last),
                rule=rule.id,
                title=rule.title,
                severity=rule.severity,
                group=group_of,
                workload=workload,
                provider=provider,
                began=last,
                last=last,
                ended=None,
                value=total,
                threshold=rule.threshold,
                measure=rule.measure.words,
                sent_bytes=sent,
                window=rule.measure.window,
                version=rule.version,
                runbook=rule.runbook,
                mitre=list(rule.mitre),
            )
            track = Track(alert, key, falls, tick, total, sent)
        add_words(alert.countries, _by_weight(shares, PART_COLUMNS.index("country")))
        add_words(alert.evidence, _by_weight(shares, PART_COLUMNS.index("evidence")))
        self.open[key] = track
        self._mark(track, group, tick)
        self._event("begun", track, last)

    def _go_on(
        self, track: Track, group: int, tick: int, total: int, falls: int, added: list[Bucket]
    ) -> None:
        alert = track.alert
        if falls > tick:
            alert.value = max(alert.value, total)
            if self.rule.novel is None:  # what is novel is so once; use after that does not prolong it
                track.falls = falls
        alert.last = max(alert.last, *(bucket.last for bucket in added))
        alert.sent_bytes += sum(bucket.sent for bucket in added)
        track.counted_until = tick
        self._mark(track, group, tick)
        if alert.value >= 2 * track.told_value or alert.sent_bytes >= 2 * max(track.told_sent, 1):
            self._event("growing", track, alert.last)

    def _end(self, track: Track) -> None:
        track.alert.ended = (track.falls + self.rule.resolve_after) * SECOND
        del self.open[track.key]
        self.ended[track.key] = track
        self._event("ended", track, track.alert.ended)

    def _event(self, kind: Kind, track: Track, time: int) -> None:
        alert = track.alert
        track.told_value, track.told_sent = alert.value, alert.sent_bytes
        segment = self.segments[self._segment(track)]
        segment.event = AlertEvent(kind, time, alert.snapshot())
        del self._current[alert.id]

    def _mark(self, track: Track, group: int, tick: int) -> None:
        self.marks.append((tick, group, self._segment(track)))

    def _segment(self, track: Track) -> int:
        place = self._current.get(track.alert.id)
        if place is None:
            place = self._current[track.alert.id] = len(self.segments)
            self.segments.append(Segment(track))
        return place

    def _shares(self, window: list[Bucket]) -> dict[Part, tuple[int, int]]:
        """Give what each part has in the window: bytes sent, and the measure."""
        sums: dict[int, tuple[int, int]] = {}
        for bucket in window:
            sent, value = sums.get(bucket.part, (0, 0))
            sums[bucket.part] = sent + bucket.sent, value + bucket.value
        return {self.part_of(part): weights for part, weights in sums.items()}

    def _not_applied(self, alert: Alert) -> list[dict[str, Any]]:
        """Say of each exception why it did not take out the flow that this alert shows first."""
        told = []
        for exception in self.rule.exceptions:
            why = exception.why_not(alert.flows[0], alert.began // SECOND) if alert.flows else None
            told.append(
                {
                    "match": exception.words,
                    "reason": exception.reason,
                    "owner": exception.owner,
                    "expires": str(exception.expires),
                    "why_not": why,
                }
            )
        return told


def _ended_at(track: Track) -> int:
    return (track.alert.ended or 0) // SECOND


def _by_weight(shares: dict[Part, tuple[int, int]], *columns: int) -> list[Any]:
    """Give the known values of some columns of the parts, the heaviest first."""
    return [values[0] for values in _ranked(shares, columns) if values[0] is not None]


def _heaviest(shares: dict[Part, tuple[int, int]], *columns: int) -> tuple[Any, ...]:
    return _ranked(shares, columns)[0]


def _ranked(shares: dict[Part, tuple[int, int]], columns: tuple[int, ...]) -> list[tuple[Any, ...]]:
    sums: dict[tuple[Any, ...], tuple[int, int]] = {}
    for part, (sent, value) in shares.items():
        values = tuple(part[column] for column in columns)
        before = sums.get(values, (0, 0))
        sums[values] = before[0] + sent, before[1] + value
    return sorted(sums, key=lambda values: (-sums[values][0], -sums[values][1], repr(values)))
