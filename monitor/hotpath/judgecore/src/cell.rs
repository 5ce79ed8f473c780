//! Single values of a column: of any kind, for a few rows.

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt32Type, UInt8Type};
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;

use crate::numbers::{numbers, Numbers};
use crate::row_batch::Cells;
use crate::value::{Seen, Value};

/// Where the value of a row stands in a column: at the row itself, or at the number that the row has.
#[derive(Clone, Copy, Default)]
pub struct ByNumber<'a>(Option<&'a UInt32Array>);

impl<'a> ByNumber<'a> {
    /// At the number that the row has.
    pub(crate) fn of(numbers: &'a UInt32Array) -> ByNumber<'a> {
        ByNumber(Some(numbers))
    }

    /// The numbers, where every row has one; `None` where rows have values of their own, or some no number.
    pub(crate) fn all(&self) -> Option<&'a [u32]> {
        self.0.filter(|numbers| numbers.null_count() == 0).map(|numbers| &**numbers.values())
    }

    /// Whether rows have values of their own.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The place of a row's value; `None` where it has none.
    #[inline]
    pub(crate) fn place(&self, row: usize) -> Option<usize> {
        let Some(numbers) = self.0 else { return Some(row) };
        let number = numbers.values().get(row).map(|number| *number as usize);
        number.filter(|_| numbers.nulls().is_none_or(|nulls| nulls.is_valid(row)))
    }
}

/// A column, to look at rows one by one.
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    pub(crate) array: &'a ArrayRef,
    pub(crate) by: ByNumber<'a>,
}

impl<'a> Cell<'a> {
    pub(crate) fn new(cells: &'a Cells) -> Cell<'a> {
        Cell { array: &cells.array, by: ByNumber(cells.by.as_ref()) }
    }

    /// The value of a row in a column of text, addresses or yes and no.
    pub(crate) fn look(&self, row: usize) -> Seen<'a> {
        self.by
            .place(row)
            .filter(|place| *place < self.array.len())
            .map_or(Seen::Missing, |place| look(self.array, place))
    }

    /// The value of a row in any column, to keep.
    pub(crate) fn keep(&self, row: usize) -> Value {
        self.by.place(row).map_or(Value::Missing, |place| keep(self.array, place))
    }
}

/// The value of one row of any column, to keep.
fn keep(array: &ArrayRef, row: usize) -> Value {
    if row >= array.len() || array.is_null(row) {
        return Value::Missing;
    }
    let number = |numbers: Numbers<'_>| match array.data_type() {
        DataType::Timestamp(..) => Value::Time(numbers.nanoseconds(row)),
        _ => Value::Number(numbers.or_zero(row)),
    };
    numbers(array).map_or_else(|| look(array, row).to_value(), number)
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

pub(crate) fn address(bytes: &[u8]) -> Seen<'_> {
    bytes.try_into().map_or(Seen::Missing, Seen::Address)
}
