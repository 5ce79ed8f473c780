//! Rows of a rule's tests: dictionaries as a batch, without any other library.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryViewBuilder, BooleanBuilder, StringViewBuilder, TimestampNanosecondBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::judge_values::SECOND;
use crate::row_batch::PyRows;

/// Make a batch of rows; `columns` are names and kinds: `number`, `time` (nanoseconds), `seconds` (of a time),
/// `text`, `address` (16 bytes) or `yes_no`. What a row lacks is missing.
#[pyfunction]
pub(crate) fn batch_of_rows<'py>(
    py: Python<'py>,
    columns: Vec<(String, String)>,
    rows: Vec<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyRows>> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, kind) in &columns {
        let values = rows.iter().map(|row| Ok(row.get_item(name)?.filter(|value| !value.is_none())));
        let array = of_values(kind, values)?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
    let batch = batch.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Bound::new(py, PyRows::of(&batch, Vec::new(), &[])?)
}

fn of_values<'py>(kind: &str, values: impl Iterator<Item = PyResult<Option<Bound<'py, PyAny>>>>) -> PyResult<ArrayRef> {
    Ok(match kind {
        "number" => {
            let mut all = UInt64Builder::new();
            for value in values {
                all.append_option(value?.map(|value| value.extract()).transpose()?);
            }
            Arc::new(all.finish())
        }
        "time" => {
            let mut all = TimestampNanosecondBuilder::new();
            for value in values {
                all.append_option(value?.map(|value| value.extract()).transpose()?);
            }
            Arc::new(all.finish())
        }
        "seconds" => {
            let mut all = TimestampNanosecondBuilder::new();
            for value in values {
                let seconds = value?.map(|value| value.extract::<i64>()).transpose()?;
                all.append_option(seconds.map(|seconds| seconds.saturating_mul(SECOND)));
            }
            Arc::new(all.finish())
        }
        "text" => {
            let mut all = StringViewBuilder::new();
            for value in values {
                all.append_option(value?.map(|value| value.extract::<String>()).transpose()?);
            }
            Arc::new(all.finish())
        }
        "address" => {
            let mut all = BinaryViewBuilder::new();
            for value in values {
                all.append_option(value?.map(|value| value.extract::<Vec<u8>>()).transpose()?);
            }
            Arc::new(all.finish())
        }
        "yes_no" => {
            let mut all = BooleanBuilder::new();
            for value in values {
                all.append_option(value?.map(|value| value.extract()).transpose()?);
            }
            Arc::new(all.finish())
        }
        other => return Err(PyValueError::new_err(format!("no kind of column {other:?}"))),
    })
}
