//! What each group is known to use, so that a rule can tell the first time.
//!
//! A group learns for `learn` seconds from the first tick in which it had anything: all that it uses in
//! that time is known. After that a value becomes known only by firing, so that small traffic before a
//! large one does not hide it. What was not used for `forget` seconds is new again.

use crate::group::OTHER;
use crate::hash::Map;
use crate::room::smallest;
use crate::value::Value;

/// Values that a rule knows, about 100 bytes each.
pub const MAX_KNOWN: usize = 65_536;
/// Groups that have begun to learn; new ones past it learn as one.
pub const MAX_LEARNING: usize = 16_384;

/// A value that a group is known to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of the group's fields, the new one last.
    pub values: Box<[Value]>,
    /// The last tick in which it was used.
    pub last: i64,
    /// What was measured of it since it is known.
    pub amount: u64,
}

/// A group that learns, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Began {
    /// Of `per`.
    pub values: Box<[Value]>,
    /// The tick in which it began.
    pub tick: i64,
    /// Whether what it learnt was told.
    pub is_told: bool,
}

/// A rule's memory.
#[derive(Debug, Default)]
pub struct Novelty {
    /// By the number of the group with its value.
    pub known: Map<Known>,
    /// By the number of the group.
    pub began: Map<Began>,
    /// Values dropped to keep the bound.
    pub forgotten: u64,
    /// How often a value became known.
    pub remembered: u64,
    /// The newest beginning.
    pub newest: Option<i64>,
}

/// The bounds, smaller in tests.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// See `MAX_KNOWN`.
    pub known: usize,
    /// See `MAX_LEARNING`.
    pub learning: usize,
}

impl Novelty {
    /// Whether a value is known, and so no news; it is then used once more.
    pub fn uses(&mut self, key: u64, amount: u64, tick: i64, forget: i64) -> bool {
        match self.known.get_mut(&key) {
            Some(known) if tick - known.last <= forget => {
                known.last = known.last.max(tick);
                known.amount = known.amount.saturating_add(amount);
                true
            }
            Some(_) => {
                self.known.remove(&key);
                false
            }
            None => false,
        }
    }

    /// Whether a group still learns in a tick; notes the first one.
    pub fn learns(&mut self, base: u64, per: impl Fn() -> Box<[Value]>, tick: i64, learn: i64, bound: usize) -> bool {
        let full = self.began.len() >= bound && !self.began.contains_key(&base);
        let place = if full { OTHER } else { base };
        let began = &mut self.began.entry(place).or_insert_with(|| {
            self.newest = Some(self.newest.unwrap_or(tick).max(tick));
            Began { values: if full { Box::default() } else { per() }, tick, is_told: false }
        });
        tick < began.tick + learn
    }

    /// Make a value known, of which so much was measured.
    pub fn remember(&mut self, key: u64, values: Box<[Value]>, amount: u64, tick: i64) {
        self.remembered += 1;
        self.known.insert(key, Known { values, last: tick, amount });
    }

    /// Drop the values that were not used for longest, once there are too many.
    pub fn bound(&mut self, bound: usize) {
        let Some(excess) = self.known.len().checked_sub(bound).filter(|excess| *excess > 0) else { return };
        let by_age = self.known.iter().map(|(key, known)| (known.last, &*known.values, *key)).collect();
        let dropped = smallest(by_age, excess + bound / 8);
        for key in &dropped {
            self.known.remove(key);
        }
        self.forgotten += dropped.len() as u64;
    }

    /// Whether some group still learns, or none was seen yet.
    pub fn is_learning(&self, tick: i64, learn: i64) -> bool {
        learn > 0 && self.newest.is_none_or(|newest| newest + learn > tick)
    }
}
