//! The questions that wait for an answer: which were asked, and when.
//!
//! A map of its own, because each look-up touches one cache line, and because the place of the question that is forgotten next
//! can be asked for ahead.

use std::collections::VecDeque;

use crate::source::huge_pages::Zeros;
use crate::source::prefetch::prefetch;

/// Times by the keys of questions; the question that came first is forgotten first.
#[derive(Debug)]
pub(super) struct Asked {
    /// Key and time; a key of 0 is free. At most half full; the length is a power of two. A key is looked for from the place
    /// on that its low bits tell.
    places: Zeros<(u64, i64)>,
    order: VecDeque<u64>,
    most: usize,
    /// The newest one, whose place was asked for and is not taken yet.
    newest: Option<(u64, i64)>,
    /// Nanoseconds after which a question is forgotten anyway.
    wait: i64,
    /// Questions that were forgotten before.
    evicted: u64,
}

const FIRST_SIZE: usize = 1 << 6;

impl Asked {
    /// Remembers up to `most` questions, each for `wait` nanoseconds.
    pub(super) fn new(most: usize, wait: i64) -> Asked {
        let places = Zeros::new(FIRST_SIZE);
        Asked { places, order: VecDeque::new(), most, newest: None, wait, evicted: 0 }
    }

    /// Ask for the place of a question.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        prefetch(self.places.get(self.home(key.max(1))));
    }

    /// When a question was asked. Keys are hashes that nobody outside can choose.
    #[inline]
    pub(super) fn time(&mut self, key: u64) -> Option<i64> {
        self.settle();
        let (_, (there, time)) = self.find(key.max(1))?;
        (there != 0).then_some(time)
    }

    /// Questions that were forgotten before an answer could have come, because there were too many.
    pub(super) fn evicted(&mut self) -> u64 {
        self.settle();
        self.evicted
    }

    /// Remember when a question was asked.
    pub(super) fn remember(&mut self, key: u64, time: i64) {
        self.settle();
        self.newest = Some((key.max(1), time));
    }

    /// Give the newest question its place: by the next message that has come, which else would be waited for.
    fn settle(&mut self) {
        let Some((key, time)) = self.newest.take() else { return };
        let Some((at, (there, _))) = self.find(key) else { return };
        self.set(at, (key, time));
        if there != 0 {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.most {
            let oldest = self.order.pop_front();
            prefetch(self.order.front().and_then(|next| self.places.get(self.home(*next))));
            let asked = oldest.and_then(|oldest| self.forget(oldest));
            self.evicted += u64::from(asked.is_some_and(|asked| time.saturating_sub(asked) < self.wait));
        } else if self.order.len() * 2 > self.places.len() {
            self.grow();
        }
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        key as usize & (self.places.len() - 1)
    }

    /// Where a key stands, or the free place where it would, and what is there.
    #[inline]
    fn find(&self, key: u64) -> Option<(usize, (u64, i64))> {
        let mut at = self.home(key);
        loop {
            let place = *self.places.get(at)?;
            if place.0 == key || place.0 == 0 {
                return Some((at, place));
            }
            at = self.home(at as u64 + 1);
        }
    }

    fn set(&mut self, at: usize, to: (u64, i64)) {
        if let Some(place) = self.places.get_mut(at) {
            *place = to;
        }
    }

    /// Knuth's deletion for linear probing: what would no longer be found moves back.
    fn forget(&mut self, key: u64) -> Option<i64> {
        let (mut gap, (there, time)) = self.find(key)?;
        if there == 0 {
            return None;
        }
        let mask = self.places.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let place = self.places.get(at).copied().unwrap_or_default();
            if place.0 == 0 {
                break;
            }
            let home = self.home(place.0);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.set(gap, place);
                gap = at;
            }
        }
        self.set(gap, (0, 0));
        Some(time)
    }

    #[cold]
    fn grow(&mut self) {
        let size = self.places.len() * 2;
        let old = std::mem::replace(&mut self.places, Zeros::new(size));
        for place in old.iter().copied().filter(|place| place.0 != 0) {
            if let Some((at, _)) = self.find(place.0) {
                self.set(at, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::Asked;

    #[test]
    fn it_remembers_what_a_plain_map_and_a_queue_do() {
        const MOST: usize = 300;
        const WAIT: i64 = 400;
        let mut asked = Asked::new(MOST, WAIT);
        let (mut known, mut order, mut evicted) = (HashMap::new(), Vec::new(), 0);
        let mut state = 1_u64;
        for time in 0..20_000 {
            // xorshift64; few low bits, so that many keys want the same place
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let key = ((state % 1000) << 32) | (state % 40);
            // not after each question: it takes its place later
            if state % 3 == 0 {
                assert_eq!(asked.time(key), known.get(&key.max(1)).copied());
            }
            if known.insert(key.max(1), time).is_none() {
                order.push(key.max(1));
                if order.len() > MOST {
                    let gone = known.remove(&order.remove(0));
                    evicted += u64::from(gone.is_some_and(|asked| time - asked < WAIT));
                }
            }
            asked.remember(key, time);
            if state % 5 == 0 {
                assert_eq!(asked.evicted(), evicted);
            }
        }
        assert!(evicted > 0);
        assert!(order.iter().all(|key| asked.time(*key) == known.get(key).copied()));
    }
}
