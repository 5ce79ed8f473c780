"""The judge: all rules over all rows, in the order of ticks.

What happens to a row is in Rust (``monitor/hotpath/judgecore``): matching, sums, windows, what is known,
the life of alerts. Here stands what is not hot: alerts as the other stages see them, and the state.
Judging is a function of the starting state, the rules and the rows: how rows are cut into batches makes
no difference.
"""

import secrets
import time
from bisect import insort
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from monitor._hotpath import RuleEngine
from monitor.flow_rows import AnyDnsRows, AnyRows, DnsRows, FlowRows
from monitor.judge.alert import Alert, AlertEvent, Explanation, Kind
from monitor.judge.engine_rules import to_engine
from monitor.judge.learnt import Learnt, LearntNews
from monitor.judge.lists import AddressLists
from monitor.judge.rule import Rule
from monitor.judge.state import JudgeState
from monitor.judge.told import alert_of

SECOND = 10**9
MAX_STEP_BACK = 3600  # seconds that the clock may have gone back since the state was kept
SAVE_EVERY = 5.0  # seconds of the machine's clock between two savings, while nothing happens to an alert
SAVE_SHARE = 20  # a saving is not followed by another before so many times as long as it took
SAVE_AT_LEAST = 10.0  # seconds: but not later than this
REOPENS_WITHIN = 86_400  # seconds after its end that an alert is still shown
MAX_ENDED = 4096  # alerts that ended and are still shown, with their flows up to 20 KB each
MAX_LEARNT = 256  # groups of a rule that are listed with one saving


@dataclass
class Counters:
    """Totals by rule: bytes that exceptions took out, times a group had no room, and whether it learns."""

    suppressed_bytes: dict[str, int]
    group_overflow: dict[str, int]
    learning: dict[str, bool]
    state_error: str | None  # why the state could not be saved the last time
    # by exception (what it matches): bytes in all, and by day since 1970
    suppressed: dict[str, dict[str, tuple[int, dict[int, int]]]] = field(default_factory=dict)
    one_way: bool = False  # only one direction is captured: rules that need both do not judge
    lists: dict[str, int] = field(default_factory=dict)  # entries by list
    most: dict[str, int] = field(default_factory=dict)  # the largest sum of any group that was judged


class Judge:
    """Judges batches of attributed flows and DNS rows.

    Args:
        rules: what to judge by; sleeping ones are left out.
        learn: False: ``novel`` rules take nothing for known at first (``replay``).
        state: the folder that keeps windows, alerts and what was learnt; None: nothing is kept.
        tick: nanoseconds a tick.
        lists: the lists that rules name.
        bounds: other bounds of the engine than the usual ones, for tests.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        learn: bool = True,
        state: Path | None = None,
        tick: int = SECOND,
        lists: AddressLists | None = None,
        bounds: Mapping[str, int] | None = None,
    ) -> None:
        self.rules = list(rules)
        self.learn = learn
        self.state = JudgeState(state) if state is not None else None
        self.tick = tick
        self.lists = lists or AddressLists({})
        self.bounds = dict(bounds or {})
        self._explained: dict[int, Explanation] = {}  # by flow_id, of the flows that alerts keep
        self._left_out = 0  # alerts that ended and are not shown as long as they might be
        self._at_work: list[Rule] = []
        self._engine: RuleEngine | None = None
        self._alerts: dict[str, Alert] = {}
        self._order: list[tuple[int, str]] = []  # the newest first
        self._in_order: list[Alert] | None = None
        self._saved_at = 0.0
        self._save_took = 0.0
        self._is_resumed = False
        self._told_one_way = False
        self._learnt: list[Learnt] = []  # that the next saving lists
        self._learnt_news = LearntNews()
        self._due: list[AlertEvent] = []  # what a change of rules did to alerts, not told yet

    @property
    def engine(self) -> RuleEngine:
        """The engine; `start` comes first."""
        assert self._engine is not None, "start() comes first"
        return self._engine

    def start(self) -> None:
        """Load what was kept; raises InputError where it cannot be read."""
        secret = (secrets.randbits(64), secrets.randbits(64))
        self._engine = RuleEngine(secret, learns=self.learn, bounds=self.bounds)
        if self.state is None:
            self._put_to_work()
            return
        self.state.start()
        with self.state.reading():
            self.state.resume(self._engine)
            self._put_to_work()
            if self.state.resume_rules(self._engine):
                self._put_to_work()  # so all rules count as changed, and are kept in the new layout
        self._take_over(self.state.open_alerts(self.engine.now))
        self._saved_at = time.monotonic()
        self._is_resumed = True

    def stop(self) -> None:
        """Save; open alerts stay open."""
        if self.state is not None and self.state.is_open:
            self._save()
            self.state.stop()

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Judge by other rules from the next batch on; a rule that stays keeps windows and alerts.

        One that comes back goes on with what the state has of it, as after a restart.
        """
        before = {rule.id for rule in self._at_work}
        self.rules = list(rules)
        if self.state is not None and before - {rule.id for rule in self._ready()}:
            self._save()
        self._put_to_work()
        if self.state is not None:
            self.state.resume_some(self.engine, {rule.id for rule in self._at_work} - before)
        self._take_over(self._alerts)

    def set_lists(self, lists: AddressLists) -> None:
        """Ask these lists from the next batch on."""
        wakes = lists.ready.keys() != self.lists.ready.keys()
        self.lists = lists
        self.engine.set_lists(lists.ready)
        if wakes:
            self.set_rules(self.rules)

    def judge(self, flows: AnyRows, dns: AnyDnsRows, clock: int) -> list[AlertEvent]:
        """Judge whole ticks; give what happened to alerts, in the order of event time.

        Args:
            flows: rows of `FLOW_SCHEMA` with `ATTRIBUTED`, in the order of ticks.
            dns: rows of `DNS_SCHEMA` with `DNS_ATTRIBUTED`, in the order of ticks.
            clock: the event clock, nanoseconds since 1970; alerts end by it when there are no rows.
        """
        attributed, asked = FlowRows.of(flows), DnsRows.of(dns)
        self._check_clock(attributed.rows, asked.rows)
        until = clock // self.tick * self.tick // SECOND
        told, changed = self.engine.judge(attributed.native, asked.native, until)
        events, self._due = self._due, []
        made = [AlertEvent(kind, when, self._alert_of(alert)) for kind, when, alert in told]
        # most alerts that changed are as the newest event has them
        now = [copy(made[one].alert) if isinstance(one, int) else self._alert_of(one) for one in changed]
        begun: dict[str, Alert] = {}
        for event in made:
            if event.kind == "begun":
                begun[event.alert.id] = event.alert
            else:
                self._as_begun(event.alert, begun)
        for alert in now:
            self._as_begun(alert, begun)
        come = {alert.id for alert in now}
        for event in made:
            if event.alert.id not in come:
                # a batch of days may hold an alert's whole life: the engine has forgotten it by the end
                self._renew(copy(event.alert))
        for alert in now:
            self._renew(alert)
        events += made
        if told or changed:
            self._forget()
        self._save_in_time(bool(events))
        return events

    def given_up(self) -> dict[str, int]:
        """Tell how much a bound made the judge leave out, by what it was; the rest is in `counters`."""
        return {"distinct_value": self.engine.values_left_out, "ended_alert": self._left_out}

    def warnings(self) -> list[str]:
        """Tell once what people should know of the judging: one-way capture, what was learnt."""
        told = self._learnt_news.tell(self.engine.now)
        if self.engine.is_one_way == self._told_one_way:
            return told
        self._told_one_way = self.engine.is_one_way
        if not self._told_one_way:
            return [*told, "both directions of the traffic are captured again; all rules judge"]
        needy = [rule.id for rule in self._at_work if rule.two_way]
        sleep = f"; these rules sleep until both are: {', '.join(needy)}" if needy else ""
        return [*told, f"only one direction of the traffic is captured: a mirror of one side?{sleep}"]

    def alerts(self) -> list[Alert]:
        """Give the open alerts and those that ended in the last 24 hours, the newest first."""
        if self._in_order is None:
            self._in_order = [self._alerts[identity] for _, identity in self._order]
        return self._in_order

    def alert(self, identity: str) -> Alert | None:
        """Give one alert by its id."""
        return self._alerts.get(identity)

    def keep(self, events: Sequence[AlertEvent]) -> None:
        """Keep what other stages wrote into the alerts of these events."""
        for event in events:
            if self.state is not None:
                self.state.changed(self._alerts.get(event.alert.id, event.alert))

    def counters(self) -> Counters:
        """Give the totals of the rules that run."""
        totals = {
            rule.id: total for rule, total in zip(self._at_work, self.engine.totals(), strict=True)
        }
        by_words = {
            rule: {words: (sent, dict(days)) for words, sent, days in suppressed}
            for rule, (_, _, _, suppressed) in totals.items()
        }
        return Counters(
            {rule: sum(sent for sent, _ in words.values()) for rule, words in by_words.items()},
            {rule: total[0] for rule, total in totals.items()},
            {
                rule.id: totals[rule.id][1]
                for rule in self._at_work
                if rule.ways.novel is not None or rule.ways.baseline is not None
            },
            self.state.error if self.state is not None else None,
            by_words,
            self.engine.is_one_way,
            {name: len(entries) for name, entries in self.lists.ready.items()},
            {rule: total[2] for rule, total in totals.items()},
        )

    def _ready(self) -> list[Rule]:
        here = self.lists.ready.keys()
        return [rule for rule in self.rules if rule.asleep is None and rule.lists <= here]

    def _put_to_work(self) -> None:
        self._at_work = self._ready()
        self.engine.set_lists(self.lists.ready)
        self.engine.set_rules([to_engine(rule) for rule in self._at_work])

    def _alert_of(self, told: dict[str, Any]) -> Alert:
        return alert_of(self._at_work[told["rule"]], told, self._explained)

    def _as_begun(self, alert: Alert, begun: Mapping[str, Alert]) -> None:
        """Leave why exceptions did not apply as it was at the beginning: the rule may have others now."""
        first = begun.get(alert.id) or self._alerts.get(alert.id)
        if first is not None:
            alert.exceptions, alert.version = first.exceptions, first.version

    def _renew(self, new: Alert) -> None:
        """Put an alert as it is now in the place of the judge's own."""
        known = self._alerts.get(new.id)
        if known is None:
            insort(self._order, (-new.began, new.id))
        else:
            # what others wrote beside it stays; an alert begins once, however often it comes back
            new.keep_from(known)
        self._alerts[new.id] = new
        self._in_order = None
        if self.state is not None:
            self.state.changed(new)

    def _take_over(self, before: Mapping[str, Alert]) -> None:
        """Make the judge's own alerts those that the engine has; of `before` stays what it does not know.

        An open alert that no rule judges any more ends here, and says why: it would never end by itself.
        """
        found: dict[str, Alert] = {}
        for told in self.engine.alerts():
            alert = self._alert_of(told)
            known = before.get(alert.id)
            if known is not None:
                alert.keep_from(known)
                alert.exceptions, alert.version = known.exceptions, known.version
                if alert.is_open and known.why_ended is not None:
                    self._note("begun", alert)  # its rule is back, and with it what it remembered
                for flow in known.flows:
                    if "attribution" in flow:
                        steps: list[dict[str, Any]] = flow["attribution"]
                        explanation = self._explained.setdefault(int(flow["flow_id"], 16), Explanation())
                        explanation.tell = explanation.tell or partial(list, steps)
            found[alert.id] = alert
        for alert in before.values():
            if alert.id not in found and alert.is_open:
                alert.ended = max(alert.last, self.engine.now * SECOND)
                alert.why_ended = self._why_ended(alert)
                self._note("ended", alert)
            if alert.why_ended is not None:
                found.setdefault(alert.id, alert)
        self._alerts = found
        self._sort()

    def _why_ended(self, alert: Alert) -> str:
        rule = next((rule for rule in self.rules if rule.id == alert.rule), None)
        if rule is None:
            return "its rule is not loaded any more"
        return "its rule was changed" if rule.id in {one.id for one in self._at_work} else "its rule sleeps"

    def _note(self, kind: Kind, alert: Alert) -> None:
        """Tell with the next batch what a change of rules did to an alert."""
        told = copy(alert)  # as it is now
        self._due.append(AlertEvent(kind, max(alert.last, self.engine.now * SECOND), told))
        if self.state is not None:
            self.state.changed(alert)

    def _forget(self) -> None:
        """Forget alerts that ended long ago, and how the flows of forgotten alerts were attributed.

        Of more than `MAX_ENDED` those go that ended first: some more at once, since it costs a look at all.
        """
        limit = (self.engine.now - REOPENS_WITHIN) * SECOND
        ended = [(one.ended, one.id) for one in self._alerts.values() if one.ended is not None]
        old = [identity for when, identity in ended if when <= limit]
        if len(ended) - len(old) > MAX_ENDED:
            surplus = len(ended) - MAX_ENDED * 7 // 8
            self._left_out += surplus - len(old)
            old = [identity for _, identity in sorted(ended)[:surplus]]
        for identity in old:
            del self._alerts[identity]
        if old:
            self._sort()
            waiting = self.state.waiting if self.state is not None else []
            used = {one for alert in (*self._alerts.values(), *waiting) for one in alert.flow_ids}
            for flow in [one for one in self._explained if one not in used]:
                del self._explained[flow]

    def _sort(self) -> None:
        self._order = sorted((-alert.began, alert.id) for alert in self._alerts.values())
        self._in_order = None

    def _check_clock(self, flows: pl.DataFrame, dns: pl.DataFrame) -> None:
        """Go on from the time of the rows where the kept state is of a later one, with empty windows.

        A clock that was set back a little changes nothing: such rows count in the present tick.
        """
        firsts = [frame["tick"][0] for frame in (flows, dns) if frame.height]
        if not self._is_resumed or not firsts:
            return
        self._is_resumed = False
        first = int(min(firsts).timestamp())
        if first < self.engine.now - MAX_STEP_BACK:
            self.engine.step_back(first)
            self._take_over(self._alerts)

    def _save_in_time(self, is_urgent: bool) -> None:
        if self.state is None:
            return
        passed = time.monotonic() - self._saved_at
        wait = min(SAVE_SHARE * self._save_took, SAVE_AT_LEAST)
        if passed >= max(SAVE_EVERY, wait) or (is_urgent and passed >= wait):
            self._save()

    def _save(self) -> None:
        assert self.state is not None, "nothing is kept without a state"
        began = time.monotonic()
        if not self._learnt:  # else the last saving failed
            told = self.engine.take_learnt(MAX_LEARNT)
            self._learnt = [Learnt.of_engine(one, self._at_work) for one in told]
        if self.state.save(self.engine, self.counters().suppressed, self._learnt):
            self._learnt_news.add(self._learnt)
            self._learnt = []
        self._saved_at = time.monotonic()
        self._save_took = self._saved_at - began
