//! Dense numbers of a batch's names and fingerprints.
//!
//! Flows share the texts that come again and again, so that where a text stands mostly tells which it is, without a look at
//! it.

use std::collections::HashMap;
use std::sync::Arc;

use super::key::Seed;
use crate::source::prefetch::prefetch;

/// Texts that are told by where they stand; the length is a power of two.
const PLACES: usize = 1 << 12;

/// The numbers that texts have in the open batch.
#[derive(Debug)]
pub(super) struct Naming {
    known: HashMap<Arc<str>, u32, Seed>,
    /// Addresses of texts that are in the batch's list, which keeps them where they are, and their numbers. 0: free.
    places: Vec<(usize, u32)>,
}

impl Default for Naming {
    fn default() -> Naming {
        Naming { known: HashMap::default(), places: vec![(0, 0); PLACES] }
    }
}

impl Naming {
    /// Begin the next batch.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.places.fill((0, 0));
    }

    /// Ask for what tells the number of a text.
    #[inline]
    pub(super) fn prefetch(&self, text: &Arc<str>) {
        prefetch(self.places.get(place(address(text))));
    }

    /// The number of a text: its place in `list`, where it is put if it is new.
    #[inline]
    pub(super) fn number(&mut self, text: &Arc<str>, list: &mut Vec<Arc<str>>) -> u32 {
        let address = address(text);
        match self.places.get(place(address)) {
            Some((there, number)) if *there == address => *number,
            _ => self.look_up(text, list),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, text: &Arc<str>, list: &mut Vec<Arc<str>>) -> u32 {
        let next = list.len() as u32;
        let number = *self.known.entry(Arc::clone(text)).or_insert(next);
        if number == next {
            list.push(Arc::clone(text));
        }
        // another copy of a text that is in the list may go, and another text come to its place
        let stays = list.get(number as usize).is_some_and(|listed| Arc::ptr_eq(listed, text));
        let address = address(text);
        if let Some(place) = self.places.get_mut(place(address)).filter(|_| stays) {
            *place = (address, number);
        }
        number
    }
}

#[inline]
fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).cast::<u8>() as usize
}

/// Where a text at this address is looked for.
#[inline]
fn place(address: usize) -> usize {
    (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (usize::BITS - PLACES.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::Naming;

    #[test]
    fn numbers_are_those_of_a_plain_map_whether_texts_are_shared_or_not() {
        let mut naming = Naming::default();
        let shared: Vec<Arc<str>> = (0..3000).map(|name| format!("shared {name}").into()).collect();
        for batch in 0..5_usize {
            let (mut list, mut known) = (Vec::new(), HashMap::new());
            naming.clear();
            for index in 0..20_000_usize {
                let number = index * index % 9973 + batch;
                let text = match index % 3 {
                    0 => Arc::clone(&shared[number % shared.len()]),
                    // the same text somewhere else, and one that goes at once, so that the next stands where it stood
                    1 => format!("shared {}", number % shared.len()).into(),
                    _ => format!("other {number}").into(),
                };
                let next = known.len() as u32;
                let expected = *known.entry(text.to_string()).or_insert(next);
                assert_eq!(naming.number(&text, &mut list), expected);
            }
            assert!(list.iter().zip(0..).all(|(text, number)| known.get(&**text) == Some(&number)));
            assert_eq!(list.len(), known.len());
        }
    }
}
