//! A number for each distinct value of a column of one batch, so that each is looked at once.

use arrow_buffer::NullBuffer;

use crate::hash::{self, Keys};
use crate::value::Seen;

/// The distinct values of a column; code 0 is the missing value.
pub struct Coded<'a> {
    /// For each row.
    pub codes: Vec<u32>,
    /// For each code.
    pub values: Vec<Seen<'a>>,
    /// For each code: the number that stands for the value in any batch.
    pub hashes: Vec<u64>,
}

impl<'a> Coded<'a> {
    /// The value of a row.
    pub fn value(&self, row: usize) -> Seen<'a> {
        self.codes.get(row).and_then(|code| self.values.get(*code as usize)).copied().unwrap_or(Seen::Missing)
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
        let mut known = Views::new(keys);
        for (row, view) in views.iter().enumerate() {
            let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
            let code = if is_null { 0 } else { known.code(*view, || table.code(value(row))) };
            table.coded.codes.push(code);
        }
        table.coded
    }
}

/// Codes by the word of a row.
struct Views {
    keys: Keys,
    /// Places in `all`, one more, by the word's number; 0: free.
    slots: Vec<u32>,
    all: Vec<(u128, u32)>,
}

impl Views {
    fn new(keys: Keys) -> Views {
        Views { keys, slots: vec![0; 1024], all: Vec::new() }
    }

    fn code(&mut self, view: u128, code: impl FnOnce() -> u32) -> u32 {
        let mut slot = self.slot(view);
        loop {
            let place = self.slots[slot];
            if place == 0 {
                break;
            }
            let (known, code) = self.all[place as usize - 1];
            if known == view {
                return code;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        let code = code();
        self.all.push((view, code));
        self.slots[slot] = self.all.len() as u32;
        if self.all.len() * 2 > self.slots.len() {
            self.slots = vec![0; self.slots.len() * 4];
            for place in 0..self.all.len() {
                let mut slot = self.slot(self.all[place].0);
                while self.slots[slot] != 0 {
                    slot = (slot + 1) & (self.slots.len() - 1);
                }
                self.slots[slot] = place as u32 + 1;
            }
        }
        code
    }

    fn slot(&self, view: u128) -> usize {
        hash::pair(self.keys, view as u64, (view >> 64) as u64) as usize & (self.slots.len() - 1)
    }
}

/// Codes by value, while a column is read.
struct Table<'a> {
    coded: Coded<'a>,
    keys: Keys,
    /// Codes by hash; 0: free.
    slots: Vec<u32>,
}

impl<'a> Table<'a> {
    fn new(rows: usize, keys: Keys) -> Table<'a> {
        let hashes = vec![Seen::Missing.hash(keys)];
        let coded = Coded { codes: Vec::with_capacity(rows), values: vec![Seen::Missing], hashes };
        Table { coded, keys, slots: vec![0; 256] }
    }

    fn code(&mut self, seen: Seen<'a>) -> u32 {
        if seen == Seen::Missing {
            return 0;
        }
        let Table { coded, slots, .. } = self;
        let hash = seen.hash(self.keys);
        let mut place = hash::spread(hash) as usize & (slots.len() - 1);
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
        let mut place = hash::spread(*hash) as usize & (size - 1);
        while slots[place] != 0 {
            place = (place + 1) & (size - 1);
        }
        slots[place] = code as u32;
    }
    slots
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, StringViewArray};

    use super::*;

    #[test]
    fn equal_texts_have_one_code_wherever_they_lie() {
        let all: Vec<String> =
            (0..5000).map(|number| format!("{}{}", "x".repeat(number % 20), number % 1700)).collect();
        let texts = StringViewArray::from_iter(all.iter().map(|text| (!text.ends_with('7')).then_some(text)));
        let coded = Coded::of_views(texts.views(), texts.nulls(), [3, 5], |row| Seen::Text(texts.value(row)));
        let mut codes = std::collections::BTreeMap::new();
        for (row, text) in all.iter().enumerate() {
            if text.ends_with('7') {
                assert_eq!((coded.codes[row], coded.value(row)), (0, Seen::Missing));
                continue;
            }
            assert_eq!(coded.value(row), Seen::Text(text));
            assert_eq!(*codes.entry(text).or_insert(coded.codes[row]), coded.codes[row]);
        }
        assert_eq!(coded.values.len(), codes.len() + 1);
    }
}
