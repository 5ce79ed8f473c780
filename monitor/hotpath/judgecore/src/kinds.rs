//! Kinds of rows: of one kind are the rows of a batch that agree in who sends and in all that was decided about where to.
//!
//! A batch has several rows of a kind in each of several ticks. So what stands for a value, the part of a row and, for
//! most rules, its group are found once for a kind.

use crate::column::Column;
use crate::frame::{self, Frame};
use crate::hash::{self, Keys};
use crate::lanes::Lanes;
use crate::parts::Parts;
use crate::reuse;
use crate::slots::Slots;
use crate::spec::Record;
use crate::told::{AllTold, Says, Told, KEPT};
use crate::value::{Seen, Value};

/// The numbers that tell kinds apart, where a batch has them.
const INDEXES: [[&str; 2]; 2] = [["local_id", "case_id"], ["client_id", "question_id"]];

fn indexes(record: Record) -> [&'static str; 2] {
    INDEXES[usize::from(record == Record::Dns)]
}

/// Whether rows of one kind have one value in a column.
pub(crate) fn is_common(record: Record, field: &str) -> bool {
    indexes(record).iter().any(|index| frame::numbered_by(index).contains(&field))
}

/// What is known of a kind, in one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Kind {
    /// What tells it apart.
    key: u64,
    /// The numbers of its values in the first columns.
    hashes: [u64; KEPT],
    /// The number of its part.
    part: u64,
    /// The first kind of that part, once it is known; else [`NO_KIND`].
    first: u32,
    /// Its first row.
    row: u32,
    /// The next kind of the same first number, in a ring.
    next: u32,
}

/// The memory that kinds are kept in, which serves one batch after the other.
#[derive(Default)]
pub(crate) struct Memory {
    all: Vec<Kind>,
    /// Of how many the part was looked for ahead.
    ahead: usize,
    /// By key, where a first number has more kinds than a ring.
    slots: Slots,
    newest: Vec<Newest>,
    told: AllTold,
}

impl Memory {
    fn clear(&mut self) {
        reuse::clear(&mut self.all);
        self.slots.clear();
        reuse::clear(&mut self.newest);
        self.told.clear();
        self.ahead = 0;
    }
}

/// The kind of the newest row of a first number.
#[derive(Clone, Copy, Default)]
struct Newest {
    /// The second number.
    other: u32,
    /// One more, and [`NOTED`] where the kinds of the first number are found by their keys; 0: there was none.
    kind: u32,
}

/// What a kind is made of: its key, a row, and another kind of the same first number.
#[derive(Clone, Copy)]
struct New {
    key: u64,
    row: usize,
    of: Option<u32>,
}

const NOTED: u32 = 1 << 31;
const NO_KIND: u32 = u32::MAX;
/// Kinds of a first number that are looked through. Most have one or two, each in a line that is needed anyway.
const RING: usize = 4;

/// The kinds of rows of a batch.
pub struct Kinds<'l, 'f, 'a> {
    /// Of all fields that groups and parts are made of: first the parts' own, then others that rows of a kind agree in.
    columns: Vec<Column<'f, 'a>>,
    common: usize,
    /// Of how many of them the number of a kind's value is kept.
    kept: usize,
    /// The places of the parts' fields: the first.
    parts_of: &'l [usize],
    /// What the second number says.
    says: Says<'l>,
    /// The columns of numbers that tell kinds apart; without them the values do.
    by: Option<[&'a [u32]; 2]>,
    keys: Keys,
    /// The number of the missing value.
    missing: u64,
    /// More than there can be of the first number, since it is dense.
    most: usize,
    /// The number of the batch.
    batch: u32,
    memory: Memory,
}

impl<'l, 'f, 'a> Kinds<'l, 'f, 'a> {
    /// Those of a batch, none met yet; `batch` is its number (see [`Parts`]).
    pub(crate) fn new(
        frame: &'f Frame<'a>,
        lanes: &'l Lanes,
        record: Record,
        keys: Keys,
        batch: u32,
        mut memory: Memory,
    ) -> Kinds<'l, 'f, 'a> {
        let by = match indexes(record).map(|index| frame.index(index)) {
            [Some(one), Some(other)] => Some([one, other]),
            _ => None,
        };
        memory.clear();
        Kinds {
            says: Says::new(&lanes.fields, &lanes.parts, frame::numbered_by(indexes(record)[1])),
            columns: lanes.fields.iter().map(|field| frame.column(field)).collect(),
            common: lanes.common,
            kept: lanes.common.min(KEPT),
            parts_of: &lanes.parts,
            by,
            keys,
            missing: Seen::Missing.hash(keys),
            most: frame.rows,
            batch,
            memory,
        }
    }

    /// Give the memory back.
    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// How many were met.
    pub(crate) fn len(&self) -> usize {
        self.memory.all.len()
    }

    /// The kind of a row.
    pub(crate) fn of_row(&mut self, row: usize) -> u32 {
        let Some([one, other]) = self.by else {
            let values = self.columns.iter().take(self.common);
            let key = hash::mix(self.keys, values.map(|column| column.hash(row)));
            return self.noted(New { key, row, of: None });
        };
        let number = |all: &[u32]| all.get(row).copied().unwrap_or(0);
        let (one, other) = (number(one), number(other));
        match self.memory.newest.get(one as usize) {
            Some(newest) if newest.kind != 0 && newest.other == other => (newest.kind & !NOTED) - 1,
            _ => self.other_kind(one, other, row),
        }
    }

    /// The kind of a row whose first number had another kind, or none, before.
    fn other_kind(&mut self, one: u32, other: u32, row: usize) -> u32 {
        let newest = &mut self.memory.newest;
        if newest.len() <= one as usize {
            // numbers are dense, so there are no more of them than rows
            newest.resize((one as usize + 1).min(self.most), Newest::default());
        }
        let before = newest.get(one as usize).map_or(NOTED, |newest| newest.kind);
        let new = New { key: u64::from(one) << 32 | u64::from(other), row, of: (before & !NOTED).checked_sub(1) };
        let (kind, noted) = match before {
            0 => (self.new_kind(new), 0),
            kind @ 1..NOTED => self.around(kind - 1, new),
            _ => (self.noted(new), NOTED),
        };
        if let Some(newest) = self.memory.newest.get_mut(one as usize) {
            *newest = Newest { other, kind: (kind + 1) | noted };
        }
        kind
    }

    /// The kind of a key, which may be in the ring of another kind; and [`NOTED`] where the ring is full and is one no more.
    fn around(&mut self, start: u32, new: New) -> (u32, u32) {
        let mut ring = [start; RING];
        let mut last = start;
        for (place, at) in ring.iter_mut().enumerate() {
            *at = last;
            let next = self.memory.all.get(last as usize).map_or(start, |kind| kind.next);
            if next != start {
                if self.memory.all.get(next as usize).is_some_and(|kind| kind.key == new.key) {
                    return (next, 0);
                }
                last = next;
            } else if place + 1 < RING {
                let kind = self.new_kind(new);
                for (from, to) in [(last, kind), (kind, start)] {
                    if let Some(from) = self.memory.all.get_mut(from as usize) {
                        from.next = to;
                    }
                }
                return (kind, 0);
            }
        }
        ring.into_iter().for_each(|kind| self.note(kind));
        (self.noted(new), NOTED)
    }

    /// The kind of a key that is found by it.
    fn noted(&mut self, new: New) -> u32 {
        self.find(new.key).unwrap_or_else(|| {
            let kind = self.new_kind(new);
            self.note(kind);
            kind
        })
    }

    /// The kind of a key, once it was noted.
    fn find(&self, key: u64) -> Option<u32> {
        let Memory { all, slots, .. } = &self.memory;
        slots.find(self.slot(key), |kind| all.get(kind as usize).is_some_and(|kind| kind.key == key))
    }

    /// Find a kind by its key from now on; it must not have been noted before.
    fn note(&mut self, kind: u32) {
        let key = self.memory.all.get(kind as usize).map_or(0, |kind| kind.key);
        let slot = self.slot(key);
        self.memory.slots.insert(slot, kind);
    }

    fn slot(&self, key: u64) -> u64 {
        hash::pair(self.keys, key, 0)
    }

    fn new_kind(&mut self, New { key, row, of }: New) -> u32 {
        let next = self.memory.all.len() as u32; // a ring of itself
        let mut kind = Kind { key, row: row as u32, next, first: NO_KIND, ..Kind::default() };
        let told = self.told(key, row).map(|told| told.hashes);
        let sender = of.and_then(|of| self.memory.all.get(of as usize)).map(|kind| &kind.hashes);
        for (place, number) in kind.hashes.iter_mut().enumerate().take(self.kept) {
            let of = if self.says.has(place) { told.as_ref() } else { sender };
            *number = match of.and_then(|numbers| numbers.get(place)) {
                Some(number) => *number,
                None => self.columns.get(place).map_or(0, |column| column.hash(row)),
            };
        }
        self.memory.all.push(kind);
        let part = self.mix(self.parts_of, row, next);
        if let Some(kind) = self.memory.all.last_mut() {
            kind.part = part;
        }
        next
    }

    /// What the second number of a key says; `None` where values are keys.
    fn told(&mut self, key: u64, row: usize) -> Option<Told> {
        self.by?;
        self.memory.told.get(key as u32, &self.says, &self.columns, row, self.most)
    }

    /// Load where the parts of kinds are that came since this was last called: they wait for memory together.
    pub(crate) fn look_ahead(&mut self, known: &Parts) {
        let Memory { all, ahead, .. } = &mut self.memory;
        all.iter().skip(*ahead).for_each(|kind| known.look_ahead(kind.part));
        *ahead = all.len();
    }

    /// Whether a row of a kind has no value in the column at a place.
    pub(crate) fn is_missing(&self, place: usize, row: usize, kind: u32) -> bool {
        if place < self.kept {
            let kind = self.memory.all.get(kind as usize);
            return kind.and_then(|kind| kind.hashes.get(place)) == Some(&self.missing);
        }
        self.columns.get(place).is_none_or(|column| column.seen(row) == Seen::Missing)
    }

    /// Whether the numbers of a kind's values at all of these places are kept.
    pub(crate) fn has_kept(&self, places: &[usize]) -> bool {
        places.iter().all(|place| *place < self.kept)
    }

    /// One number of what the rows of a kind have in the columns at some places, where the numbers of all these are kept.
    #[inline]
    pub(crate) fn mix_kept(&self, places: &[usize], kind: u32) -> u64 {
        let kept = self.memory.all.get(kind as usize).map_or(&[0; KEPT], |kind| &kind.hashes);
        let number = |place: usize| kept.get(place).copied().unwrap_or(0);
        match *places {
            [one] => hash::mix_few(self.keys, number(one), None),
            [one, two] => hash::mix_few(self.keys, number(one), Some(number(two))),
            _ => hash::mix(self.keys, places.iter().map(|place| number(*place))),
        }
    }

    /// One number of what a row of a kind has in the columns at some places.
    pub(crate) fn mix(&self, places: &[usize], row: usize, kind: u32) -> u64 {
        let kept = self.memory.all.get(kind as usize).map_or(&[0; KEPT], |kind| &kind.hashes);
        let number = |place: &usize| match kept.get(*place) {
            Some(number) if *place < self.kept => *number,
            _ => self.columns.get(*place).map_or(0, |column| column.hash(row)),
        };
        hash::mix(self.keys, places.iter().map(number))
    }

    /// The number of the part that the rows of a kind belong to, which is never 0, and the first kind of that part: both
    /// are known from then on.
    pub(crate) fn part(&mut self, known: &mut Parts, kind: u32) -> (u64, u32) {
        match self.memory.all.get(kind as usize) {
            None | Some(Kind { first: NO_KIND, .. }) => self.new_part(known, kind),
            Some(Kind { part, first, .. }) => (*part, *first),
        }
    }

    #[cold]
    fn new_part(&mut self, known: &mut Parts, kind: u32) -> (u64, u32) {
        let Kind { key, part: number, row, .. } = self.memory.all.get(kind as usize).copied().unwrap_or_default();
        let row = row as usize;
        let told = self.told(key, row);
        let first = known.first_kind(number, (self.batch, kind), |words| {
            self.says.write_rest(told.is_none(), &self.columns, row, words);
            words.extend_from_slice(told.map_or(&[], |told| self.memory.told.words(&told)));
        });
        if let Some(kind) = self.memory.all.get_mut(kind as usize) {
            kind.first = first;
        }
        (number, first)
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
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringViewArray, UInt32Array};

    use super::*;
    use crate::row_batch::RowBatch;

    /// One kind for each pair of numbers, the same wherever it comes again: of senders with one, with a ring and with more.
    #[test]
    fn rows_of_one_pair_are_of_one_kind() {
        let pairs: Vec<(u32, u32)> = (0..4000_u32)
            .map(|row| {
                let sender = row * 7919 % 13;
                (sender, (row / 13 * 31 + row % 3) % (sender + 1))
            })
            .collect();
        let column = |values: Vec<u32>| -> ArrayRef { Arc::new(UInt32Array::from(values)) };
        let batch = RecordBatch::try_from_iter([
            ("local_id", column(pairs.iter().map(|(one, _)| *one).collect())),
            ("case_id", column(pairs.iter().map(|(_, other)| *other).collect())),
        ]);
        let Ok(batch) = batch else { return assert_eq!("a batch", "") };
        let rows = RowBatch::from(batch);
        let (frame, lanes) = (Frame::new(&rows, [3, 4]), Lanes::of(&[], Record::Flows));
        let mut kinds = Kinds::new(&frame, &lanes, Record::Flows, [3, 4], 1, Memory::default());
        let mut known = HashMap::new();
        for (row, pair) in pairs.iter().enumerate() {
            let (kind, before) = (kinds.of_row(row), known.len() as u32);
            assert_eq!(*known.entry(pair).or_insert(before), kind, "row {row}");
        }
        assert_eq!(known.len(), (1..=13).sum::<usize>());
    }

    /// Whether numbers tell kinds apart or their values do, rows are of the same parts and groups.
    #[test]
    fn parts_and_groups_are_the_same_without_numbers() {
        let rows: Vec<u32> = (0..3000).map(|row| row * 7919 % 1009).collect();
        let (sender, case) = (|row: &u32| row % 40, |row: &u32| row / 40 % 9);
        let text = |of: &dyn Fn(&u32) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringViewArray>())
        };
        let word = |kind: &'static str, some: u32| {
            move |row: &u32| (case(row) % some != 0).then(|| format!("{kind} of some length {}", case(row) % some))
        };
        let columns = vec![
            ("workload", text(&|row| Some(format!("10.0.0.{}", sender(row) / 2)))),
            ("provider", text(&word("provider", 4))),
            ("country", text(&word("country", 3))),
            ("evidence", text(&word("evidence", 2))),
        ];
        let numbers = |of: &dyn Fn(&u32) -> u32| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<UInt32Array>()) };
        let ids = vec![("local_id", numbers(&sender)), ("case_id", numbers(&case))];
        let batch = |columns: Vec<(&str, ArrayRef)>| {
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        };
        let (Ok(with), Ok(without)) = (batch([columns.clone(), ids].concat()), batch(columns)) else {
            return assert_eq!("batches", "");
        };
        let lanes = Lanes::of(&[], Record::Flows);
        let of = |batch: RecordBatch| {
            let rows = RowBatch::from(batch);
            let frame = Frame::new(&rows, [3, 4]);
            let mut kinds = Kinds::new(&frame, &lanes, Record::Flows, [3, 4], 1, Memory::default());
            let mut parts = Parts::default();
            let part = |row| {
                let kind = kinds.of_row(row);
                let (number, _) = kinds.part(&mut parts, kind);
                let groups = [vec![0], vec![0, 1], vec![3, 0, 2]].map(|places| kinds.mix_kept(&places, kind));
                (number, parts.get(number).map(|part| part.map(|word| word.map(str::to_owned))), groups)
            };
            (0..frame.rows).map(part).collect::<Vec<_>>()
        };
        let (with, without) = (of(with), of(without));
        assert_eq!(with.len(), rows.len());
        assert_eq!(with, without);
        let words = [Some("10.0.0.3".to_owned()), Some("provider of some length 1".to_owned()), None, None];
        assert!(rows
            .iter()
            .zip(&with)
            .any(|(_, (_, part, _))| part.as_ref().is_some_and(|part| part[..2] == words[..2])));
    }
}
