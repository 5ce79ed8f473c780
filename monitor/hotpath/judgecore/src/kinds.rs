//! Kinds of rows: of one kind are the rows of a batch that agree in who sends and in all that was decided about where to.
//!
//! A batch has several rows of a kind in each of several ticks. So what stands for a value, the part of a row and, for
//! most rules, its group are found once for a kind.

use crate::column::Column;
use crate::frame::{self, Frame};
use crate::hash::{self, Keys};
use crate::lanes::Lanes;
use crate::parts::{Part, Parts};
use crate::spec::Record;
use crate::value::{Seen, Value};

/// The numbers that tell kinds apart, where a batch has them.
const INDEXES: [[&str; 2]; 2] = [["local_id", "case_id"], ["client_id", "question_id"]];

/// Room that is made from the beginning.
const MANY: usize = 65_536;

fn indexes(record: Record) -> [&'static str; 2] {
    INDEXES[usize::from(record == Record::Dns)]
}

/// Whether rows of one kind have one value in a column.
pub(crate) fn is_common(record: Record, field: &str) -> bool {
    indexes(record).iter().any(|index| frame::numbered_by(index).contains(&field))
}

/// Numbers from 0 for keys, in the order in which they come. Only those that are noted are found.
struct Numbering {
    secret: Keys,
    keys: Vec<u64>,
    /// Numbers by key, one more; 0: free.
    slots: Vec<u32>,
    noted: usize,
}

impl Numbering {
    fn new(secret: Keys, rows: usize) -> Numbering {
        let slots = vec![0; rows.next_power_of_two().clamp(16, MANY)];
        Numbering { secret, keys: Vec::new(), slots, noted: 0 }
    }

    /// A number for a key that has none.
    fn new_number(&mut self, key: u64) -> u32 {
        self.keys.push(key);
        (self.keys.len() - 1) as u32
    }

    /// The number of a key.
    fn find(&self, key: u64) -> Option<u32> {
        let mut slot = self.slot(key);
        while let Some(number @ 1..) = self.slots.get(slot) {
            if self.keys.get(*number as usize - 1) == Some(&key) {
                return Some(number - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// Find a number by its key from now on; it must not have been noted before.
    fn note(&mut self, number: u32) {
        self.noted += 1;
        if self.noted * 2 > self.slots.len() {
            let size = self.slots.len() * 4;
            for number in std::mem::replace(&mut self.slots, vec![0; size]).into_iter().filter(|number| *number != 0) {
                self.put(number);
            }
        }
        self.put(number + 1);
    }

    fn put(&mut self, number: u32) {
        let key = self.keys.get(number as usize - 1).copied().unwrap_or(0);
        let mut slot = self.slot(key);
        while self.slots.get(slot).is_some_and(|number| *number != 0) {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        if let Some(free) = self.slots.get_mut(slot) {
            *free = number;
        }
    }

    fn slot(&self, key: u64) -> usize {
        hash::pair(self.secret, key, 0) as usize & (self.slots.len() - 1)
    }
}

/// The kind of the newest row of a first number.
#[derive(Clone, Copy, Default)]
struct Newest {
    /// The second number.
    other: u32,
    /// One more, and [`NOTED`] where the kind is found by its key; 0: there was none.
    kind: u32,
}

const NOTED: u32 = 1 << 31;

/// The kinds of rows of a batch.
pub struct Kinds<'l, 'f, 'a> {
    /// Of all fields that groups and parts are made of: first the parts' own, then others that rows of a kind agree in.
    columns: Vec<Column<'f, 'a>>,
    common: usize,
    /// The places of the parts' fields: the first.
    parts_of: &'l [usize],
    /// The columns of numbers that tell kinds apart; without them the values do.
    by: Option<[&'a [u32]; 2]>,
    keys: Keys,
    /// The number of the missing value.
    missing: u64,
    numbers: Numbering,
    /// By the first of the two numbers. Most have one kind, which is then never looked for.
    newest: Vec<Newest>,
    /// More than there can be of the first number, since it is dense.
    most: usize,
    /// For each kind: its first row.
    rows: Vec<u32>,
    /// For each kind: the numbers of the values of its part.
    hashes: Vec<u64>,
    /// For each kind: the number of its part, once that is known; 0: it is not.
    parts: Vec<u64>,
}

impl<'l, 'f, 'a> Kinds<'l, 'f, 'a> {
    /// Those of a batch, none met yet.
    pub(crate) fn new(frame: &'f Frame<'a>, lanes: &'l Lanes, record: Record, keys: Keys) -> Kinds<'l, 'f, 'a> {
        let by = match indexes(record).map(|index| frame.index(index)) {
            [Some(one), Some(other)] => Some([one, other]),
            _ => None,
        };
        Kinds {
            columns: lanes.fields.iter().map(|field| frame.column(field)).collect(),
            common: lanes.common,
            parts_of: &lanes.parts,
            by,
            keys,
            missing: Seen::Missing.hash(keys),
            numbers: Numbering::new(keys, frame.rows),
            newest: Vec::new(),
            most: frame.rows,
            rows: Vec::new(),
            hashes: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The kind of a row.
    pub(crate) fn of_row(&mut self, row: usize) -> u32 {
        let Some([one, other]) = self.by else {
            let values = self.columns.iter().take(self.common);
            let key = hash::mix(self.keys, values.map(|column| column.hash(row)));
            return self.numbers.find(key).unwrap_or_else(|| {
                let kind = self.new_kind(key, row);
                self.numbers.note(kind);
                kind
            });
        };
        let number = |all: &[u32]| all.get(row).copied().unwrap_or(0);
        let (one, other) = (number(one), number(other));
        match self.newest.get(one as usize) {
            Some(newest) if newest.kind != 0 && newest.other == other => (newest.kind & !NOTED) - 1,
            _ => self.other_kind(one, other, row),
        }
    }

    /// The kind of a row whose first number had another kind, or none, before.
    fn other_kind(&mut self, one: u32, other: u32, row: usize) -> u32 {
        let key = u64::from(one) << 32 | u64::from(other);
        if self.newest.len() <= one as usize {
            // numbers are dense, so there are no more of them than rows
            self.newest.resize((one as usize + 1).min(self.most), Newest::default());
        }
        let before = self.newest.get(one as usize).copied();
        let known = match before {
            Some(Newest { kind: 0, .. }) => None,
            _ => self.numbers.find(key),
        };
        if let Some(Newest { kind: kind @ 1..NOTED, .. }) = before {
            self.numbers.note(kind - 1);
        }
        let kind = known.unwrap_or_else(|| self.new_kind(key, row));
        match self.newest.get_mut(one as usize) {
            Some(newest) => *newest = Newest { other, kind: (kind + 1) | if known.is_some() { NOTED } else { 0 } },
            None if known.is_none() => self.numbers.note(kind),
            None => {}
        }
        kind
    }

    fn new_kind(&mut self, key: u64, row: usize) -> u32 {
        let Kinds { columns, parts_of, hashes, .. } = self;
        hashes.extend(columns.iter().take(parts_of.len()).map(|column| column.hash(row)));
        self.rows.push(row as u32);
        self.parts.push(0);
        self.numbers.new_number(key)
    }

    /// Whether a row of a kind has no value in the column at a place.
    pub(crate) fn is_missing(&self, place: usize, row: usize, kind: u32) -> bool {
        let known = self.parts_of.len();
        if place < known {
            return self.hashes.get(kind as usize * known + place) == Some(&self.missing);
        }
        self.columns.get(place).is_none_or(|column| column.seen(row) == Seen::Missing)
    }

    /// One number of what a row of a kind has in the columns at some places.
    pub(crate) fn mix(&self, places: &[usize], row: usize, kind: u32) -> u64 {
        let known = self.parts_of.len();
        let first = kind as usize * known;
        let number = |place: &usize| match self.columns.get(*place) {
            Some(_) if *place < known => self.hashes.get(first + place).copied().unwrap_or(0),
            Some(column) => column.hash(row),
            None => 0,
        };
        hash::mix(self.keys, places.iter().map(number))
    }

    /// The number of the part that the rows of a kind belong to, which is known from then on; never 0.
    pub(crate) fn part(&mut self, known: &mut Parts, kind: u32) -> u64 {
        match self.parts.get(kind as usize) {
            None | Some(0) => self.new_part(known, kind),
            Some(part) => *part,
        }
    }

    #[cold]
    fn new_part(&mut self, known: &mut Parts, kind: u32) -> u64 {
        let row = self.rows.get(kind as usize).map_or(0, |row| *row as usize);
        let number = self.mix(self.parts_of, row, kind);
        known.know(number, || {
            let mut part = Part::default();
            for (word, place) in part.iter_mut().zip(self.parts_of) {
                *word = self.column(*place).and_then(|column| column.seen(row).text());
            }
            part
        });
        if let Some(part) = self.parts.get_mut(kind as usize) {
            *part = number;
        }
        number
    }

    /// The column at a place.
    pub(crate) fn column(&self, place: usize) -> Option<&Column<'f, 'a>> {
        self.columns.get(place)
    }

    /// What a row has in the columns at some places, to keep.
    pub(crate) fn keep(&self, places: &[usize], row: usize) -> Box<[Value]> {
        let column = |place: &usize| self.column(*place).map_or(Value::Missing, |column| column.keep(row));
        places.iter().map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_key_once_it_is_noted() {
        let mut numbers = Numbering::new([3, 5], 40);
        for number in 0..5000 {
            assert_eq!(numbers.new_number(u64::from(number) * 1024), number);
            if number % 3 == 0 {
                numbers.note(number);
            }
        }
        for number in 0..5000 {
            assert_eq!(numbers.find(u64::from(number) * 1024), (number % 3 == 0).then_some(number));
        }
    }
}
