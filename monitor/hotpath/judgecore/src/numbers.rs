//! Columns of numbers and of times, as they lie in memory.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt16Type, UInt32Type, UInt64Type, UInt8Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};

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
    /// Of a column that there is not.
    pub(crate) const NOTHING: Numbers<'static> = Numbers { values: Slice::None, nulls: None, scale: 1 };

    /// Whether there is no such column.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.values, Slice::None)
    }

    /// The number in a row; `None` where it is missing.
    #[inline]
    pub fn get(&self, row: usize) -> Option<u64> {
        if let (Slice::U64(all), None) = (self.values, self.nulls) {
            return all.get(row).copied();
        }
        self.get_other(row)
    }

    fn get_other(&self, row: usize) -> Option<u64> {
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
    #[inline]
    pub fn or_zero(&self, row: usize) -> u64 {
        self.get(row).unwrap_or(0)
    }

    /// The times of rows that follow each other, nanoseconds since 1970, each with the first row behind them.
    pub(crate) fn runs(&self, rows: usize) -> Vec<(i64, usize)> {
        let Slice::I64(all) = self.values else { return (rows > 0).then_some((0, rows)).into_iter().collect() };
        let mut end = 0;
        let runs = all.chunk_by(|one, next| one == next).map(|run| {
            end += run.len();
            (self.nanoseconds(end - 1), end)
        });
        runs.collect()
    }

    /// The time in a row in nanoseconds since 1970; 0 where it is missing.
    #[inline]
    pub fn nanoseconds(&self, row: usize) -> i64 {
        match self.values {
            Slice::I64(all) => all.get(row).map_or(0, |time| time.saturating_mul(self.scale)),
            _ => 0,
        }
    }
}

/// A column of numbers or of times; `None` where it is something else.
pub(crate) fn numbers(array: &ArrayRef) -> Option<Numbers<'_>> {
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
