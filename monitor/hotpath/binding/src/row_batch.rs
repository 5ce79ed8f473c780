//! Flow rows as Python gives them: `monitor/flow_rows.py` has the shape.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringViewArray};
use arrow_schema::{ArrowError, Field, Schema};
use attributecore::Rows;
use flowcore::decode::Tunnel;
use flowcore::flow::{Application, Confidence, Ending, Initiator, NameSource, Scope};
use judgecore::row_batch::{RowBatch, Told};
use publishcore::marks::Marks;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::columns::Numbered;
use crate::judge::one_batch;

/// Rows of a batch as the stages take them, made once: columns of their own, and what follows from columns of numbers.
#[pyclass(frozen, name = "Rows")]
pub(crate) struct PyRows {
    /// As attribution sees them.
    pub(crate) attribute: Rows,
    /// As the judge and the sums see them.
    pub(crate) judge: RowBatch,
    /// What all sums need of them, once one asks.
    marks: OnceLock<Marks>,
}

/// What columns of numbers tell, by their names.
type PyTold = Vec<(String, AnyRecordBatch)>;

#[pymethods]
impl PyRows {
    /// `own` has the columns of the rows' own, `told` by the name of a column of numbers what each number stands for, and
    /// `order` names columns as people see them. Raises ValueError where a column of numbers is missing.
    #[new]
    fn new(own: AnyRecordBatch, told: PyTold, order: Vec<String>) -> PyResult<PyRows> {
        let told = told.into_iter().map(|(by, columns)| Ok((by, one_batch(columns)?)));
        PyRows::of(&one_batch(own)?, told.collect::<PyResult<_>>()?, &order)
    }

    /// The same rows with more columns of their own, and with more that follows from numbers.
    fn plus(&self, own: AnyRecordBatch, told: PyTold, order: Vec<String>) -> PyResult<PyRows> {
        let (before, more) = (&self.attribute, one_batch(own)?);
        let fields = before.own.schema_ref().fields().iter().chain(more.schema_ref().fields()).cloned();
        let arrays = [before.own.columns(), more.columns()].concat();
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let own = RecordBatch::try_new(Arc::new(schema), arrays).map_err(refused)?;
        let mut all = before.told.clone();
        for (by, columns) in told {
            all.push((by, one_batch(columns)?));
        }
        PyRows::of(&own, all, &order)
    }
}

impl PyRows {
    /// What all sums need of the rows.
    pub(crate) fn marks(&self) -> &Marks {
        self.marks.get_or_init(|| Marks::new(&self.judge))
    }

    /// Rows of record batches.
    pub(crate) fn of(own: &RecordBatch, told: Vec<(String, RecordBatch)>, order: &[String]) -> PyResult<PyRows> {
        let own = closed_sets(own)?;
        let by_number = told.iter().map(|(by, columns)| Told { by: by.clone(), columns: columns.clone() });
        let judge = RowBatch::new(own.clone(), by_number.collect(), order).map_err(refused)?;
        Ok(PyRows { attribute: Rows { own, told }, judge, marks: OnceLock::new() })
    }
}

const DNS_KINDS: [&str; 2] = ["question", "answer"];
const DNS_SECTIONS: [&str; 4] = ["question", "answer", "authority", "additional"];

/// The columns of closed sets, with the words of each.
const CLOSED: [(&str, &[&str]); 9] = [
    ("scope", &Scope::NAMES),
    ("initiator", &Initiator::NAMES),
    ("initiator_confidence", &Confidence::NAMES),
    ("application", &Application::NAMES),
    ("name_source", &NameSource::NAMES),
    ("tunnel", &Tunnel::NAMES),
    ("ended", &Ending::NAMES),
    ("kind", &DNS_KINDS),
    ("section", &DNS_SECTIONS),
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

/// What Python is given of a batch: its own columns, what columns of numbers tell, and both as the stages take them.
pub(crate) type PyNumbered<'py> =
    (Bound<'py, PyRecordBatch>, Vec<(&'static str, Bound<'py, PyRecordBatch>)>, Bound<'py, PyRows>);

/// Give the rows of a batch to Python.
pub(crate) fn to_python(py: Python<'_>, (own, told): Numbered) -> PyResult<PyNumbered<'_>> {
    let given = told.iter().map(|(by, columns)| Ok((*by, Bound::new(py, PyRecordBatch::new(columns.clone()))?)));
    let given = given.collect::<PyResult<_>>()?;
    let told = told.into_iter().map(|(by, columns)| (by.to_owned(), columns)).collect();
    let rows = Bound::new(py, PyRows::of(&own, told, &[])?)?;
    Ok((Bound::new(py, PyRecordBatch::new(own))?, given, rows))
}
