//! The life of an alert: it begins, grows, ends, and comes back.

use std::collections::BTreeMap;

use crate::alert::{Alert, Found};
use crate::group::Group;
use crate::parts::{Part, Parts};
use crate::sample::MAX_WORDS;
use crate::spec::Rule;

/// Seconds after its end within which an alert comes back under the same id.
pub const REOPENS_WITHIN: i64 = 86_400;
/// Alerts a rule; past it no new one begins, which is counted.
pub const MAX_OPEN: usize = 4096;
/// Of these, how many keep flows.
pub const MAX_SAMPLED: usize = 512;
/// Alerts a rule that are kept after their end.
pub const MAX_ENDED: usize = 512;
pub(crate) const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600;

/// An alert, and what the judge needs to go on with it. Ticks are seconds since 1970.
#[derive(Clone, Debug)]
pub struct Track {
    /// The alert.
    pub alert: Alert,
    /// Since when the condition is false; `None`: it is true.
    pub falls: Option<i64>,
    /// The last tick whose bytes are in `alert.sent`.
    pub counted_until: i64,
    /// The value that was told last.
    pub told_value: u64,
    /// The bytes that were told last.
    pub told_sent: u64,
    /// How many flows it may keep.
    pub room: usize,
    /// When it is asked next, unless rows come.
    pub due: i64,
}

impl Track {
    /// When the alert ended, in seconds.
    pub fn ended_at(&self) -> i64 {
        self.alert.ended.unwrap_or(0).div_euclid(SECOND)
    }

    /// Whether an event is due because the alert has doubled.
    pub fn has_grown(&self) -> bool {
        self.alert.value >= self.told_value.saturating_mul(2) || self.alert.sent >= 2 * self.told_sent.max(1)
    }

    /// Take note that an event was told.
    pub fn told(&mut self) {
        self.told_value = self.alert.value;
        self.told_sent = self.alert.sent;
    }

    /// When the condition may change, or the alert ends, if no rows come.
    pub fn next_due(&self, rule: &Rule, group: &Group, found: Option<&Found>, tick: i64) -> i64 {
        let end = self.falls.map(|falls| falls + rule.resolve_after);
        if rule.novel.is_some() {
            return end.unwrap_or(tick);
        }
        if rule.only_falls() {
            return end.or_else(|| group.falls_at(rule.line)).unwrap_or(tick + 1);
        }
        let interval = found.and_then(|found| found.interval).and_then(|interval| i64::try_from(interval).ok());
        let starts = group.starts.as_ref().zip(interval);
        let changes = [
            group.entries.first_leaves(),
            group.distinct.as_ref().and_then(|values| values.first()),
            starts.and_then(|(starts, interval)| starts.changes_at(rule.window, interval)),
            rule.baseline.as_ref().map(|_| (tick.div_euclid(HOUR) + 1) * HOUR),
        ];
        let change = changes.into_iter().flatten().min().map(|change| change.max(tick + 1));
        end.into_iter().chain(change).min().unwrap_or(tick + 1)
    }
}

/// Say of an alert that begins what the bytes in its window were.
pub fn describe(alert: &mut Alert, group: &Group, parts: &Parts) {
    let mut shares: BTreeMap<Part<'_>, (u64, u64)> = BTreeMap::new();
    for entry in group.entries.iter() {
        if let Some(part) = parts.get(entry.part) {
            let share = shares.entry(part).or_default();
            share.0 = share.0.saturating_add(entry.sums.sent);
            share.1 = share.1.saturating_add(entry.sums.value);
        }
    }
    if alert.workload.is_none() {
        // frozen once it is known
        if let Some((workload, provider)) =
            ranked(&shares, |[workload, provider, ..]| (*workload, *provider)).into_iter().next()
        {
            (alert.workload, alert.provider) = (workload.map(Into::into), provider.map(Into::into));
        }
    }
    for (place, words) in [(2, &mut alert.countries), (3, &mut alert.evidence)] {
        for word in ranked(&shares, |part| part.get(place).copied().flatten()).into_iter().flatten() {
            if words.len() < MAX_WORDS && !words.iter().any(|known| &**known == word) {
                words.push(word.into());
            }
        }
    }
}

/// Some values of the parts, those with most bytes first; the words decide between equals.
fn ranked<'p, K: Ord>(shares: &BTreeMap<Part<'p>, (u64, u64)>, key: impl Fn(&Part<'p>) -> K) -> Vec<K> {
    let mut sums: BTreeMap<K, (u64, u64)> = BTreeMap::new();
    for (part, share) in shares {
        let sum = sums.entry(key(part)).or_default();
        *sum = (sum.0.saturating_add(share.0), sum.1.saturating_add(share.1));
    }
    let mut all: Vec<(K, (u64, u64))> = sums.into_iter().collect();
    all.sort_by(|(_, one), (_, other)| other.cmp(one));
    all.into_iter().map(|(key, _)| key).collect()
}
