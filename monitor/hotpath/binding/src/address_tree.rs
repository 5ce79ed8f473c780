//! The search tree of a database file, asked for many addresses at once.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::UInt32Array;
use attributecore::AddressTree;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::judge::one_batch;
use crate::numbered::batch;

/// A whole database file.
#[pyclass(frozen, name = "AddressTree")]
pub(crate) struct PyAddressTree(AddressTree<PyBackedBytes>);

#[pymethods]
impl PyAddressTree {
    /// Raises ValueError that says what is damaged.
    #[new]
    fn new(py: Python<'_>, file: PyBackedBytes) -> PyResult<PyAddressTree> {
        let tree = py.detach(|| AddressTree::new(file));
        tree.map(PyAddressTree).map_err(|fault| PyValueError::new_err(fault.to_string()))
    }

    /// The only column of a batch is addresses of 16 bytes; gives a number for each.
    fn find<'py>(&self, py: Python<'py>, addresses: AnyRecordBatch) -> PyResult<Bound<'py, PyRecordBatch>> {
        let addresses = one_batch(addresses)?;
        let column = addresses.columns().first().and_then(|column| column.as_binary_view_opt());
        let column = column.ok_or_else(|| PyValueError::new_err("not a column of addresses"))?;
        let find =
            |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, |one| self.0.find(one));
        let found: Vec<u32> = py.detach(|| column.iter().map(find).collect());
        batch(py, [("key", Arc::new(UInt32Array::from(found)))])
    }
}
