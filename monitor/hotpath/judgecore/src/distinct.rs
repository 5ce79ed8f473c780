//! How many values a group has in its window: an exact set with a bound.
//!
//! A rule may ask for at most 4,000 values, which the set is sure to hold, so nothing is estimated.

use crate::hash::Map;

/// Values that a group holds; past it new ones are left out, and the number stays here.
pub const MAX_VALUES: usize = 4096;

/// Places for a value from which on a table has too many; never too many are those for so few values.
const SPARSE: usize = 8;
const FEWEST: usize = 16;

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is one more.
    New,
    /// It was there.
    Known,
    /// It was left out.
    NoRoom,
}

/// The values of one group.
#[derive(Debug, Default)]
pub struct Values {
    leaves: Map<i64>,
    /// No value leaves before.
    first: i64,
}

impl Values {
    /// How many there are, as of the last `expire`.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// When the first may leave.
    pub fn first(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.first)
    }

    /// Add the number of a value. False for `may_grow`: only known ones.
    pub fn add(&mut self, value: u64, leaves: i64, may_grow: bool) -> Added {
        if let Some(known) = self.leaves.get_mut(&value) {
            *known = (*known).max(leaves);
            return Added::Known;
        }
        if !may_grow || self.leaves.len() >= MAX_VALUES {
            return Added::NoRoom;
        }
        self.first = if self.leaves.is_empty() { leaves } else { self.first.min(leaves) };
        self.leaves.insert(value, leaves);
        Added::New
    }

    /// Drop what has left by `tick`; gives how many.
    pub fn expire(&mut self, tick: i64) -> usize {
        if self.leaves.is_empty() || self.first > tick {
            return 0;
        }
        let before = self.leaves.len();
        self.leaves.retain(|_, leaves| *leaves > tick);
        self.first = self.leaves.values().copied().min().unwrap_or(i64::MAX);
        // what is bounded are values, so a table that held many once must not stay as large
        if self.leaves.capacity() > SPARSE * self.leaves.len().max(FEWEST) {
            self.leaves.shrink_to(2 * self.leaves.len());
        }
        before - self.leaves.len()
    }

    /// All, with when they leave.
    pub fn iter(&self) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.leaves.iter().map(|(value, leaves)| (*value, *leaves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_takes_no_room() {
        let mut values = Values::default();
        for value in 0..MAX_VALUES as u64 {
            assert_eq!(values.add(value, 10, true), Added::New);
        }
        values.add(7, 20, true);
        assert_eq!(values.expire(10), MAX_VALUES - 1);
        assert!(values.leaves.capacity() < 200, "{} places for a value", values.leaves.capacity());
        assert_eq!((values.iter().collect::<Vec<_>>(), values.first()), (vec![(7, 20)], Some(20)));
    }
}
