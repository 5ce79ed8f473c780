//! A number for each distinct value of a column of one batch, so that each is looked at once.

use std::cell::RefCell;
use std::sync::Arc;

use arrow_buffer::NullBuffer;

use crate::hash::Keys;
use crate::value::{Seen, Value};

/// Rows of text whose codes are remembered by where they lie.
const NEAR: usize = 1024;

/// The distinct values of a column; code 0 is the missing value.
pub struct Coded<'a> {
    /// For each row.
    pub codes: Vec<u32>,
    /// For each code.
    pub values: Vec<Seen<'a>>,
    /// For each code: the number that stands for the value in any batch.
    pub hashes: Vec<u64>,
    /// For each code: its text, once something keeps it.
    kept: RefCell<Vec<Option<Arc<str>>>>,
}

impl<'a> Coded<'a> {
    /// The value of a row.
    pub fn value(&self, row: usize) -> Seen<'a> {
        self.codes.get(row).and_then(|code| self.values.get(*code as usize)).copied().unwrap_or(Seen::Missing)
    }

    /// The number of the value of a row.
    pub fn hash(&self, row: usize) -> u64 {
        self.codes.get(row).and_then(|code| self.hashes.get(*code as usize)).copied().unwrap_or(0)
    }

    /// The value of a row, to keep: one copy of a text, whoever keeps it.
    pub fn keep(&self, row: usize) -> Value {
        let Seen::Text(text) = self.value(row) else { return self.value(row).to_value() };
        let mut kept = self.kept.borrow_mut();
        if kept.is_empty() {
            kept.resize(self.values.len(), None);
        }
        let code = self.codes.get(row).map_or(0, |code| *code as usize);
        match kept.get_mut(code) {
            Some(known) => Value::Text(Arc::clone(known.get_or_insert_with(|| text.into()))),
            None => Value::Text(text.into()),
        }
    }

    /// A column without a value in any row.
    pub fn missing(rows: usize, keys: Keys) -> Coded<'a> {
        Coded::of_closed(Vec::new(), vec![0; rows], keys)
    }

    /// A column of few values that have codes already; `code` gives that of a row, from 1.
    pub fn of_closed(values: Vec<Seen<'a>>, codes: Vec<u32>, keys: Keys) -> Coded<'a> {
        let mut all = vec![Seen::Missing];
        all.extend(values);
        let hashes = all.iter().map(|value| value.hash(keys)).collect();
        Coded { codes, values: all, hashes, kept: RefCell::default() }
    }

    /// A column whose values are found row by row.
    pub fn of_rows(rows: usize, keys: Keys, value: impl Fn(usize) -> Seen<'a>) -> Coded<'a> {
        let mut table = Table::new(rows, keys);
        for row in 0..rows {
            let code = table.code(value(row));
            table.coded.codes.push(code);
        }
        table.coded
    }

    /// A column of views: a word of 16 bytes a row that says where its text lies, or is the text where that
    /// is short. Rows with equal words have equal values, so most rows cost no look at the text itself.
    pub fn of_views(
        views: &[u128],
        nulls: Option<&NullBuffer>,
        keys: Keys,
        value: impl Fn(usize) -> Seen<'a>,
    ) -> Coded<'a> {
        let mut table = Table::new(views.len(), keys);
        let size = views.len().next_power_of_two().clamp(16, NEAR);
        let shift = u64::BITS - size.trailing_zeros();
        // code 0: nothing is there yet
        let mut near: Vec<(u128, u32)> = vec![(0, 0); size];
        for (row, view) in views.iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                table.coded.codes.push(0);
                continue;
            }
            let folded = (*view as u64) ^ ((*view >> 64) as u64).rotate_left(23);
            let place = (folded.wrapping_mul(SPREAD) >> shift) as usize;
            let known = &mut near[place & (size - 1)];
            if known.1 == 0 || known.0 != *view {
                *known = (*view, table.code(value(row)));
            }
            table.coded.codes.push(known.1);
        }
        table.coded
    }
}

/// Odd, and its bits are well mixed: the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Codes by value, while a column is read.
struct Table<'a> {
    coded: Coded<'a>,
    keys: Keys,
    /// Codes by hash; 0: free.
    slots: Vec<u32>,
}

impl<'a> Table<'a> {
    fn new(rows: usize, keys: Keys) -> Table<'a> {
        let mut coded = Coded::missing(0, keys);
        coded.codes.reserve(rows);
        Table { coded, keys, slots: vec![0; 256] }
    }

    fn code(&mut self, seen: Seen<'a>) -> u32 {
        if seen == Seen::Missing {
            return 0;
        }
        let Table { coded, slots, .. } = self;
        let hash = seen.hash(self.keys);
        let mut place = hash as usize & (slots.len() - 1);
        loop {
            let code = slots[place];
            if code == 0 {
                break;
            }
            if coded.hashes[code as usize] == hash && coded.values[code as usize] == seen {
                return code;
            }
            place = (place + 1) & (slots.len() - 1);
        }
        let new = coded.values.len() as u32;
        slots[place] = new;
        coded.values.push(seen);
        coded.hashes.push(hash);
        if coded.values.len() * 2 > slots.len() {
            *slots = spread(&coded.hashes, slots.len() * 4);
        }
        new
    }
}

fn spread(hashes: &[u64], size: usize) -> Vec<u32> {
    let mut slots = vec![0; size];
    for (code, hash) in hashes.iter().enumerate().skip(1) {
        let mut place = *hash as usize & (size - 1);
        while slots[place] != 0 {
            place = (place + 1) & (size - 1);
        }
        slots[place] = code as u32;
    }
    slots
}
