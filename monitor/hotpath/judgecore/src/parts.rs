//! The parts of a group: who sent to whom, and how that is known. Shared by all rules.
//!
//! A window keeps its sums apart by part, so that an alert can say what most of its bytes were.

use std::sync::Arc;

use crate::frame::Column;
use crate::hash::{self, Keys, Map};
use crate::spec::Record;

/// Workload, provider, country, evidence; DNS rows have only the first.
pub type Part = [Option<Arc<str>>; 4];
const FIELDS: [&str; 4] = ["workload", "provider", "country", "evidence"];
/// Parts from which those that no window holds are looked for and forgotten.
const MANY: usize = 65_536;

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
    known: Map<Part>,
    clean_at: usize,
    /// The row that was asked for last: a row is taken by several rules in turn.
    last: Option<(usize, u64)>,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { known: Map::default(), clean_at: MANY, last: None }
    }
}

impl Parts {
    /// The number of the part that a row belongs to.
    pub fn of_row(&mut self, columns: &[Column<'_, '_>], keys: Keys, row: usize) -> u64 {
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == row) {
            return number;
        }
        let number = hash::mix(keys, columns.iter().map(|column| column.hash(row)));
        self.known.entry(number).or_insert_with(|| {
            let mut part = Part::default();
            for (place, column) in part.iter_mut().zip(columns) {
                *place = column.seen(row).to_value().text().cloned();
            }
            part
        });
        self.last = Some((row, number));
        number
    }

    /// Take rows of another batch from now on.
    pub fn turn(&mut self) {
        self.last = None;
    }

    /// Know a part again that was kept.
    pub fn add(&mut self, number: u64, part: Part) {
        self.known.insert(number, part);
    }

    /// What a number stands for.
    pub fn get(&self, number: u64) -> Option<&Part> {
        self.known.get(&number)
    }

    /// Whether it is time to forget.
    pub fn is_full(&self) -> bool {
        self.known.len() > self.clean_at
    }

    /// Forget all but these.
    pub fn keep(&mut self, used: &std::collections::HashSet<u64>) {
        self.known.retain(|number, _| used.contains(number));
        self.clean_at = MANY.max(2 * self.known.len());
    }
}
