//! The parts of a group: who sent to whom, and how that is known. Shared by all rules.
//!
//! A window keeps its sums apart by part, so that an alert can say what most of its bytes were.

use std::sync::Arc;

use crate::frame::{Column, Frame};
use crate::hash::{self, Keys, Map};
use crate::spec::Record;

/// Workload, provider, country, evidence; DNS rows have only the first.
pub type Part = [Option<Arc<str>>; 4];
const FIELDS: [&str; 4] = ["workload", "provider", "country", "evidence"];
/// Parts from which those that no window holds are looked for and forgotten.
const MANY: usize = 65_536;
/// Parts of a batch that are remembered by their codes.
const NEAR: usize = 2048;

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
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { known: Map::default(), clean_at: MANY }
    }
}

/// The parts of one batch: of each row once, however many rules take it.
pub struct RowParts<'f, 'a> {
    frame: &'f Frame<'a>,
    record: Record,
    /// Found with the first row.
    columns: Vec<Column<'f, 'a>>,
    /// By row, where it was asked for; else 0.
    numbers: Vec<u64>,
    /// By the codes of the columns: neighbours are often of the same part.
    near: Vec<([u32; 4], u64)>,
}

impl<'f, 'a> RowParts<'f, 'a> {
    /// Those of a batch.
    pub fn new(frame: &'f Frame<'a>, record: Record) -> RowParts<'f, 'a> {
        RowParts { frame, record, columns: Vec::new(), numbers: Vec::new(), near: Vec::new() }
    }

    /// The number of the part that a row belongs to; never 0.
    pub fn of_row(&mut self, known: &mut Parts, keys: Keys, row: usize) -> u64 {
        let known_number = self.numbers.get(row).copied().unwrap_or(0);
        if known_number != 0 {
            return known_number;
        }
        if self.near.is_empty() {
            self.columns = fields(self.record).iter().map(|field| self.frame.column(field)).collect();
            self.numbers = vec![0; self.frame.rows];
            self.near = vec![([0; 4], 0); self.frame.rows.next_power_of_two().clamp(16, NEAR)];
        }
        let mut codes = [0; 4];
        let mut state = 0_u64;
        for (code, column) in codes.iter_mut().zip(&self.columns) {
            *code = column.code(row);
            state = (state ^ u64::from(*code)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        let place = state as usize & self.near.len().wrapping_sub(1);
        let number = match self.near.get(place) {
            Some((same, number)) if *number != 0 && *same == codes => *number,
            _ => known.number(&self.columns, keys, row),
        };
        if let Some(near) = self.near.get_mut(place) {
            *near = (codes, number);
        }
        if let Some(mine) = self.numbers.get_mut(row) {
            *mine = number;
        }
        number
    }
}

impl Parts {
    /// The number of the part of a row, which is known from then on.
    fn number(&mut self, columns: &[Column<'_, '_>], keys: Keys, row: usize) -> u64 {
        let number = hash::mix(keys, columns.iter().map(|column| column.hash(row)));
        self.known.entry(number).or_insert_with(|| {
            let mut part = Part::default();
            for (place, column) in part.iter_mut().zip(columns) {
                *place = column.keep(row).text().cloned();
            }
            part
        });
        number
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
