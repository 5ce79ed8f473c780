//! Dense numbers of a batch's addresses.
//!
//! A map of its own, because its places can be asked for ahead, because it forgets a batch in no time, and because a place
//! takes 8 bytes: the addresses themselves stand in the batch's list.

use super::key::Seed;
use crate::source::prefetch::prefetch;

type Address = [u8; 16];

/// The numbers that the addresses of the open batch have.
#[derive(Debug)]
pub(super) struct Numbering {
    /// Batch, 16 bits of the address's hash, number; free where it is not of the open batch. At most half full; the length
    /// is a power of two.
    places: Vec<u64>,
    used: usize,
    seed: Seed,
    /// The open batch; never 0, which is what empty places have.
    batch: u16,
}

const FIRST_SIZE: usize = 1 << 10;
/// Batch and hash in a place, without the number.
const TAG: u64 = !0 << 32;

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering { places: vec![0; FIRST_SIZE], used: 0, seed: Seed::random(), batch: 1 }
    }
}

impl Numbering {
    /// Begin the next batch.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            self.places.fill(0);
            self.batch = 1;
        }
    }

    /// Ask for the place of an address that is numbered soon.
    #[inline]
    pub(super) fn prefetch(&self, address: &Address) {
        prefetch(self.places.get(self.hash(address) as usize & (self.places.len() - 1)));
    }

    /// Ask for the address that stands in a place, which was asked for before.
    #[inline]
    pub(super) fn prefetch_known(&self, address: &Address, list: &[Address]) {
        let place = self.places.get(self.hash(address) as usize & (self.places.len() - 1));
        prefetch(place.and_then(|place| list.get(*place as u32 as usize)));
    }

    #[inline]
    fn hash(&self, address: &Address) -> u64 {
        let both = u128::from_be_bytes(*address);
        self.seed.two(both as u64, (both >> 64) as u64)
    }

    /// The number of an address: its place in `list`, where it is put if it is new.
    #[inline]
    pub(super) fn number(&mut self, address: &Address, list: &mut Vec<Address>) -> u32 {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow(list);
        }
        let hash = self.hash(address);
        let mask = self.places.len() - 1;
        let tag = self.tag(hash);
        let mut at = hash as usize & mask;
        loop {
            let Some(place) = self.places.get_mut(at) else { return 0 };
            if *place >> 48 != u64::from(self.batch) {
                let number = list.len() as u32;
                *place = tag | u64::from(number);
                list.push(*address);
                self.used += 1;
                return number;
            }
            let number = *place as u32;
            if *place & TAG == tag && list.get(number as usize) == Some(address) {
                return number;
            }
            at = (at + 1) & mask;
        }
    }

    /// What stands in the upper half of the place of an address: the bits of its hash that no place is chosen by.
    #[inline]
    fn tag(&self, hash: u64) -> u64 {
        (u64::from(self.batch) << 48) | (hash >> 48 << 32)
    }

    #[cold]
    fn grow(&mut self, list: &[Address]) {
        let size = self.places.len() * 2;
        self.places = vec![0; size];
        for (number, address) in list.iter().enumerate() {
            let hash = self.hash(address);
            let entry = self.tag(hash) | number as u64;
            let mut at = hash as usize & (size - 1);
            while self.places.get(at).is_some_and(|place| *place != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(free) = self.places.get_mut(at) {
                *free = entry;
            }
        }
    }
}
