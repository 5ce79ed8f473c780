//! What is known of a row, as Python classes. What they do is in `attributecore`.

use std::sync::Arc;

use arrow_array::{BooleanArray, UInt32Array};
use attributecore::{Address, Case, Cases, Known, PublicResolvers};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyRecordBatch;
use pyo3_arrow::PyRecordBatch;

use crate::judge::one_batch;
use crate::numbered::{batch, numbers, unreadable};
use crate::row_batch::PyRows;

/// Network, answer, name, place of its source, whether ECH was offered, whether it went to a gateway.
type PyCase = (u32, u32, u32, u8, bool, bool);

/// What `out_of_sight` gives.
type PyOutOfSight<'py> = (Bound<'py, PyRecordBatch>, Vec<(u32, u64)>);

/// The cases that were met, numbered.
#[pyclass(name = "Cases")]
pub(crate) struct PyCases {
    cases: Cases,
}

#[pymethods]
impl PyCases {
    /// `sources` are the words of `name_source`.
    #[new]
    fn new(sources: Vec<String>) -> PyCases {
        PyCases { cases: Cases::new(sources) }
    }

    /// Number the rows of flows. `found` is their only column of what `DnsMemory.see` gives, `networks` the only column
    /// of what is known of each `remote_id`; the rest as in `attributecore::Known`. Gives the numbers, and what
    /// stands behind those from `known` on.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (flows, found, networks, *, gateways, names, targets, answers, known))]
    fn number<'py>(
        &mut self,
        py: Python<'py>,
        flows: &Bound<'py, PyRows>,
        found: AnyRecordBatch,
        networks: AnyRecordBatch,
        gateways: Vec<bool>,
        names: Vec<u32>,
        targets: Vec<Option<u32>>,
        answers: Vec<u32>,
        known: usize,
    ) -> PyResult<(Bound<'py, PyRecordBatch>, Vec<PyCase>)> {
        let (flows, found, networks) = (&flows.get().attribute, one_batch(found)?, one_batch(networks)?);
        let (found, networks) = (numbers(&found, 0)?, numbers(&networks, 0)?);
        if found.len() != flows.own.num_rows() {
            return Err(PyValueError::new_err("not as many answers as rows"));
        }
        let facts = Known {
            networks: networks.values(),
            gateways: &gateways,
            names: &names,
            targets: &targets,
            answers: &answers,
        };
        let cases = &mut self.cases;
        let all = py.detach(|| cases.number(flows, found.values(), &facts)).map_err(unreadable)?;
        let new = self.cases.met().get(known..).unwrap_or_default();
        Ok((batch(py, [("case", Arc::new(UInt32Array::from(all)))])?, new.iter().map(as_tuple).collect()))
    }

    /// How many cases were met.
    fn __len__(&self) -> usize {
        self.cases.met().len()
    }
}

fn as_tuple(case: &Case) -> PyCase {
    (case.network, case.answer, case.name, case.source, case.ech, case.gateway)
}

/// The well-known public resolvers.
#[pyclass(frozen, name = "PublicResolvers")]
pub(crate) struct PyPublicResolvers(PublicResolvers);

#[pymethods]
impl PyPublicResolvers {
    /// Their addresses, 16 bytes each.
    #[new]
    fn new(addresses: Vec<Address>) -> PyPublicResolvers {
        PyPublicResolvers(PublicResolvers::new(addresses))
    }

    /// Which rows of flows are with a resolver that is asked out of sight; see `attributecore::PublicResolvers`. Gives
    /// the column `encrypted_dns`, and the bytes of these rows by `local_id` in the order of their first rows.
    fn out_of_sight<'py>(
        &self,
        py: Python<'py>,
        flows: &Bound<'py, PyRows>,
        found: AnyRecordBatch,
        claimed: Vec<bool>,
        told: Vec<bool>,
    ) -> PyResult<PyOutOfSight<'py>> {
        let (flows, found) = (&flows.get().attribute, one_batch(found)?);
        let found = numbers(&found, 0)?.values();
        let marked = py.detach(|| self.0.out_of_sight(flows, found, &claimed, &told)).map_err(unreadable)?;
        let rows = Arc::new(BooleanArray::new(marked.rows, None));
        Ok((batch(py, [("encrypted_dns", rows)])?, marked.bytes))
    }
}
