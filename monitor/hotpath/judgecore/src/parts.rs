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
#[derive(Debug)]
pub struct Parts {
    /// With each, whether a window was found to hold it while the others are looked for.
    known: Map<(Part, bool)>,
    clean_at: usize,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { known: Map::default(), clean_at: MANY }
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
    fn know(&mut self, number: u64, hashes: &Hashes<'_, '_>, places: &[usize], row: usize) {
        self.known.entry(number).or_insert_with(|| {
            let mut part = Part::default();
            for (word, place) in part.iter_mut().zip(places) {
                *word = hashes.column(*place).and_then(|column| column.keep(row).text().cloned());
            }
            (part, false)
        });
    }

    /// Know a part again that was kept.
    pub fn add(&mut self, number: u64, part: Part) {
        self.known.insert(number, (part, false));
    }

    /// What a number stands for.
    pub fn get(&self, number: u64) -> Option<&Part> {
        self.known.get(&number).map(|(part, _)| part)
    }

    /// Whether it is time to forget; `entries`: how many all windows hold.
    ///
    /// As long as there are no more parts than that, none may be unused.
    pub fn is_full(&self, entries: usize) -> bool {
        self.known.len() > self.clean_at && self.known.len() > entries
    }

    /// Forget all but these.
    pub fn keep(&mut self, used: impl Iterator<Item = u64>) {
        for number in used {
            if let Some((_, is_used)) = self.known.get_mut(&number) {
                *is_used = true;
            }
        }
        self.known.retain(|_, (_, is_used)| std::mem::take(is_used));
        self.clean_at = MANY.max(2 * self.known.len());
    }
}
