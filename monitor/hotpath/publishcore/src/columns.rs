//! Columns of a batch as they lie in memory (`FLOW_SCHEMA` and `ATTRIBUTED` in `monitor/flow_batch.py`).

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, UInt32Type, UInt8Type};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::NullBuffer;

/// A column of numbers or of times; what is missing is zero.
pub(crate) fn numbers<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Cow<'a, [T::Native]> {
    let array = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<T>());
    match array {
        Some(array) if array.null_count() == 0 => Cow::Borrowed(array.values()),
        Some(array) => array.iter().map(Option::unwrap_or_default).collect(),
        None => vec![T::Native::default(); batch.num_rows()].into(),
    }
}

/// Which rows have a value.
pub(crate) fn there<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a NullBuffer> {
    batch.column_by_name(name).and_then(|column| column.nulls())
}

/// A column of a closed set of words.
pub(crate) struct Closed<'a> {
    codes: Cow<'a, [u8]>,
    words: Vec<Option<String>>,
}

/// The code of what is missing; no set has so many words.
const MISSING: u8 = u8::MAX;

impl<'a> Closed<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, name: &str) -> Closed<'a> {
        let column = batch.column_by_name(name).and_then(|column| column.as_dictionary_opt::<UInt8Type>());
        let Some(column) = column else {
            return Closed { codes: vec![MISSING; batch.num_rows()].into(), words: Vec::new() };
        };
        let keys = column.keys();
        let codes = match keys.null_count() {
            0 => Cow::Borrowed(&**keys.values()),
            _ => keys.iter().map(|key| key.unwrap_or(MISSING)).collect(),
        };
        let values = column.values();
        let words = match values.as_string_view_opt() {
            Some(words) => words.iter().map(|word| word.map(str::to_owned)).collect(),
            None => values
                .as_string_opt::<i64>()
                .map_or(Vec::new(), |words| words.iter().map(|word| word.map(str::to_owned)).collect()),
        };
        Closed { codes, words }
    }

    /// The code of each row.
    pub(crate) fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The code of a word; `None` where no row can have it.
    pub(crate) fn code_of(&self, word: &str) -> Option<u8> {
        self.words.iter().position(|one| one.as_deref() == Some(word)).map(|code| code as u8)
    }
}

/// No number: a batch has not so many.
pub(crate) const NONE: u32 = u32::MAX;
/// Numbers that room is made for at once.
const MORE: usize = 1024;

/// What was found out, by small numbers.
pub(crate) struct Known<V>(Vec<Option<V>>);

impl<V> Default for Known<V> {
    fn default() -> Known<V> {
        Known(Vec::new())
    }
}

impl<V: Copy> Known<V> {
    /// Forget all, but keep the room.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is known of a number, [`NONE`] being of nothing that is kept.
    #[inline]
    pub(crate) fn of(&mut self, number: u32, find: impl FnOnce() -> V) -> V {
        match number {
            NONE => find(),
            number => self.get(number, find),
        }
    }

    /// What is known of a number; it is found out at the first time.
    #[inline]
    pub(crate) fn get(&mut self, number: u32, find: impl FnOnce() -> V) -> V {
        let number = number as usize;
        if number >= self.0.len() {
            // most numbers are one more than the largest
            self.0.resize(number + MORE, None);
        }
        match self.0.get_mut(number) {
            Some(known) => *known.get_or_insert_with(find),
            None => find(),
        }
    }
}

/// A column of dense numbers, by which rows have something.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    numbers: &'a [u32],
    there: Option<&'a NullBuffer>,
}

impl<'a> Index<'a> {
    /// Look at a batch.
    pub(crate) fn new(batch: &'a RecordBatch, name: &str) -> Option<Index<'a>> {
        let column = batch.column_by_name(name)?.as_primitive_opt::<UInt32Type>()?;
        Some(Index { numbers: column.values(), there: column.nulls() })
    }

    /// The number of a row, [`NONE`] where it has none.
    #[inline]
    pub(crate) fn of(&self, row: usize) -> u32 {
        let number = self.numbers.get(row).filter(|_| self.there.is_none_or(|there| there.is_valid(row)));
        number.copied().unwrap_or(NONE)
    }
}
