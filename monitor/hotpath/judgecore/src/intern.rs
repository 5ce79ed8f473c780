//! A number for each distinct value of a column of one batch, so that each is looked at once.

use crate::hash::Keys;
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

    /// The number of the value of a row.
    pub fn hash(&self, row: usize) -> u64 {
        self.codes.get(row).and_then(|code| self.hashes.get(*code as usize)).copied().unwrap_or(0)
    }

    /// A column without a value in any row.
    pub fn missing(rows: usize, keys: Keys) -> Coded<'a> {
        Coded { codes: vec![0; rows], values: vec![Seen::Missing], hashes: vec![Seen::Missing.hash(keys)] }
    }

    /// A column of few values that have codes already; `code` gives that of a row, from 1.
    pub fn of_closed(values: Vec<Seen<'a>>, codes: Vec<u32>, keys: Keys) -> Coded<'a> {
        let mut all = vec![Seen::Missing];
        all.extend(values);
        let hashes = all.iter().map(|value| value.hash(keys)).collect();
        Coded { codes, values: all, hashes }
    }

    /// A column whose values are found row by row.
    pub fn of_rows(rows: usize, keys: Keys, value: impl Fn(usize) -> Seen<'a>) -> Coded<'a> {
        let mut coded = Coded::missing(0, keys);
        coded.codes.reserve(rows);
        let mut slots: Vec<u32> = vec![0; 256];
        for row in 0..rows {
            let seen = value(row);
            if seen == Seen::Missing {
                coded.codes.push(0);
                continue;
            }
            let hash = seen.hash(keys);
            let mut place = hash as usize & (slots.len() - 1);
            let code = loop {
                let code = slots[place];
                if code == 0 {
                    let new = coded.values.len() as u32;
                    slots[place] = new;
                    coded.values.push(seen);
                    coded.hashes.push(hash);
                    break new;
                }
                if coded.hashes[code as usize] == hash && coded.values[code as usize] == seen {
                    break code;
                }
                place = (place + 1) & (slots.len() - 1);
            };
            coded.codes.push(code);
            if coded.values.len() * 2 > slots.len() {
                slots = spread(&coded.hashes, slots.len() * 4);
            }
        }
        coded
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
