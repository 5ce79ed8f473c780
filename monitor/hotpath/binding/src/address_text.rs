//! Addresses as people read them.

use std::net::Ipv6Addr;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::Array;
use flowcore::flow::Texts;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::judge::one_batch;
use crate::numbered::batch;

/// IPv4 as such (RFC 4291 section 2.5.5.2), IPv6 as RFC 5952 has it.
pub(crate) fn address_text(address: [u8; 16]) -> String {
    let address = Ipv6Addr::from(address);
    address.to_ipv4_mapped().map_or_else(|| address.to_string(), |old| old.to_string())
}

/// The only column of a batch, addresses of 16 bytes, as text; raises ValueError where one has another length.
#[pyfunction]
pub(crate) fn address_texts<'py>(py: Python<'py>, addresses: AnyRecordBatch) -> PyResult<Bound<'py, PyRecordBatch>> {
    let addresses = one_batch(addresses)?;
    let column = addresses.columns().first().and_then(|column| column.as_binary_view_opt());
    let column = column.ok_or_else(|| PyValueError::new_err("not a column of addresses"))?;
    // one behind the other, so that all are found to be text at once
    let mut written = Texts::default();
    for bytes in column.iter().flatten() {
        let address: [u8; 16] = bytes.try_into().map_err(|_| PyValueError::new_err("an address is 16 bytes long"))?;
        match Ipv6Addr::from(address).to_ipv4_mapped() {
            Some(old) => written.push_v4(old.octets()),
            None => written.push_v6(address),
        };
    }
    written.tell();
    let mut texts = StringViewBuilder::with_capacity(addresses.num_rows());
    let mut all = written.iter();
    for place in 0..column.len() {
        texts.append_option(if column.is_valid(place) { all.next() } else { None });
    }
    batch(py, [("text", Arc::new(texts.finish()))])
}
