//! How many distinct numbers there were, of those that stand for groups.

/// A table of numbers that are hashes and never 0, counted and forgotten many times over.
#[derive(Debug)]
pub(crate) struct Tally {
    /// 0: free. A power of two, at most half full.
    slots: Vec<u64>,
    /// Which are not free.
    used: Vec<u32>,
}

/// Slots of a table; more than that are given back when few of them are used.
const FEWEST: usize = 256;
/// Slots to a number from which there are too many.
const SPARSE: usize = 16;

impl Default for Tally {
    fn default() -> Tally {
        Tally { slots: vec![0; FEWEST], used: Vec::new() }
    }
}

impl Tally {
    /// Count a number; gives whether it is a new one.
    #[inline]
    pub(crate) fn add(&mut self, number: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut slot = number as usize & mask;
        loop {
            match self.slots.get_mut(slot) {
                Some(known) if *known == number => return false,
                Some(free @ 0) => {
                    *free = number;
                    self.used.push(slot as u32);
                    if 2 * self.used.len() > mask {
                        self.grow();
                    }
                    return true;
                }
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    #[cold]
    fn grow(&mut self) {
        let more = vec![0; 2 * self.slots.len()];
        self.used.clear();
        for number in std::mem::replace(&mut self.slots, more).into_iter().filter(|number| *number != 0) {
            self.add(number);
        }
    }

    /// Forget all.
    pub(crate) fn clear(&mut self) {
        let is_sparse = self.slots.len() > FEWEST.max(SPARSE * self.used.len());
        for slot in self.used.drain(..) {
            if let Some(slot) = self.slots.get_mut(slot as usize) {
                *slot = 0;
            }
        }
        if is_sparse {
            self.slots.truncate(self.slots.len() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_number_is_new_once_until_all_are_forgotten() {
        let mut tally = Tally::default();
        for count in [10_u64, 5000, 3, 3, 3, 3, 3, 3, 3, 200] {
            let mut known = HashSet::new();
            for place in 0..3 * count {
                // most share their low bits with many
                let number = 1 + place * 7 % count * 64;
                assert_eq!(tally.add(number), known.insert(number));
            }
            tally.clear();
        }
        assert!(tally.slots.len() < 5000, "a burst is forgotten: {}", tally.slots.len());
    }
}
