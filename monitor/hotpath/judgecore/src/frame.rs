//! The columns of one batch: numbers as they lie in memory, all else by code.

use std::cell::OnceCell;
use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt16Type, UInt32Type, UInt64Type, UInt8Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{ArrowNativeType, NullBuffer};
use arrow_schema::{DataType, TimeUnit};

use crate::column::{Closed, Column, Places, Texts};
use crate::hash::Keys;
use crate::intern::Coded;
use crate::value::{Seen, Value};

/// A column of numbers or of times.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    values: Slice<'a>,
    nulls: Option<&'a NullBuffer>,
    /// Nanoseconds a unit, for times.
    scale: i64,
}

#[derive(Clone, Copy)]
enum Slice<'a> {
    None,
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    I64(&'a [i64]),
}

impl<'a> Numbers<'a> {
    /// The number in a row; `None` where it is missing.
    pub fn get(&self, row: usize) -> Option<u64> {
        if self.nulls.is_some_and(|nulls| row >= nulls.len() || nulls.is_null(row)) {
            return None;
        }
        match self.values {
            Slice::None => None,
            Slice::U8(all) => all.get(row).map(|number| u64::from(*number)),
            Slice::U16(all) => all.get(row).map(|number| u64::from(*number)),
            Slice::U32(all) => all.get(row).map(|number| u64::from(*number)),
            Slice::U64(all) => all.get(row).copied(),
            Slice::I64(all) => all.get(row).map(|number| (*number).max(0) as u64),
        }
    }

    /// Clear bits of the rows, from `first` on, in which the number is zero or missing.
    pub fn clear_zeros(&self, first: usize, mask: u64, found: &mut [u64]) {
        fn each<T: Copy + Default + PartialEq>(all: &[T], first: usize, mask: u64, found: &mut [u64]) {
            for (bits, number) in found.iter_mut().zip(all.get(first..).unwrap_or_default()) {
                // without a branch, so that several rows are done at once
                *bits &= !(mask & u64::from(*number == T::default()).wrapping_neg());
            }
        }
        match self.values {
            _ if self.nulls.is_some() => {}
            Slice::U8(all) => return each(all, first, mask, found),
            Slice::U16(all) => return each(all, first, mask, found),
            Slice::U32(all) => return each(all, first, mask, found),
            Slice::U64(all) => return each(all, first, mask, found),
            _ => {}
        }
        for (row, bits) in (first..).zip(found) {
            if self.or_zero(row) == 0 {
                *bits &= !mask;
            }
        }
    }

    /// The bytes themselves, where they are numbers of one byte and every row has one.
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.values {
            Slice::U8(all) if self.nulls.is_none_or(|nulls| nulls.null_count() == 0) => Some(all),
            _ => None,
        }
    }

    /// The number in a row; 0 where it is missing.
    pub fn or_zero(&self, row: usize) -> u64 {
        self.get(row).unwrap_or(0)
    }

    /// The time in a row in nanoseconds since 1970; 0 where it is missing.
    pub fn nanoseconds(&self, row: usize) -> i64 {
        match self.values {
            Slice::I64(all) => all.get(row).map_or(0, |time| time.saturating_mul(self.scale)),
            _ => 0,
        }
    }
}

/// What tells the values of a column apart in one batch, by small numbers; 0 is the missing value.
#[derive(Clone, Copy)]
pub enum Codes<'f, 'a> {
    /// No row has a value.
    Missing,
    /// As they came.
    Closed(&'f Closed<'a>),
    /// Given row by row.
    Coded(&'f Coded<'a>),
    /// Given by the number of a row in another column.
    Numbered(Numbers<'a>, &'f Coded<'a>),
}

impl<'f, 'a> Codes<'f, 'a> {
    /// For each code, the value.
    pub fn values(&self) -> &'f [Seen<'a>] {
        match self {
            Codes::Missing => &[Seen::Missing],
            Codes::Closed(closed) => &closed.values,
            Codes::Coded(coded) | Codes::Numbered(_, coded) => &coded.values,
        }
    }

    /// The code of a row.
    pub fn of(&self, row: usize) -> usize {
        match self {
            Codes::Missing => 0,
            Codes::Closed(closed) => closed.code(row),
            Codes::Coded(coded) => coded.codes.get(row).map_or(0, |code| *code as usize),
            Codes::Numbered(numbers, coded) => {
                let code = numbers.get(row).and_then(|number| coded.codes.get(number as usize));
                code.map_or(0, |code| *code as usize)
            }
        }
    }
}

/// Columns of numbers from 0, and those of which the same number has the same value throughout a batch
/// (`monitor/flow_batch.py`).
const NUMBERED: [(&str, &[&str]); 6] = [
    ("local_id", &["local_address", "workload"]),
    ("remote_id", &["remote_address"]),
    ("name_id", &["name"]),
    (
        "case_id",
        &[
            "country",
            "asn",
            "as_name",
            "network_provider",
            "service_provider",
            "provider",
            "category",
            "evidence",
            "confidence",
            "disagreement",
        ],
    ),
    ("client_id", &["client", "workload"]),
    ("question_id", &["question", "domain"]),
];

/// No row has a number.
const NO_ROW: u32 = u32::MAX;

/// The columns whose values a column of numbers tells apart.
pub(crate) fn numbered_by(index: &str) -> &'static [&'static str] {
    NUMBERED.iter().find(|(known, _)| *known == index).map_or(&[], |(_, fields)| fields)
}

/// One batch of rows.
pub struct Frame<'a> {
    /// How many rows.
    pub rows: usize,
    batch: &'a RecordBatch,
    named: HashMap<&'a str, Named<'a>>,
    keys: Keys,
}

/// A column by its name; most are never asked for.
struct Named<'a> {
    array: &'a ArrayRef,
    coded: OnceCell<Coded<'a>>,
    closed: OnceCell<Closed<'a>>,
    texts: OnceCell<Texts<'a>>,
    /// Of a column of numbers: by number, the first row that has it; nothing where they are not dense.
    firsts: OnceCell<Vec<u32>>,
}

impl<'a> Named<'a> {
    fn new(array: &'a ArrayRef) -> Named<'a> {
        let (coded, closed, texts, firsts) = Default::default();
        Named { array, coded, closed, texts, firsts }
    }
}

impl<'a> Frame<'a> {
    /// Look at a batch.
    pub fn new(batch: &'a RecordBatch, keys: Keys) -> Frame<'a> {
        let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        let named = batch.columns().iter().map(Named::new);
        let named = names.zip(named).collect();
        Frame { rows: batch.num_rows(), batch, named, keys }
    }

    /// The column of a name.
    pub fn array(&self, name: &str) -> Option<&'a ArrayRef> {
        self.named.get(name).map(|named| named.array)
    }

    /// A column of numbers that tell values apart, where every row has one.
    pub(crate) fn index(&self, name: &str) -> Option<&'a [u32]> {
        let array =
            self.array(name).filter(|array| *array.data_type() == DataType::UInt32 && array.null_count() == 0)?;
        Some(array.as_primitive::<UInt32Type>().values())
    }

    /// Whether a column is one of numbers or times, which are not coded.
    pub fn is_number(&self, name: &str) -> bool {
        !matches!(self.numbers(name).values, Slice::None)
    }

    /// The codes of a column, made when they are first asked for; `None` for numbers and times.
    pub fn codes(&self, name: &str) -> Option<Codes<'_, 'a>> {
        if self.is_number(name) {
            return None;
        }
        let Some(named) = self.named.get(name) else { return Some(Codes::Missing) };
        Some(match named.array.data_type() {
            _ if named.array.null_count() == self.rows => Codes::Missing,
            DataType::Dictionary(..) | DataType::Boolean => {
                Codes::Closed(named.closed.get_or_init(|| closed(named.array, self.keys)))
            }
            _ => match self.numbers_of(name) {
                None => Codes::Coded(named.coded.get_or_init(|| code(named.array, self.keys))),
                Some((numbers, firsts)) => {
                    let value = |number| match firsts.get(number) {
                        Some(first) if *first != NO_ROW => look(named.array, *first as usize),
                        _ => Seen::Missing,
                    };
                    let coded = || Coded::of_rows(firsts.len(), self.keys, value);
                    Codes::Numbered(numbers, named.coded.get_or_init(coded))
                }
            },
        })
    }

    /// The column of numbers that tells the values of another column apart, with the first row of each number.
    fn numbers_of(&self, name: &str) -> Option<(Numbers<'a>, &[u32])> {
        let indexes = NUMBERED.iter().filter(|(_, fields)| fields.contains(&name));
        let index = indexes.into_iter().find_map(|(index, _)| self.named.get(index))?;
        let numbers = numbers(index.array)?;
        let firsts = index.firsts.get_or_init(|| {
            let mut firsts = Vec::new();
            for row in 0..self.rows {
                let Some(number) = numbers.get(row) else { continue };
                // dense, and so not a table of which most would be empty
                if number as usize >= self.rows {
                    return Vec::new();
                }
                if firsts.len() <= number as usize {
                    firsts.resize(number as usize + 1, NO_ROW);
                }
                if let Some(first @ &mut NO_ROW) = firsts.get_mut(number as usize) {
                    *first = row as u32;
                }
            }
            firsts
        });
        (!firsts.is_empty()).then_some((numbers, firsts))
    }

    /// A column of numbers or times; of nothing where it is something else.
    pub fn numbers(&self, name: &str) -> Numbers<'a> {
        let nothing = Numbers { values: Slice::None, nulls: None, scale: 1 };
        let Some(array) = self.array(name) else { return nothing };
        numbers(array).unwrap_or(nothing)
    }

    /// A column.
    pub fn column(&self, name: &str) -> Column<'_, 'a> {
        let Some(named) = self.named.get(name) else { return Column::Missing(self.keys) };
        if let Some(numbers) = numbers(named.array) {
            return Column::Numbers(numbers, self.keys);
        }
        match named.array.data_type() {
            DataType::Dictionary(..) | DataType::Boolean => {
                Column::Closed(named.closed.get_or_init(|| closed(named.array, self.keys)))
            }
            DataType::Utf8View => {
                Column::Texts(named.texts.get_or_init(|| Texts::new(named.array.as_string_view(), self.keys)))
            }
            _ => Column::Plain(named.array, self.keys),
        }
    }

    /// The value of a field in a row; for a few rows, since it makes no codes.
    pub fn seen(&self, name: &str, row: usize) -> Seen<'a> {
        match self.array(name) {
            None => Seen::Missing,
            Some(array) => numbers(array)
                .map_or_else(|| look(array, row), |numbers| numbers.get(row).map_or(Seen::Missing, Seen::Number)),
        }
    }

    /// The value of any column in a row, to keep.
    pub fn keep(&self, name: &str, row: usize) -> Value {
        self.array(name).map_or(Value::Missing, |array| keep(array, row))
    }

    /// The names of all columns, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().as_str())
    }
}

/// The value of one row of any column, to keep.
pub(crate) fn keep(array: &ArrayRef, row: usize) -> Value {
    if row >= array.len() || array.is_null(row) {
        return Value::Missing;
    }
    let number = |numbers: Numbers<'_>| match array.data_type() {
        DataType::Timestamp(..) => Value::Time(numbers.nanoseconds(row)),
        _ => Value::Number(numbers.or_zero(row)),
    };
    numbers(array).map_or_else(|| look(array, row).to_value(), number)
}

/// A column of numbers or of times; `None` where it is something else.
fn numbers(array: &ArrayRef) -> Option<Numbers<'_>> {
    let (values, scale) = match array.data_type() {
        DataType::UInt8 => (Slice::U8(array.as_primitive::<UInt8Type>().values()), 1),
        DataType::UInt16 => (Slice::U16(array.as_primitive::<UInt16Type>().values()), 1),
        DataType::UInt32 => (Slice::U32(array.as_primitive::<UInt32Type>().values()), 1),
        DataType::UInt64 => (Slice::U64(array.as_primitive::<UInt64Type>().values()), 1),
        DataType::Int64 => (Slice::I64(array.as_primitive::<Int64Type>().values()), 1),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => (Slice::I64(array.as_primitive::<TimestampSecondType>().values()), 1_000_000_000),
            TimeUnit::Millisecond => (Slice::I64(array.as_primitive::<TimestampMillisecondType>().values()), 1_000_000),
            TimeUnit::Microsecond => (Slice::I64(array.as_primitive::<TimestampMicrosecondType>().values()), 1_000),
            TimeUnit::Nanosecond => (Slice::I64(array.as_primitive::<TimestampNanosecondType>().values()), 1),
        },
        _ => return None,
    };
    Some(Numbers { values, nulls: array.nulls(), scale })
}

/// The value of one row of a column of text, addresses or yes and no.
pub(crate) fn look(array: &ArrayRef, row: usize) -> Seen<'_> {
    if array.is_null(row) {
        return Seen::Missing;
    }
    match array.data_type() {
        DataType::Utf8View => Seen::Text(array.as_string_view().value(row)),
        DataType::Utf8 => Seen::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Seen::Text(array.as_string::<i64>().value(row)),
        DataType::BinaryView => address(array.as_binary_view().value(row)),
        DataType::Binary => address(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => address(array.as_binary::<i64>().value(row)),
        DataType::Boolean => Seen::Bool(array.as_boolean().value(row)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            let key = key(dictionary.keys(), row).filter(|key| *key < values.len());
            key.map_or(Seen::Missing, |key| look(values, key))
        }
        _ => Seen::Missing,
    }
}

/// One key of a dictionary. Arrow's `normalized_keys` makes all of them, which a look at one row must not.
fn key(keys: &dyn Array, row: usize) -> Option<usize> {
    match keys.data_type() {
        DataType::UInt8 => keys.as_primitive::<UInt8Type>().values().get(row).map(|key| key.as_usize()),
        DataType::UInt16 => keys.as_primitive::<UInt16Type>().values().get(row).map(|key| key.as_usize()),
        DataType::UInt32 => keys.as_primitive::<UInt32Type>().values().get(row).map(|key| key.as_usize()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Seen<'_> {
    bytes.try_into().map_or(Seen::Missing, Seen::Address)
}

fn code(array: &ArrayRef, keys: Keys) -> Coded<'_> {
    match array.data_type() {
        DataType::Utf8View => {
            let texts = array.as_string_view();
            Coded::of_views(texts.views(), texts.nulls(), keys, |row| Seen::Text(texts.value(row)))
        }
        DataType::BinaryView => {
            let all = array.as_binary_view();
            Coded::of_views(all.views(), all.nulls(), keys, |row| address(all.value(row)))
        }
        _ => Coded::of_rows(array.len(), keys, |row| look(array, row)),
    }
}

/// A dictionary, or a column of yes and no; of nothing where it is something else.
fn closed(array: &ArrayRef, keys: Keys) -> Closed<'_> {
    let nothing = Closed::new(Places::U8(&[]), None, std::iter::empty(), keys);
    match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let (places, values) = (dictionary.keys(), dictionary.values());
            let places = match places.data_type() {
                DataType::UInt8 => Places::U8(places.as_primitive::<UInt8Type>().values()),
                DataType::UInt16 => Places::U16(places.as_primitive::<UInt16Type>().values()),
                DataType::UInt32 => Places::U32(places.as_primitive::<UInt32Type>().values()),
                _ => return nothing,
            };
            Closed::new(places, array.nulls(), (0..values.len()).map(|place| look(values, place)), keys)
        }
        DataType::Boolean => {
            let flags = array.as_boolean();
            Closed::new(Places::Bits(flags.values()), flags.nulls(), [false, true].map(Seen::Bool).into_iter(), keys)
        }
        _ => nothing,
    }
}
