//! How the rows of a tick come to the groups of a rule.

use std::sync::Arc;

use crate::distinct::Added;
use crate::group::{Entry, Fresh, Group, Sums, OTHER};
use crate::kinds::Kinds;
use crate::parts::Parts;
use crate::room::Bounds;
use crate::row::{adds, sent, Common, Prepared};
use crate::row_groups::RowGroups;
use crate::rule::RuleRun;
use crate::spec::Rule;
use crate::tally::Tally;
use crate::turned_away::TurnedAway;
use crate::value::Seen;

/// Rows of a tick from which their groups are asked for ahead: with few, they are in the caches.
const MANY_ROWS: usize = 4096;
/// How many rows ahead.
const AHEAD: usize = 16;

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

/// How rows come to groups in a tick.
struct ToGroups {
    /// When they leave the window.
    leaves: i64,
    /// No new group can come in.
    is_shut: bool,
    /// What was turned away is so whatever comes.
    is_settled: bool,
}

/// What the rows of a tick are taken by.
pub(crate) struct Rows<'r, 'l, 'f, 'a> {
    pub(crate) at: &'r Prepared<'f, 'a>,
    pub(crate) away: &'r mut TurnedAway,
    /// Counts groups that are turned away.
    pub(crate) tally: &'r mut Tally,
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

impl RuleRun {
    /// Take rows of one tick that match, by their places among all matches; `excepted` tells which exceptions match a row.
    pub(crate) fn take(
        &mut self,
        batch: &mut Rows<'_, '_, '_, '_>,
        rows: &[u32],
        excepted: impl Fn(usize, usize) -> bool,
    ) {
        let rule = Arc::clone(&self.rule);
        let (tick, at, common) = (batch.tick, batch.at, batch.common);
        self.narrow(tick, batch.bounds);
        if rule.distinct.is_some() && self.values + rows.len() > batch.bounds.values {
            // what left takes no room from what comes, however rows are cut into batches
            self.tidy(tick);
        }
        let leaves = self.cut.leaves(tick);
        self.leaves_from = self.leaves_from.min(leaves);
        let others = self.shut_out(tick, batch.bounds);
        batch.away.begin(others.as_deref(), batch.kinds.len(), leaves, self.cut, self.novelty.remembered);
        let left: Vec<u32>;
        let rows = if rule.exceptions.is_empty() {
            rows
        } else {
            left = self.without_exceptions(&rule, batch, rows, excepted);
            &left
        };
        // what is no news may be learnt
        let to = ToGroups { leaves, is_shut: others.is_some(), is_settled: rule.novel.is_none() || !batch.learns };
        let Some(mut others) = others else {
            for (place, of) in rows.iter().enumerate() {
                if rows.len() >= MANY_ROWS && place % AHEAD == 0 {
                    self.look_ahead(batch, rows.get(place..).unwrap_or_default());
                }
                let Some(found) = batch.matches.get(*of as usize) else { continue };
                if let Some(sums) = adds(&rule, at, common, found.row as usize, found.sent) {
                    self.take_row(&rule, batch, found, sums, &to);
                }
            }
            return;
        };
        match at.only_sent() {
            // most rules
            true => self.turn_away(&rule, batch, &mut others, rows, &to, |found| sent(found.sent)),
            false => self.turn_away(&rule, batch, &mut others, rows, &to, |found| {
                adds(&rule, at, common, found.row as usize, found.sent)
            }),
        }
        self.groups.insert(OTHER, others);
    }

    /// The rows that no exception takes out; those that one does are counted there.
    fn without_exceptions(
        &mut self,
        rule: &Rule,
        batch: &Rows<'_, '_, '_, '_>,
        rows: &[u32],
        excepted: impl Fn(usize, usize) -> bool,
    ) -> Vec<u32> {
        let (tick, at, common) = (batch.tick, batch.at, batch.common);
        let mut left = Vec::with_capacity(rows.len());
        for of in rows {
            let Some(found) = batch.matches.get(*of as usize) else { continue };
            let row = found.row as usize;
            let Some(sums) = adds(rule, at, common, row, found.sent) else { continue };
            let mut exceptions = rule.exceptions.iter().enumerate();
            let Some((_, one)) = exceptions.find(|(place, one)| tick < one.ends && excepted(*place, row)) else {
                left.push(*of);
                continue;
            };
            if let Some(known) = self.suppressed.get_mut(&one.words) {
                known.add(tick, sums.sent);
            } else {
                self.suppressed.entry(one.words.clone()).or_default().add(tick, sums.sent);
            }
            self.changed = true;
        }
        left
    }

    /// Take one row into its group; gives whether that is turned away, where `is_shut`.
    #[inline(never)]
    fn take_row(
        &mut self,
        rule: &Rule,
        batch: &mut Rows<'_, '_, '_, '_>,
        found: &Match,
        sums: Sums,
        to: &ToGroups,
    ) -> bool {
        let (tick, at, row, kind) = (batch.tick, batch.at, found.row as usize, found.kind);
        let ToGroups { leaves, is_shut, is_settled } = *to;
        let is_away = is_shut && batch.away.has(batch.groups.kind(kind));
        if is_away && is_settled {
            return true;
        }
        let key = batch.groups.of_row(batch.kinds, row, kind);
        if rule.novel.is_some() && !self.is_news(rule, batch, key, found, sums.value) {
            return false;
        }
        let known = if is_away { None } else { self.groups.get_mut(&key) };
        let group = match known {
            Some(group) => group,
            None if is_shut => {
                batch.away.turn(batch.groups.kind(kind));
                self.overflow += u64::from(batch.tally.add(key));
                return true;
            }
            None => {
                let values = batch.kinds.keep(batch.groups.places, row);
                self.newest_group = tick;
                self.empty_from = self.empty_from.min(leaves);
                self.groups.entry(key).or_insert_with(|| Box::new(Group::new(key, values, tick)))
            }
        };
        if group.fresh.epoch != self.epoch {
            self.entries -= group.expire(tick).min(self.entries);
            self.values -= group.distinct.as_mut().map_or(0, |values| values.expire(tick)).min(self.values);
            if group.entries.is_empty() && group.alert.is_none() {
                group.created = tick;
            }
            if group.created == tick && group.key != OTHER {
                self.new.push(key);
            }
            group.fresh = Fresh { epoch: self.epoch, place: self.touched, ..Fresh::default() };
            self.touched += 1;
        }
        let (part, _) = batch.kinds.part(batch.parts, kind);
        self.entries += group.add(Entry { leaves, part, sums });
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
        self.taken.push(Taken { row: found.row, value: sums.value, next: group.fresh.head });
        group.fresh.take(sums.sent, self.taken.len() as u32, found.last);
        self.most = self.most.max(group.total.value);
        if !group.fresh.is_near && (rule.baseline.is_some() || group.is_near(rule.line)) {
            group.fresh.is_near = true;
            self.near.push((group.fresh.place, key));
        }
        false
    }

    /// Take rows where no new group can come in: those of groups that are not known go to `others`, the group of what has
    /// no room, and are counted by group. `adds` gives what a row brings.
    #[inline(never)]
    fn turn_away(
        &mut self,
        rule: &Rule,
        batch: &mut Rows<'_, '_, '_, '_>,
        others: &mut Group,
        rows: &[u32],
        to: &ToGroups,
        adds: impl Fn(&Match) -> Option<Sums>,
    ) {
        let by_kind = to.is_settled && batch.groups.is_common;
        let (mut all, mut last, mut head) = (Sums::default(), 0, 0);
        for (place, of) in rows.iter().enumerate() {
            if rows.len() >= MANY_ROWS && place % AHEAD == 0 {
                self.look_ahead(batch, rows.get(place..).unwrap_or_default());
            }
            let Some(found) = batch.matches.get(*of as usize) else { continue };
            let Some(sums) = adds(found) else { continue };
            let is_away = by_kind && batch.away.has(Some(found.kind)) || self.take_row(rule, batch, found, sums, to);
            if !is_away {
                continue;
            }
            if head == 0 {
                self.begin_others(others, batch.tick);
                head = others.fresh.head;
            }
            if !batch.away.add(others, found, sums) {
                let part = batch.kinds.part(batch.parts, found.kind);
                self.entries += batch.away.enter(others, part, found.kind, sums);
            }
            self.taken.push(Taken { row: found.row, value: sums.value, next: head });
            head = self.taken.len() as u32;
            all.add(sums);
            last = last.max(found.last);
        }
        if head == 0 {
            return;
        }
        self.changed = true;
        batch.away.end(others, all);
        others.fresh.take(all.sent, head, last);
        self.most = self.most.max(others.total.value);
        for (row, kind) in batch.away.again.drain(..) {
            self.overflow += u64::from(batch.tally.add(batch.groups.of_row(batch.kinds, row as usize, kind)));
        }
        batch.tally.clear();
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
    fn is_news(&mut self, rule: &Rule, batch: &Rows<'_, '_, '_, '_>, key: u64, at: &Match, amount: u64) -> bool {
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
}
