//! What the values of one column leave standing of the bits of rules, row by row.

use crate::column;
use crate::derived::{Answers, Proof};
use crate::frame::Codes;
use crate::numbers::Numbers;

/// Numbers that bound ranges, in order from 0.
pub(crate) struct Bounds {
    all: Vec<u64>,
    /// How many are less than each multiple of [`PAGE`]: most pages of ports have none.
    before: Vec<usize>,
}

const PAGE: u64 = 256;
const PAGES: u64 = 256;

impl Bounds {
    pub(crate) fn new(all: Vec<u64>) -> Bounds {
        let before = |page| all.partition_point(|bound| *bound < page * PAGE);
        Bounds { before: (0..=PAGES).map(before).collect(), all }
    }

    /// The place of the range that a number is in.
    #[inline]
    fn place(&self, number: u64) -> usize {
        let page = (number / PAGE) as usize;
        let (first, behind) = match self.before.get(page..) {
            Some([first, behind, ..]) => (*first, *behind),
            _ => (0, self.all.len()),
        };
        let here = self.all.get(first..behind).unwrap_or_default();
        (first + here.partition_point(|bound| *bound <= number)).saturating_sub(1)
    }
}

/// For each value of a column, the bits that it leaves standing.
pub(crate) enum Table<'f> {
    /// The column is not there: it says nothing.
    Nothing,
    Codes {
        codes: Codes<'f, 'f>,
        words: Vec<u64>,
    },
    Bytes {
        bytes: &'f [u8],
        words: Vec<u64>,
    },
    Numbers {
        numbers: Numbers<'f>,
        bounds: Bounds,
        words: Vec<u64>,
        missing: u64,
    },
    Answers {
        answers: Answers<'f>,
        words: Vec<u64>,
    },
    Proven {
        proof: Proof<'f>,
        codes: Codes<'f, 'f>,
        words: Vec<u64>,
    },
    Claimed {
        names: Codes<'f, 'f>,
        words: Vec<u64>,
        sources: Codes<'f, 'f>,
        shown: Option<usize>,
        unnamed: u64,
    },
    /// Either provider, where it is known; the missing value only where neither is.
    Either {
        proof: Option<Proof<'f>>,
        network: (Codes<'f, 'f>, Vec<u64>),
        service: (Codes<'f, 'f>, Vec<u64>),
    },
}

impl Table<'_> {
    /// Take off each row's bits what its value does not leave standing.
    pub(crate) fn narrow_all(&self, first: usize, found: &mut [u64]) {
        match self {
            Table::Codes { codes: Codes::Closed(closed), words } => closed.narrow(words, first, found),
            Table::Bytes { bytes, words } => column::narrow(bytes, words, first, found),
            Table::Codes { codes: Codes::Missing, words } => {
                let word = words.first().copied().unwrap_or(0);
                found.iter_mut().for_each(|bits| *bits &= word);
            }
            _ => {
                let all: Vec<u32> = (0..found.len() as u32).collect();
                self.narrow(u64::MAX, first, &all, found);
            }
        }
    }

    /// The same for the rows at some places that have a bit of `mask`.
    pub(crate) fn narrow(&self, mask: u64, first: usize, places: &[u32], found: &mut [u64]) {
        let word = |words: &[u64], code: usize| words.get(code).copied().unwrap_or(0);
        match self {
            Table::Nothing => {}
            Table::Codes { codes, words } => each(mask, first, places, found, |row| word(words, codes.of(row))),
            Table::Bytes { bytes, words } => {
                each(mask, first, places, found, |row| bytes.get(row).map_or(0, |byte| word(words, usize::from(*byte))))
            }
            Table::Numbers { numbers, bounds, words, missing } => {
                each(mask, first, places, found, |row| match numbers.get(row) {
                    None => *missing,
                    Some(number) => word(words, bounds.place(number)),
                })
            }
            Table::Answers { answers, words } => each(mask, first, places, found, |row| word(words, answers.of(row))),
            Table::Proven { proof, codes, words } => {
                each(mask, first, places, found, |row| word(words, if proof.holds(row) { codes.of(row) } else { 0 }))
            }
            Table::Claimed { names, words, sources, shown, unnamed } => each(mask, first, places, found, |row| {
                let is_shown = *unnamed != 0 && shown.is_some_and(|shown| sources.of(row) == shown);
                word(words, names.of(row)) | if is_shown { *unnamed } else { 0 }
            }),
            Table::Either { proof, network, service } => each(mask, first, places, found, |row| {
                let by_network = network.0.of(row);
                let is_proven = proof.as_ref().is_none_or(|proof| proof.holds(row));
                let by_service = if is_proven { service.0.of(row) } else { 0 };
                let (one, other) = (word(&network.1, by_network), word(&service.1, by_service));
                match (by_network, by_service) {
                    (_, 0) => one,
                    (0, _) => other,
                    _ => one | other,
                }
            }),
        }
    }
}

/// Narrow the rows at some places that have a bit of `mask` by the word that a row has.
fn each(mask: u64, first: usize, places: &[u32], found: &mut [u64], word: impl Fn(usize) -> u64) {
    for place in places.iter().map(|place| *place as usize) {
        if let Some(bits) = found.get_mut(place).filter(|bits| **bits & mask != 0) {
            *bits &= word(first + place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_range_that_begins_last_before_it() {
        let all = vec![0, 1, 53, 54, 255, 256, 257, 8091, 65_535, 65_536, 70_000, u64::MAX];
        let bounds = Bounds::new(all.clone());
        let near = all.iter().flat_map(|bound| [bound.saturating_sub(1), *bound, bound.saturating_add(1)]);
        for number in near.chain((0..70_100).step_by(7)) {
            let expected = all.iter().rposition(|bound| *bound <= number);
            assert_eq!(Some(bounds.place(number)), expected, "{number}");
        }
        assert_eq!(Bounds::new(vec![0]).place(u64::MAX), 0);
    }
}
