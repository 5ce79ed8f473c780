//! Attributed rows as Python gives them: `monitor/attributed.py` has the shape.

use judgecore::row_batch::{RowBatch, Told};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;

use crate::judge::one_batch;

/// Rows that come with what follows from columns of numbers, or with whole columns.
#[derive(FromPyObject)]
pub(crate) enum PyRowBatch {
    /// The columns of the rows' own, what follows from columns of numbers (by their names), and the order of all.
    Told(AnyRecordBatch, Vec<(String, AnyRecordBatch)>, Vec<String>),
    /// All columns.
    Whole(AnyRecordBatch),
}

/// Raises ValueError where a column of numbers is missing.
pub(crate) fn row_batch(rows: PyRowBatch) -> PyResult<RowBatch> {
    let (own, told, order) = match rows {
        PyRowBatch::Told(own, told, order) => (own, told, order),
        PyRowBatch::Whole(all) => return Ok(one_batch(all)?.into()),
    };
    let told = told.into_iter().map(|(by, columns)| Ok(Told { by, columns: one_batch(columns)? }));
    let rows = RowBatch::new(one_batch(own)?, told.collect::<PyResult<_>>()?, &order);
    rows.map_err(|error| PyValueError::new_err(error.to_string()))
}
