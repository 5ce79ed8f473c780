//! Dense numbers of a batch's addresses.
//!
//! A map of its own, because its places can be asked for ahead, and because it forgets a batch in no time.

use super::key::Seed;
use crate::source::prefetch::prefetch;

type Address = [u8; 16];

/// A place: free where it is not of the open batch.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
struct Place {
    address: Address,
    batch: u64,
    number: u32,
}

/// The numbers that the addresses of the open batch have.
#[derive(Debug)]
pub(super) struct Numbering {
    /// At most half full; the length is a power of two.
    places: Vec<Place>,
    used: usize,
    seed: Seed,
    batch: u64,
}

const FIRST_SIZE: usize = 1 << 10;

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering { places: vec![Place::default(); FIRST_SIZE], used: 0, seed: Seed::random(), batch: 1 }
    }
}

impl Numbering {
    /// Begin the next batch.
    pub(super) fn clear(&mut self) {
        self.batch += 1;
        self.used = 0;
    }

    /// Ask for the place of an address that is numbered soon.
    #[inline]
    pub(super) fn prefetch(&self, address: &Address) {
        prefetch(self.places.get(self.home(address)));
    }

    #[inline]
    fn home(&self, address: &Address) -> usize {
        let both = u128::from_be_bytes(*address);
        self.seed.two(both as u64, (both >> 64) as u64) as usize & (self.places.len() - 1)
    }

    /// The number of an address: its place in `list`, where it is put if it is new.
    #[inline]
    pub(super) fn number(&mut self, address: &Address, list: &mut Vec<Address>) -> u32 {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow();
        }
        let at = self.find(address);
        let Some(place) = self.places.get_mut(at) else { return 0 };
        if place.batch != self.batch {
            *place = Place { address: *address, batch: self.batch, number: list.len() as u32 };
            list.push(*address);
            self.used += 1;
        }
        place.number
    }

    /// Where an address stands, or is to stand.
    #[inline]
    fn find(&self, address: &Address) -> usize {
        let mask = self.places.len() - 1;
        let mut at = self.home(address);
        while self.places.get(at).is_some_and(|place| place.batch == self.batch && place.address != *address) {
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![Place::default(); self.places.len() * 2];
        for place in std::mem::replace(&mut self.places, larger) {
            if place.batch == self.batch {
                let at = self.find(&place.address);
                if let Some(free) = self.places.get_mut(at) {
                    *free = place;
                }
            }
        }
    }
}
