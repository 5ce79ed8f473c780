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

/// Numbers from 0 for keys, in the order in which they come.
struct Numbering {
    secret: Keys,
    keys: Vec<u64>,
    /// Numbers by key, one more; 0: free.
    slots: Vec<u32>,
}

impl Numbering {
    fn new(secret: Keys, rows: usize) -> Numbering {
        Numbering { secret, keys: Vec::new(), slots: vec![0; rows.next_power_of_two().clamp(16, MANY)] }
    }

    /// The number of a key, and whether it is new.
    fn number(&mut self, key: u64) -> (u32, bool) {
        let mut slot = self.slot(key);
        while let Some(number @ 1..) = self.slots.get(slot) {
            if self.keys.get(*number as usize - 1) == Some(&key) {
                return (number - 1, false);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.keys.push(key);
        let number = self.keys.len() as u32;
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        } else if let Some(free) = self.slots.get_mut(slot) {
            *free = number;
        }
        (number - 1, true)
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 4];
        for (number, key) in (1..).zip(&self.keys) {
            let mut slot = self.slot(*key);
            while self.slots.get(slot).is_some_and(|number| *number != 0) {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = number;
            }
        }
    }

    fn slot(&self, key: u64) -> usize {
        hash::pair(self.secret, key, 0) as usize & (self.slots.len() - 1)
    }
}

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
    /// By the first of the two numbers: the second, and the kind of the newest row, one more.
    newest: Vec<(u32, u32)>,
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
        let by = indexes(record).map(|index| frame.index(index));
        Kinds {
            columns: lanes.fields.iter().map(|field| frame.column(field)).collect(),
            common: lanes.common,
            parts_of: &lanes.parts,
            by: match by {
                [Some(one), Some(other)] => Some([one, other]),
                _ => None,
            },
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
            return self.of_key(hash::mix(self.keys, values.map(|column| column.hash(row))), row);
        };
        let number = |all: &[u32]| all.get(row).copied().unwrap_or(0);
        let (one, other) = (number(one), number(other));
        match self.newest.get(one as usize) {
            Some((known, kind @ 1..)) if *known == other => kind - 1,
            _ => {
                let kind = self.of_key(u64::from(one) << 32 | u64::from(other), row);
                if self.newest.len() <= one as usize && (one as usize) < self.most {
                    self.newest.resize(one as usize + 1, (0, 0));
                }
                if let Some(newest) = self.newest.get_mut(one as usize) {
                    *newest = (other, kind + 1);
                }
                kind
            }
        }
    }

    fn of_key(&mut self, key: u64, row: usize) -> u32 {
        let (kind, is_new) = self.numbers.number(key);
        if is_new {
            let Kinds { columns, parts_of, hashes, .. } = self;
            hashes.extend(columns.iter().take(parts_of.len()).map(|column| column.hash(row)));
            self.rows.push(row as u32);
            self.parts.push(0);
        }
        kind
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
    fn equal_keys_have_one_number_and_others_have_others() {
        let mut numbers = Numbering::new([3, 5], 40);
        for number in 0..5000 {
            assert_eq!(numbers.number(u64::from(number) * 1024), (number, true));
        }
        for number in (0..5000).rev() {
            assert_eq!(numbers.number(u64::from(number) * 1024), (number, false));
        }
    }
}
