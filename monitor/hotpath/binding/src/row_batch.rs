//! Flow rows as Python gives them: `monitor/flow_rows.py` has the shape.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt8Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringViewArray};
use arrow_schema::{ArrowError, Field, Schema};
use flowcore::decode::Tunnel;
use flowcore::flow::{Application, Confidence, Ending, Initiator, NameSource, Scope};
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

/// The columns of closed sets, with the words of each.
const CLOSED: [(&str, &[&str]); 7] = [
    ("scope", &Scope::NAMES),
    ("initiator", &Initiator::NAMES),
    ("initiator_confidence", &Confidence::NAMES),
    ("application", &Application::NAMES),
    ("name_source", &NameSource::NAMES),
    ("tunnel", &Tunnel::NAMES),
    ("ended", &Ending::NAMES),
];
/// What stands behind the name of such a column where it has places in the set and no words.
pub(crate) const CODE: &str = "_code";

/// The same columns, but for places in closed sets their words: dictionaries whose keys are those places.
fn closed_sets(own: &RecordBatch) -> PyResult<RecordBatch> {
    let mut fields = Vec::with_capacity(own.num_columns());
    let mut arrays = Vec::with_capacity(own.num_columns());
    for (field, array) in own.schema_ref().fields().iter().zip(own.columns()) {
        let name = field.name().strip_suffix(CODE);
        let set = name.and_then(|name| CLOSED.iter().find(|(known, _)| *known == name));
        let (field, array) = match (set, array.as_primitive_opt::<UInt8Type>()) {
            (Some((name, words)), Some(places)) => {
                let words = Arc::new(StringViewArray::from(words.to_vec()));
                let array: ArrayRef = Arc::new(DictionaryArray::try_new(places.clone(), words).map_err(refused)?);
                (Arc::new(Field::new(*name, array.data_type().clone(), true)), array)
            }
            _ => (Arc::clone(field), Arc::clone(array)),
        };
        fields.push(field);
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(refused)
}

fn refused(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The same as one batch: columns that follow from numbers are dictionaries there, and `order` makes no difference.
///
/// Raises ValueError where a column of numbers is missing, or a number of which nothing is told.
pub(crate) fn with_dictionaries(rows: PyRowBatch) -> PyResult<RecordBatch> {
    let (own, told) = match rows {
        PyRowBatch::Told(own, told, _) => (closed_sets(&one_batch(own)?)?, told),
        PyRowBatch::Whole(all) => return one_batch(all),
    };
    let mut fields: Vec<_> = own.schema_ref().fields().iter().cloned().collect();
    let mut arrays = own.columns().to_vec();
    for (by, columns) in told {
        let numbers = own.column_by_name(&by).and_then(|column| column.as_primitive_opt::<UInt32Type>());
        let numbers = numbers.ok_or_else(|| PyValueError::new_err(format!("no column of numbers {by:?}")))?;
        let columns = one_batch(columns)?;
        for (field, values) in columns.schema_ref().fields().iter().zip(columns.columns()) {
            let array = DictionaryArray::try_new(numbers.clone(), values.clone()).map_err(refused)?;
            fields.push(Arc::new(Field::new(field.name(), array.data_type().clone(), true)));
            arrays.push(Arc::new(array));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(refused)
}

/// Raises ValueError where a column of numbers is missing.
pub(crate) fn row_batch(rows: PyRowBatch) -> PyResult<RowBatch> {
    let (own, told, order) = match rows {
        PyRowBatch::Told(own, told, order) => (own, told, order),
        PyRowBatch::Whole(all) => return Ok(one_batch(all)?.into()),
    };
    let told = told.into_iter().map(|(by, columns)| Ok(Told { by, columns: one_batch(columns)? }));
    let rows = RowBatch::new(closed_sets(&one_batch(own)?)?, told.collect::<PyResult<_>>()?, &order);
    rows.map_err(refused)
}
