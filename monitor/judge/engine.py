"""The judge: all rules over all rows of a batch, in the order of ticks.

One pass over the batch finds the rows of every rule. What a rule's rows add is summed by group in Polars;
Python sees groups that come near a rule's line, tick by tick, never rows. Judging is a function of the
starting state, the rules and the rows: how rows are cut into batches makes no difference.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from monitor.judge import sample
from monitor.judge.alert import Alert, AlertEvent
from monitor.judge.batch import Batch
from monitor.judge.fields import Record
from monitor.judge.names import Names, key_fields
from monitor.judge.rule import Rule
from monitor.judge.rule_run import RuleRun
from monitor.judge.sample import Kept, Sample
from monitor.judge.state import JudgeState

SECOND = 10**9
MAX_STEP_BACK = 3600  # seconds that the clock may have gone back since the state was kept
SAVE_EVERY = 5.0  # seconds of the machine's clock between two savings, while nothing happens to an alert


@dataclass
class Counters:
    """Totals by rule: bytes that exceptions took out, times a group had no room, and whether it learns."""

    suppressed_bytes: dict[str, int]
    group_overflow: dict[str, int]
    learning: dict[str, bool]
    state_error: str | None  # why the state could not be saved the last time


class Judge:
    """Judges batches of attributed flows and DNS rows.

    Args:
        rules: what to judge by; sleeping ones are left out.
        learn: False: ``novel`` rules take nothing for known at first (``replay``).
        state: the folder that keeps windows, alerts and what was learnt; None: nothing is kept.
        tick: nanoseconds a tick.
    """

    def __init__(
        self, rules: Sequence[Rule], *, learn: bool = True, state: Path | None = None, tick: int = SECOND
    ) -> None:
        self.rules = rules
        self.learn = learn
        self.state = JudgeState(state) if state is not None else None
        self.tick = tick
        self.runs: list[RuleRun] = []
        self.names: dict[tuple[Record, tuple[str, ...]], Names] = {}
        self.now = 0  # seconds since 1970: ticks before this are judged
        self._saved_at = 0.0
        self._is_resumed = False

    def start(self) -> None:
        """Load what was kept; raises InputError where it cannot be read."""
        self.runs = [self._run(rule) for rule in self.rules if rule.asleep is None]
        if self.state is not None:
            self.state.start()
            self.now = self.state.load(self.runs)
            self._saved_at = time.monotonic()
            self._is_resumed = True

    def stop(self) -> None:
        """Save; open alerts stay open."""
        if self.state is not None and self.state.is_open:
            self.state.save(self.runs, self.now)
            self.state.stop()

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Judge by other rules from the next batch on; a rule that stays keeps windows and alerts."""
        before = {run.rule.id: run for run in self.runs}
        self.rules = rules
        self.runs = [self._run(rule) for rule in rules if rule.asleep is None]
        for run in self.runs:
            if run.rule.id in before:
                run.take_over(before[run.rule.id])

    def judge(self, flows: pl.DataFrame, dns: pl.DataFrame, clock: int) -> list[AlertEvent]:
        """Judge whole ticks; give what happened to alerts, in the order of event time.

        Args:
            flows: rows of `FLOW_SCHEMA` with `ATTRIBUTED`, in the order of ticks.
            dns: rows of `DNS_SCHEMA` with `DNS_ATTRIBUTED`, in the order of ticks.
            clock: the event clock, nanoseconds since 1970; alerts end by it when there are no rows.
        """
        self._check_clock(flows, dns)
        marked: list[tuple[RuleRun, pl.DataFrame, pl.DataFrame]] = []
        limit = max(self.now, clock // self.tick * self.tick // SECOND)
        for record, frame in (("flows", flows), ("dns", dns)):
            runs = [run for run in self.runs if run.rule.record == record]
            if frame.height and runs:
                batch = Batch(frame, self.now)
                limit = max(limit, batch.last_tick)
                marked += [(run, frame, marks) for run, marks in batch.judge(runs)]
        self.now = limit
        events = self._tell(marked, limit)
        self._forget_names()
        self._save(bool(events))
        return events

    def alerts(self) -> list[Alert]:
        """Give the open alerts and those that ended in the last 24 hours, the newest first."""
        tracks = [
            track for run in self.runs for track in (*run.course.open.values(), *run.course.ended.values())
        ]
        return sorted((track.alert for track in tracks), key=lambda alert: (-alert.began, alert.id))

    def alert(self, identity: str) -> Alert | None:
        """Give one alert by its id."""
        return next((alert for alert in self.alerts() if alert.id == identity), None)

    def counters(self) -> Counters:
        """Give the totals of the rules that run."""
        return Counters(
            {run.rule.id: sum(run.suppressed.values()) for run in self.runs},
            {run.rule.id: run.overflow for run in self.runs},
            {run.rule.id: run.novelty.is_learning(self.now) for run in self.runs if run.novelty},
            self.state.error if self.state is not None else None,
        )

    def _run(self, rule: Rule) -> RuleRun:
        """Put a rule to work; rules over the same columns share what they know of names."""
        fields = key_fields(rule.record, rule.group_fields)
        names = self.names.setdefault((rule.record, fields), Names(rule.record, fields))
        return RuleRun(rule, names, learn=self.learn)

    def _forget_names(self) -> None:
        for names in self.names.values():
            if names.is_full():
                names.keep([run.log.rows["key"] for run in self.runs if run.names is names])

    def _check_clock(self, flows: pl.DataFrame, dns: pl.DataFrame) -> None:
        """Drop what stands in the windows where the kept state is of a later time than the rows.

        A clock that was set back a little changes nothing: such rows count in the present tick.
        """
        firsts = [frame["tick"][0] for frame in (flows, dns) if frame.height]
        if not self._is_resumed or not firsts:
            return
        self._is_resumed = False
        first = int(min(firsts).timestamp())
        if first < self.now - MAX_STEP_BACK:
            for run in self.runs:
                run.forget_windows()
            self.now = first

    def _tell(self, marked: list[tuple[RuleRun, pl.DataFrame, pl.DataFrame]], limit: int) -> list[AlertEvent]:
        for run in self.runs:
            run.sweep(limit)
        samples = _samples(marked)
        events = [event for run in self.runs for event in run.course.tell(samples.get(run.rule.id, {}))]
        order = {run.rule.id: place for place, run in enumerate(self.runs)}
        # what ended at a moment ended before what began in the tick that starts then
        return sorted(
            events,
            key=lambda event: (event.time, event.kind != "ended", order[event.alert.rule], event.alert.id),
        )

    def _save(self, is_urgent: bool) -> None:
        if self.state is None:
            return
        now = time.monotonic()
        if is_urgent or now - self._saved_at >= SAVE_EVERY:
            self.state.save(self.runs, self.now)
            self._saved_at = now


def _samples(marked: Sequence[tuple[RuleRun, pl.DataFrame, pl.DataFrame]]) -> dict[str, dict[int, Sample]]:
    """Give what the rows of a batch add to alerts: by rule, the sample of each of its segments.

    All rules over the same frame are served at once; their segments are numbered one after the other.
    """
    samples: dict[str, dict[int, Sample]] = {}
    for record in dict.fromkeys(run.rule.record for run, _, _ in marked):
        mine = [one for one in marked if one[0].rule.record == record]
        frame = mine[0][1]
        kept = Kept()
        marks: list[pl.DataFrame] = []
        owners: list[tuple[str, int]] = []  # rule, and place among its segments
        for run, _, rows in mine:
            before = len(owners)
            marks.append(rows.with_columns(pl.col("segment") + pl.lit(before, dtype=pl.UInt32)))
            owners += [(run.rule.id, place) for place in range(len(run.course.segments))]
            kept.add(run.course.kept(), before)
        for segment, found in sample.pick(frame, pl.concat(marks), record, kept).items():
            rule, place = owners[segment]
            samples.setdefault(rule, {})[place] = found
    return samples
