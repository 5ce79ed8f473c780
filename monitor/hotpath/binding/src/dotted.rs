//! IPv4 addresses as people write them, a column at once.

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::ArrayRef;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3_arrow::{PyArray, PyChunkedArray};

/// Write IPv4-mapped addresses (binary views of 16 bytes, RFC 4291 section 2.5.5.2) as text; others are null.
#[pyfunction]
pub(crate) fn dotted(addresses: PyChunkedArray) -> PyResult<PyArray> {
    let mut builder = StringViewBuilder::new();
    for chunk in addresses.chunks() {
        let Some(packed) = chunk.as_binary_view_opt() else {
            return Err(PyTypeError::new_err("addresses are a column of binary views"));
        };
        let mut text = String::new();
        for one in packed {
            let mapped = one.and_then(|one| <[u8; 16]>::try_from(one).ok());
            match mapped.and_then(|sixteen| Ipv6Addr::from(sixteen).to_ipv4_mapped()) {
                Some(four) => {
                    text.clear();
                    // writing to a string does not fail
                    let _ = write!(text, "{four}");
                    builder.append_value(&text);
                }
                None => builder.append_null(),
            }
        }
    }
    Ok(PyArray::from_array_ref(Arc::new(builder.finish()) as ArrayRef))
}
