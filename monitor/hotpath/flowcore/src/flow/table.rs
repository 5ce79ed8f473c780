//! A table of flows: slots in one vector, found through an open-addressed index.
//!
//! The index holds 32 bits of each hash beside the slot's number, so that a look-up touches the slot
//! only when it is almost surely the right one, and a key is hashed once.

use super::hot::Hot;
use super::inspect::Inspections;
use super::key::{Key, Seed};
use super::slot::Slot;
use crate::source::huge_pages::{self, Zeros};
use crate::source::prefetch::{prefetch, prefetch_at, prefetch_or};

/// Flows and their index. One owner, no locks.
#[derive(Debug)]
pub(super) struct Table<K> {
    hot: Vec<Hot<K>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// `hash << 32 | slot + 1`; 0 is empty. Of [`SPARSE`] places one is filled at the most.
    index: Zeros<u64>,
    seed: Seed,
}

/// From so many flows on they stand in huge pages. A smaller table would only pay for clearing them: a virtual machine may
/// have to find memory for each huge page first, which takes milliseconds.
const HUGE_FROM: usize = 1 << 18;

/// Flows that are asked for together.
pub(crate) const LOT: usize = 32;

/// The number of no flow.
pub(super) const NOBODY: u32 = u32::MAX;

/// Flows that begin, until the one for which a free slot is asked.
const FREE_AHEAD: usize = 4;

/// So many places of the index for a flow at least: with two, one packet of seven has its flow behind two others.
const SPARSE: usize = 4;

const FIRST_SIZE: usize = 1 << 10;

/// Numbers of some flows of a lot, found without a branch for each.
pub(super) struct Numbers {
    all: [u32; LOT],
    count: usize,
}

impl Numbers {
    pub(super) const NONE: Numbers = Numbers { all: [NOBODY; LOT], count: 0 };

    /// Add a number, if it is `wanted`. A lot has no more than there is room for.
    #[inline(always)]
    pub(super) fn note(&mut self, number: u32, wanted: bool) {
        self.all[self.count % LOT] = number;
        self.count += usize::from(wanted);
    }

    #[inline(always)]
    pub(super) fn all(&self) -> &[u32] {
        self.all.get(..self.count).unwrap_or_default()
    }
}

impl<K: Key> Table<K> {
    /// A table that can have so many flows: the room for them is only laid out.
    pub(super) fn new(most: usize) -> Table<K> {
        Table {
            hot: huge_pages::reserve(most),
            slots: huge_pages::reserve(most),
            free: Vec::new(),
            index: Zeros::new(FIRST_SIZE),
            seed: Seed::random(),
        }
    }

    /// Flows in the table.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The flow with this key, if it is the one that [`Table::prefetch_flow`] gave and has not ended.
    #[inline]
    pub(super) fn open(&mut self, key: &K, likely: u32) -> Option<(&mut Hot<K>, &mut Slot)> {
        // one that was taken out since has a key that no packet has
        self.get(likely).filter(|(hot, _)| hot.key == *key && !hot.has_ended())
    }

    pub(super) fn find(&self, key: &K, hash: u32) -> Option<u32> {
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let entry = *self.index.get(at)?;
            if entry == 0 {
                return None;
            }
            if (entry >> 32) as u32 == hash {
                let number = (entry as u32).wrapping_sub(1);
                if self.hot.get(number as usize).is_some_and(|hot| hot.key == *key) {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Hash a key, and ask for the place of the index where its look-up begins.
    #[inline]
    pub(super) fn prefetch_index(&self, key: &K) -> u32 {
        let hash = key.spread(&self.seed);
        prefetch_at(&self.index, hash as usize & (self.index.len() - 1));
        hash
    }

    /// Ask for the flow with this hash, and give its number as far as the hash tells; [`NOBODY`] for none. Of those
    /// that stand behind others of the index most stand right behind one: which of two it is, is no branch.
    #[inline(always)]
    pub(super) fn prefetch_flow(&self, hash: u32) -> u32 {
        let mask = self.index.len() - 1;
        let home = hash as usize & mask;
        let (Some(&first), Some(&second)) = (self.index.get(home), self.index.get((home + 1) & mask)) else {
            return NOBODY;
        };
        let is_second = u64::from((second >> 32) as u32 == hash).wrapping_neg();
        let nearest = first ^ ((first ^ second) & is_second);
        let entry = match (nearest >> 32) as u32 == hash {
            true => nearest,
            false if first == 0 || second == 0 => 0,
            false => self.farther(hash),
        };
        // of an empty place too
        let number = (entry as u32).wrapping_sub(1);
        prefetch(self.hot.get(number as usize));
        number
    }

    /// The entry of a hash that is not among the first two of those it may be.
    #[inline(never)]
    fn farther(&self, hash: u32) -> u64 {
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(entry) = self.index.get(at).filter(|entry| **entry != 0) {
            if (*entry >> 32) as u32 == hash {
                return *entry;
            }
            at = (at + 1) & mask;
        }
        0
    }

    /// Ask for the rest of those of these flows whose packets are looked into, and for what is kept of what they send; their
    /// first parts were asked for. Which flows these are is as good as random, so none of it is a branch; and each is asked
    /// for as soon as its own first part has come.
    pub(super) fn prefetch_watched(&self, numbers: &[u32], inspections: &Inspections) {
        let mut watched = Numbers::NONE;
        for number in numbers {
            let at = *number as usize;
            let (Some(hot), Some(slot)) = (self.hot.get(at), self.slots.get(at)) else { break };
            let settled = hot.is_settled();
            prefetch_or((!settled).then_some(slot), hot);
            watched.note(*number, !settled);
        }
        for slot in watched.all().iter().filter_map(|number| self.slots.get(*number as usize)) {
            prefetch_or(inspections.get(slot.inspection), slot);
        }
    }

    /// Ask for flows that are looked at next, so that they are waited for together.
    pub(super) fn prefetch_all<'n>(&self, numbers: impl IntoIterator<Item = &'n u32>) {
        for number in numbers {
            prefetch(self.hot.get(*number as usize));
            let slot = self.slots.get(*number as usize);
            prefetch(slot);
            prefetch(slot.map(|slot| &slot.started));
        }
    }

    /// Ask for the places in the index of flows that may be taken out next.
    pub(super) fn prefetch_entries(&self, numbers: &[u32]) {
        for slot in numbers.iter().filter_map(|number| self.slots.get(*number as usize)) {
            prefetch(self.index.get(slot.hash as usize & (self.index.len() - 1)));
        }
    }

    /// Leave only those numbers whose flow has traffic that is in no row yet, each once: where many flows
    /// come and go within a tick, their numbers stand there again and again.
    #[inline]
    pub(super) fn keep_dirty(&self, numbers: &mut Vec<u32>) {
        if numbers.len() > 2 * self.hot.len() {
            numbers.sort_unstable();
            numbers.dedup();
            numbers.retain(|number| self.hot.get(*number as usize).is_some_and(Hot::is_dirty));
        }
    }

    /// All flows that stand in a slot; those that were taken out are marked as ended.
    pub(super) fn flows(&self) -> impl Iterator<Item = (&Hot<K>, &Slot)> {
        self.hot.iter().zip(&self.slots)
    }

    #[inline]
    pub(super) fn get(&mut self, number: u32) -> Option<(&mut Hot<K>, &mut Slot)> {
        Some((self.hot.get_mut(number as usize)?, self.slots.get_mut(number as usize)?))
    }

    #[inline]
    pub(super) fn hot(&self, number: u32) -> Option<&Hot<K>> {
        self.hot.get(number as usize)
    }

    #[inline]
    pub(super) fn both(&self, number: u32) -> Option<(&Hot<K>, &Slot)> {
        Some((self.hot.get(number as usize)?, self.slots.get(number as usize)?))
    }

    /// The place of a flow whose key is not in the table, under the hash of the key: it is to be filled.
    #[inline]
    pub(super) fn reserve(&mut self, hash: u32) -> u32 {
        if (self.len() + 1) * SPARSE > self.index.len() {
            self.grow();
        }
        let number = self.free.pop().unwrap_or_else(|| self.add_place());
        self.ask_for_free();
        place(&mut self.index, (u64::from(hash) << 32) | u64::from(number + 1));
        number
    }

    #[inline(never)]
    fn add_place(&mut self) -> u32 {
        if self.slots.len() == HUGE_FROM {
            huge_pages::ask(&self.hot, HUGE_FROM);
            huge_pages::ask(&self.slots, HUGE_FROM);
        }
        self.hot.push(Hot::new(K::NOBODY, &Slot::EMPTY, 0));
        self.slots.push(Slot::EMPTY);
        (self.slots.len() - 1) as u32
    }

    /// Ask for the slot of a flow that begins soon: it was left long ago.
    #[inline]
    fn ask_for_free(&self) {
        let next = self.free.len().checked_sub(FREE_AHEAD).and_then(|at| self.free.get(at));
        self.prefetch_all(next);
    }

    /// Take a flow out whose inspection was taken out; its slot is used again.
    pub(super) fn remove(&mut self, number: u32) {
        let Some((hot, slot)) = self.get(number) else { return };
        hot.key = K::NOBODY;
        slot.content = None;
        slot.name = None;
        slot.ja4 = None;
        let hash = slot.hash;
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        while self.index.get(at).is_some_and(|entry| *entry != 0 && *entry as u32 != number + 1) {
            at = (at + 1) & mask;
        }
        self.close_gap(at);
        self.free.push(number);
    }

    /// Places of flows that were taken out.
    pub(super) fn left(&self) -> usize {
        self.free.len()
    }

    /// Give back the memory of places that were left: flows move together, in their order, and the index becomes as small as
    /// it may be. Gives the new number of each flow by its old one; [`NOBODY`] for a place that was left.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let mut numbers: Vec<u32> = vec![0; self.slots.len()];
        for number in self.free.drain(..) {
            if let Some(left) = numbers.get_mut(number as usize) {
                *left = NOBODY;
            }
        }
        self.free = Vec::new();
        let mut count = 0;
        for (old, number) in numbers.iter_mut().enumerate().filter(|(_, number)| **number != NOBODY) {
            self.hot.swap(count, old);
            self.slots.swap(count, old);
            *number = count as u32;
            count += 1;
        }
        self.hot.truncate(count);
        self.slots.truncate(count);
        huge_pages::give_back(&mut self.hot);
        huge_pages::give_back(&mut self.slots);
        self.index = Zeros::new(((count + 1) * SPARSE).next_power_of_two().max(FIRST_SIZE));
        for (number, slot) in self.slots.iter().enumerate() {
            place(&mut self.index, (u64::from(slot.hash) << 32) | (number as u64 + 1));
        }
        numbers
    }

    /// The slots of all flows, and of places that were left.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    /// Knuth's deletion for linear probing: move back what would no longer be found.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.index.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let entry = self.index.get(at).copied().unwrap_or(0);
            if entry == 0 {
                break;
            }
            let home = (entry >> 32) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.set(gap, entry);
                gap = at;
            }
        }
        self.set(gap, 0);
    }

    fn set(&mut self, at: usize, entry: u64) {
        if let Some(place) = self.index.get_mut(at) {
            *place = entry;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mut larger = Zeros::new(self.index.len() * 2);
        for entry in self.index.iter().filter(|entry| **entry != 0) {
            place(&mut larger, *entry);
        }
        self.index = larger;
    }
}

/// Put an entry into the first free place from its home on.
fn place(index: &mut [u64], entry: u64) {
    let mask = index.len() - 1;
    let mut at = (entry >> 32) as usize & mask;
    while index.get(at).is_some_and(|found| *found != 0) {
        at = (at + 1) & mask;
    }
    if let Some(found) = index.get_mut(at) {
        *found = entry;
    }
}
