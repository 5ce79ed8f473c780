//! Sums for people over a whole run: who sent how much to whom, and how that is known.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::{TimestampNanosecondType, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use judgecore::column::Column;
use judgecore::frame::Frame;
use judgecore::hash::{self, Keys};
use judgecore::row_batch::RowBatch;
use judgecore::slots::Slots;

use crate::columns::{numbers, ByIndex, Closed, Known};
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

/// What a row is told apart by, each part by its number: the workload, what was decided ([`Decided`]), the name.
type Key = [u32; 3];
/// Places in a [`Key`].
const WORKLOAD: usize = 0;
const NAME: usize = 2;

/// Provider, name of the network, country and evidence by their numbers.
type Decided = [u32; 4];

/// Adds up attributed flows; memory does not grow with the traffic.
pub struct Totals {
    keys: Keys,
    most: usize,
    /// Rows from which on the lighter ones give way.
    full: usize,
    table: Table,
    /// Room for what is known of a batch's numbers.
    known: [Known<u32>; 4],
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
    pub fn add(&mut self, flows: &RowBatch) {
        let frame = Frame::new(flows, self.keys);
        let flows = flows.own();
        let [first_seen, last_seen, started] =
            ["first_seen", "last_seen", "started"].map(|name| numbers::<TimestampNanosecondType>(flows, name));
        if let (Some(first), Some(last)) = (first_seen.iter().min(), last_seen.iter().max()) {
            let (from, to) = self.span.unwrap_or((*first, *last));
            self.span = Some((from.min(*first), to.max(*last)));
        }
        let sums = ["payload_out", "bytes_out", "bytes_in"].map(|name| numbers::<UInt64Type>(flows, name));
        let of_row = |row: usize| {
            let [payload, sent, received] = [&sums[0], &sums[1], &sums[2]].map(|sum| at(sum, row));
            // a connection is counted in its first row, the one that holds its first packet
            [payload, sent, received, u64::from(first_seen.get(row) == started.get(row))]
        };
        let scope = Closed::new(flows, "scope");
        // a third of the rows may only say that a flow ended
        let mut rows = scope.rows("egress").map(|row| (row, of_row(row))).filter(|(_, sums)| *sums != [0; SUMS.len()]);
        let mut batch = Batch::new(&frame, flows, std::mem::take(&mut self.known));
        let mut found: Vec<Found> = Vec::with_capacity(AHEAD);
        loop {
            // the table is larger than the caches: look-ups that follow each other closely wait together
            found.clear();
            found.extend(rows.by_ref().take(AHEAD).map(|(row, sums)| {
                let key = batch.key(&mut self.table, row);
                Found { key, number: number(self.keys, key), place: None, sums }
            }));
            if found.is_empty() {
                break;
            }
            for one in &mut found {
                one.place = self.table.find(one.key, one.number);
            }
            for one in &found {
                let place = one.place.unwrap_or_else(|| self.table.place(one.key, one.number));
                self.table.add(place, one.sums);
            }
            if self.table.rows.len() > self.full {
                self.table = self.table.folded(self.keys, self.most);
                batch.forget();
                // there may be more providers and networks than that: then giving way must stay rare all the same
                self.full = self.most.max(2 * self.table.rows.len());
            }
        }
        self.known = batch.into_known();
    }

    /// The columns [`KEYS`] (text) and [`SUMS`] (whole numbers), in the order of their first rows.
    pub fn rows(&self) -> Vec<(&'static str, ArrayRef)> {
        let Table { texts, rows, .. } = &self.table;
        let text = |place: usize| {
            let numbers = rows.iter().map(|row| self.table.texts_of(row.key).get(place).copied().unwrap_or(0));
            Arc::new(StringArray::from_iter(numbers.map(|number| texts.get(number)))) as ArrayRef
        };
        let sum = |place: usize| {
            let sums = rows.iter().map(|row| row.sums.get(place).copied().unwrap_or(0));
            Arc::new(UInt64Array::from_iter_values(sums)) as ArrayRef
        };
        let words = KEYS.iter().enumerate().map(|(place, name)| (*name, text(place)));
        words.chain(SUMS.iter().enumerate().map(|(place, name)| (*name, sum(place)))).collect()
    }
}

/// All rows.
#[derive(Default)]
struct Table {
    texts: Texts,
    decisions: Decisions,
    /// By the numbers of keys: their rows.
    places: Slots,
    rows: Vec<Row>,
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
    key: Key,
    number: u64,
    place: Option<u32>,
    sums: [u64; SUMS.len()],
}

struct Row {
    key: Key,
    sums: [u64; SUMS.len()],
}

impl Table {
    fn find(&self, key: Key, number: u64) -> Option<u32> {
        self.places.find(number, |place| self.rows.get(place as usize).is_some_and(|row| row.key == key))
    }

    /// The place of a key, a new one where there is none.
    fn place(&mut self, key: Key, number: u64) -> u32 {
        self.find(key, number).unwrap_or_else(|| {
            let place = self.rows.len() as u32;
            self.places.insert(number, place);
            self.rows.push(Row { key, sums: [0; SUMS.len()] });
            place
        })
    }

    fn add(&mut self, place: u32, values: [u64; SUMS.len()]) {
        let Some(Row { sums, .. }) = self.rows.get_mut(place as usize) else { return };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
    }

    /// The numbers of a row's texts, in the order of [`KEYS`].
    fn texts_of(&self, [workload, decided, name]: Key) -> [u32; KEYS.len()] {
        let [provider, as_name, country, evidence] = self.decisions.get(decided);
        [workload, provider, as_name, country, evidence, name]
    }

    /// The same without the name of all but the heaviest quarter of `most`, and without the workload too of all but the
    /// heavier half; the sums of their providers stay. Texts that no row has any more are gone.
    fn folded(&self, hashed_by: Keys, most: usize) -> Table {
        let weight = |(place, row): (usize, &Row)| (row.sums[0], row.sums[2], place);
        let mut order: Vec<(u64, u64, usize)> = self.rows.iter().enumerate().map(weight).collect();
        let mut left = vec![0_u8; order.len()];
        let nameless = lightest(&mut order, most / 4);
        nameless.iter().for_each(|(_, _, place)| left[*place] = 1);
        lightest(nameless, most / 2 - most / 4).iter().for_each(|(_, _, place)| left[*place] = 2);
        // half of the rows may stay as they are
        let mut folded = Table { places: Slots::with_room(most), ..Table::default() };
        folded.rows.reserve(most + AHEAD);
        // new numbers by the old ones
        let (mut texts, mut decisions): (Known<u32>, Known<u32>) = Default::default();
        for (Row { key, sums }, left) in self.rows.iter().zip(left) {
            let mut key = *key;
            for part in [NAME, WORKLOAD].into_iter().take(usize::from(left)) {
                key[part] = 0;
            }
            let [workload, decided, name] = key;
            let mut text = |number| texts.get(number, || folded.texts.take_over(&self.texts, number));
            let [workload, name] = [workload, name].map(&mut text);
            let decided = decisions.get(decided, || folded.decisions.number(self.decisions.get(decided).map(text)));
            let key = [workload, decided, name];
            let place = folded.place(key, number(hashed_by, key));
            folded.add(place, *sums);
        }
        folded
    }
}

/// The keys of a batch's rows.
struct Batch<'f, 'a> {
    workload: Column<'f, 'a>,
    decided: [Column<'f, 'a>; 4],
    asked: Column<'f, 'a>,
    claimed: Column<'f, 'a>,
    workloads: ByIndex<'a, u32>,
    cases: ByIndex<'a, u32>,
    names: ByIndex<'a, u32>,
    answers: ByIndex<'a, u32>,
}

impl<'f, 'a> Batch<'f, 'a> {
    fn new(frame: &'f Frame<'a>, flows: &'a RecordBatch, known: [Known<u32>; 4]) -> Batch<'f, 'a> {
        let [workloads, cases, names, answers] = known;
        Batch {
            workload: frame.column("workload"),
            decided: ["provider", "as_name", "country", "evidence"].map(|name| frame.column(name)),
            asked: frame.column("dns_name"),
            claimed: frame.column(CLAIMED),
            workloads: ByIndex::new(flows, "local_id", workloads),
            cases: ByIndex::new(flows, "case_id", cases),
            names: ByIndex::new(flows, "name_id", names),
            answers: ByIndex::new(flows, "answer_id", answers),
        }
    }

    fn key(&mut self, table: &mut Table, row: usize) -> Key {
        let Batch { workload, decided, asked, claimed, workloads, cases, names, answers } = self;
        let Table { texts, .. } = table;
        let mut number = |column: &Column<'_, '_>| texts.number(column.hash(row), || text(&column.seen(row)));
        let name = match answers.get(row, || number(asked)) {
            0 => names.get(row, || number(claimed)),
            name => name,
        };
        let workload = workloads.get(row, || number(workload));
        let decided = cases.get(row, || {
            let decided =
                decided.each_ref().map(|column| table.texts.number(column.hash(row), || text(&column.seen(row))));
            table.decisions.number(decided)
        });
        [workload, decided, name]
    }

    /// Give back what is known of numbers, for its room.
    fn into_known(self) -> [Known<u32>; 4] {
        [self.workloads, self.cases, self.names, self.answers].map(ByIndex::into_known)
    }

    /// Forget all numbers: there are others now.
    fn forget(&mut self) {
        for known in [&mut self.workloads, &mut self.cases, &mut self.names, &mut self.answers] {
            known.clear();
        }
    }
}

fn number(keys: Keys, key: Key) -> u64 {
    hash::mix(keys, key.iter().map(|part| u64::from(*part)))
}

fn at(numbers: &[u64], row: usize) -> u64 {
    numbers.get(row).copied().unwrap_or_default()
}

/// All but the `most` heaviest, which are put behind them.
pub(crate) fn lightest<T: Ord>(all: &mut [T], most: usize) -> &mut [T] {
    let count = all.len().saturating_sub(most);
    if count > 0 && count < all.len() {
        all.select_nth_unstable(count);
    }
    all.get_mut(..count).unwrap_or_default()
}
