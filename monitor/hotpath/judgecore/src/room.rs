//! The bounds of a rule's tables, and what goes when they are full.
//!
//! An attacker may try to fill the table of groups, so groups with an open alert and the heavier half are
//! never given up for new ones. What goes is decided by sums and words, never by the order of a table.

use std::cmp::Reverse;

use crate::baseline::Past;
use crate::group::{Cut, Fresh, Group, OTHER};
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
    /// Entries of all their windows, 32 bytes each, and 16 more for a ratio of other columns than what is measured.
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
        let new = std::mem::take(&mut self.new);
        let new: Vec<u64> =
            new.into_iter().filter(|key| self.groups.get(key).is_some_and(|group| is_new(group))).collect();
        if looks && self.groups.len() > new.len() {
            self.full_until = tick + (self.rule.window / RETRY_SHARE).max(1);
            self.give_up(tick, bounds, is_new);
        }
        let old = self.groups.len() - new.len() - usize::from(self.groups.contains_key(&OTHER));
        let room = bounds.groups.saturating_sub(old);
        let mut new: Vec<(Reverse<u64>, &[Value], u64)> = new
            .iter()
            .filter_map(|key| self.groups.get(key))
            .map(|group| (Reverse(group.total.value), &*group.values, group.key))
            .collect();
        if room > 0 && room < new.len() {
            // the heaviest find room; between equals the words decide
            new.select_nth_unstable(room);
        }
        let left_out: Vec<u64> = new.iter().skip(room).map(|(_, _, key)| *key).collect();
        if left_out.is_empty() {
            return;
        }
        self.overflow += left_out.len() as u64;
        let others = self.groups.remove(&OTHER);
        let mut others = others.unwrap_or_else(|| Box::new(Group::new(OTHER, Box::default(), tick)));
        self.begin_others(&mut others, tick);
        for key in left_out {
            if let Some(group) = self.groups.remove(&key) {
                self.join_others(&mut others, *group);
            }
        }
        self.groups.insert(OTHER, others);
    }

    /// The group of what has no room, taken out of the table, where no new group can find room in a tick, whatever
    /// comes: none leaves, and none is given up.
    ///
    /// What new groups bring then goes to the group of what has no room at once. Where sets of values or starts
    /// are kept beside the sums, a group is made first: they count against their bounds until the tick ends.
    pub(crate) fn shut_out(&mut self, tick: i64, bounds: &Bounds) -> Option<Box<Group>> {
        let is_shut = self.groups.len() > bounds.groups
            && tick < self.full_until
            && tick < self.idle_from.min(self.empty_from)
            && self.newest_group < tick
            && self.rule.distinct.is_none()
            && self.rule.periodic.is_none();
        if is_shut {
            self.groups.remove(&OTHER)
        } else {
            None
        }
    }

    /// Bring the group of what has no room to a tick.
    #[inline]
    pub(crate) fn begin_others(&mut self, others: &mut Group, tick: i64) {
        if others.fresh.epoch != self.epoch {
            self.entries -= others.expire(tick).min(self.entries);
            others.fresh = Fresh { epoch: self.epoch, place: u32::MAX, is_near: true, ..Fresh::default() };
            self.near.push((u32::MAX, OTHER));
        }
    }

    fn give_up(&mut self, tick: i64, bounds: &Bounds, is_new: impl Fn(&Group) -> bool) {
        let idle_before = self.cut.leaves(tick) - (self.rule.window / IDLE_SHARE).max(1);
        let is_idle = |group: &Group| {
            group.key != OTHER
                && group.alert.is_none()
                && group.newest <= idle_before
                && group.fresh.epoch != self.epoch
        };
        // groups are looked at once: they are spread over memory
        let mut totals: Vec<u64> = Vec::with_capacity(self.groups.len());
        let mut idle: Vec<(u64, &[Value], u64)> = Vec::new();
        for group in self.groups.values().filter(|group| !is_new(group)) {
            totals.push(group.total.value);
            if is_idle(group) {
                idle.push((group.total.value, &*group.values, group.key));
            }
        }
        let middle = totals.len().saturating_sub(1) / 2;
        if totals.is_empty() {
            return;
        }
        let half = *totals.select_nth_unstable(middle).1;
        idle.retain(|(total, ..)| *total <= half);
        let most = (bounds.groups / GIVE_UP_SHARE).max(1);
        let chosen = smallest(idle, most);
        for key in &chosen {
            if let Some(group) = self.groups.remove(key) {
                self.entries -= group.entries.len().min(self.entries);
                self.values -= group.distinct.map_or(0, |values| values.len()).min(self.values);
            }
        }
        self.overflow += chosen.len() as u64;
    }

    /// Judge what a group brought in this tick together with all others that have no room.
    fn join_others(&mut self, others: &mut Group, group: Group) {
        self.values -= group.distinct.as_ref().map_or(0, |values| values.len()).min(self.values);
        self.entries -= group.entries.len().min(self.entries);
        for entry in group.entries.iter() {
            self.entries += others.add(entry);
        }
        // what came in an earlier part of this tick is judged already: its rows are not of this batch
        let fresh = if group.fresh.epoch == self.epoch { group.fresh } else { Fresh::default() };
        let before = others.fresh.head;
        if fresh.head != 0 {
            others.fresh.take(fresh.sent, fresh.head, fresh.last);
        }
        self.most = self.most.max(others.total.value);
        if fresh.head != 0 {
            self.chain(fresh.head, before);
        }
    }

    /// Bring windows and pasts down to their bounds: join buckets, at last one a group.
    pub(crate) fn bound_windows(&mut self, tick: i64, bounds: &Bounds) {
        if self.entries > bounds.entries {
            self.tidy(tick);
        }
        // without what has left: that goes at other times where rows are cut into other batches
        let is_full = self.entries > bounds.entries;
        if is_full {
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
        self.bound_pasts(tick, bounds.past);
    }

    /// Bring pasts down to their bound: what has learnt least goes first, so that whoever makes groups up takes no room from
    /// those that are known.
    fn bound_pasts(&mut self, tick: i64, bound: usize) {
        let (Some(way), Some(excess)) = (&self.rule.baseline, self.past.len().checked_sub(bound)) else { return };
        if excess == 0 {
            return;
        }
        let order = |past: &Past| (past.learnt(tick, way), past.now.0, Reverse(past.began));
        let all: Vec<_> = self.past.iter().map(|(key, (past, values))| (order(past), &**values, *key)).collect();
        // some room to spare, but only of what has learnt nothing
        let nothing = all.iter().filter(|((learnt, ..), ..)| *learnt == 0).count();
        let dropped = smallest(all, excess.max(nothing.min(excess + bound / 8)));
        self.overflow += dropped.len() as u64;
        for key in dropped {
            self.past.remove(&key);
        }
    }

    /// Cut buckets finer again that were widened for want of room, a step at a time, once there is enough of it.
    ///
    /// Only where a bucket begins, so that entries stay in the order in which they leave.
    pub(crate) fn narrow(&mut self, tick: i64, bounds: &Bounds) {
        let usual = Cut::new(self.rule.window).width;
        if self.cut.width <= usual || self.cut.leaves(tick) <= self.newest_leaves {
            return;
        }
        self.tidy(tick);
        if self.entries <= bounds.entries / 4 {
            // what a wide bucket holds is counted with the tick that counted some of it
            let cut = self.cut;
            let open = self.groups.values_mut().filter_map(|group| group.alert.as_deref_mut());
            for track in open.chain(self.ended.values_mut().map(|ended| &mut ended.track)) {
                track.counted_until = cut.leaves(track.counted_until) - cut.window;
            }
            self.cut.width = (self.cut.width / 2).max(usual);
            self.changed = true;
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

/// The numbers of the `count` smallest, in any order.
pub(crate) fn smallest<T: Ord>(mut all: Vec<(T, &[Value], u64)>, count: usize) -> Vec<u64> {
    if count < all.len() {
        all.select_nth_unstable(count);
    }
    all.iter().take(count).map(|(_, _, key)| *key).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group::{Entry, Sums};
    use crate::spec::{Measure, Rule};

    fn run(window: i64) -> RuleRun {
        RuleRun::new(Arc::new(Rule::of_all(Measure::Connections, window)))
    }

    #[test]
    fn what_leaves_is_forgotten_in_its_tick_and_not_before() {
        let mut run = run(10);
        let mut group = Group::new(7, Box::default(), 100);
        for leaves in [110, 120] {
            let sums = Sums { value: 1, ..Sums::default() };
            run.entries += group.add(Entry { leaves, part: 1, sums });
        }
        run.groups.insert(7, Box::new(group));
        for (tick, entries) in [(101, 2), (109, 2), (110, 1), (119, 1), (120, 0)] {
            run.tidy(tick);
            let held = run.groups.get(&7).map_or(0, |group| group.total.value);
            assert_eq!((run.entries, held), (entries, entries as u64), "tick {tick}");
        }
        assert!(run.groups.is_empty());
    }
}
