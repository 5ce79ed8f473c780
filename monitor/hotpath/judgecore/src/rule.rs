//! One rule at work: its groups, what it knows, its alerts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::baseline::Past;
use crate::group::{Cut, Group};
use crate::hash::Map;
use crate::life::{Track, REOPENS_WITHIN};
use crate::novelty::Novelty;
use crate::spec::Rule;
use crate::take::Taken;
use crate::value::Value;

const DAY: i64 = 86_400;
/// Days of which it is kept what an exception took out.
const SUPPRESSED_DAYS: usize = 31;
/// Times at which alerts are asked that are not worth a look whether they still are.
const FEW_TIMERS: usize = 1024;

/// Bytes that an exception took out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// In all.
    pub bytes: u64,
    /// By day since 1970, the newest last.
    pub days: Vec<(i64, u64)>,
}

impl Suppressed {
    pub(crate) fn add(&mut self, tick: i64, bytes: u64) {
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

/// An alert that ended, with the values of its group.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The alert.
    pub track: Track,
    /// Of the group's fields.
    pub values: Box<[Value]>,
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
    /// Tick before which no group can come to have nothing left.
    pub(crate) idle_from: i64,
    /// Tick before which nothing leaves any window.
    pub(crate) leaves_from: i64,
    /// When the newest of all entries leaves.
    pub(crate) newest_leaves: i64,
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
    /// How many groups the tick brought something.
    pub(crate) touched: u32,
    /// Of these: those that came in this tick.
    pub(crate) new: Vec<u64>,
    /// Of these, and the group of what has no room: those that may begin or have an alert, by the order in
    /// which they came.
    pub(crate) near: Vec<(u32, u64)>,
    /// The tick in which a group came last.
    pub(crate) newest_group: i64,
    /// Tick before which no group is without anything.
    pub(crate) empty_from: i64,
    pub(crate) taken: Vec<Taken>,
    pub(crate) timers: BinaryHeap<Reverse<(i64, u64)>>,
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
            idle_from: i64::MIN,
            leaves_from: i64::MIN,
            newest_leaves: i64::MIN,
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
            touched: 0,
            new: Vec::new(),
            near: Vec::new(),
            newest_group: i64::MIN,
            empty_from: i64::MIN,
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

    /// Whether the present tick brought something.
    pub fn is_touched(&self) -> bool {
        self.touched > 0 || !self.near.is_empty()
    }

    /// Forget what can make no difference any more at `tick`.
    pub fn tidy(&mut self, tick: i64) {
        self.ended.retain(|_, ended| ended.track.ended_at() + REOPENS_WITHIN > tick);
        self.bound_timers();
        // starts are not asked when they leave
        if tick < self.leaves_from && tick < self.idle_from && self.rule.periodic.is_none() {
            return;
        }
        let (mut gone, mut values) = (0, 0);
        let window = self.rule.window;
        let (mut idle_from, mut leaves_from) = (i64::MAX, i64::MAX);
        self.groups.retain(|_, group| {
            gone += group.expire(tick);
            values += group.distinct.as_mut().map_or(0, |values| values.expire(tick));
            if let Some(starts) = &mut group.starts {
                starts.expire(tick, window);
            }
            idle_from = idle_from.min(if group.entries.is_empty() { tick + 1 } else { group.newest });
            let first = group.entries.first_leaves().into_iter();
            leaves_from =
                first.chain(group.distinct.as_ref().and_then(|values| values.first())).fold(leaves_from, i64::min);
            !group.is_idle()
        });
        (self.idle_from, self.empty_from, self.leaves_from) = (idle_from, idle_from, leaves_from);
        self.entries -= gone.min(self.entries);
        self.values -= values.min(self.values);
    }

    /// Forget times at which no alert is asked any more: one whose condition comes and goes has another after each tick.
    fn bound_timers(&mut self) {
        if self.timers.len() <= FEW_TIMERS + 4 * self.open {
            return;
        }
        let groups = &self.groups;
        let is_due = |due: i64, key: &u64| {
            groups.get(key).and_then(|group| group.alert.as_ref()).is_some_and(|track| track.due == due)
        };
        let mut timers = std::mem::take(&mut self.timers).into_vec();
        timers.retain(|Reverse((due, key))| is_due(*due, key));
        timers.sort_unstable();
        timers.dedup();
        timers.shrink_to_fit();
        self.timers = timers.into();
    }

    /// Whether a `baseline` has no group yet that it knows for long enough.
    pub fn is_gathering(&self, tick: i64) -> bool {
        let known = |way: &crate::spec::Baseline| self.past.values().any(|(past, _)| tick - past.began >= way.history);
        self.rule.baseline.as_ref().is_some_and(|way| !known(way))
    }

    /// Drop all sums, and keep alerts and what was learnt.
    pub fn forget_windows(&mut self) {
        self.groups.retain(|_, group| {
            group.forget();
            group.alert.is_some()
        });
        (self.entries, self.values) = (0, 0);
        (self.idle_from, self.empty_from, self.leaves_from) = (i64::MIN, i64::MIN, i64::MIN);
        self.newest_leaves = i64::MIN;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, TimestampSecondArray, UInt64Array};

    use super::FEW_TIMERS;
    use crate::engine::Engine;
    use crate::room::Bounds;
    use crate::row_batch::RowBatch;
    use crate::spec::{Measure, Ratio, Rule};

    /// One row a second: what was sent and what was received.
    fn rows(first: i64, seconds: &[(u64, u64)]) -> RowBatch {
        let ticks: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values(first..first + seconds.len() as i64));
        let numbers = |of: fn(&(u64, u64)) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(seconds.iter().map(of)))
        };
        let sides = [("payload_out", numbers(|one| one.0)), ("payload_in", numbers(|one| one.1))];
        let columns = [("tick", Arc::clone(&ticks)), ("last_seen", ticks)].into_iter().chain(sides);
        RowBatch::from(RecordBatch::try_from_iter(columns).unwrap_or_else(|error| unreachable!("{error}")))
    }

    /// Who answers an upload by turns makes its condition come and go with each second, for days.
    #[test]
    fn a_condition_that_comes_and_goes_leaves_no_timers() {
        let mut engine = Engine::new([1, 2], false, Bounds::default());
        let ratio = Ratio { of: "payload_out".to_owned(), to: "payload_in".to_owned(), above: (2, 1), floor: 1 };
        let of_all = Rule::of_all(Measure::Sum("payload_out".to_owned()), 30 * 86_400);
        engine.set_rules(vec![Rule { resolve_after: 7 * 86_400, ratio: Some(ratio), ..of_all }]);
        let nothing = rows(0, &[]);
        // twice as much was sent as received, or more
        let by_turns = [(30, 0), (0, 15)].repeat(30);
        let mut begun = 0;
        for minute in 0..200 {
            let outcome = engine.judge(&rows(60 * minute, &by_turns), &nothing, 0);
            begun += outcome.events.len();
        }
        assert!(begun > 0 && engine.runs[0].open == 1);
        let timers = engine.runs[0].timers.len();
        assert!(timers <= FEW_TIMERS + by_turns.len(), "{timers} times at which one alert is asked");
    }
}
