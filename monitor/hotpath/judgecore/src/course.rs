//! The course of a rule's alerts: asked at the end of ticks with rows, and when time alone changes something.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::alert::{self, Alert, Event, Kind, NotApplied};
use crate::baseline::Past;
use crate::condition::Lists;
use crate::derived;
use crate::evaluate::holds;
use crate::frame::Frame;
use crate::group::{Cut, Group, OTHER};
use crate::hash::Map;
use crate::life::{describe, Track, MAX_ENDED, MAX_OPEN, MAX_SAMPLED, REOPENS_WITHIN, SECOND};
use crate::parts::Parts;
use crate::room::Bounds;
use crate::rule::{Ended, RuleRun};
use crate::sample::{Sampler, MAX_FLOWS};
use crate::spec::Rule;
use crate::value::Value;

impl RuleRun {
    /// Judge the groups that the tick brought something; `place` is the rule's among the engine's.
    #[allow(clippy::too_many_arguments)]
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
        let mut near = std::mem::take(&mut self.near);
        near.sort_unstable();
        for (_, key) in &near {
            if self.is_quiet(*key, tick) {
                continue;
            }
            if let Some(mut group) = self.groups.remove(key) {
                self.judge(place, tick, &mut group, sampler, parts, lists, events);
                self.groups.insert(*key, group);
            }
        }
        near.clear();
        self.near = near;
        self.touched = 0;
        self.new.clear();
        self.taken.clear();
        self.epoch += 1;
        self.novelty.bound(bounds.known);
        self.bound_windows(tick, bounds);
        self.newest_leaves = self.newest_leaves.max(self.cut.leaves(tick));
    }

    /// Whether a group is below the line and has no alert, so that nothing can happen; notes its hour.
    fn is_quiet(&mut self, key: u64, tick: i64) -> bool {
        let RuleRun { rule, groups, past, .. } = self;
        let Some(group) = groups.get_mut(&key) else { return true };
        if group.is_near(rule.line) {
            return false;
        }
        let Some(way) = &rule.baseline else { return true };
        if group.distinct.is_some() || group.starts.is_some() {
            return false;
        }
        if key != OTHER {
            let (past, _) = past.entry(key).or_insert_with(|| (Past::new(tick), group.values.clone()));
            past.note(tick, group.total.value, false, way);
        }
        true
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
        let past = rule
            .baseline
            .as_ref()
            .filter(|_| group.key != OTHER)
            .map(|_| &mut self.past.entry(group.key).or_insert_with(|| (Past::new(tick), group.values.clone())).0);
        let found = holds(&rule, group, past, tick);
        if group.alert.is_none() && found.is_some() {
            if self.open >= MAX_OPEN {
                self.overflow += 1;
            } else {
                let room = if self.open < MAX_SAMPLED { MAX_FLOWS } else { 0 };
                let track = begin(&rule, tick, group, self.ended.remove(&group.key), self.cut, room);
                group.alert = Some(Box::new(track));
                self.open += 1;
                if rule.novel.is_some() && group.key != OTHER {
                    self.novelty.remember(group.key, group.values.clone(), group.total.value, tick);
                }
                let rows: Vec<_> = self.rows_of(group).collect();
                if let Some(mut track) = group.alert.take() {
                    describe(&mut track.alert, group, parts);
                    let first = rows.iter().min().map(|(_, row)| *row);
                    sampler.absorb(&mut track.alert, track.room, rows);
                    track.alert.found = found.unwrap_or_default();
                    track.alert.not_applied = not_applied(&rule, tick, sampler.frame, first, lists);
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
            sampler.absorb(&mut track.alert, track.room, self.rows_of(group));
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

    /// The rows of a group in this tick: in order the heaviest comes first, then as they came.
    fn rows_of(&self, group: &Group) -> impl Iterator<Item = (Reverse<u64>, usize)> + use<'_> {
        let taken = |next: u32| (next as usize).checked_sub(1).and_then(|place| self.taken.get(place));
        let rows = std::iter::successors(taken(group.fresh.head), move |row| taken(row.next));
        rows.map(|taken| (Reverse(taken.value), taken.row as usize))
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
    track.alert.sent = track.alert.sent.saturating_add(group.fresh.sent);
    track.counted_until = tick;
}

fn not_applied(rule: &Rule, tick: i64, frame: &Frame<'_>, row: Option<usize>, lists: &Lists) -> Vec<NotApplied> {
    let why = |exception: &crate::spec::Exception| {
        if tick >= exception.ends {
            return NotApplied::Expired;
        }
        let failing = row.and_then(|row| derived::failing(frame, &exception.conditions, row, lists));
        failing.map_or(NotApplied::Nothing, NotApplied::Condition)
    };
    rule.exceptions.iter().map(why).collect()
}
