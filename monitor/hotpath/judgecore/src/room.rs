//! The bounds of a rule's tables, and what goes when they are full.
//!
//! An attacker may try to fill the table of groups, so groups with an open alert and the heavier half are
//! never given up for new ones. What goes is decided by sums and words, never by the order of a table.

use crate::group::{Cut, Fresh, Group, OTHER};
use crate::hash::Map;
use crate::novelty;
use crate::rule::RuleRun;
use crate::value::Value;

/// A group is idle after this share of the window without anything.
const IDLE_SHARE: i64 = 4;
/// At most this share of the budget is given up at once.
const GIVE_UP_SHARE: usize = 16;
/// After looking for room, wait for this share of the window.
const RETRY_SHARE: i64 = 16;

/// How much each rule may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Groups with something in the window.
    pub groups: usize,
    /// Entries of all their windows, 48 bytes each.
    pub entries: usize,
    /// Values of all sets of `distinct`, 32 bytes each.
    pub values: usize,
    /// Groups whose past is kept, up to 11 KB each.
    pub past: usize,
    /// Known values of `novel`.
    pub known: usize,
    /// Groups that have begun to learn.
    pub learning: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            groups: 16_384,
            entries: 524_288,
            values: 262_144,
            past: 4096,
            known: novelty::MAX_KNOWN,
            learning: novelty::MAX_LEARNING,
        }
    }
}

impl RuleRun {
    /// Bring the table of groups down to its bound at the end of a tick.
    pub(crate) fn find_room(&mut self, tick: i64, bounds: &Bounds) {
        let looks = tick >= self.full_until;
        if looks || tick >= self.idle_from {
            self.tidy(tick);
        }
        if self.groups.len() <= bounds.groups {
            return;
        }
        let is_new = |group: &Group| group.created == tick && group.alert.is_none() && group.key != OTHER;
        // a group that is new in this tick had rows in it
        let new: Vec<u64> = self
            .touched
            .iter()
            .copied()
            .filter(|key| self.groups.get(key).is_some_and(|group| is_new(group)))
            .collect();
        if looks && self.groups.len() > new.len() {
            self.full_until = tick + (self.rule.window / RETRY_SHARE).max(1);
            self.give_up(tick, bounds, is_new);
        }
        let old = self.groups.len() - new.len() - usize::from(self.groups.contains_key(&OTHER));
        let room = bounds.groups.saturating_sub(old);
        let mut new: Vec<(std::cmp::Reverse<u64>, &[Value], u64)> = new
            .iter()
            .filter_map(|key| self.groups.get(key))
            .map(|group| (std::cmp::Reverse(group.total.value), &*group.values, group.key))
            .collect();
        if room > 0 {
            // the heaviest find room; between equals the words decide
            new.sort_unstable();
        }
        let left_out: Vec<u64> = new.iter().skip(room).map(|(_, _, key)| *key).collect();
        // once for all of them: a flood brings a hundred thousand groups in a tick
        let gone: Map<()> = left_out.iter().map(|key| (*key, ())).collect();
        self.touched.retain(|key| !gone.contains_key(key));
        self.overflow += left_out.len() as u64;
        for key in &left_out {
            if let Some(group) = self.groups.remove(key) {
                self.join_others(*group, tick);
            }
        }
    }

    fn give_up(&mut self, tick: i64, bounds: &Bounds, is_new: impl Fn(&Group) -> bool) {
        let mut totals: Vec<u64> =
            self.groups.values().filter(|group| !is_new(group)).map(|group| group.total.value).collect();
        totals.sort_unstable();
        let Some(half) = totals.get(totals.len().saturating_sub(1) / 2).copied() else { return };
        let idle_before = self.cut.leaves(tick) - (self.rule.window / IDLE_SHARE).max(1);
        let mut idle: Vec<(u64, &[Value], u64)> = self
            .groups
            .values()
            .filter(|group| {
                !is_new(group)
                    && group.key != OTHER
                    && group.alert.is_none()
                    && group.fresh.epoch != self.epoch
                    && group.newest <= idle_before
                    && group.total.value <= half
            })
            .map(|group| (group.total.value, &*group.values, group.key))
            .collect();
        idle.sort_unstable();
        let most = (bounds.groups / GIVE_UP_SHARE).max(1);
        let chosen: Vec<u64> = idle.iter().take(most).map(|(_, _, key)| *key).collect();
        for key in &chosen {
            if let Some(group) = self.groups.remove(key) {
                self.entries -= group.entries.len().min(self.entries);
                self.values -= group.distinct.map_or(0, |values| values.len()).min(self.values);
            }
        }
        self.overflow += chosen.len() as u64;
    }

    /// Judge what a group brought in this tick together with all others that have no room.
    fn join_others(&mut self, group: Group, tick: i64) {
        let others = self.groups.entry(OTHER).or_insert_with(|| Box::new(Group::new(OTHER, Box::default(), tick)));
        if others.fresh.epoch != self.epoch {
            self.entries -= others.expire(tick).min(self.entries);
            others.fresh = Fresh { epoch: self.epoch, ..Fresh::default() };
            self.touched.push(OTHER);
        }
        self.values -= group.distinct.as_ref().map_or(0, |values| values.len()).min(self.values);
        self.entries -= group.entries.len().min(self.entries);
        for entry in group.entries {
            self.entries += others.add(entry);
        }
        // what came in an earlier part of this tick is judged already: its rows are not of this batch
        let fresh = if group.fresh.epoch == self.epoch { group.fresh } else { Fresh::default() };
        if fresh.head == 0 {
            return;
        }
        others.fresh.sums.value = others.fresh.sums.value.saturating_add(fresh.sums.value);
        others.fresh.sums.sent = others.fresh.sums.sent.saturating_add(fresh.sums.sent);
        others.fresh.last = others.fresh.last.max(fresh.last);
        let before = others.fresh.head;
        others.fresh.head = fresh.head;
        self.chain(fresh.head, before);
    }

    /// Bring windows and pasts down to their bounds: join buckets, at last one a group.
    pub(crate) fn bound_windows(&mut self, tick: i64, bounds: &Bounds) {
        let is_full = self.entries > bounds.entries;
        if is_full {
            self.tidy(tick);
            self.join(false);
        }
        // some room to spare, so that not every tick has to join all of them
        while is_full && self.entries > bounds.entries / 4 * 3 && 2 * self.cut.width <= self.cut.window {
            self.cut = Cut { width: 2 * self.cut.width, ..self.cut };
            self.join(false);
        }
        if self.entries > bounds.entries {
            self.join(true);
        }
        if self.past.len() > bounds.past {
            let mut by_age: Vec<(i64, &[Value], u64)> =
                self.past.iter().map(|(key, (past, values))| (past.now.0, &**values, *key)).collect();
            by_age.sort_unstable();
            let excess = self.past.len() - bounds.past + bounds.past / 8;
            let dropped: Vec<u64> = by_age.iter().take(excess).map(|(_, _, key)| *key).collect();
            self.overflow += dropped.len() as u64;
            for key in dropped {
                self.past.remove(&key);
            }
        }
    }

    fn join(&mut self, one_part: bool) {
        self.entries = 0;
        for group in self.groups.values_mut() {
            group.join(self.cut, one_part);
            self.entries += group.entries.len();
        }
    }
}
