//! The parts of a group: who sent to whom, and how that is known. Shared by all rules.
//!
//! A window keeps its sums apart by part, so that an alert can say what most of its bytes were.

use std::ops::Range;
use std::sync::Arc;

use crate::hash::Map;
use crate::row::{Hashes, OfTick};
use crate::spec::Record;

/// Workload, provider, country, evidence; DNS rows have only the first.
pub type Part = [Option<Arc<str>>; 4];
const FIELDS: [&str; 4] = ["workload", "provider", "country", "evidence"];
/// Parts from which those that no window holds are looked for and forgotten.
const MANY: usize = 65_536;
/// Numbers of parts that are remembered to be known.
const NEAR: usize = 8192;

/// The fields that tell parts apart.
pub fn fields(record: Record) -> &'static [&'static str] {
    match record {
        Record::Flows => &FIELDS,
        Record::Dns => &FIELDS[..1],
    }
}

/// All parts that some window holds.
///
/// They come by the thousand where an address is a workload, so the table of numbers is small, and they stand apart.
#[derive(Debug)]
pub struct Parts {
    places: Map<u32>,
    all: Vec<Part>,
    /// Places that are free.
    free: Vec<u32>,
    clean_at: usize,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { places: Map::default(), all: Vec::new(), free: Vec::new(), clean_at: MANY }
    }
}

/// The parts of the rows of one tick: of each once, however many rules take it.
pub struct RowParts<'l> {
    /// The places of the fields' columns.
    places: &'l [usize],
    numbers: OfTick,
    /// Some of the parts that are known, by their last bits.
    near: Vec<u64>,
}

impl<'l> RowParts<'l> {
    /// Those of a batch of so many rows.
    pub fn new(places: &'l [usize], rows: usize) -> RowParts<'l> {
        RowParts { places, numbers: OfTick::default(), near: vec![0; rows.next_power_of_two().clamp(1, NEAR)] }
    }

    /// Go on to the rows of another tick.
    pub fn begin(&mut self, rows: &Range<usize>) {
        self.numbers.begin(rows);
    }

    /// The number of the part that a row of the tick belongs to, which is known from then on; never 0.
    pub fn of_row(&mut self, known: &mut Parts, hashes: &mut Hashes<'_, '_>, row: usize) -> u64 {
        let RowParts { places, numbers, near } = self;
        numbers.get(row, || {
            let number = hashes.mix(places, row);
            let place = number as usize & (near.len() - 1);
            if let Some(near) = near.get_mut(place).filter(|near| **near != number) {
                *near = number;
                known.know(number, hashes, places, row);
            }
            number
        })
    }
}

impl Parts {
    /// Know the part of a row from now on.
    fn know(&mut self, number: u64, hashes: &Hashes<'_, '_>, places: &[usize], row: usize) {
        self.know_as(number, || {
            let mut part = Part::default();
            for (word, place) in part.iter_mut().zip(places) {
                *word = hashes.column(*place).and_then(|column| column.keep(row).text().cloned());
            }
            part
        });
    }

    fn know_as(&mut self, number: u64, part: impl FnOnce() -> Part) {
        let Parts { places, all, free, .. } = self;
        places.entry(number).or_insert_with(|| {
            match free.pop().and_then(|place| Some((place, all.get_mut(place as usize)?))) {
                Some((place, old)) => {
                    *old = part();
                    place
                }
                None => {
                    all.push(part());
                    (all.len() - 1) as u32
                }
            }
        });
    }

    /// Know a part again that was kept.
    pub fn add(&mut self, number: u64, part: Part) {
        self.know_as(number, || part);
    }

    /// What a number stands for.
    pub fn get(&self, number: u64) -> Option<&Part> {
        self.places.get(&number).and_then(|place| self.all.get(*place as usize))
    }

    /// Whether it is time to forget; `entries`: how many all windows hold.
    ///
    /// As long as there are no more parts than that, none may be unused.
    pub fn is_full(&self, entries: usize) -> bool {
        self.places.len() > self.clean_at && self.places.len() > entries
    }

    /// Forget all but these.
    pub fn keep(&mut self, used: impl Iterator<Item = u64>) {
        let Parts { places, all, free, clean_at } = self;
        let mut is_used = vec![false; all.len()];
        for number in used {
            if let Some(mine) = places.get(&number).and_then(|place| is_used.get_mut(*place as usize)) {
                *mine = true;
            }
        }
        places.retain(|_, place| {
            let stays = is_used.get(*place as usize).copied().unwrap_or(false);
            if !stays {
                free.push(*place);
                all.get_mut(*place as usize).map(std::mem::take);
            }
            stays
        });
        *clean_at = MANY.max(2 * places.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_free_is_taken_again() {
        let part = |word: &str| -> Part { [Some(word.into()), None, None, None] };
        let mut parts = Parts::default();
        for (number, word) in [(1, "a"), (2, "b"), (3, "c")] {
            parts.add(number, part(word));
        }
        parts.keep([1, 3, 4].into_iter());
        parts.add(5, part("e"));
        let known: Vec<Option<&Part>> = [1, 2, 3, 5].map(|number| parts.get(number)).into();
        assert_eq!(known, [Some(&part("a")), None, Some(&part("c")), Some(&part("e"))]);
        assert_eq!(parts.all.len(), 3);
    }

    #[test]
    fn parts_are_looked_through_when_more_are_known_than_windows_hold() {
        let mut parts = Parts::default();
        for number in 1..=MANY as u64 + 1 {
            parts.add(number, Part::default());
        }
        assert!(!parts.is_full(MANY + 1));
        assert!(parts.is_full(MANY));
        parts.keep(1..=MANY as u64);
        assert!(!parts.is_full(0), "twice as many come before it is done again");
    }
}
