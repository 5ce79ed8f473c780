//! What all sums need to know of the rows of a batch, found in one pass: which of them count for what.
//!
//! Rows are taken 64 at a time, a bit for each: a branch on what a row is goes wrong as often as not, and whoever sums
//! then reads only what the rows with a bit have.

use std::ops::Range;

use arrow_array::types::{TimestampNanosecondType, UInt64Type};
use judgecore::row_batch::RowBatch;

use crate::columns::{numbers, Closed};

/// Rows to a word of bits.
pub(crate) const WORD: usize = 64;

/// A row between two addresses that are not local.
#[derive(Clone, Copy)]
pub struct Passing {
    /// Its place.
    pub row: u32,
    /// In both directions.
    pub bytes: u64,
}

/// What was found in a batch.
pub struct Marks {
    /// Nanoseconds since 1970 of the first and the last packet.
    pub span: Option<(i64, i64)>,
    /// Bytes of all rows.
    pub bytes: u64,
    /// The rows of transit.
    pub transit: Vec<Passing>,
    /// Which rows are of egress, by 64.
    pub(crate) egress: Vec<u64>,
    /// Which of these add something. A third of all rows may only say that a flow ended.
    pub(crate) adding: Vec<u64>,
    /// Which rows of egress hold the first packet of their connection.
    pub(crate) first: Vec<u64>,
}

impl Marks {
    /// Look at a batch.
    pub fn new(flows: &RowBatch) -> Marks {
        let flows = flows.own();
        let rows = flows.num_rows();
        let scope = Closed::new(flows, "scope");
        let [first_seen, last_seen, started] =
            ["first_seen", "last_seen", "started"].map(|name| numbers::<TimestampNanosecondType>(flows, name));
        let sums = ["payload_out", "bytes_out", "bytes_in"].map(|name| numbers::<UInt64Type>(flows, name));
        let packets = ["packets_out", "packets_in"].map(|name| numbers::<UInt64Type>(flows, name));
        // a number that no code is where a batch has no such word
        let [egress, transit] = ["egress", "transit"].map(|name| scope.code_of(name).map_or(u16::MAX, u16::from));
        let mut found = Marks {
            span: first_seen.iter().min().copied().zip(last_seen.iter().max().copied()),
            bytes: 0,
            transit: Vec::new(),
            egress: Vec::with_capacity(rows / WORD + 1),
            adding: Vec::with_capacity(rows / WORD + 1),
            first: Vec::with_capacity(rows / WORD + 1),
        };
        let mut all = 0_u128;
        for from in (0..rows).step_by(WORD) {
            let range = from..(from + WORD).min(rows);
            let codes = part(scope.codes(), &range);
            let [seen, began] = [&first_seen, &started].map(|times| part(times, &range));
            let [payload, sent, received] = [&sums[0], &sums[1], &sums[2]].map(|sum| part(sum, &range));
            let [out, back] = [&packets[0], &packets[1]].map(|packets| part(packets, &range));
            let (mut ours, mut passing, mut adds, mut first) = (0, 0, 0, 0);
            let times = seen.iter().zip(began);
            let amounts = payload.iter().zip(sent).zip(received).zip(out.iter().zip(back));
            for (place, ((code, (seen, began)), (((payload, sent), received), (out, back)))) in
                codes.iter().zip(times).zip(amounts).enumerate()
            {
                all += u128::from(*sent) + u128::from(*received);
                ours |= u64::from(u16::from(*code) == egress) << place;
                passing |= u64::from(u16::from(*code) == transit) << place;
                let is_first = (seen <= began) & (out | back > 0);
                adds |= u64::from((payload | sent | received > 0) | is_first) << place;
                first |= u64::from(is_first) << place;
            }
            first &= ours;
            found.transit.extend(places(from, passing).map(|row| {
                let [sent, received] = [sent, received].map(|sums| sums.get(row - from).copied().unwrap_or_default());
                Passing { row: row as u32, bytes: sent.saturating_add(received) }
            }));
            found.egress.push(ours);
            found.adding.push(ours & adds);
            found.first.push(first);
        }
        found.bytes = u64::try_from(all).unwrap_or(u64::MAX);
        found
    }

    /// Whether a row is of egress and holds the first packet of its connection.
    #[inline]
    pub(crate) fn is_first(&self, row: usize) -> bool {
        self.first.get(row / WORD).is_some_and(|word| word >> (row % WORD) & 1 == 1)
    }
}

/// Rows of a batch.
fn part<'a, T>(all: &'a [T], range: &Range<usize>) -> &'a [T] {
    all.get(range.clone()).unwrap_or_default()
}

/// The places of the bits of a word that begins at one.
pub(crate) fn places(from: usize, mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then(|| from + word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        place
    })
}

/// The rows with a bit.
pub(crate) fn rows(words: &[u64]) -> impl Iterator<Item = usize> + use<'_> {
    words.iter().enumerate().flat_map(|(place, word)| places(place * WORD, *word))
}
