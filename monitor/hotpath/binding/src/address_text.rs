//! Addresses as people read them.

use std::net::Ipv6Addr;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::judge::one_batch;
use crate::numbered::batch;

/// For `255.255.255.255` and a dot.
const ROOM: usize = 16;

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
    let mut texts = StringViewBuilder::with_capacity(addresses.num_rows());
    let mut buffer = [0; ROOM];
    for bytes in column {
        let Some(bytes) = bytes else {
            texts.append_null();
            continue;
        };
        let address: [u8; 16] = bytes.try_into().map_err(|_| PyValueError::new_err("an address is 16 bytes long"))?;
        match Ipv6Addr::from(address).to_ipv4_mapped() {
            Some(old) => texts.append_value(ipv4_text(old.octets(), &mut buffer)),
            None => texts.append_value(address_text(address)),
        }
    }
    batch(py, [("text", Arc::new(texts.finish()))])
}

/// For each byte: its decimal digits and a dot behind them, and how many characters these are.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut all = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        all[octet] = match octet {
            0..10 => ([digits[2], b'.', 0, 0], 2),
            10..100 => ([digits[1], digits[2], b'.', 0], 3),
            _ => ([digits[0], digits[1], digits[2], b'.'], 4),
        };
        octet += 1;
    }
    all
};

/// The decimal numbers with dots between: the formatter of the standard library takes many times as long.
fn ipv4_text(octets: [u8; 4], buffer: &mut [u8; ROOM]) -> &str {
    let mut end = 0;
    for octet in octets {
        let (text, length) = OCTETS[usize::from(octet)];
        if let Some(place) = buffer.get_mut(end..).and_then(|rest| rest.first_chunk_mut()) {
            *place = text;
        }
        end += usize::from(length);
    }
    // without the dot behind the last
    std::str::from_utf8(buffer.get(..end - 1).unwrap_or_default()).unwrap_or_default()
}
