"""The judge: all rules over all rows of a batch, in the order of ticks.

One pass over the batch finds the rows of every rule. What a rule's rows add is summed by tick and group
in Polars; Python sees groups and ticks, never rows. Judging is a function of the starting state, the
rules and the rows: how rows are cut into batches makes no difference.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from monitor import address_text
from monitor.judge import exceptions, sample
from monitor.judge.alert import Alert, AlertEvent
from monitor.judge.course import PART_COLUMNS, Part
from monitor.judge.fields import Record
from monitor.judge.groups import Key
from monitor.judge.rule import Rule
from monitor.judge.rule_run import Names, RuleRun
from monitor.judge.state import JudgeState

SECOND = 10**9
MAX_STEP_BACK = 3600  # seconds that the clock may have gone back since the state was kept
SAVE_EVERY = 5.0  # seconds of the machine's clock between two savings, while nothing happens to an alert

# keys are numbers only within a batch; a seed of our own, so that nobody can choose names that collide
_SEED = random.SystemRandom().getrandbits(64)

_SENT: dict[Record, str] = {"flows": "payload_out", "dns": "message_bytes"}
_TIME: dict[Record, str] = {"flows": "last_seen", "dns": "time"}


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
        self.now = 0  # seconds since 1970: ticks before this are judged
        self._saved_at = 0.0
        self._is_resumed = False

    def start(self) -> None:
        """Load what was kept; raises InputError where it cannot be read."""
        self.runs = [RuleRun(rule, learn=self.learn) for rule in self.rules if rule.asleep is None]
        if self.state is not None:
            self.state.start()
            self.now = self.state.load(self.runs)
            self._saved_at = time.monotonic()
            self._is_resumed = True

    def stop(self) -> None:
        """Save; open alerts stay open."""
        if self.state is not None:
            self.state.save(self.runs, self.now)
            self.state.stop()

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Judge by other rules from the next batch on; a rule that stays keeps windows and alerts."""
        before = {run.rule.id: run for run in self.runs}
        self.rules = rules
        self.runs = [RuleRun(rule, learn=self.learn) for rule in rules if rule.asleep is None]
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
                batch = _Batch(frame, self.now)
                limit = max(limit, batch.last_tick)
                marked += [(run, frame, marks) for run, marks in batch.judge(runs)]
        self.now = limit
        events = self._tell(marked, limit)
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
        rows = {id(run): (frame, marks) for run, frame, marks in marked}
        events = []
        for run in self.runs:
            run.sweep(limit)
            samples = {}
            if id(run) in rows:
                known = [one for track in run.course.open.values() for one in track.identities]
                samples = sample.pick(*rows[id(run)], run.rule.record, known)
            events += run.course.tell(samples)
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


class _Batch:
    """One frame of flows or of DNS rows, with the rows of every rule found in one pass."""

    def __init__(self, frame: pl.DataFrame, now: int) -> None:
        self.frame = frame
        ticks = frame["tick"].dt.epoch("s")
        if ticks[0] < now:  # never by the contract; a row that is late counts now
            ticks = ticks.clip(lower_bound=now)
        self.ticks = ticks.alias("_tick")
        self.row = pl.int_range(frame.height, dtype=pl.UInt32, eager=True).alias("_row")
        self.last_tick: int = ticks[-1]
        self.keys: dict[tuple[str, ...], pl.Series] = {}

    def judge(self, runs: list[RuleRun]) -> list[tuple[RuleRun, pl.DataFrame]]:
        """Judge the batch by each rule; give the rows of alerts."""
        masks = self.frame.lazy().select(
            run.expression.alias(str(place)) for place, run in enumerate(runs)
        ).collect()  # fmt: skip
        marked = []
        for run, mask in zip(runs, masks, strict=True):
            if mask.any():
                marks = self._judge_rule(run, mask)
                if marks.height:
                    marked.append((run, marks))
        return marked

    def _judge_rule(self, run: RuleRun, mask: pl.Series) -> pl.DataFrame:
        rule = run.rule
        rows = self._rows(rule, mask)
        if rule.exceptions:
            rows = _without_excepted(run, rows)
            if rows.is_empty():
                return rows
        entries = (
            rows.lazy()
            .group_by("tick", "key")
            .agg(pl.col("value").sum(), pl.col("sent").sum(), pl.col("last").max(), pl.col("row").first())
            .sort("tick", "key")
            .collect()
        )
        marks = run.judge(entries.drop("row"), self._names(rule, entries))
        if marks.is_empty():
            return marks
        return rows.select("row", "tick", "key", "value").join(marks, on=["tick", "key"]).drop("key")

    def _rows(self, rule: Rule, mask: pl.Series) -> pl.DataFrame:
        """Give what each row of a rule adds: ``row``, ``tick``, ``key``, ``value``, ``sent``, ``last``."""
        sent = pl.col(_SENT[rule.record])
        if rule.record == "dns":
            sent = pl.when(pl.col("kind") == "question").then(sent).otherwise(0)
        made = [
            pl.col("_row").alias("row"),
            pl.col("_tick").alias("tick"),
            pl.col("_key").alias("key"),
            rule.measure.expression().alias("value"),
            sent.cast(pl.Int64).alias("sent"),
            pl.col(_TIME[rule.record]).cast(pl.Int64).alias("last"),
        ]
        if rule.exceptions:
            made.append(exceptions.which(rule.exceptions, pl.col("_tick")).alias("exception"))
        needed = {name for one in made for name in one.meta.root_names() if not name.startswith("_")}
        thin = self.frame.select(sorted(needed))
        return thin.hstack([self.row, self.ticks, self._key(_key_columns(rule))]).filter(mask).select(made)

    def _key(self, columns: tuple[str, ...]) -> pl.Series:
        """Give one number for each distinct set of values in these columns."""
        if columns not in self.keys:
            values = pl.struct(columns) if len(columns) > 1 else pl.col(*columns)
            self.keys[columns] = self.frame.select(values.hash(_SEED).alias("_key")).to_series()
        return self.keys[columns]

    def _names(self, rule: Rule, entries: pl.DataFrame) -> Names:
        """Tell what each key stands for: the group and the part."""
        distinct = entries.select("key", "row").unique("key", keep="any")
        columns = _key_columns(rule)
        values = self.frame.select(columns)[distinct["row"]]
        names: dict[int, tuple[Key, Part]] = {}
        for key, row in zip(distinct["key"], values.iter_rows(), strict=True):
            named = {name: _json(name, value) for name, value in zip(columns, row, strict=True)}
            group = tuple(named[name] for name in rule.group_fields)
            part = tuple(named[name] if rule.record == "flows" else None for name in PART_COLUMNS[1:])
            names[key] = group, (named["workload"], *part)
        return names


def _key_columns(rule: Rule) -> tuple[str, ...]:
    parts = PART_COLUMNS if rule.record == "flows" else PART_COLUMNS[:1]
    return tuple(dict.fromkeys((*parts, *sorted(rule.group_fields))))


def _json(name: str, value: Any) -> Any:
    """Write a value of a group as JSON has it."""
    if isinstance(value, bytes):
        return address_text.to_text(value)
    return f"{value:016x}" if name == "flow_id" else value


def _without_excepted(run: RuleRun, rows: pl.DataFrame) -> pl.DataFrame:
    """Take out what the rule's exceptions cover, and count its bytes."""
    taken = rows.filter(pl.col("exception").is_not_null())
    if taken.is_empty():
        return rows
    for index, sent in taken.group_by("exception").agg(pl.col("sent").sum()).iter_rows():
        words = run.rule.exceptions[index].words
        run.suppressed[words] = run.suppressed.get(words, 0) + sent
    return rows.filter(pl.col("exception").is_null())
