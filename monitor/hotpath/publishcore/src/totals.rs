//! Sums for people over a whole run: who sent how much to whom, and how that is known.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use judgecore::column::Column;
use judgecore::frame::Frame;
use judgecore::hash::{self, Keys};
use judgecore::row_batch::RowBatch;
use judgecore::slots::Slots;
use judgecore::value::Seen;

use crate::columns::{numbers, Index, Known, NONE};
use crate::marks::{rows, Marks};
use crate::texts::Texts;
use crate::{chance, text};

/// What rows are told apart by. `name` is the one that the client asked for, or else the one it claims.
pub const KEYS: [&str; 6] = ["workload", "provider", "as_name", "country", "evidence", "name"];
/// What is summed.
pub const SUMS: [&str; 4] = ["payload_out", "bytes_out", "bytes_in", "connections"];

/// The column that a row has its name in where it was not asked for.
const CLAIMED: &str = "name";

/// Rows whose places are looked for at once.
const AHEAD: usize = 64;

/// What a row is told apart by.
#[derive(Clone, Copy, PartialEq)]
struct Key {
    /// The keyed number of the workload's text. Most rows have a workload of their own.
    workload: NonZeroU64,
    /// What was decided ([`Decided`]), by its number.
    decided: u32,
    /// The name, by its number.
    name: u32,
}

/// Of no workload.
const NOBODY: NonZeroU64 = NonZeroU64::MIN;

/// Provider, name of the network, country and evidence by their numbers.
type Decided = [u32; 4];
/// Texts of a row that are numbered: what was decided, and the name.
const TOLD: usize = 5;

/// What is known of the numbers of a batch's workloads, cases, names and answers.
type Room = (Known<NonZeroU64>, [Known<u32>; 3]);

/// Adds up attributed flows; memory does not grow with the traffic.
pub struct Totals {
    keys: Keys,
    most: usize,
    /// Rows from which on the lighter ones give way.
    full: usize,
    table: Table,
    /// Room for what is known of a batch's numbers.
    known: Room,
    /// Nanoseconds since 1970 of the first and the last packet.
    pub span: Option<(i64, i64)>,
}

impl Totals {
    /// Keep at most `most` rows (some 80 bytes each, and their texts); past it the lighter ones lose their name,
    /// and the lightest their workload too.
    pub fn new(most: usize) -> Totals {
        Totals { keys: chance(), most, full: most, table: Table::default(), known: Default::default(), span: None }
    }

    /// Add the rows of one batch: those of egress, but all to the span.
    pub fn add(&mut self, flows: &RowBatch, marks: &Marks) {
        let frame = Frame::new(flows, self.keys);
        if let Some((first, last)) = marks.span {
            let (from, to) = self.span.unwrap_or((first, last));
            self.span = Some((from.min(first), to.max(last)));
        }
        let flows = flows.own();
        let sums = ["payload_out", "bytes_out", "bytes_in"].map(|name| numbers::<UInt64Type>(flows, name));
        let of_row = |row: usize| {
            let [payload, sent, received] = [&sums[0], &sums[1], &sums[2]].map(|sum| at(sum, row));
            [payload, sent, received, u64::from(marks.is_first(row))]
        };
        let mut rows = rows(&marks.adding);
        let mut batch = Batch::new(&frame, flows, self.keys, std::mem::take(&mut self.known));
        let mut found: Vec<Found> = Vec::with_capacity(AHEAD);
        loop {
            // the table is larger than the caches: look-ups that follow each other closely wait together
            found.clear();
            found.extend(rows.by_ref().take(AHEAD).map(|row| {
                let key = batch.key(&mut self.table, row);
                Found { row, key, number: number(self.keys, key), place: None, sums: of_row(row) }
            }));
            if found.is_empty() {
                break;
            }
            for one in &mut found {
                one.place = self.table.find(one.key, one.number);
            }
            for one in &found {
                match one.place {
                    Some(place) => self.table.add(place, one.sums),
                    None => self.table.put(one.key, one.number, one.sums, || text(&batch.workload.seen(one.row))),
                }
            }
            if self.table.rows.len() > self.full {
                self.table.fold(self.keys, self.most);
                batch.forget();
                // there may be more providers and networks than that: then giving way must stay rare all the same
                self.full = self.most.max(2 * self.table.rows.len());
            }
        }
        self.known = batch.into_known();
    }

    /// The columns [`KEYS`] (text) and [`SUMS`] (whole numbers), in the order of their first rows.
    pub fn rows(&self) -> Vec<(&'static str, ArrayRef)> {
        let table = &self.table;
        let workloads = (0..table.rows.len()).map(|place| table.workload(place));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter(workloads))];
        for part in 0..TOLD {
            let told = table.rows.iter().map(|row| table.told(row.key).get(part).and_then(|one| table.texts.get(*one)));
            columns.push(Arc::new(StringArray::from_iter(told)));
        }
        for part in 0..SUMS.len() {
            let sums = table.rows.iter().map(|row| row.sums.get(part).copied().unwrap_or(0));
            columns.push(Arc::new(UInt64Array::from_iter_values(sums)));
        }
        KEYS.into_iter().chain(SUMS).zip(columns).collect()
    }
}

/// All rows.
#[derive(Default)]
struct Table {
    /// Of what was decided, and of names.
    texts: Texts,
    decisions: Decisions,
    /// By the numbers of keys: their rows.
    places: Slots,
    rows: Vec<Row>,
    /// The workloads of the rows, one behind the other, and where each begins.
    workloads: Vec<u8>,
    begins: Vec<usize>,
}

/// What was decided, numbered.
#[derive(Default)]
struct Decisions {
    all: Vec<Decided>,
    numbers: HashMap<Decided, u32>,
}

impl Decisions {
    fn number(&mut self, decided: Decided) -> u32 {
        *self.numbers.entry(decided).or_insert_with(|| {
            self.all.push(decided);
            self.all.len() as u32 - 1
        })
    }

    fn get(&self, number: u32) -> Decided {
        self.all.get(number as usize).copied().unwrap_or_default()
    }
}

/// What a row of a batch adds to which row.
struct Found {
    row: usize,
    key: Key,
    number: u64,
    place: Option<u32>,
    sums: [u64; SUMS.len()],
}

#[derive(Clone, Copy)]
struct Row {
    key: Key,
    sums: [u64; SUMS.len()],
}

impl Table {
    fn find(&self, key: Key, number: u64) -> Option<u32> {
        self.places.find(number, |place| self.rows.get(place as usize).is_some_and(|row| row.key == key))
    }

    /// Add to the row of a key, to a new one where there is none.
    fn put<'a>(&mut self, key: Key, number: u64, sums: [u64; SUMS.len()], workload: impl FnOnce() -> Option<&'a str>) {
        if let Some(place) = self.find(key, number) {
            return self.add(place, sums);
        }
        self.places.insert(number, self.rows.len() as u32);
        self.rows.push(Row { key, sums });
        self.begins.push(self.workloads.len());
        self.workloads.extend_from_slice(workload().unwrap_or_default().as_bytes());
    }

    fn add(&mut self, place: u32, values: [u64; SUMS.len()]) {
        let Some(Row { sums, .. }) = self.rows.get_mut(place as usize) else { return };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
    }

    /// The workload of a row.
    fn workload(&self, place: usize) -> Option<&str> {
        self.rows.get(place).filter(|row| row.key.workload != NOBODY)?;
        self.workloads.get(self.workload_at(place)).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Where the workload of a row stands.
    fn workload_at(&self, place: usize) -> Range<usize> {
        let all = self.workloads.len();
        let [begin, end] = [place, place + 1].map(|place| self.begins.get(place).copied().unwrap_or(all));
        begin..end
    }

    /// The numbers of a row's other texts, in the order of [`KEYS`].
    fn told(&self, key: Key) -> [u32; TOLD] {
        let [provider, as_name, country, evidence] = self.decisions.get(key.decided);
        [provider, as_name, country, evidence, key.name]
    }

    /// Take the name from all but the heaviest quarter of `most`, and the workload too from all but the heavier half; the
    /// sums of their providers stay. Texts that no row has any more are gone.
    fn fold(&mut self, hashed_by: Keys, most: usize) {
        let payloads: Vec<u64> = self.rows.iter().map(|row| row.sums[0]).collect();
        let mut left = vec![2_u8; payloads.len()];
        for (most, what) in [(most / 2, 1), (most / 4, 0)] {
            let received = |place: usize| self.rows.get(place).map_or(0, |row| row.sums[2]);
            heaviest(&payloads, received, most, |place| left[place] = what);
        }
        let (before, decided_before) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.decisions));
        // new numbers by the old ones
        let (mut texts, mut decisions): (Known<u32>, Known<u32>) = Default::default();
        self.places.clear();
        // in its place, since what is filled again costs no page faults
        let (mut kept, mut end) = (0, 0);
        let mut lot: Vec<(Row, u64)> = Vec::with_capacity(AHEAD);
        for (lots, left) in left.chunks(AHEAD).enumerate() {
            let from = lots * AHEAD;
            lot.clear();
            for (row, left) in self.rows.get(from..).unwrap_or_default().iter().zip(left) {
                let Row { mut key, sums } = *row;
                if *left > 0 {
                    key.name = 0;
                }
                if *left > 1 {
                    key.workload = NOBODY;
                }
                let mut text = |number| texts.get(number, || self.texts.take_over(&before, number));
                let decided = || self.decisions.number(decided_before.get(key.decided).map(&mut text));
                key.decided = decisions.get(key.decided, decided);
                key.name = text(key.name);
                let number = number(hashed_by, key);
                self.places.look_ahead(number);
                lot.push((Row { key, sums }, number));
            }
            for (place, (row, number)) in (from..).zip(lot.drain(..)) {
                if let Some(place) = self.find(row.key, number) {
                    self.add(place, row.sums);
                    continue;
                }
                self.places.insert(number, kept as u32);
                let workload = if row.key.workload == NOBODY { 0..0 } else { self.workload_at(place) };
                let length = workload.len();
                self.workloads.copy_within(workload, end);
                if let (Some(before), Some(begin)) = (self.rows.get_mut(kept), self.begins.get_mut(kept)) {
                    (*before, *begin) = (row, end);
                }
                (kept, end) = (kept + 1, end + length);
            }
        }
        self.rows.truncate(kept);
        self.begins.truncate(kept);
        self.workloads.truncate(end);
    }
}

/// The keys of a batch's rows.
struct Batch<'f, 'a> {
    /// What the column of workloads has as a number where there is none.
    nobody: u64,
    workload: Column<'f, 'a>,
    decided: [Column<'f, 'a>; 4],
    asked: Column<'f, 'a>,
    claimed: Column<'f, 'a>,
    /// By which rows have workloads, cases, names and answers, and what is known of their numbers.
    indexes: [Option<Index<'a>>; 4],
    workloads: Known<NonZeroU64>,
    cases: Known<u32>,
    names: Known<u32>,
    answers: Known<u32>,
}

impl<'f, 'a> Batch<'f, 'a> {
    fn new(frame: &'f Frame<'a>, flows: &'a RecordBatch, keys: Keys, known: Room) -> Batch<'f, 'a> {
        let (mut workloads, [mut cases, mut names, mut answers]) = known;
        workloads.clear();
        [&mut cases, &mut names, &mut answers].into_iter().for_each(Known::clear);
        Batch {
            nobody: Seen::Missing.hash(keys),
            workload: frame.column("workload"),
            decided: ["provider", "as_name", "country", "evidence"].map(|name| frame.column(name)),
            asked: frame.column("dns_name"),
            claimed: frame.column(CLAIMED),
            indexes: ["local_id", "case_id", "name_id", "answer_id"].map(|name| Index::new(flows, name)),
            workloads,
            cases,
            names,
            answers,
        }
    }

    fn key(&mut self, table: &mut Table, row: usize) -> Key {
        let [local_id, case_id, name_id, answer_id] =
            self.indexes.map(|index| index.map_or(NONE, |index| index.of(row)));
        let Batch { nobody, workload, decided, asked, claimed, workloads, cases, names, answers, .. } = self;
        let Table { texts, .. } = table;
        let mut number = |column: &Column<'_, '_>| number_in(texts, column, row);
        let name = match answers.of(answer_id, || number(asked)) {
            // of rows by number, those without one have no name
            0 if name_id == NONE && local_id != NONE => 0,
            0 => names.of(name_id, || number(claimed)),
            name => name,
        };
        let nobody = *nobody;
        let hash = || match workload.hash(row) {
            hash if hash == nobody => NOBODY,
            hash => NonZeroU64::new(hash.max(2)).unwrap_or(NOBODY),
        };
        let workload = workloads.of(local_id, hash);
        let decided = cases.of(case_id, || {
            let decided = decided.each_ref().map(|column| number_in(&mut table.texts, column, row));
            table.decisions.number(decided)
        });
        Key { workload, decided, name }
    }

    /// Give back what is known of numbers, for its room.
    fn into_known(self) -> Room {
        (self.workloads, [self.cases, self.names, self.answers])
    }

    /// Forget the numbers of texts: there are others now.
    fn forget(&mut self) {
        for known in [&mut self.cases, &mut self.names, &mut self.answers] {
            known.clear();
        }
    }
}

/// The number of the text of a row. Most rows have none, and need no look-up.
fn number_in(texts: &mut Texts, column: &Column<'_, '_>, row: usize) -> u32 {
    let seen = text(&column.seen(row));
    seen.map_or(0, |text| texts.number(column.hash(row), || Some(text)))
}

fn number(keys: Keys, key: Key) -> u64 {
    hash::mix(keys, [key.workload.get(), u64::from(key.decided) << 32 | u64::from(key.name)].into_iter())
}

fn at(numbers: &[u64], row: usize) -> u64 {
    numbers.get(row).copied().unwrap_or_default()
}

/// The places of the largest numbers, of equal ones those where `then` is largest, and then the last.
fn heaviest(numbers: &[u64], then: impl Fn(usize) -> u64, most: usize, mut tell: impl FnMut(usize)) {
    let mut sorted = numbers.to_vec();
    // the least of the heaviest, which more may have than there is room for
    let least = match lightest(&mut sorted, most).len() {
        0 => None,
        count => Some(sorted.get(count).copied().unwrap_or(u64::MAX)),
    };
    let mut same: Vec<(u64, usize)> = Vec::new();
    let mut count = 0;
    for (place, number) in numbers.iter().enumerate() {
        if least.is_none_or(|least| *number > least) {
            tell(place);
            count += 1;
        } else if least == Some(*number) {
            same.push((then(place), place));
        }
    }
    let light = lightest(&mut same, most.saturating_sub(count)).len();
    same.iter().skip(light).for_each(|(_, place)| tell(*place));
}

/// All but the `most` heaviest, which are put behind them.
pub(crate) fn lightest<T: Ord>(all: &mut [T], most: usize) -> &mut [T] {
    let count = all.len().saturating_sub(most);
    if count > 0 && count < all.len() {
        all.select_nth_unstable(count);
    }
    all.get_mut(..count).unwrap_or_default()
}
