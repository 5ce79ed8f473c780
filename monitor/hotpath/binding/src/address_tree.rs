//! The search tree of a database file, asked for many addresses at once.

use attributecore::AddressTree;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

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

    /// Addresses of 16 bytes each, one behind the other; gives a number for each.
    fn find(&self, py: Python<'_>, addresses: PyBackedBytes) -> Vec<u32> {
        py.detach(|| {
            let whole = addresses.chunks_exact(16).filter_map(|address| address.try_into().ok());
            whole.map(|address| self.0.find(address)).collect()
        })
    }
}
