//! Rows as they come: columns with a value for each row, and columns that follow from a number of the row.
//!
//! Ten columns say what was decided about a row, and a batch of 100,000 rows has a few hundred decisions. So such a
//! column stands once for each number, and is looked at through the numbers (`monitor/flow_rows.py`).

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::{take, TakeOptions};

/// What follows from a column of numbers: one row for each number, from 0.
#[derive(Clone)]
pub struct Told {
    /// The name of the column of numbers.
    pub by: String,
    /// What follows.
    pub columns: RecordBatch,
}

/// One batch of rows.
pub struct RowBatch {
    own: RecordBatch,
    columns: Vec<(String, Cells)>,
}

/// The values of a column, and the numbers of the rows by which they stand; without numbers each row has its own.
#[derive(Clone)]
pub(crate) struct Cells {
    pub(crate) array: ArrayRef,
    pub(crate) by: Option<UInt32Array>,
}

impl RowBatch {
    /// Rows with columns of their own and those that `told` adds.
    ///
    /// `order` names the columns as people see them; what it does not name comes behind.
    ///
    /// # Errors
    ///
    /// Where there is no such column of numbers.
    pub fn new(own: RecordBatch, told: Vec<Told>, order: &[String]) -> Result<RowBatch, ArrowError> {
        let mut rows = RowBatch::from(own);
        for Told { by, columns } in told {
            let numbers = rows.own.column_by_name(&by).and_then(|column| column.as_primitive_opt::<UInt32Type>());
            let numbers = numbers.ok_or_else(|| ArrowError::SchemaError(format!("no column of numbers {by:?}")))?;
            let checked = Some(TakeOptions { check_bounds: true });
            for (field, array) in columns.schema_ref().fields().iter().zip(columns.columns()) {
                // numbers are as small as what tells them apart
                let cells = match array.data_type().is_numeric() {
                    true => Cells { array: take(array, numbers, checked.clone())?, by: None },
                    false => Cells { array: array.clone(), by: Some(numbers.clone()) },
                };
                rows.columns.push((field.name().clone(), cells));
            }
        }
        let place = |name: &String| order.iter().position(|one| one == name).unwrap_or(order.len());
        rows.columns.sort_by_cached_key(|(name, _)| place(name));
        Ok(rows)
    }

    /// The columns of their own.
    pub fn own(&self) -> &RecordBatch {
        &self.own
    }

    /// All columns by name, in order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, &Cells)> {
        self.columns.iter().map(|(name, cells)| (name.as_str(), cells))
    }
}

impl From<RecordBatch> for RowBatch {
    fn from(own: RecordBatch) -> RowBatch {
        let names = own.schema_ref().fields().iter().map(|field| field.name().clone());
        let cells = own.columns().iter().map(|array| Cells { array: array.clone(), by: None });
        let columns = names.zip(cells).collect();
        RowBatch { own, columns }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::UInt8Type;
    use arrow_array::{BooleanArray, DictionaryArray, StringViewArray};

    use super::*;
    use crate::frame::Frame;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
    }

    /// Columns of some rows or of some numbers: closed, yes and no, text that is short, long and missing, and a number.
    fn columns(values: &[Option<u32>]) -> Vec<(&'static str, ArrayRef)> {
        let word = |value: &Option<u32>| value.map(|value| ["egress", "internal", "transit"][value as usize % 3]);
        let long = |value: &Option<u32>| {
            let text = |value: u32| match value % 4 {
                0 => None,
                1 => Some(format!("short{value}")),
                _ => Some(format!("a text that does not fit its word, {value}")),
            };
            value.and_then(text)
        };
        let number = |value: &Option<u32>| value.filter(|value| value % 5 != 0).map(|value| value * 1000);
        vec![
            ("evidence", Arc::new(values.iter().map(word).collect::<DictionaryArray<UInt8Type>>())),
            (
                "disagreement",
                Arc::new(values.iter().map(|value| value.map(|value| value % 2 == 1)).collect::<BooleanArray>()),
            ),
            ("provider", Arc::new(values.iter().map(long).collect::<StringViewArray>())),
            ("asn", Arc::new(values.iter().map(number).collect::<UInt32Array>())),
        ]
    }

    #[test]
    fn what_is_told_by_number_is_what_each_row_would_have() -> Result<(), ArrowError> {
        // with and without rows that have no number; with more numbers than rows; with no rows
        for (rows, numbers, without) in [(500, 37, 0), (500, 37, 11), (20, 300, 0), (20, 300, 3), (0, 4, 0)] {
            let number = |row: u32| (without == 0 || row % without != 0).then_some(row * 31 % numbers);
            let of_row: Vec<Option<u32>> = (0..rows).map(number).collect();
            let ids: ArrayRef = Arc::new(UInt32Array::from(of_row.clone()));
            let all: Vec<Option<u32>> = (0..numbers).map(Some).collect();
            let own = batch(vec![("case_id", ids.clone())])?;
            let told = Told { by: "case_id".to_owned(), columns: batch(columns(&all))? };
            let order = ["asn", "provider", "case_id", "evidence", "disagreement"].map(str::to_owned);
            let told = RowBatch::new(own, vec![told], &order)?;
            let whole = RowBatch::from(batch([columns(&of_row), vec![("case_id", ids)]].concat())?);
            let (told, whole) = (Frame::new(&told, [3, 4]), Frame::new(&whole, [3, 4]));
            assert_eq!(told.names().collect::<Vec<_>>(), order);
            for name in ["evidence", "disagreement", "provider", "asn"] {
                assert_eq!(told.is_number(name), whole.is_number(name), "{name}");
                assert_eq!(told.is_closed(name), whole.is_closed(name), "{name}");
                let (one, other) = (told.column(name), whole.column(name));
                let codes = (told.codes(name), whole.codes(name));
                for row in 0..rows as usize {
                    assert_eq!(one.seen(row), other.seen(row), "{name} of {row}");
                    assert_eq!(one.hash(row), other.hash(row), "{name} of {row}");
                    assert_eq!(one.keep(row), other.keep(row), "{name} of {row}");
                    assert_eq!(one.number(row), other.number(row), "{name} of {row}");
                    assert_eq!(told.keep(name, row), whole.keep(name, row), "{name} of {row}");
                    assert_eq!(told.seen(name, row), whole.seen(name, row), "{name} of {row}");
                    if let (Some(one), Some(other)) = codes {
                        assert_eq!(one.values().get(one.of(row)), other.values().get(other.of(row)), "{name} of {row}");
                    }
                }
                assert_eq!(codes.0.is_some(), codes.1.is_some(), "{name}");
            }
        }
        Ok(())
    }

    #[test]
    fn numbers_that_are_not_there_are_refused_or_missing() -> Result<(), ArrowError> {
        let ids: ArrayRef = Arc::new(UInt32Array::from(vec![0, 7]));
        let told = |by: &str, columns| Told { by: by.to_owned(), columns };
        let own = batch(vec![("case_id", ids)])?;
        let all = columns(&[Some(1)]);
        let one = |place: usize| all.get(place..=place).unwrap_or_default().to_vec();
        let texts = batch([one(0), one(2)].concat())?;
        assert!(RowBatch::new(own.clone(), vec![told("name_id", texts.clone())], &[]).is_err());
        assert!(RowBatch::new(own.clone(), vec![told("case_id", batch(one(3))?)], &[]).is_err());
        let rows = RowBatch::new(own, vec![told("case_id", texts)], &[])?;
        let frame = Frame::new(&rows, [3, 4]);
        for (name, text) in [("evidence", "internal"), ("provider", "short1")] {
            assert_eq!([0, 1].map(|row| frame.column(name).seen(row).text()), [Some(text), None]);
            assert_eq!([0, 1].map(|row| frame.seen(name, row).text()), [Some(text), None]);
            let codes = frame.codes(name).map(|codes| [0, 1].map(|row| codes.values().get(codes.of(row)).copied()));
            assert_eq!(codes.map(|seen| seen.map(|seen| seen.and_then(|seen| seen.text()))), Some([Some(text), None]));
        }
        Ok(())
    }
}
