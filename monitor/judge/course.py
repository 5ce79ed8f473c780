"""The course of one rule's alerts: when a group's sum crosses the line, grows, and has fallen for long.

A group is followed tick by tick only where it may have crossed the line, or has an open alert; all others
are sums in a table. Times are seconds since 1970, event time, unless they are said to be nanoseconds.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from monitor.judge.alert import Alert, AlertEvent, Kind, alert_id
from monitor.judge.names import OTHER, OTHER_GROUP, as_json
from monitor.judge.rule import Rule
from monitor.judge.sample import MAX_FLOWS, Kept, Sample, absorb, add_words, has_all_words

SECOND = 10**9
REOPENS_WITHIN = 86_400  # seconds after its end an alert comes back under the same id
MAX_OPEN = 4096  # alerts a rule, about 2 KB each; past it no new one begins, which is counted
MAX_SAMPLED = 512  # of these, how many keep flows, about 30 KB each
MAX_ENDED = 512  # alerts a rule that are kept after their end

Part = tuple[Any, ...]  # workload, provider, country, evidence
Shares = dict[Part, tuple[int, int]]  # bytes sent and measure, by part


@dataclass
class Track:
    """An alert, and what the judge needs to go on with it."""

    alert: Alert
    group: int  # its number, of this process only
    raw: tuple[Any, ...] | None  # the values of the group as they are in a batch; None: `OTHER_GROUP`
    falls: int | None  # since when the sum is no longer above the line; None: it is above
    counted_until: int  # last tick whose bytes are in `alert.sent_bytes`
    told_value: int
    told_sent: int
    room: int  # how many flows the alert may keep
    identities: list[int] = field(default_factory=list)  # of `alert.flows`, place by place

    @property
    def ended_at(self) -> int:
        """When the alert ended, in seconds."""
        return (self.alert.ended or 0) // SECOND


@dataclass
class Addition:
    """What a group had in one tick."""

    tick: int
    leaves: int
    value: int
    sent: int
    last: int  # nanoseconds


@dataclass
class Standing:
    """What a group has in its window before a batch, and what of that leaves during the batch.

    `leaving` is in order: when it leaves, value, bytes sent. `sent_since` gives the bytes that are in the
    window and came after a tick.
    """

    group: int
    raw: tuple[Any, ...] | None  # as in `Track`
    total: int
    sent: int
    leaving: list[tuple[int, int, int]]
    sent_since: Callable[[int], int]


@dataclass
class Segment:
    """A stretch of an alert's life within a batch; its rows are to be added before its event is told."""

    track: Track
    event: AlertEvent | None = None
    shares: Shares | None = None  # where the alert begins in it: what was in the window


@dataclass
class Course:
    """The alerts of one rule."""

    rule: Rule
    open: dict[int, Track] = field(default_factory=dict)
    ended: dict[int, Track] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    marks: list[tuple[int, int, int]] = field(default_factory=list)  # tick, group, place in `segments`
    begun: list[tuple[int, int, int]] = field(default_factory=list)  # the same, where an alert began
    overflow: int = 0  # alerts that did not begin because too many were open
    _current: dict[str, int] = field(default_factory=dict)  # alert id: its segment that is not told yet

    def follow(self, standing: Standing, additions: Iterable[Addition], may_begin: bool) -> bool:
        """Judge a group at each tick in which it had something; tell whether an alert began.

        Args:
            standing: the group and its window before the first of these ticks.
            additions: what it had, in the order of ticks.
            may_begin: false where the group cannot begin an alert (its value is not novel).
        """
        began = False
        queue = deque(standing.leaving)
        since: list[Addition] = []
        for addition in additions:
            track = self.open.get(standing.group)
            while queue and queue[0][0] <= addition.tick:
                leaves, value, sent = queue.popleft()
                standing.total -= value
                standing.sent -= sent
                if track is not None:
                    self.fell(track, standing.total, leaves)
            if track is not None and self._is_over(track, addition.tick):
                self._end(track)
                track = None
            queue.append((addition.leaves, addition.value, addition.sent))
            since.append(addition)
            standing.total += addition.value
            standing.sent += addition.sent
            if track is not None:
                self._go_on(track, standing, addition)
            elif standing.total > self.rule.ways.line and may_begin and not (began and self.rule.ways.novel):
                if len(self.open) >= MAX_OPEN:
                    self.overflow += 1
                    continue
                began = True
                self._begin(standing, addition, since)
        return began

    def fell(self, track: Track, total: int, when: int) -> None:
        """Take note that a group's sum came down to `total` when something left its window."""
        if track.falls is None and total <= self.rule.ways.line:
            track.falls = when

    def _is_over(self, track: Track, tick: int) -> bool:
        return track.falls is not None and tick >= track.falls + self.rule.resolve_after

    def sweep(self, limit: int) -> None:
        """End the alerts whose condition has been false for long enough at `limit`."""
        for track in list(self.open.values()):
            if self._is_over(track, limit):
                self._end(track)
        oldest = sorted(self.ended.values(), key=lambda track: (track.alert.ended, track.alert.id))
        for place, track in enumerate(oldest):
            if place < len(oldest) - MAX_ENDED or track.ended_at + REOPENS_WITHIN <= limit:
                del self.ended[track.group]

    def next_end(self) -> int | None:
        """Give when the next alert is due to end as things are; None where none is."""
        falls = [track.falls for track in self.open.values() if track.falls is not None]
        return min(falls) + self.rule.resolve_after if falls else None

    def kept(self) -> Kept:
        """Give what the alerts of `segments` and the open ones keep already."""
        kept = Kept([one for track in self.open.values() for one in track.identities])
        for place, segment in enumerate(self.segments):
            track = segment.track
            kept.known += track.identities
            if len(track.identities) >= track.room:
                kept.full.append(place)
                if has_all_words(track.alert, self.rule.record):
                    kept.settled[place] = track.alert.evidence
        return kept

    def tell(self, samples: dict[int, Sample]) -> list[AlertEvent]:
        """Add the rows of each segment to its alert, then give the events as they were at their time."""
        events = []
        for place, segment in enumerate(self.segments):
            track, event = segment.track, segment.event
            if segment.shares:
                _describe(track.alert, segment.shares)
            if place in samples:
                absorb(track.alert, track.identities, samples[place], self.rule.record, track.room)
            if event is None:
                continue
            if event.kind == "begun":
                track.alert.exceptions = self._not_applied(track.alert)
            now = track.alert.snapshot()
            told = event.alert
            told.workload, told.provider = now.workload, now.provider
            told.flows, told.exceptions = now.flows, now.exceptions
            told.countries, told.names, told.evidence = now.countries, now.names, now.evidence
            events.append(event)
        self.segments.clear()
        self._current.clear()
        return events

    def _begin(self, standing: Standing, addition: Addition, since: list[Addition]) -> None:
        rule = self.rule
        tick = addition.tick
        last = max(tick * SECOND, addition.last)
        # what is novel is so once: use after that does not prolong it
        falls = tick + rule.measure.window if rule.ways.novel else None
        track = self.ended.pop(standing.group, None)
        if track is not None and tick - track.ended_at < REOPENS_WITHIN:
            alert = track.alert
            counted = track.counted_until
            alert.sent_bytes += standing.sent_since(max(counted, tick - rule.measure.window))
            alert.sent_bytes += sum(one.sent for one in since if one.tick > counted and one.leaves > tick)
            alert.ended = None
            alert.reopened += 1
            alert.version, alert.last, alert.value = rule.version, last, max(alert.value, standing.total)
            track.falls, track.counted_until = falls, tick
        else:
            group_of = _named(rule, standing)
            alert = Alert(
                id=alert_id(rule.id, group_of, last),
                rule=rule.id,
                title=rule.title,
                severity=rule.severity,
                group=group_of,
                workload=None,
                provider=None,
                began=last,
                last=last,
                ended=None,
                value=standing.total,
                threshold=rule.ways.threshold,
                measure=rule.measure.words,
                sent_bytes=standing.sent,
                window=rule.measure.window,
                version=rule.version,
                runbook=rule.runbook,
                mitre=list(rule.mitre),
            )
            room = MAX_FLOWS if len(self.open) < MAX_SAMPLED else 0
            track = Track(
                alert, standing.group, standing.raw, falls, tick, standing.total, standing.sent, room
            )
        self.open[standing.group] = track
        self._mark(track, tick)
        self.begun.append(self.marks[-1])
        self._event("begun", track, last)

    def _go_on(self, track: Track, standing: Standing, addition: Addition) -> None:
        alert = track.alert
        if standing.total > self.rule.ways.line:
            alert.value = max(alert.value, standing.total)
            if self.rule.ways.novel is None:
                track.falls = None
        alert.last = max(alert.last, addition.last)
        alert.sent_bytes += addition.sent
        track.counted_until = addition.tick
        self._mark(track, addition.tick)
        if alert.value >= 2 * track.told_value or alert.sent_bytes >= 2 * max(track.told_sent, 1):
            self._event("growing", track, alert.last)

    def _end(self, track: Track) -> None:
        assert track.falls is not None, "an alert ends only after its sum fell"
        track.alert.ended = (track.falls + self.rule.resolve_after) * SECOND
        del self.open[track.group]
        self.ended[track.group] = track
        self._event("ended", track, track.alert.ended)

    def _event(self, kind: Kind, track: Track, time: int) -> None:
        alert = track.alert
        track.told_value, track.told_sent = alert.value, alert.sent_bytes
        segment = self.segments[self._segment(track)]
        # a shallow copy: what its lists were at this time is put in when the event is told
        segment.event = AlertEvent(kind, time, replace(alert))
        del self._current[alert.id]

    def _mark(self, track: Track, tick: int) -> None:
        self.marks.append((tick, track.group, self._segment(track)))

    def _segment(self, track: Track) -> int:
        place = self._current.get(track.alert.id)
        if place is None:
            place = self._current[track.alert.id] = len(self.segments)
            self.segments.append(Segment(track))
        return place

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


def _named(rule: Rule, standing: Standing) -> dict[str, Any]:
    """Give the group of a new alert as JSON has it."""
    if standing.raw is None:
        assert standing.group == OTHER_GROUP, "only the group of what has no room has no values"
        return dict.fromkeys(rule.group_fields, OTHER)
    return dict(zip(rule.group_fields, as_json(rule.group_fields, standing.raw), strict=True))


def _describe(alert: Alert, shares: Shares) -> None:
    """Say of an alert that begins what its bytes in the window were."""
    if alert.workload is None:  # frozen once it is known
        alert.workload, alert.provider = _ranked(shares, (0, 1))[0]
    for column, words in ((2, alert.countries), (3, alert.evidence)):
        add_words(words, [values[0] for values in _ranked(shares, (column,)) if values[0] is not None])


def _ranked(shares: Shares, columns: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Give the distinct values of some columns of the parts, those with most bytes first."""
    sums: dict[tuple[Any, ...], tuple[int, int]] = {}
    for part, (sent, value) in shares.items():
        values = tuple(part[column] for column in columns)
        before = sums.get(values, (0, 0))
        sums[values] = before[0] + sent, before[1] + value
    return sorted(sums, key=lambda values: (-sums[values][0], -sums[values][1], repr(values)))
