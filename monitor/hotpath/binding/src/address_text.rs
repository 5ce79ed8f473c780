//! Addresses as people read them.

use std::net::Ipv6Addr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringViewArray};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::judge::one_batch;

/// IPv4 as such (RFC 4291 section 2.5.5.2), IPv6 as RFC 5952 has it.
pub(crate) fn address_text(address: [u8; 16]) -> String {
    let address = Ipv6Addr::from(address);
    address.to_ipv4_mapped().map_or_else(|| address.to_string(), |old| old.to_string())
}

/// The only column of a batch, addresses of 16 bytes, as text; raises ValueError where one has another length.
#[pyfunction]
pub(crate) fn address_texts<'py>(py: Python<'py>, batch: AnyRecordBatch) -> PyResult<Bound<'py, PyRecordBatch>> {
    let batch = one_batch(batch)?;
    let column = batch.columns().first().and_then(|column| column.as_binary_view_opt());
    let column = column.ok_or_else(|| PyValueError::new_err("not a column of addresses"))?;
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.try_into().map(address_text)).transpose();
    let texts = column.iter().map(text).collect::<Result<StringViewArray, _>>();
    let texts = texts.map_err(|_| PyValueError::new_err("an address is 16 bytes long"))?;
    let texts = RecordBatch::try_from_iter_with_nullable([("text", Arc::new(texts) as Arc<dyn Array>, true)]);
    Bound::new(py, PyRecordBatch::new(texts.map_err(|error| PyRuntimeError::new_err(error.to_string()))?))
}
