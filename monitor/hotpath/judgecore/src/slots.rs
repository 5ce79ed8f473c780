//! Where values of a list stand, by keyed numbers: one look into memory for most look-ups.

use crate::{hash, reuse};

/// An open table; who owns the list compares the values themselves.
#[derive(Debug, Default)]
pub struct Slots {
    /// The upper half of a number, and a place in the list. A power of two, at most half full.
    all: Vec<u64>,
    used: usize,
}

/// Slots of a table that has any.
const FEWEST: usize = 64;
const PLACE: u64 = u32::MAX as u64;
/// Nothing stands here: a list has no such place. Not zero, because memory that is zero by itself is the kernel's page of
/// zeros when it is read, and another page when it is written: two page faults, and all cores are told of the second.
const FREE: u64 = u64::MAX;

impl Slots {
    /// A table with room for so many.
    pub fn with_room(count: usize) -> Slots {
        Slots { all: vec![FREE; (2 * count).next_power_of_two().max(FEWEST)], used: 0 }
    }

    /// The place of a value under a number; `is_it` says whether it is the one at a place.
    #[inline]
    pub fn find(&self, number: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut slot = self.slot(number);
        loop {
            let found = *self.all.get(slot)?;
            if found == FREE {
                return None;
            }
            let place = (found & PLACE) as u32;
            if (found ^ number) & !PLACE == 0 && is_it(place) {
                return Some(place);
            }
            slot = (slot + 1) & (self.all.len() - 1);
        }
    }

    /// Load the slot of a number, so that a look-up soon after does not wait for it.
    pub fn look_ahead(&self, number: u64) {
        std::hint::black_box(self.all.get(self.slot(number)).copied());
    }

    /// Note the place of a value that is not here.
    pub fn insert(&mut self, number: u64, place: u32) {
        if 2 * (self.used + 1) > self.all.len() {
            let before = std::mem::take(self);
            *self = Slots::with_room(before.used + 1);
            before.all.into_iter().filter(|one| *one != FREE).for_each(|one| self.put(one));
        }
        self.put((number & !PLACE) | u64::from(place));
    }

    /// Forget all, but keep the room; of far too much half, since all of it is written.
    pub fn clear(&mut self) {
        if reuse::is_sparse(self.all.len(), self.used) {
            self.all.truncate(self.all.len() / 2);
            self.all.shrink_to_fit();
        }
        self.all.fill(FREE);
        self.used = 0;
    }

    fn put(&mut self, one: u64) {
        let mut slot = self.slot(one);
        while self.all.get(slot).is_some_and(|taken| *taken != FREE) {
            slot = (slot + 1) & (self.all.len() - 1);
        }
        if let Some(free) = self.all.get_mut(slot) {
            *free = one;
            self.used += 1;
        }
    }

    /// By the upper half, which a slot keeps: so what stands there says where it belongs. There are 2^32 slots at most.
    fn slot(&self, number: u64) -> usize {
        hash::spread(number & !PLACE) as usize & self.all.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_where_it_was_put_however_many_share_its_number() {
        // numbers whose upper halves are the same for some, and whose slots are for many
        let number = |value: u64| (value % 700) << 40 | value;
        let values: Vec<u64> = (0..5000).collect();
        let mut slots = Slots::default();
        let find = |slots: &Slots, value: u64| slots.find(number(value), |place| values[place as usize] == value);
        for value in &values {
            assert_eq!(find(&slots, *value), None);
            slots.insert(number(*value), *value as u32);
        }
        for value in &values {
            assert_eq!(find(&slots, *value), Some(*value as u32));
        }
        assert!(2 * slots.used <= slots.all.len());
        slots.clear();
        assert!(values.iter().all(|value| find(&slots, *value).is_none()));
        slots.insert(number(7), 7);
        assert_eq!((find(&slots, 7), find(&slots, 707)), (Some(7), None));
        // whoever forgets all writes all slots, so those of a burst must not stay
        for _ in 0..20 {
            slots.clear();
            slots.insert(number(7), 7);
        }
        assert!(slots.all.len() <= 1024, "{} slots for one value", slots.all.len());
        assert_eq!((find(&slots, 7), find(&slots, 707)), (Some(7), None));
    }
}
