//! What groups used while they learnt, told once when that is over, so that people can review it.

use std::cmp::Reverse;

use crate::group::OTHER;
use crate::hash::{self, Keys, Map};
use crate::rule::RuleRun;
use crate::value::Value;

/// Values of a group that are told; of more, those with most.
pub const MAX_TOLD: usize = 100;
const HOUR: i64 = 3600;

/// What one group learnt.
#[derive(Debug, PartialEq, Eq)]
pub struct Learnt {
    /// Of the fields of the group; without values: of all groups that had no room.
    pub values: Box<[Value]>,
    /// The tick in which it began to learn, and the first one after it.
    pub span: (i64, i64),
    /// For `novel`: the values it used, how much was measured of each so far, and the last tick of it.
    pub used: Vec<(Value, u64, i64)>,
    /// How many further values there are.
    pub left_out: usize,
    /// For `baseline`: hours with something, and the largest sum of one.
    pub hours: Option<(usize, u64)>,
}

impl RuleRun {
    /// Give what at most `limit` groups learnt whose time is over at `now`, and never again.
    pub fn take_learnt(&mut self, keys: Keys, now: i64, limit: usize) -> Vec<Learnt> {
        let mut all = self.take_used(keys, now, limit);
        all.extend(self.take_hours(now, limit - all.len().min(limit)));
        self.changed |= !all.is_empty();
        all
    }

    fn take_used(&mut self, keys: Keys, now: i64, limit: usize) -> Vec<Learnt> {
        let Some(way) = &self.rule.novel else { return Vec::new() };
        let over = |began: &crate::novelty::Began| !began.is_told && began.tick + way.learn <= now;
        let began = &mut self.novelty.began;
        let mut due: Vec<(i64, &[Value], u64)> =
            began.iter().filter(|(_, one)| over(one)).map(|(key, one)| (one.tick, &*one.values, *key)).collect();
        due.sort_unstable();
        let due: Vec<u64> = due.into_iter().take(limit).map(|(_, _, key)| key).collect();
        if due.is_empty() {
            return Vec::new();
        }
        let mut used: Map<Vec<(Value, u64, i64)>> = Map::default();
        for (key, known) in &self.novelty.known {
            let Some((value, per)) = known.values.split_last() else { continue };
            if self.groups.get(key).is_some_and(|group| group.alert.is_some()) {
                continue; // it was news
            }
            let base = hash::mix(keys, per.iter().map(|value| value.seen().hash(keys)));
            let place = if began.contains_key(&base) { base } else { OTHER };
            used.entry(place).or_default().push((value.clone(), known.amount, known.last));
        }
        let mut all = Vec::new();
        for key in due {
            let Some(one) = began.get_mut(&key) else { continue };
            one.is_told = true;
            let mut used = used.remove(&key).unwrap_or_default();
            used.sort_unstable_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
            let left_out = used.len().saturating_sub(MAX_TOLD);
            used.truncate(MAX_TOLD);
            let span = (one.tick, one.tick + way.learn);
            all.push(Learnt { values: one.values.clone(), span, used, left_out, hours: None });
        }
        all
    }

    fn take_hours(&mut self, now: i64, limit: usize) -> Vec<Learnt> {
        let Some(way) = &self.rule.baseline else { return Vec::new() };
        let mut due: Vec<(i64, Box<[Value]>, u64)> = self
            .past
            .iter()
            .filter(|(_, (past, _))| !past.is_told && past.began + way.history <= now)
            .map(|(key, (past, values))| (past.began, values.clone(), *key))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut all = Vec::new();
        for (tick, values, key) in due {
            let Some((past, _)) = self.past.get_mut(&key) else { continue };
            past.is_told = true;
            let until = (tick + way.history).div_euclid(HOUR);
            let open = (past.now.0, past.now.1);
            let hours = past.hours.iter().chain([&open]).filter(|(hour, peak)| *hour <= until && *peak > 0);
            let count = hours.clone().count();
            let most = hours.map(|(_, peak)| *peak).max().unwrap_or(0);
            let span = (tick, tick + way.history);
            all.push(Learnt { values, span, used: Vec::new(), left_out: 0, hours: Some((count, most)) });
        }
        all
    }
}
