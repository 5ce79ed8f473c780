//! Columns of a batch by name and type (`FLOW_SCHEMA` and `DNS_SCHEMA` in `monitor/flow_batch.py`).

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, UInt32Type, UInt8Type};
use arrow_array::{Array, ArrayRef, BinaryViewArray, BooleanArray, RecordBatch, StringViewArray, UInt32Array};
use arrow_buffer::NullBuffer;

/// 16 bytes; IPv4 mapped (RFC 4291 section 2.5.5.2).
pub type Address = [u8; 16];

/// A column that is missing or of another type than the schema says; its name.
#[derive(Debug)]
pub struct Unreadable(pub &'static str);

/// Rows of a batch: columns of their own, and by the name of a column of numbers what each number stands for
/// (`monitor/flow_rows.py`).
pub struct Rows {
    /// A value for each row.
    pub own: RecordBatch,
    /// What follows from numbers: one row for each, from 0.
    pub told: Vec<(String, RecordBatch)>,
}

/// Rows to a word of bits.
pub(crate) const WORD: usize = 64;

/// A bit for each of at most [`WORD`] values.
pub(crate) fn bits<T>(values: &[T], is: impl Fn(&T) -> bool) -> u64 {
    values.iter().enumerate().fold(0, |bits, (place, value)| bits | u64::from(is(value)) << place)
}

/// A column of a closed set of words, of which some are looked for.
pub(crate) struct Closed<'a> {
    codes: &'a [u8],
    nulls: Option<&'a NullBuffer>,
    /// By code: the place among the words that are looked for.
    places: [u8; 256],
}

const NOWHERE: u8 = u8::MAX;

impl<'a> Closed<'a> {
    pub(crate) fn new<W: AsRef<str>>(
        rows: &'a Rows,
        name: &'static str,
        words: &[W],
    ) -> Result<Closed<'a>, Unreadable> {
        let dictionary = column(rows, name)?.as_dictionary_opt::<UInt8Type>().ok_or(Unreadable(name))?;
        let values = dictionary.values();
        let mut places = [NOWHERE; 256];
        for (code, place) in places.iter_mut().enumerate().take(values.len()) {
            let word = match values.as_string_view_opt() {
                Some(texts) => Some(texts.value(code)),
                None => values.as_string_opt::<i64>().map(|texts| texts.value(code)),
            };
            let found = words.iter().position(|one| word == Some(one.as_ref()));
            *place = found.map_or(NOWHERE, |found| found as u8);
        }
        Ok(Closed { codes: dictionary.keys().values(), nulls: dictionary.nulls(), places })
    }

    /// Whether a row has one of the words.
    pub(crate) fn is(&self, row: usize) -> bool {
        self.place(row).is_some()
    }

    /// The rows that have one of the words, in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let found = self.codes.iter().enumerate().filter(|(_, code)| self.places[usize::from(**code)] != NOWHERE);
        found.map(|(row, _)| row).filter(|row| is_there(self.nulls, *row))
    }

    /// The place of a row's word among those that are looked for.
    pub(crate) fn place(&self, row: usize) -> Option<u8> {
        let place = self.codes.get(row).map_or(NOWHERE, |code| self.places[usize::from(*code)]);
        (place != NOWHERE && is_there(self.nulls, row)).then_some(place)
    }
}

/// Numbers of which some may be missing.
pub(crate) struct Optional<'a, T: ArrowPrimitiveType> {
    numbers: &'a [T::Native],
    nulls: Option<&'a NullBuffer>,
}

impl<'a, T: ArrowPrimitiveType> Optional<'a, T> {
    pub(crate) fn new(rows: &'a Rows, name: &'static str) -> Result<Optional<'a, T>, Unreadable> {
        let array = column(rows, name)?.as_primitive_opt::<T>().ok_or(Unreadable(name))?;
        Ok(Optional { numbers: array.values(), nulls: array.nulls() })
    }

    /// Which of at most [`WORD`] rows have one.
    pub(crate) fn there(&self, rows: Range<usize>) -> u64 {
        let count = rows.end.min(self.numbers.len()).saturating_sub(rows.start);
        match self.nulls {
            None if count == 0 => 0,
            None => u64::MAX >> (WORD - count.min(WORD)),
            Some(nulls) if count == 0 || rows.start >= nulls.len() => 0,
            Some(nulls) => {
                let part = nulls.slice(rows.start, count.min(WORD).min(nulls.len() - rows.start));
                let chunks = part.inner().bit_chunks();
                let word = chunks.iter().next();
                word.unwrap_or_else(|| chunks.remainder_bits())
            }
        }
    }

    /// The number of a row.
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        let number = self.numbers.get(row)?;
        is_there(self.nulls, row).then_some(*number)
    }
}

/// Whether a row has a value.
pub(crate) fn is_there(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

pub(crate) fn column<'a>(rows: &'a Rows, name: &'static str) -> Result<&'a ArrayRef, Unreadable> {
    rows.own.column_by_name(name).ok_or(Unreadable(name))
}

pub(crate) fn numbers<'a, T: ArrowPrimitiveType>(
    rows: &'a Rows,
    name: &'static str,
) -> Result<&'a [T::Native], Unreadable> {
    let array = column(rows, name)?.as_primitive_opt::<T>().ok_or(Unreadable(name))?;
    Ok(array.values())
}

pub(crate) fn flags<'a>(rows: &'a Rows, name: &'static str) -> Result<&'a BooleanArray, Unreadable> {
    column(rows, name)?.as_boolean_opt().ok_or(Unreadable(name))
}

pub(crate) fn binary<'a>(rows: &'a Rows, name: &'static str) -> Result<&'a BinaryViewArray, Unreadable> {
    column(rows, name)?.as_binary_view_opt().ok_or(Unreadable(name))
}

/// The values of a column, and the numbers of the rows where those tell which one a row has.
fn values<'a>(rows: &'a Rows, name: &'static str) -> Result<(Option<&'a UInt32Array>, &'a ArrayRef), Unreadable> {
    if let Some(column) = rows.own.column_by_name(name) {
        return Ok((None, column));
    }
    let mut told = rows.told.iter();
    let found = told.find_map(|(by, told)| told.column_by_name(name).map(|column| (by, column)));
    let (by, column) = found.ok_or(Unreadable(name))?;
    let numbers = rows.own.column_by_name(by).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let numbers = numbers.ok_or(Unreadable(name))?;
    let most = numbers.values().iter().fold(0, |most, number| most.max(*number));
    // where some rows have none, what stands there is no number
    match numbers.null_count() > 0 || numbers.is_empty() || (most as usize) < column.len() {
        true => Ok((Some(numbers), column)),
        false => Err(Unreadable(name)),
    }
}

/// The place of a row's value; `None` where it has none.
fn place(by: Option<&UInt32Array>, row: usize) -> Option<usize> {
    let Some(numbers) = by else { return Some(row) };
    let number = numbers.values().get(row).map(|number| *number as usize);
    number.filter(|_| is_there(numbers.nulls(), row))
}

/// Addresses, by row or by the number of the row.
pub(crate) struct Addresses<'a> {
    by: Option<&'a UInt32Array>,
    values: &'a BinaryViewArray,
}

impl<'a> Addresses<'a> {
    pub(crate) fn new(rows: &'a Rows, name: &'static str) -> Result<Addresses<'a>, Unreadable> {
        let (by, values) = values(rows, name)?;
        Ok(Addresses { by, values: values.as_binary_view_opt().ok_or(Unreadable(name))? })
    }

    /// By the number of a row: its address. `None` where rows have addresses of their own.
    pub(crate) fn by_number(&self) -> Option<impl Iterator<Item = Address> + use<'_, 'a>> {
        let address = |place| self.values.value(place).try_into().unwrap_or_default();
        self.by.is_some().then(|| (0..self.values.len()).map(address))
    }

    /// The address of a row; all zero where there is none.
    pub(crate) fn get(&self, row: usize) -> Address {
        let place = place(self.by, row).filter(|place| *place < self.values.len());
        place.and_then(|place| self.values.value(place).try_into().ok()).unwrap_or_default()
    }
}

/// Texts, by row or by the number of the row.
pub(crate) struct Texts<'a> {
    by: Option<&'a UInt32Array>,
    values: &'a StringViewArray,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(rows: &'a Rows, name: &'static str) -> Result<Texts<'a>, Unreadable> {
        let (by, values) = values(rows, name)?;
        Ok(Texts { by, values: values.as_string_view_opt().ok_or(Unreadable(name))? })
    }

    /// The text of a row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        let place = place(self.by, row).filter(|place| *place < self.values.len() && self.values.is_valid(*place));
        place.map(|place| self.values.value(place))
    }
}
