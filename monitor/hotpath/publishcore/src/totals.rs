//! Sums for people over a whole run: who sent how much to whom, and how that is known.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use judgecore::column::Column;
use judgecore::frame::{Frame, Numbers};
use judgecore::hash::{self, Keys, Map};
use judgecore::value::{Seen, Value};

use crate::{chance, of_scope};

/// What rows are told apart by. `name` is the one that the client asked for, or else the one it claims.
pub const KEYS: [&str; 6] = ["workload", "provider", "as_name", "country", "evidence", "name"];
/// What is summed.
pub const SUMS: [&str; 4] = ["payload_out", "bytes_out", "bytes_in", "connections"];

/// What is taken from the lightest rows where there are too many: places in [`KEYS`].
const NAME: usize = 5;
const WORKLOAD: usize = 0;

/// Rows whose places are looked for at once.
const AHEAD: usize = 64;

type Words = [Option<Arc<str>>; KEYS.len()];
type Numbered = [u64; KEYS.len()];

/// Adds up attributed flows; memory does not grow with the traffic.
pub struct Totals {
    keys: Keys,
    /// The number of what is missing.
    missing: u64,
    most: usize,
    /// Rows from which on the lighter ones give way.
    full: usize,
    places: Map<u32>,
    /// For each row: the numbers of its words, so that one of them can be taken.
    numbers: Vec<Numbered>,
    words: Vec<Words>,
    sums: Vec<[u64; SUMS.len()]>,
    /// Nanoseconds since 1970 of the first and the last packet.
    pub span: Option<(i64, i64)>,
}

impl Totals {
    /// Keep at most `most` rows (some 250 bytes each, and their texts); past it the lighter ones lose their name,
    /// and the lightest their workload too.
    pub fn new(most: usize) -> Totals {
        let (numbers, words, sums) = (Vec::new(), Vec::new(), Vec::new());
        let keys = chance();
        let missing = Seen::Missing.hash(keys);
        Totals { keys, missing, most, full: most, places: Map::default(), numbers, words, sums, span: None }
    }

    /// Add the rows of one batch: those of egress, but all to the span.
    pub fn add(&mut self, flows: &RecordBatch) {
        let frame = Frame::new(flows, self.keys);
        let columns = KEYS.map(|key| frame.column(key));
        let [workload, provider, as_name, country, evidence, claimed] = &columns;
        let (asked, missing) = (frame.column("dns_name"), self.missing);
        let sums = [frame.numbers("payload_out"), frame.numbers("bytes_out"), frame.numbers("bytes_in")];
        let (first_seen, started) = (frame.numbers("first_seen"), frame.numbers("started"));
        let of_row = |row: usize| {
            // a connection is counted in its first row, the one that holds its first packet
            let begins = first_seen.nanoseconds(row) == started.nanoseconds(row);
            let [payload, sent, received] = sums.map(|numbers: Numbers<'_>| numbers.or_zero(row));
            [payload, sent, received, u64::from(begins)]
        };
        // a third of the rows may only say that a flow ended
        let rows = of_scope(&frame, "egress").filter(|row| of_row(*row).iter().any(|number| *number > 0));
        let rows: Vec<usize> = rows.collect();
        let mut found = Vec::with_capacity(AHEAD);
        for some in rows.chunks(AHEAD) {
            // the table is larger than the caches: look-ups that follow each other closely wait together
            found.clear();
            found.extend(some.iter().map(|row| {
                let asked = asked.hash(*row);
                let name = if asked == missing { claimed.hash(*row) } else { asked };
                let [a, b, c, d, e] = [workload, provider, as_name, country, evidence].map(|column| column.hash(*row));
                let numbers = [a, b, c, d, e, name];
                (numbers, hash::mix(self.keys, numbers.into_iter()), None)
            }));
            for (_, number, place) in &mut found {
                *place = self.places.get(number).copied();
            }
            for ((numbers, number, place), row) in found.iter().zip(some) {
                let words = || {
                    let name = if asked.hash(*row) == missing { claimed } else { &asked };
                    [workload, provider, as_name, country, evidence, name].map(|column| kept(column, *row))
                };
                let place = place.unwrap_or_else(|| self.place(*number, *numbers, words));
                add(self.sums.get_mut(place as usize), of_row(*row));
            }
            if self.sums.len() > self.full {
                self.fold();
                // there may be more providers and networks than that: then giving way must stay rare all the same
                self.full = self.most.max(2 * self.sums.len());
            }
        }
        let last_seen = frame.numbers("last_seen");
        for row in 0..frame.rows {
            let (first, last) = (first_seen.nanoseconds(row), last_seen.nanoseconds(row));
            let (from, to) = self.span.unwrap_or((first, last));
            self.span = Some((from.min(first), to.max(last)));
        }
    }

    /// The columns [`KEYS`] (text) and [`SUMS`] (whole numbers), in the order of their first rows.
    pub fn rows(&self) -> Vec<(&'static str, ArrayRef)> {
        let text = |key: usize| {
            let words = self.words.iter().map(|words| words.get(key).and_then(Option::as_deref));
            Arc::new(StringArray::from_iter(words)) as ArrayRef
        };
        let sum = |place: usize| {
            let sums = self.sums.iter().map(|sums| sums.get(place).copied().unwrap_or(0));
            Arc::new(UInt64Array::from_iter_values(sums)) as ArrayRef
        };
        let texts = KEYS.iter().enumerate().map(|(place, name)| (*name, text(place)));
        texts.chain(SUMS.iter().enumerate().map(|(place, name)| (*name, sum(place)))).collect()
    }

    /// The place of a row, a new one where there is none.
    fn place(&mut self, number: u64, numbers: Numbered, words: impl FnOnce() -> Words) -> u32 {
        let place = *self.places.entry(number).or_insert(self.sums.len() as u32);
        if place as usize == self.sums.len() {
            self.numbers.push(numbers);
            self.words.push(words());
            self.sums.push([0; SUMS.len()]);
        }
        place
    }

    /// Take the name from all but the heaviest quarter, and the workload too from all but the heavier half; the sums
    /// of their providers stay.
    fn fold(&mut self) {
        let weight = |(place, sums): (usize, &[u64; 4])| (sums[0], sums[2], place);
        let mut order: Vec<(u64, u64, usize)> = self.sums.iter().enumerate().map(weight).collect();
        let mut left = vec![0_u8; order.len()];
        for most in [self.most / 4, self.most / 2] {
            for (_, _, place) in lightest(&mut order, most) {
                left[*place] += 1;
            }
        }
        let numbers = std::mem::take(&mut self.numbers).into_iter();
        let rows = numbers.zip(std::mem::take(&mut self.words)).zip(std::mem::take(&mut self.sums));
        self.places.clear();
        for (((mut numbers, mut words), sums), left) in rows.zip(left) {
            for key in [NAME, WORKLOAD].into_iter().take(usize::from(left)) {
                numbers[key] = self.missing;
                words[key] = None;
            }
            let place = self.place(hash::mix(self.keys, numbers.into_iter()), numbers, || words);
            add(self.sums.get_mut(place as usize), sums);
        }
    }
}

/// All but the `most` heaviest, which are put behind them.
pub(crate) fn lightest<T: Ord>(all: &mut [T], most: usize) -> &[T] {
    let count = all.len().saturating_sub(most);
    if count > 0 && count < all.len() {
        all.select_nth_unstable(count);
    }
    all.get(..count).unwrap_or_default()
}

fn add(sums: Option<&mut [u64; SUMS.len()]>, values: [u64; SUMS.len()]) {
    let Some(sums) = sums else { return };
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
}

fn kept(column: &Column<'_, '_>, row: usize) -> Option<Arc<str>> {
    match column.keep(row) {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
