//! When to look at a flow again: one entry a flow, in the order of deadlines.
//!
//! A packet does not touch its entry. When the entry comes up, the flow tells its real deadline; if
//! that is later, the entry moves there. So a packet costs nothing here, and a flow one move a timeout.

use std::collections::BTreeMap;

/// Ticks from now on whose lists are found at once: a power of two. Flows are looked at again within two minutes, which are
/// so many ticks of a second at the most.
const NEAR: usize = 256;
/// Bits of a word.
const WORD: usize = 64;
/// Emptied lists that are kept.
const SPARE: usize = 64;
/// Slots that one of them may have room for: after a flood its list would go on with a slot or two, and the next flood make
/// another one.
const SHORT: usize = 1 << 12;

/// Deadlines in ticks, and the slots that have them.
#[derive(Debug)]
pub(super) struct Expiry {
    /// Of the ticks from `now` on, each in the place that its low bits tell.
    near: [Vec<u32>; NEAR],
    /// Bits of the places that are not empty.
    used: [u64; NEAR / WORD],
    /// No tick before it is near.
    now: i64,
    /// Of all other ticks; of one that is near too, what came before.
    far: BTreeMap<i64, Vec<u32>>,
    /// Emptied lists, kept for use again.
    spare: Vec<Vec<u32>>,
}

impl Default for Expiry {
    fn default() -> Expiry {
        let near = std::array::from_fn(|_| Vec::new());
        Expiry { near, used: [0; NEAR / WORD], now: i64::MIN, far: BTreeMap::new(), spare: Vec::new() }
    }
}

impl Expiry {
    /// Note that a slot is to be looked at when `tick` begins.
    #[inline]
    pub(super) fn add(&mut self, tick: i64, slot: u32) {
        // how far it is from `now` may be more than a signed number holds
        if tick >= self.now && (tick.wrapping_sub(self.now) as u64) < NEAR as u64 {
            let place = tick as usize % NEAR;
            let list = &mut self.near[place];
            if list.capacity() == 0 {
                *list = self.spare.pop().unwrap_or_default();
            }
            list.push(slot);
            self.used[place / WORD] |= 1 << (place % WORD);
        } else {
            self.far.entry(tick).or_insert_with(|| self.spare.pop().unwrap_or_default()).push(slot);
        }
    }

    /// Take out slots that are due by `tick`: those of one deadline, and it. Their list comes back by
    /// [`Expiry::put_back`] or [`Expiry::give_back`].
    pub(super) fn take_due(&mut self, tick: i64) -> Option<(i64, Vec<u32>)> {
        let near = self.nearest();
        let far = self.far.first_key_value().map(|(far, _)| *far);
        let Some(first) = near.into_iter().chain(far).min().filter(|first| *first <= tick) else {
            // what is near now may have been far; it stays where it is
            self.now = self.now.max(tick);
            return None;
        };
        let mut list = if far == Some(first) { self.far.remove(&first) } else { None };
        if near == Some(first) {
            let newer = self.take_near(first);
            match &mut list {
                Some(list) => {
                    list.extend_from_slice(&newer);
                    self.give_back(newer);
                }
                None => list = Some(newer),
            }
        }
        Some((first, list?))
    }

    /// Put back what is left of a list that was taken.
    pub(super) fn put_back(&mut self, tick: i64, list: Vec<u32>) {
        self.far.insert(tick, list);
    }

    /// Give back a list that was taken, to be used again.
    pub(super) fn give_back(&mut self, mut list: Vec<u32>) {
        if self.spare.len() < SPARE && list.capacity() <= SHORT {
            list.clear();
            self.spare.push(list);
        }
    }

    /// Take out one slot with the earliest deadline, the newest of them.
    pub(super) fn pop_first(&mut self) -> Option<u32> {
        let far = self.far.first_key_value().map(|(far, _)| *far);
        if let Some(near) = self.nearest().filter(|near| far.is_none_or(|far| *near <= far)) {
            let list = &mut self.near[near as usize % NEAR];
            let slot = list.pop();
            if list.is_empty() {
                let list = self.take_near(near);
                self.give_back(list);
            }
            return slot;
        }
        let mut entry = self.far.first_entry()?;
        let slot = entry.get_mut().pop();
        if entry.get().is_empty() {
            let list = entry.remove();
            self.give_back(list);
        }
        slot
    }

    /// Write other numbers for slots: `new` gives them by the old ones, and has all that are noted.
    pub(super) fn renumber(&mut self, new: &[u32]) {
        for slot in self.near.iter_mut().chain(self.far.values_mut()).flatten() {
            *slot = new.get(*slot as usize).copied().unwrap_or(*slot);
        }
    }

    /// The first tick that is near and has slots.
    fn nearest(&self) -> Option<i64> {
        let start = self.now as usize % NEAR;
        // around the ring from there on, the word where it begins twice: its high bits first, its low bits last
        (0..=self.used.len()).find_map(|step| {
            let word = (start / WORD + step) % self.used.len();
            let high = u64::MAX << (start % WORD);
            let wanted = match step {
                0 => high,
                _ if step == self.used.len() => !high,
                _ => u64::MAX,
            };
            let bits = self.used[word] & wanted;
            let place = word * WORD + bits.trailing_zeros() as usize;
            (bits != 0).then(|| self.now.wrapping_add(place.wrapping_sub(start) as i64 & (NEAR as i64 - 1)))
        })
    }

    fn take_near(&mut self, tick: i64) -> Vec<u32> {
        let place = tick as usize % NEAR;
        self.used[place / WORD] &= !(1 << (place % WORD));
        std::mem::take(&mut self.near[place])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Expiry, NEAR};

    #[test]
    fn what_floods_leave_is_given_back() {
        const FLOOD: u32 = 50_000;
        let mut expiry = Expiry::default();
        // two hours of quiet ticks, with a flood every two minutes
        for now in 0..7200_i64 {
            while let Some((_, list)) = expiry.take_due(now) {
                expiry.give_back(list);
            }
            let begun = if now % 130 == 0 { FLOOD } else { 1 };
            (0..begun).for_each(|slot| expiry.add(now + 121, slot));
        }
        let lists = expiry.near.iter().chain(expiry.far.values()).chain(&expiry.spare);
        let room: usize = lists.map(Vec::capacity).sum();
        assert!(room < 1 << 20, "room for {room} flows, of which there were {FLOOD}");
    }

    #[test]
    fn deadlines_come_up_as_in_a_plain_map() {
        let (mut expiry, mut known) = (Expiry::default(), BTreeMap::<i64, Vec<u32>>::new());
        let (mut state, mut now) = (1_u64, -1000);
        for slot in 0..200_000_u32 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let distance = match state % 16 {
                0 => -((state >> 8) as i64 % 1000),
                1 => (state >> 8) as i64 % 10_000,
                2 => NEAR as i64 + (state >> 8) as i64 % 3 - 1,
                _ => (state >> 8) as i64 % 100,
            };
            let tick = if state % 4096 == 3 { [i64::MIN, i64::MAX][slot as usize % 2] } else { now + distance };
            expiry.add(tick, slot);
            known.entry(tick).or_default().push(slot);
            if (state >> 32) % 64 == 0 {
                let mut first = known.first_entry().unwrap();
                assert_eq!(expiry.pop_first(), first.get_mut().pop());
                if first.get().is_empty() {
                    first.remove();
                }
            }
            if (state >> 40) % 32 == 0 {
                now += 1 + (state >> 48) as i64 % 3 * ((state >> 50) as i64 % 200);
                while let Some((due, list)) = expiry.take_due(now) {
                    assert_eq!(known.pop_first(), Some((due, list.clone())));
                    if (state >> 44) % 8 == 0 {
                        expiry.put_back(due, list.clone());
                        known.insert(due, list);
                        break;
                    }
                    expiry.give_back(list);
                }
                assert!((state >> 44) % 8 == 0 || known.first_key_value().is_none_or(|(first, _)| *first > now));
            }
        }
        while let Some(due) = expiry.take_due(i64::MAX) {
            assert_eq!(known.pop_first(), Some(due));
        }
        assert!(known.is_empty() && expiry.pop_first().is_none());
    }
}
