//! Columns of dense numbers, and what they stand for.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take;
use attributecore::Unreadable;
use flowcore::flow::Seed;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::judge::one_batch;

/// Columns on their way to Python.
pub(crate) fn batch<'py, const N: usize>(
    py: Python<'py>,
    columns: [(&str, ArrayRef); N],
) -> PyResult<Bound<'py, PyRecordBatch>> {
    let columns = columns.map(|(name, array)| (name, array, true));
    Bound::new(py, PyRecordBatch::new(RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)?))
}

pub(crate) fn failed(error: ArrowError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

pub(crate) fn unreadable(column: Unreadable) -> PyErr {
    PyValueError::new_err(format!("no such column, or not all of it: {}", column.0))
}

/// A column of numbers (`uint32`), by its place.
pub(crate) fn numbers(batch: &RecordBatch, place: usize) -> PyResult<&UInt32Array> {
    let array = batch.columns().get(place).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    array.ok_or_else(|| PyValueError::new_err("not a column of numbers"))
}

/// What the numbers in the first of two columns stand for in the second, in their order. A number that no row has
/// stands for what the first row with a number has.
#[pyfunction]
pub(crate) fn first_values<'py>(py: Python<'py>, rows: AnyRecordBatch) -> PyResult<Bound<'py, PyRecordBatch>> {
    let rows = one_batch(rows)?;
    let ids = numbers(&rows, 0)?;
    let values = rows.columns().get(1).ok_or_else(|| PyValueError::new_err("not two columns"))?;
    let all = py.detach(|| take(values, &first_rows(ids), None)).map_err(failed)?;
    batch(py, [("value", all)])
}

/// The first row of each number.
fn first_rows(ids: &UInt32Array) -> UInt32Array {
    let mut firsts: Vec<Option<u32>> = Vec::new();
    let mut holes = 0_usize;
    let mut note = |(row, id): (usize, u32)| {
        let id = id as usize;
        if id < firsts.len() {
            // most rows end here: their number is known
            if holes > 0 {
                if let Some(first @ None) = firsts.get_mut(id) {
                    *first = Some(row as u32);
                    holes -= 1;
                }
            }
        } else {
            holes += id - firsts.len();
            firsts.resize(id, None);
            firsts.push(Some(row as u32));
        }
    };
    let rows = ids.values().iter().copied().enumerate();
    match ids.nulls() {
        Some(nulls) => rows.zip(nulls).filter(|(_, valid)| *valid).for_each(|(row, _)| note(row)),
        None => rows.for_each(&mut note),
    }
    let any = firsts.iter().flatten().min().copied().unwrap_or_default();
    firsts.iter().map(|first| Some(first.unwrap_or(any))).collect()
}

/// Rows of at most four columns of numbers, and what stands behind each: found out once, and kept.
#[pyclass]
pub(crate) struct KnownRows {
    /// By the numbers one behind the other, which are hashed in one step.
    known: HashMap<u128, u32, Seed>,
}

#[pymethods]
impl KnownRows {
    /// Nothing is known yet.
    #[new]
    fn new() -> KnownRows {
        KnownRows { known: HashMap::default() }
    }

    /// Give a number for each row of a batch. For a row that never came before, `find_out` is asked with its place.
    fn numbers<'py>(
        &mut self,
        py: Python<'py>,
        rows: AnyRecordBatch,
        find_out: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyRecordBatch>> {
        let rows = one_batch(rows)?;
        let columns = (0..rows.num_columns()).map(|place| numbers(&rows, place)).collect::<PyResult<Vec<_>>>()?;
        if columns.len() > 4 {
            return Err(PyValueError::new_err("more than four columns"));
        }
        let mut all = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let key = columns.iter().fold(0, |key, column| key << 32 | u128::from(column.value(row)));
            all.push(match self.known.entry(key) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => *entry.insert(find_out.call1((row,))?.extract()?),
            });
        }
        batch(py, [("number", Arc::new(UInt32Array::from(all)))])
    }

    /// How many rows are known.
    fn __len__(&self) -> usize {
        self.known.len()
    }
}
