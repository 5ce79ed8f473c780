//! One column of a batch: what a row has there, and the number that stands for it.
//!
//! A row is asked without a look at any other: the number of a short text comes out of the word of 16 bytes that
//! holds it, that of a closed set out of a table.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use arrow_array::{Array, StringViewArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};

use crate::cell::{ByNumber, Cell};
use crate::hash::{self, Keys};
use crate::numbers::Numbers;
use crate::value::{Seen, Value};

/// Texts of a batch that are kept once, whoever keeps them: so many of the newest.
const SHARED: usize = 4096;
/// Rows to a place from which something is worked out for every place, and not for rows.
pub(crate) const FEW: usize = 16;

/// A column by which rows are told apart.
#[derive(Clone, Copy)]
pub enum Column<'f, 'a> {
    /// The batch has not got it.
    Missing(Keys),
    /// Text.
    Texts(&'f Texts<'a>),
    /// One of few values.
    Closed(&'f Closed<'a>),
    /// Numbers and times.
    Numbers(Numbers<'a>, Keys),
    /// Addresses, and whatever else there is.
    Plain(Cell<'a>, Keys),
}

impl<'a> Column<'_, 'a> {
    /// The value in a row.
    pub fn seen(&self, row: usize) -> Seen<'a> {
        match self {
            Column::Missing(_) => Seen::Missing,
            Column::Texts(texts) => texts.seen(row),
            Column::Closed(closed) => closed.seen(row),
            Column::Numbers(numbers, _) => numbers.get(row).map_or(Seen::Missing, Seen::Number),
            Column::Plain(cell, _) => cell.look(row),
        }
    }

    /// The number in a row; 0 where there is none.
    pub fn number(&self, row: usize) -> u64 {
        match self {
            Column::Numbers(numbers, _) => numbers.or_zero(row),
            _ => 0,
        }
    }

    /// The value in a row, to keep.
    pub fn keep(&self, row: usize) -> Value {
        match self {
            Column::Texts(texts) => texts.keep(row),
            Column::Closed(closed) => closed.keep(row),
            _ => self.seen(row).to_value(),
        }
    }

    /// The number that stands for it.
    pub fn hash(&self, row: usize) -> u64 {
        match self {
            Column::Texts(texts) => texts.hash(row),
            Column::Closed(closed) => closed.hashes.get(closed.code(row)).copied().unwrap_or(0),
            Column::Missing(keys) | Column::Numbers(_, keys) | Column::Plain(_, keys) => self.seen(row).hash(*keys),
        }
    }
}

/// The word of a row, and its text.
type Shared = Option<(u128, Arc<str>)>;

/// A column of text.
pub struct Texts<'a> {
    array: &'a StringViewArray,
    by: ByNumber<'a>,
    keys: Keys,
    /// The number of the missing value.
    missing: u64,
    /// The number of the text at each place, where rows have one of few places.
    hashes: OnceCell<Vec<u64>>,
    /// Texts that something keeps, by the word of their row.
    kept: RefCell<Vec<Shared>>,
}

impl<'a> Texts<'a> {
    /// Look at a column.
    pub(crate) fn new(array: &'a StringViewArray, by: ByNumber<'a>, keys: Keys) -> Texts<'a> {
        let (hashes, kept) = Default::default();
        Texts { array, by, keys, missing: Seen::Missing.hash(keys), hashes, kept }
    }

    /// Where the text of a row stands, and its word: the length, and the text itself or where it lies.
    fn view(&self, row: usize) -> Option<(usize, u128)> {
        self.view_at(self.by.place(row)?)
    }

    fn view_at(&self, place: usize) -> Option<(usize, u128)> {
        let view = *self.array.views().get(place)?;
        self.array.nulls().is_none_or(|nulls| nulls.is_valid(place)).then_some((place, view))
    }

    fn seen(&self, row: usize) -> Seen<'a> {
        self.view(row).map_or(Seen::Missing, |(place, _)| Seen::Text(self.array.value(place)))
    }

    fn hash(&self, row: usize) -> u64 {
        if self.by.all().is_some_and(|numbers| FEW * self.array.len() <= numbers.len()) {
            let all = || (0..self.array.len()).map(|place| self.hash_at(self.view_at(place))).collect();
            let place = self.by.place(row);
            let hash = place.and_then(|place| self.hashes.get_or_init(all).get(place));
            return hash.copied().unwrap_or(self.missing);
        }
        self.hash_at(self.view(row))
    }

    fn hash_at(&self, view: Option<(usize, u128)>) -> u64 {
        match view {
            None => self.missing,
            Some((place, view)) => {
                short_hash(self.keys, view).unwrap_or_else(|| Seen::Text(self.array.value(place)).hash(self.keys))
            }
        }
    }

    fn keep(&self, row: usize) -> Value {
        let Some((place, view)) = self.view(row) else { return Value::Missing };
        let mut kept = self.kept.borrow_mut();
        if kept.is_empty() {
            kept.resize(self.array.len().next_power_of_two().clamp(16, SHARED), None);
        }
        let slot = hash::pair(self.keys, view as u64, (view >> 64) as u64) as usize & (kept.len() - 1);
        match kept.get_mut(slot) {
            Some(Some((known, text))) if *known == view => Value::Text(Arc::clone(text)),
            Some(free) => {
                let text: Arc<str> = self.array.value(place).into();
                *free = Some((view, Arc::clone(&text)));
                Value::Text(text)
            }
            None => Value::Missing,
        }
    }
}

/// The number of a text that is short enough to stand in the word of its row.
///
/// That is a length of 4 bytes, and up to 12 bytes of text, filled up with zeros (Arrow's columnar format,
/// "Variable-size Binary View Layout").
pub(crate) fn short_hash(keys: Keys, view: u128) -> Option<u64> {
    let length = view as u32;
    if length > 12 {
        return None;
    }
    let text = view >> 32 & ((1 << (8 * length)) - 1);
    Some(hash::short_text(keys, u64::from(length), text as u64, (text >> 64) as u64))
}

/// A column of few values, which are told apart by small numbers already: a dictionary, or yes and no.
pub struct Closed<'a> {
    places: Places<'a>,
    nulls: Option<&'a NullBuffer>,
    by: ByNumber<'a>,
    /// For each code; code 0 is the missing value.
    pub values: Vec<Seen<'a>>,
    /// For each code.
    hashes: Vec<u64>,
    /// For each code: its text, once something keeps it.
    kept: RefCell<Vec<Option<Arc<str>>>>,
}

/// The places of values, one less than their code.
#[derive(Clone, Copy)]
pub(crate) enum Places<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    Bits(&'a BooleanBuffer),
}

impl<'a> Closed<'a> {
    /// A column whose rows have places among some values.
    pub(crate) fn new(
        places: Places<'a>,
        nulls: Option<&'a NullBuffer>,
        by: ByNumber<'a>,
        values: impl Iterator<Item = Seen<'a>>,
        keys: Keys,
    ) -> Closed<'a> {
        let values: Vec<Seen<'a>> = std::iter::once(Seen::Missing).chain(values).collect();
        let hashes = values.iter().map(|value| value.hash(keys)).collect();
        let kept = RefCell::new(vec![None; values.len()]);
        Closed { places, nulls: nulls.filter(|nulls| nulls.null_count() > 0), by, values, hashes, kept }
    }

    /// The code of a row.
    pub fn code(&self, row: usize) -> usize {
        self.by.place(row).map_or(0, |at| self.code_at(at))
    }

    /// The code at a place of the column.
    fn code_at(&self, at: usize) -> usize {
        if self.nulls.is_some_and(|nulls| at >= nulls.len() || nulls.is_null(at)) {
            return 0;
        }
        let place = match self.places {
            Places::U8(places) => places.get(at).map(|place| usize::from(*place)),
            Places::U16(places) => places.get(at).map(|place| usize::from(*place)),
            Places::U32(places) => places.get(at).map(|place| *place as usize),
            Places::Bits(bits) => (at < bits.len()).then(|| usize::from(bits.value(at))),
        };
        place.map_or(0, |place| place + 1)
    }

    fn len(&self) -> usize {
        match self.places {
            Places::U8(places) => places.len(),
            Places::U16(places) => places.len(),
            Places::U32(places) => places.len(),
            Places::Bits(bits) => bits.len(),
        }
    }

    /// The value of a row.
    pub fn seen(&self, row: usize) -> Seen<'a> {
        self.values.get(self.code(row)).copied().unwrap_or(Seen::Missing)
    }

    fn keep(&self, row: usize) -> Value {
        let Seen::Text(text) = self.seen(row) else { return self.seen(row).to_value() };
        match self.kept.borrow_mut().get_mut(self.code(row)) {
            Some(known) => Value::Text(Arc::clone(known.get_or_insert_with(|| text.into()))),
            None => Value::Missing,
        }
    }

    /// Take off each row's bits what its value does not leave standing; `words` has what does, by code, and `found`
    /// the bits of the rows from `first` on.
    pub(crate) fn narrow(&self, words: &[u64], first: usize, found: &mut [u64]) {
        let by_place = words.get(1..).unwrap_or_default();
        if let Some(numbers) = self.by.all() {
            let word = |at| words.get(self.code_at(at)).copied().unwrap_or(0);
            let by_number: Vec<u64> = (0..self.len()).map(word).collect();
            return narrow(numbers, &by_number, first, found);
        }
        match self.places {
            _ if self.nulls.is_some() || !self.by.is_none() => {}
            Places::U8(places) => return narrow(places, by_place, first, found),
            Places::U16(places) => return narrow(places, by_place, first, found),
            Places::U32(places) => return narrow(places, by_place, first, found),
            Places::Bits(bits) if bits.len() >= first + found.len() => {
                let word = |code: usize| words.get(code).copied().unwrap_or(0);
                let (no, yes) = (word(1), word(2));
                let bits = bits.slice(first, found.len());
                for (found, bits) in found.chunks_mut(64).zip(bits.bit_chunks().iter_padded()) {
                    // most have one value for rows on end
                    if bits == 0 {
                        found.iter_mut().for_each(|found| *found &= no);
                        continue;
                    }
                    for (place, found) in found.iter_mut().enumerate() {
                        *found &= if bits >> place & 1 == 1 { yes } else { no };
                    }
                }
                return;
            }
            Places::Bits(_) => {}
        }
        for (row, bits) in (first..).zip(found) {
            *bits &= words.get(self.code(row)).copied().unwrap_or(0);
        }
    }
}

/// Take off the bits of the rows from `first` on what the word of a row's number does not leave standing.
///
/// Without asking which rows have bits: a load costs less than a branch that is often wrong.
pub(crate) fn narrow<T: Copy + Into<u32>>(numbers: &[T], words: &[u64], first: usize, found: &mut [u64]) {
    if size_of::<T>() == 1 {
        // a word for every byte, so that none has to be looked for
        let mut every = [0; 256];
        every.iter_mut().zip(words).for_each(|(every, word)| *every = *word);
        for (bits, number) in found.iter_mut().zip(numbers.get(first..).unwrap_or_default()) {
            *bits &= every[(*number).into() as usize & 255];
        }
        return;
    }
    for (bits, number) in found.iter_mut().zip(numbers.get(first..).unwrap_or_default()) {
        *bits &= words.get((*number).into() as usize).copied().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_columns_narrow_by_what_each_row_has() {
        let words = [0b001, 0b010, 0b100];
        let nulls = NullBuffer::from(vec![true, false, true, true]);
        let bits = BooleanBuffer::from(vec![true, true, false, true]);
        let (small, wide, large) = ([1_u8, 1, 0, 9], [1_u16, 1, 0, 9], [1_u32, 1, 0, 9]);
        let every = [Places::U8(&small), Places::U16(&wide), Places::U32(&large), Places::Bits(&bits)];
        for places in every {
            let last = if matches!(places, Places::Bits(_)) { 0b100 } else { 0 }; // a place that there is not
            let values = || [false, true].map(Seen::Bool).into_iter();
            for (nulls, second) in [(None, 0b100), (Some(&nulls), 0b001)] {
                let closed = Closed::new(places, nulls, ByNumber::default(), values(), [1, 2]);
                let mut found = [0b111; 4];
                closed.narrow(&words, 0, &mut found);
                assert_eq!(found, [0b100, second, 0b010, last]);
                let mut rest = [0b111; 2];
                closed.narrow(&words, 2, &mut rest);
                assert_eq!(rest, [0b010, last], "from the third row on");
            }
        }
    }

    #[test]
    fn many_rows_of_yes_and_no_narrow_as_each_alone() {
        let flags: Vec<bool> = (0..300).map(|row| row > 150 && row * row % 7 < 3).collect();
        let bits = BooleanBuffer::from(flags.clone());
        let values = [false, true].map(Seen::Bool).into_iter();
        let closed = Closed::new(Places::Bits(&bits), None, ByNumber::default(), values, [1, 2]);
        for (first, count) in [(0, 300), (3, 297), (64, 128), (200, 1)] {
            let mut found = vec![0b111; count];
            closed.narrow(&[0b001, 0b010, 0b100], first, &mut found);
            let expected: Vec<u64> =
                flags[first..first + count].iter().map(|flag| if *flag { 0b100 } else { 0b010 }).collect();
            assert_eq!(found, expected, "{count} from {first} on");
        }
    }

    #[test]
    fn a_text_has_one_number_wherever_it_stands() {
        let keys = [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321];
        let long = "a text that does not stand in its word";
        for length in 0..=long.len() {
            let text = &long[..length];
            let array = StringViewArray::from(vec![text]);
            let expected = Seen::Text(text).hash(keys);
            assert_eq!(Texts::new(&array, ByNumber::default(), keys).hash(0), expected, "{text:?}");
            let view = array.views()[0];
            // what stands behind a short text must not count
            let filled = if length < 12 { view | u128::MAX << (32 + 8 * length) } else { view };
            assert_eq!(short_hash(keys, filled).unwrap_or(expected), expected, "{text:?}");
            assert_eq!(short_hash(keys, view).is_some(), length <= 12);
        }
    }
}
