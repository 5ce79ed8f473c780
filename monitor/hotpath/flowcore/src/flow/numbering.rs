//! Dense numbers of a batch's addresses.
//!
//! A map of its own, because its places can be asked for ahead, because it forgets a batch in no time, and because a place
//! takes 8 bytes: the addresses themselves stand in the batch's list. An IPv4 address stands in its place too, so that the
//! list is read for others only.

use super::key::{Seed, MAPPED};
use crate::source::huge_pages::Zeros;
use crate::source::prefetch::prefetch;

type Address = [u8; 16];

/// The numbers that the addresses of the open batch have.
#[derive(Debug)]
pub(super) struct Numbering {
    /// From the top: [`BATCH`] bits of the batch, one that says IPv4, [`NUMBER`] of the number, 32 of the IPv4 address, or of
    /// the hash of another. Free where it is not of the open batch. At most half full; the length is a power of two.
    places: Zeros<u64>,
    used: usize,
    seed: Seed,
    /// The open batch; never 0, which is what empty places have.
    batch: u64,
}

const FIRST_SIZE: usize = 1 << 10;
const BATCH: u32 = 7;
const NUMBER: u32 = 24;
/// All of a place but the number.
const IDENTITY: u64 = !(((1 << NUMBER) - 1) << 32);
const IS_V4: u64 = 1 << (32 + NUMBER);

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering { places: Zeros::new(FIRST_SIZE), used: 0, seed: Seed::random(), batch: 1 }
    }
}

/// Where an address is looked for first, and what stands in the place that is its own, but for the number.
struct Sought {
    hash: u64,
    identity: u64,
}

impl Numbering {
    /// Begin the next batch.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.batch += 1;
        if self.batch >> BATCH != 0 {
            self.places.fill(0);
            self.batch = 1;
        }
    }

    /// Ask for the place of an address that is numbered soon.
    #[inline]
    pub(super) fn prefetch(&self, address: u128) {
        prefetch(self.places.get(self.hash(address) as usize & (self.places.len() - 1)));
    }

    #[inline]
    fn hash(&self, address: u128) -> u64 {
        self.seed.two(address as u64, (address >> 64) as u64)
    }

    #[inline]
    fn sought(&self, address: u128) -> Sought {
        let hash = self.hash(address);
        let rest = if is_v4(address) { IS_V4 | u64::from(address as u32) } else { hash >> 32 };
        Sought { hash, identity: (self.batch << (64 - BATCH)) | rest }
    }

    /// The number of an address: its place in `list`, where it is put if it is new.
    #[inline]
    pub(super) fn number(&mut self, address: u128, list: &mut Vec<Address>) -> u32 {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow(list);
        }
        let Sought { hash, identity } = self.sought(address);
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let Some(place) = self.places.get_mut(at) else { return 0 };
            if *place >> (64 - BATCH) != self.batch {
                let number = list.len() as u32;
                // where a number has no room, an address that comes again gets another: no batch has so many rows
                if number >> NUMBER == 0 {
                    *place = identity | (u64::from(number) << 32);
                    self.used += 1;
                }
                list.push(address.to_be_bytes());
                return number;
            }
            if *place & IDENTITY == identity {
                let number = (*place >> 32) as u32 & ((1 << NUMBER) - 1);
                if is_v4(address) || list.get(number as usize) == Some(&address.to_be_bytes()) {
                    return number;
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self, list: &[Address]) {
        let size = self.places.len() * 2;
        self.places = Zeros::new(size);
        for (number, address) in list.iter().enumerate() {
            let Sought { hash, identity } = self.sought(u128::from_be_bytes(*address));
            let mut at = hash as usize & (size - 1);
            while self.places.get(at).is_some_and(|place| *place != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(free) = self.places.get_mut(at) {
                *free = identity | ((number as u64) << 32);
            }
        }
    }
}

#[inline]
fn is_v4(address: u128) -> bool {
    address >> 32 == MAPPED >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::Numbering;

    #[test]
    fn numbers_are_those_of_a_plain_map_over_many_batches() {
        let mut numbering = Numbering::default();
        // beyond the batch at which all is forgotten
        for batch in 0..300_u128 {
            let (mut list, mut known) = (Vec::new(), HashMap::new());
            numbering.clear();
            for index in 0..1500_u128 {
                let value = index * index % 977 + batch;
                let address = match index % 3 {
                    0 => (value << 64) | (0xfe80 << 112),
                    1 => (0xffff << 32) | value,
                    // the others' high half
                    _ => (0xffff << 32) | (value << 18),
                };
                let next = known.len() as u32;
                let number = *known.entry(address).or_insert(next);
                assert_eq!(numbering.number(address, &mut list), number);
                assert_eq!(list.get(number as usize), Some(&address.to_be_bytes()));
            }
            assert_eq!(list.len(), known.len());
        }
    }
}
