//! One rule at work: its groups, what it knows, its alerts. Rows in, what happened to alerts out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::baseline::Past;
use crate::distinct::Added;
use crate::group::{Cut, Entry, Fresh, Group, OTHER};
use crate::hash::Map;
use crate::kinds::Kinds;
use crate::life::{Track, REOPENS_WITHIN};
use crate::novelty::Novelty;
use crate::parts::Parts;
use crate::room::Bounds;
use crate::row::{adds, Common, Prepared};
use crate::row_groups::RowGroups;
use crate::spec::Rule;
use crate::turned_away::TurnedAway;
use crate::value::{Seen, Value};

const DAY: i64 = 86_400;
/// Days of which it is kept what an exception took out.
const SUPPRESSED_DAYS: usize = 31;

/// Rows of a tick from which their groups are asked for ahead: with few, they are in the caches.
const MANY_ROWS: usize = 4096;
/// How many rows ahead.
const AHEAD: usize = 16;

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

/// A row of the present tick that matches some rule, with what all rules ask of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    pub(crate) row: u32,
    pub(crate) kind: u32,
    /// The bytes that it sent.
    pub(crate) sent: u64,
    /// Its newest packet, nanoseconds.
    pub(crate) last: i64,
}

/// One row of the present tick that counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) row: u32,
    /// The group's row before, one more than its place; 0: none.
    pub(crate) next: u32,
    pub(crate) value: u64,
}

/// An alert that ended, with the values of its group.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The alert.
    pub track: Track,
    /// Of the group's fields.
    pub values: Box<[Value]>,
}

/// What the rows of a tick are taken by.
pub(crate) struct Rows<'r, 'l, 'f, 'a> {
    pub(crate) at: &'r Prepared<'f, 'a>,
    pub(crate) away: &'r mut TurnedAway,
    pub(crate) groups: &'r mut RowGroups<'l>,
    pub(crate) kinds: &'r mut Kinds<'l, 'f, 'a>,
    pub(crate) common: &'r Common<'f, 'a>,
    /// Of the tick, those that match some rule.
    pub(crate) matches: &'r [Match],
    pub(crate) parts: &'r mut Parts,
    /// Counts values that a full set of `distinct` left out.
    pub(crate) left_out: &'r mut u64,
    pub(crate) bounds: &'r Bounds,
    pub(crate) learns: bool,
    pub(crate) tick: i64,
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
    /// Groups that were turned away, of those that the tick brought something: they count once.
    pub(crate) away: Map<()>,
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
            away: Map::default(),
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

    /// Take rows of one tick that match, by their places among all matches; `excepted` tells which exceptions match a row.
    pub(crate) fn take(
        &mut self,
        batch: &mut Rows<'_, '_, '_, '_>,
        rows: &[u32],
        excepted: impl Fn(usize, usize) -> bool,
    ) {
        let rule = Arc::clone(&self.rule);
        let (tick, at, common) = (batch.tick, batch.at, batch.common);
        let leaves = self.cut.leaves(tick);
        self.leaves_from = self.leaves_from.min(leaves);
        let mut others = self.shut_out(tick, batch.bounds);
        batch.away.begin(others.as_deref(), leaves, self.cut, self.novelty.remembered);
        // what is no news may be learnt
        let is_settled = rule.novel.is_none() || !batch.learns;
        let of_tick = batch.matches;
        for (place, of) in rows.iter().enumerate() {
            let Some(&found) = of_tick.get(*of as usize) else { continue };
            let Match { row, kind, last, sent } = found;
            let row = row as usize;
            if rows.len() >= MANY_ROWS && place % AHEAD == 0 {
                self.look_ahead(batch, rows.get(place..).unwrap_or_default());
            }
            let Some(sums) = adds(&rule, at, common, row, sent) else { continue };
            let mut exceptions = rule.exceptions.iter().enumerate();
            if let Some((_, one)) = exceptions.find(|(place, one)| tick < one.ends && excepted(*place, row)) {
                if let Some(known) = self.suppressed.get_mut(&one.words) {
                    known.add(tick, sums.sent);
                } else {
                    self.suppressed.entry(one.words.clone()).or_default().add(tick, sums.sent);
                }
                self.changed = true;
                continue;
            }
            let of = batch.groups.kind(kind);
            if let Some(others) = others.as_deref_mut().filter(|_| is_settled && batch.away.has(of)) {
                self.begin_others(others, tick);
                if !batch.away.again(others, of, sums) {
                    let (part, first) = batch.kinds.part(batch.parts, kind);
                    self.entries += batch.away.join(others, Entry { leaves, part, sums }, of, first);
                }
                if batch.away.add(of) {
                    let key = batch.groups.of_row(batch.kinds, row, kind);
                    self.overflow += u64::from(self.away.insert(key, ()).is_none());
                }
                self.turn_away(others, sums, row as u32, last);
                continue;
            }
            let key = batch.groups.of_row(batch.kinds, row, kind);
            if rule.novel.is_some() && !self.is_news(&rule, batch, key, found, sums.value) {
                continue;
            }
            let (part, first) = batch.kinds.part(batch.parts, kind);
            let entry = Entry { leaves, part, sums };
            let known = if batch.away.has(of) { None } else { self.groups.get_mut(&key) };
            let group = match (known, &mut others) {
                (Some(group), _) => group,
                (None, Some(others)) => {
                    if batch.away.add(of) && self.away.insert(key, ()).is_none() {
                        self.overflow += 1;
                    }
                    self.begin_others(others, tick);
                    self.entries += batch.away.join(others, entry, of, first);
                    self.turn_away(others, entry.sums, row as u32, last);
                    continue;
                }
                (None, None) => {
                    let values = batch.kinds.keep(batch.groups.places, row);
                    self.newest_group = tick;
                    self.empty_from = self.empty_from.min(leaves);
                    self.groups.entry(key).or_insert_with(|| Box::new(Group::new(key, values, tick)))
                }
            };
            if group.fresh.epoch != self.epoch {
                self.entries -= group.expire(tick).min(self.entries);
                if group.entries.is_empty() && group.alert.is_none() {
                    group.created = tick;
                }
                if group.created == tick && group.key != OTHER {
                    self.new.push(key);
                }
                group.fresh = Fresh { epoch: self.epoch, place: self.touched, ..Fresh::default() };
                self.touched += 1;
            }
            self.entries += group.add(entry);
            self.changed = true;
            if let Some(column) = &at.distinct {
                if sums.value > 0 && column.seen(row) != Seen::Missing {
                    let values = group.distinct.get_or_insert_default();
                    match values.add(column.hash(row), leaves, self.values < batch.bounds.values) {
                        Added::New => self.values += 1,
                        Added::Known => {}
                        Added::NoRoom => *batch.left_out += 1,
                    }
                }
            }
            if let Some(way) = &rule.periodic {
                group.starts.get_or_insert_default().add(at.start.nanoseconds(row), way);
            }
            self.taken.push(Taken { row: row as u32, value: sums.value, next: group.fresh.head });
            group.fresh.take(sums.sent, self.taken.len() as u32, last);
            self.most = self.most.max(group.total.value);
            if !group.fresh.is_near && (rule.baseline.is_some() || group.is_near(rule.line)) {
                group.fresh.is_near = true;
                self.near.push((group.fresh.place, key));
            }
        }
        if let Some(others) = others {
            batch.away.end(&others);
            self.groups.insert(OTHER, others);
        }
    }

    /// Ask for the groups of the next rows, so that their loads wait at once and not one after the other.
    fn look_ahead(&self, batch: &mut Rows<'_, '_, '_, '_>, rows: &[u32]) {
        let matches = rows.iter().take(AHEAD).filter_map(|of| batch.matches.get(*of as usize));
        for Match { row, kind, .. } in matches {
            let key = batch.groups.of_row(batch.kinds, *row as usize, *kind);
            if !batch.away.has(batch.groups.kind(*kind)) {
                std::hint::black_box(self.groups.get(&key).map(|group| group.fresh.epoch));
            }
        }
    }

    /// Whether what a row brings is to be summed: for `novel` only what its group does not use.
    fn is_news(&mut self, rule: &Rule, batch: &Rows<'_, '_, '_, '_>, key: u64, at: Match, amount: u64) -> bool {
        let Rows { kinds, groups, .. } = batch;
        let row = at.row as usize;
        let (Some(way), Some((of, per))) = (&rule.novel, groups.places.split_last()) else { return false };
        if kinds.is_missing(*of, row, at.kind) {
            return false;
        }
        self.changed = true;
        let mut is_news = !self.novelty.uses(key, amount, batch.tick, way.forget);
        if is_news && batch.learns {
            let base = kinds.mix(per, row, at.kind);
            let words = || kinds.keep(per, row);
            if self.novelty.learns(base, words, batch.tick, way.learn, batch.bounds.learning) {
                self.novelty.remember(key, kinds.keep(groups.places, row), amount, batch.tick);
                is_news = false;
            }
        }
        is_news || self.groups.get(&key).is_some_and(|group| group.alert.is_some())
    }

    /// Whether the present tick brought something.
    pub fn is_touched(&self) -> bool {
        self.touched > 0 || !self.near.is_empty()
    }

    /// Forget what can make no difference any more at `tick`.
    pub fn tidy(&mut self, tick: i64) {
        self.ended.retain(|_, ended| ended.track.ended_at() + REOPENS_WITHIN > tick);
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
