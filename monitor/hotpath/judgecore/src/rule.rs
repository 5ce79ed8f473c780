//! One rule at work: its groups, what it knows, its alerts. Rows in, what happened to alerts out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::alert::{self, Alert, Event, Kind, NotApplied};
use crate::baseline::Past;
use crate::condition::Lists;
use crate::evaluate::holds;
use crate::frame::{Column, Frame, Numbers};
use crate::group::{Cut, Entry, Fresh, Group, Sums, OTHER};
use crate::hash::{self, Keys, Map};
use crate::life::{describe, Track, MAX_ENDED, MAX_OPEN, MAX_SAMPLED, REOPENS_WITHIN, SECOND};
use crate::matcher;
use crate::novelty::Novelty;
use crate::parts::Parts;
use crate::room::Bounds;
use crate::sample::{Sampler, MAX_FLOWS};
use crate::spec::{Measure, Record, Rule};
use crate::value::{Seen, Value};

const DAY: i64 = 86_400;
/// Days of which it is kept what an exception took out.
const SUPPRESSED_DAYS: usize = 31;

/// Bytes that an exception took out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// In all.
    pub bytes: u64,
    /// By day since 1970, the newest last.
    pub days: Vec<(i64, u64)>,
}

impl Suppressed {
    fn add(&mut self, tick: i64, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let day = tick.div_euclid(DAY);
        match self.days.last_mut() {
            Some((last, sum)) if *last >= day => *sum = sum.saturating_add(bytes),
            _ => self.days.push((day, bytes)),
        }
        if self.days.len() > SUPPRESSED_DAYS {
            self.days.remove(0);
        }
    }
}

/// One row of the present tick that counted.
#[derive(Clone, Copy, Debug)]
struct Taken {
    row: usize,
    value: u64,
    /// The group's row before, one more than its place; 0: none.
    next: u32,
}

/// An alert that ended, with the values of its group.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The alert.
    pub track: Track,
    /// Of the group's fields.
    pub values: Box<[Value]>,
}

/// The columns of a batch that a rule looks at.
pub struct Prepared<'f, 'a> {
    keys: Vec<Column<'f, 'a>>,
    value: Numbers<'a>,
    present: Option<Column<'f, 'a>>,
    ratio: Option<(Numbers<'a>, Numbers<'a>)>,
    distinct: Option<Column<'f, 'a>>,
    start: Numbers<'a>,
}

/// The columns of a batch that all rules look at.
pub struct Common<'f, 'a> {
    /// Bytes sent.
    pub sent: Numbers<'a>,
    /// Rows whose bytes do not count as sent: of DNS those that are no question.
    pub kind: Option<Column<'f, 'a>>,
    /// The newest packet.
    pub last: Numbers<'a>,
    /// First packet of the row and of the connection, and what tells that the row has packets.
    pub first_seen: Numbers<'a>,
    /// See `first_seen`.
    pub started: Numbers<'a>,
    /// See `first_seen`.
    pub packets: (Numbers<'a>, Numbers<'a>),
    /// The columns that tell parts apart.
    pub parts: Vec<Column<'f, 'a>>,
}

impl<'f, 'a> Common<'f, 'a> {
    /// Find the columns in a batch.
    pub fn new(frame: &'f Frame<'a>, record: Record) -> Common<'f, 'a> {
        let (sent, last, kind) = match record {
            Record::Flows => ("payload_out", "last_seen", None),
            Record::Dns => ("message_bytes", "time", Some(frame.column("kind"))),
        };
        Common {
            sent: frame.numbers(sent),
            kind,
            last: frame.numbers(last),
            first_seen: frame.numbers("first_seen"),
            started: frame.numbers("started"),
            packets: (frame.numbers("packets_out"), frame.numbers("packets_in")),
            parts: crate::parts::fields(record).iter().map(|field| frame.column(field)).collect(),
        }
    }

    fn sent(&self, row: usize) -> u64 {
        match &self.kind {
            Some(kind) if kind.seen(row) != Seen::Text("question") => 0,
            _ => self.sent.or_zero(row),
        }
    }
}

/// A rule and all that it remembers.
pub struct RuleRun {
    /// The rule.
    pub rule: Arc<Rule>,
    /// How its window is cut.
    pub cut: Cut,
    /// Its groups by number.
    pub groups: Map<Box<Group>>,
    /// Entries of all windows.
    pub entries: usize,
    /// Values of all sets of `distinct`.
    pub values: usize,
    /// Tick before which no room is looked for.
    pub full_until: i64,
    /// How often there was no room.
    pub overflow: u64,
    /// For `novel`.
    pub novelty: Novelty,
    /// For `baseline`: by group, with the values of its fields.
    pub past: Map<(Past, Box<[Value]>)>,
    /// Alerts that may come back, by group.
    pub ended: Map<Ended>,
    /// Open alerts.
    pub open: usize,
    /// By what the exception matches.
    pub suppressed: BTreeMap<String, Suppressed>,
    /// The largest sum that a group came to, of those that were judged in a tick.
    pub most: u64,
    /// Since it was last kept.
    pub changed: bool,
    /// Groups whose alert changed since they were last told.
    pub news: Vec<u64>,
    /// How many ends of ticks there were, and one.
    pub(crate) epoch: u64,
    pub(crate) touched: Vec<u64>,
    taken: Vec<Taken>,
    timers: BinaryHeap<Reverse<(i64, u64)>>,
}

impl RuleRun {
    /// A rule that has seen nothing.
    pub fn new(rule: Arc<Rule>) -> RuleRun {
        RuleRun {
            cut: Cut::new(rule.window),
            rule,
            groups: Map::default(),
            entries: 0,
            values: 0,
            full_until: i64::MIN,
            overflow: 0,
            novelty: Novelty::default(),
            past: Map::default(),
            ended: Map::default(),
            open: 0,
            suppressed: BTreeMap::new(),
            most: 0,
            changed: true,
            news: Vec::new(),
            epoch: 1,
            touched: Vec::new(),
            taken: Vec::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Go on by another version of the rule.
    ///
    /// Alerts and counters stay where groups are made of the same fields; sums and what was learnt stay
    /// where they are made of the same rows.
    pub fn with_rule(mut self, rule: Arc<Rule>) -> RuleRun {
        self.changed = true;
        let same_groups = self.rule.record == rule.record && self.rule.group_fields().eq(rule.group_fields());
        let same = same_groups && self.rule.shape == rule.shape;
        let old = std::mem::replace(&mut self.rule, rule);
        if !same_groups {
            let fresh = RuleRun::new(Arc::clone(&self.rule));
            return RuleRun { overflow: self.overflow, suppressed: self.suppressed, ..fresh };
        }
        if !same {
            self.forget_windows();
            self.cut = Cut::new(self.rule.window);
            self.novelty = Novelty { forgotten: self.novelty.forgotten, ..Novelty::default() };
            self.past = Map::default();
        } else if old.resolve_after != self.rule.resolve_after || old.line != self.rule.line {
            // what is due is worked out anew
            for (key, group) in &mut self.groups {
                if let Some(track) = &mut group.alert {
                    track.due = track.due.min(track.counted_until + 1);
                    self.timers.push(Reverse((track.due, *key)));
                }
            }
        }
        self
    }

    /// The columns of a batch that are to be coded.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let measured = match &self.rule.measure {
            Measure::Count(column) => Some(column.as_str()),
            _ => None,
        };
        self.rule.group_fields().chain(measured).chain(self.rule.distinct.iter().map(|way| way.of.as_str()))
    }

    /// Find the rule's columns in a batch.
    pub fn prepare<'f, 'a>(&self, frame: &'f Frame<'a>) -> Prepared<'f, 'a> {
        let rule = &self.rule;
        Prepared {
            keys: rule.group_fields().map(|field| frame.column(field)).collect(),
            value: match &rule.measure {
                Measure::Sum(column) => frame.numbers(column),
                _ => frame.numbers(""),
            },
            present: match &rule.measure {
                Measure::Count(column) => Some(frame.column(column)),
                _ => None,
            },
            ratio: rule.ratio.as_ref().map(|way| (frame.numbers(&way.of), frame.numbers(&way.to))),
            distinct: rule.distinct.as_ref().map(|way| frame.column(&way.of)),
            start: frame.numbers(match rule.record {
                Record::Flows => "started",
                Record::Dns => "time",
            }),
        }
    }

    /// Take a row that matches; `excepted` tells which exceptions match it.
    #[allow(clippy::too_many_arguments)]
    pub fn take(
        &mut self,
        at: &Prepared<'_, '_>,
        common: &Common<'_, '_>,
        keys: Keys,
        parts: &mut Parts,
        bounds: &Bounds,
        learns: bool,
        tick: i64,
        row: usize,
        excepted: impl Fn(usize) -> bool,
    ) {
        let rule = Arc::clone(&self.rule);
        let Some(sums) = adds(&rule, at, common, row) else { return };
        for (place, exception) in rule.exceptions.iter().enumerate() {
            if tick < exception.ends && excepted(place) {
                self.suppressed.entry(exception.words.clone()).or_default().add(tick, sums.sent);
                self.changed = true;
                return;
            }
        }
        let key = hash::mix(keys, at.keys.iter().map(|column| column.hash(row)));
        let values = || at.keys.iter().map(|column| column.seen(row).to_value()).collect::<Box<[Value]>>();
        if let Some(way) = &rule.novel {
            let Some((of, per)) = at.keys.split_last() else { return };
            if of.seen(row) == Seen::Missing {
                return;
            }
            self.changed = true;
            let mut is_news = !self.novelty.uses(key, tick, way.forget);
            if is_news && learns {
                let base = hash::mix(keys, per.iter().map(|column| column.hash(row)));
                let words = || per.iter().map(|column| column.seen(row).to_value()).collect();
                if self.novelty.learns(base, words, tick, way.learn, bounds.learning) {
                    self.novelty.remember(key, values(), tick);
                    is_news = false;
                }
            }
            if !is_news && self.groups.get(&key).is_none_or(|group| group.alert.is_none()) {
                return;
            }
        }
        self.changed = true;
        let cut = self.cut;
        let group = self.groups.entry(key).or_insert_with(|| Box::new(Group::new(key, values(), tick)));
        if group.fresh.epoch != self.epoch {
            self.entries -= group.expire(tick).min(self.entries);
            if group.entries.is_empty() && group.alert.is_none() {
                group.created = tick;
            }
            group.fresh = Fresh { epoch: self.epoch, ..Fresh::default() };
            self.touched.push(key);
        }
        let part = parts.of_row(&common.parts, keys, row);
        self.entries += group.add(Entry { leaves: cut.leaves(tick), part, sums });
        if let Some(column) = &at.distinct {
            if sums.value > 0 && column.seen(row) != Seen::Missing {
                let values = group.distinct.get_or_insert_default();
                if values.add(column.hash(row), cut.leaves(tick), self.values < bounds.values) {
                    self.values += 1;
                }
            }
        }
        if let Some(way) = &rule.periodic {
            group.starts.get_or_insert_default().add(at.start.nanoseconds(row), way);
        }
        self.taken.push(Taken { row, value: sums.value, next: group.fresh.head });
        group.fresh.head = self.taken.len() as u32;
        group.fresh.sums.value = group.fresh.sums.value.saturating_add(sums.value);
        group.fresh.sums.sent = group.fresh.sums.sent.saturating_add(sums.sent);
        group.fresh.last = group.fresh.last.max(common.last.nanoseconds(row));
    }

    /// Whether the present tick brought something.
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Judge the groups that the tick brought something; `place` is the rule's among the engine's.
    pub fn end_tick(
        &mut self,
        place: usize,
        tick: i64,
        sampler: &Sampler<'_, '_>,
        parts: &Parts,
        lists: &Lists,
        bounds: &Bounds,
        events: &mut Vec<Event>,
    ) {
        if self.groups.len() > bounds.groups {
            self.find_room(tick, bounds);
        }
        let touched = std::mem::take(&mut self.touched);
        let is_plain = self.rule.baseline.is_none();
        for key in &touched {
            self.most = self.most.max(self.groups.get(key).map_or(0, |group| group.total.value));
            let is_near =
                |group: &Group| group.alert.is_some() || i128::from(group.total.value) > i128::from(self.rule.line);
            if is_plain && !self.groups.get(key).is_some_and(|group| is_near(group)) {
                continue;
            }
            if let Some(mut group) = self.groups.remove(key) {
                self.judge(place, tick, &mut group, sampler, parts, lists, events);
                self.groups.insert(*key, group);
            }
        }
        self.touched = touched;
        self.touched.clear();
        self.taken.clear();
        self.epoch += 1;
        self.novelty.bound(bounds.known);
        self.bound_windows(tick, bounds);
    }

    #[allow(clippy::too_many_arguments)]
    fn judge(
        &mut self,
        place: usize,
        tick: i64,
        group: &mut Group,
        sampler: &Sampler<'_, '_>,
        parts: &Parts,
        lists: &Lists,
        events: &mut Vec<Event>,
    ) {
        let rule = Arc::clone(&self.rule);
        self.values -= group.distinct.as_mut().map_or(0, |values| values.expire(tick)).min(self.values);
        if let Some(starts) = &mut group.starts {
            starts.expire(tick, rule.window);
        }
        let mut past = rule
            .baseline
            .as_ref()
            .filter(|_| group.key != OTHER)
            .map(|_| &mut self.past.entry(group.key).or_insert_with(|| (Past::new(tick), group.values.clone())).0);
        let found = holds(&rule, group, past.as_deref_mut(), tick);
        if group.alert.is_none() && found.is_some() {
            if self.open >= MAX_OPEN {
                self.overflow += 1;
            } else {
                let room = if self.open < MAX_SAMPLED { MAX_FLOWS } else { 0 };
                let track = begin(&rule, tick, group, self.ended.remove(&group.key), self.cut, room);
                group.alert = Some(Box::new(track));
                self.open += 1;
                if rule.novel.is_some() && group.key != OTHER {
                    self.novelty.remember(group.key, group.values.clone(), tick);
                }
                let rows = self.rows_of(group);
                if let Some(mut track) = group.alert.take() {
                    describe(&mut track.alert, group, parts);
                    sampler.absorb(&mut track.alert, track.room, &rows);
                    track.alert.found = found.unwrap_or_default();
                    track.alert.not_applied = not_applied(&rule, tick, sampler.frame, rows.first(), lists);
                    track.told();
                    events.push(Event {
                        kind: Kind::Begun,
                        time: track.alert.last,
                        rule: place,
                        alert: track.alert.clone(),
                    });
                    group.alert = Some(track);
                }
            }
        } else if let Some(mut track) = group.alert.take() {
            go_on(&rule, tick, group, &mut track, found.is_some());
            if let Some(found) = found {
                track.alert.found = found;
            }
            sampler.absorb(&mut track.alert, track.room, &self.rows_of(group));
            if track.has_grown() {
                track.told();
                events.push(Event {
                    kind: Kind::Growing,
                    time: track.alert.last,
                    rule: place,
                    alert: track.alert.clone(),
                });
            }
            group.alert = Some(track);
        }
        if let (Some(past), Some(way)) = (past_of(&mut self.past, group.key), &rule.baseline) {
            past.note(tick, group.total.value, group.alert.is_some(), way);
        }
        self.schedule(group, found.as_ref(), tick);
    }

    /// The rows of a group in this tick: the heaviest first, then as they came.
    fn rows_of(&self, group: &Group) -> Vec<usize> {
        let mut rows: Vec<(Reverse<u64>, usize)> = Vec::new();
        let mut next = group.fresh.head;
        while let Some(taken) = (next as usize).checked_sub(1).and_then(|place| self.taken.get(place)) {
            rows.push((Reverse(taken.value), taken.row));
            next = taken.next;
        }
        rows.sort_unstable();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Hang a chain of rows of this tick behind another.
    pub(crate) fn chain(&mut self, head: u32, behind: u32) {
        let mut next = head;
        while let Some(taken) = (next as usize).checked_sub(1).and_then(|place| self.taken.get_mut(place)) {
            if taken.next == 0 {
                taken.next = behind;
                return;
            }
            next = taken.next;
        }
    }

    /// Note when the alert of a group is asked next.
    pub(crate) fn schedule(&mut self, group: &mut Group, found: Option<&alert::Found>, tick: i64) {
        let Some(mut track) = group.alert.take() else { return };
        let due = track.next_due(&self.rule, group, found, tick);
        if due != track.due {
            track.due = due;
            self.timers.push(Reverse((due, group.key)));
        }
        group.alert = Some(track);
        self.news.push(group.key);
    }

    /// When something is due without rows.
    pub fn next_timer(&self) -> Option<i64> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// Do what is due by `limit` (seconds): conditions that became false, alerts that end.
    pub fn pass_time(&mut self, place: usize, limit: i64, events: &mut Vec<Event>) {
        while let Some(Reverse((due, key))) = self.timers.peek().copied() {
            if due > limit {
                break;
            }
            self.timers.pop();
            let Some(mut group) = self.groups.remove(&key) else { continue };
            if group.alert.as_ref().is_some_and(|track| track.due == due) {
                self.changed = true;
                self.ask(place, due, &mut group, events);
            }
            if !group.is_idle() {
                self.groups.insert(key, group);
            }
        }
    }

    fn ask(&mut self, place: usize, now: i64, group: &mut Group, events: &mut Vec<Event>) {
        let rule = Arc::clone(&self.rule);
        self.entries -= group.expire(now).min(self.entries);
        self.values -= group.distinct.as_mut().map_or(0, |values| values.expire(now)).min(self.values);
        if let Some(starts) = &mut group.starts {
            starts.expire(now, rule.window);
        }
        let found = holds(&rule, group, past_of(&mut self.past, group.key), now);
        let Some(mut track) = group.alert.take() else { return };
        if rule.novel.is_none() {
            track.falls = if found.is_some() { None } else { track.falls.or(Some(now)) };
        }
        match track.falls {
            Some(falls) if falls + rule.resolve_after <= now => {
                track.alert.ended = Some((falls + rule.resolve_after).saturating_mul(SECOND));
                track.told();
                track.due = i64::MIN;
                self.open -= 1;
                let time = track.alert.ended.unwrap_or(0);
                events.push(Event { kind: Kind::Ended, time, rule: place, alert: track.alert.clone() });
                self.ended.insert(group.key, Ended { track: *track, values: group.values.clone() });
                self.news.push(group.key);
                self.bound_ended();
            }
            _ => {
                track.due = i64::MIN;
                group.alert = Some(track);
                self.schedule(group, found.as_ref(), now);
            }
        }
    }

    fn bound_ended(&mut self) {
        if self.ended.len() > MAX_ENDED {
            let oldest = self.ended.iter().min_by_key(|(_, ended)| (ended.track.alert.ended, ended.track.alert.id));
            if let Some(key) = oldest.map(|(key, _)| *key) {
                self.ended.remove(&key);
            }
        }
    }

    /// Forget what can make no difference any more at `tick`.
    pub fn tidy(&mut self, tick: i64) {
        let (mut gone, mut values) = (0, 0);
        let window = self.rule.window;
        self.groups.retain(|_, group| {
            gone += group.expire(tick);
            values += group.distinct.as_mut().map_or(0, |values| values.expire(tick));
            if let Some(starts) = &mut group.starts {
                starts.expire(tick, window);
            }
            !group.is_idle()
        });
        self.entries -= gone.min(self.entries);
        self.values -= values.min(self.values);
        self.ended.retain(|_, ended| ended.track.ended_at() + REOPENS_WITHIN > tick);
    }

    /// Whether a `baseline` has no group yet that it knows for long enough.
    pub fn is_gathering(&self, tick: i64) -> bool {
        let known = |way: &crate::spec::Baseline| self.past.values().any(|(past, _)| tick - past.began >= way.history);
        self.rule.baseline.as_ref().is_some_and(|way| !known(way))
    }

    /// Drop all sums, and keep alerts and what was learnt.
    pub fn forget_windows(&mut self) {
        self.groups.retain(|_, group| {
            group.entries.clear();
            group.total = Sums::default();
            group.distinct = None;
            group.starts = None;
            group.alert.is_some()
        });
        (self.entries, self.values) = (0, 0);
        self.timers.clear();
        for (key, group) in &mut self.groups {
            if let Some(track) = &mut group.alert {
                track.falls = track.falls.or(Some(track.counted_until + 1));
                track.due = track.falls.unwrap_or(0) + self.rule.resolve_after;
                self.timers.push(Reverse((track.due, *key)));
            }
        }
    }

    /// Note an alert that was kept; it is asked as soon as time passes.
    pub fn resume(&mut self, key: u64) {
        if let Some(track) = self.groups.get_mut(&key).and_then(|group| group.alert.as_mut()) {
            self.open += 1;
            self.timers.push(Reverse((track.due, key)));
        }
    }
}

/// What a row adds; `None` where it does not count.
pub(crate) fn adds(rule: &Rule, at: &Prepared<'_, '_>, common: &Common<'_, '_>, row: usize) -> Option<Sums> {
    let mut sums = Sums { value: measured(&rule.measure, at, common, row), ..Sums::default() };
    if let Some((of, to)) = &at.ratio {
        (sums.of, sums.to) = (of.or_zero(row), to.or_zero(row));
    }
    sums.sent = common.sent(row);
    let counts = sums.value > 0 || sums.of > 0 || sums.to > 0 || rule.periodic.is_some();
    counts.then_some(sums)
}

/// What one row adds to the measure.
fn measured(measure: &Measure, at: &Prepared<'_, '_>, common: &Common<'_, '_>, row: usize) -> u64 {
    match measure {
        Measure::Sum(_) => at.value.or_zero(row),
        Measure::Count(_) => at.present.as_ref().map_or(0, |column| u64::from(column.seen(row) != Seen::Missing)),
        Measure::Connections => {
            let (out, back) = &common.packets;
            let is_first = common.first_seen.nanoseconds(row) <= common.started.nanoseconds(row);
            u64::from(is_first && out.or_zero(row).saturating_add(back.or_zero(row)) > 0)
        }
    }
}

fn past_of(past: &mut Map<(Past, Box<[Value]>)>, key: u64) -> Option<&mut Past> {
    past.get_mut(&key).map(|(past, _)| past)
}

/// An alert begins, or one that ended lately comes back.
fn begin(rule: &Rule, tick: i64, group: &Group, before: Option<Ended>, cut: Cut, room: usize) -> Track {
    let last = group.fresh.last.max(tick.saturating_mul(SECOND));
    // what is novel is so once: use after that does not prolong it
    let falls = rule.novel.as_ref().map(|_| tick + rule.window);
    if let Some(Ended { mut track, .. }) = before.filter(|ended| tick - ended.track.ended_at() < REOPENS_WITHIN) {
        let since = cut.leaves(track.counted_until);
        let again = group.entries.iter().filter(|entry| entry.leaves > since).map(|entry| entry.sums.sent);
        let alert = &mut track.alert;
        alert.sent = alert.sent.saturating_add(again.fold(0, u64::saturating_add));
        alert.ended = None;
        alert.reopened += 1;
        alert.last = last;
        alert.value = alert.value.max(group.total.value);
        (track.falls, track.counted_until, track.due) = (falls, tick, i64::MIN);
        return track;
    }
    let values = (group.key != OTHER).then_some(&*group.values);
    let alert = Alert {
        id: alert::identity(&rule.id, values, last),
        group: values.map(Into::into),
        workload: None,
        provider: None,
        began: last,
        last,
        ended: None,
        value: group.total.value,
        sent: group.total.sent,
        reopened: 0,
        countries: Vec::new(),
        names: Vec::new(),
        evidence: Vec::new(),
        flows: Vec::new(),
        not_applied: Vec::new(),
        found: alert::Found::default(),
    };
    Track { alert, falls, counted_until: tick, told_value: 0, told_sent: 0, room, due: i64::MIN }
}

/// An open alert has more rows.
fn go_on(rule: &Rule, tick: i64, group: &Group, track: &mut Track, holds: bool) {
    if holds {
        track.alert.value = track.alert.value.max(group.total.value);
    }
    if rule.novel.is_none() {
        track.falls = if holds { None } else { track.falls.or(Some(tick)) };
    }
    track.alert.last = track.alert.last.max(group.fresh.last);
    track.alert.sent = track.alert.sent.saturating_add(group.fresh.sums.sent);
    track.counted_until = tick;
}

fn not_applied(rule: &Rule, tick: i64, frame: &Frame<'_>, row: Option<&usize>, lists: &Lists) -> Vec<NotApplied> {
    let why = |exception: &crate::spec::Exception| {
        if tick >= exception.ends {
            return NotApplied::Expired;
        }
        let failing = row.and_then(|row| matcher::failing(frame, &exception.conditions, *row, lists));
        failing.map_or(NotApplied::Nothing, NotApplied::Condition)
    };
    rule.exceptions.iter().map(why).collect()
}
