//! Where flows stand in a batch.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use judgecore::hash::Ready;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;

use crate::judge::one_batch;

/// Bytes that say which flows may be wanted.
const NEAR: usize = 4096;

/// The first row of each of these flows, in the order of rows; `flow_ids` is a batch of that column alone.
#[pyfunction]
pub(crate) fn first_rows(py: Python<'_>, flow_ids: AnyRecordBatch, wanted: Vec<u64>) -> PyResult<Vec<usize>> {
    let flow_ids = one_batch(flow_ids)?;
    let column = flow_ids.columns().first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let column = column.ok_or_else(|| PyValueError::new_err("no column of flow ids"))?;
    Ok(py.detach(|| {
        let mut wanted: HashSet<u64, BuildHasherDefault<Ready>> = wanted.into_iter().collect();
        // few of many: for most a look at one byte tells that they are not wanted
        let mut near = [false; NEAR];
        wanted.iter().for_each(|flow| near[*flow as usize % NEAR] = true);
        let rows = column.values().iter().enumerate();
        let found = rows.filter(|(_, flow)| near[**flow as usize % NEAR] && wanted.remove(flow));
        found.map(|(row, _)| row).collect()
    }))
}
