//! What the metrics and the summary of a replay add up, as Python classes. What they do is in `publishcore`.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use publishcore::{labels, totals, traffic, transit};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3_arrow::PyRecordBatch;

use crate::row_batch::PyRows;

/// Sums of traffic, batch by batch.
#[pyclass]
pub(crate) struct TrafficSums {
    traffic: traffic::Traffic,
}

/// Workload, provider, country; bytes sent and received.
type PyBytesOf = ((String, String, String), (u64, u64));
/// Workload, provider; connections that the local side opened, the remote one, nobody knows who.
type PyConnectionsOf = ((String, String), (u64, u64, u64));

#[pymethods]
impl TrafficSums {
    /// `undecided`: flows at most that wait until it is known who opened them.
    #[new]
    #[pyo3(signature = (*, undecided))]
    fn new(undecided: usize) -> TrafficSums {
        TrafficSums { traffic: traffic::Traffic::new(undecided) }
    }

    /// Sum the egress flows of one batch by label values; the second of three is bytes by evidence.
    #[allow(clippy::type_complexity)]
    fn add(
        &mut self,
        py: Python<'_>,
        flows: &Bound<'_, PyRows>,
    ) -> PyResult<(Vec<PyBytesOf>, Vec<(Option<String>, u64)>, Vec<PyConnectionsOf>)> {
        let flows = flows.get();
        let traffic = &mut self.traffic;
        let sums = py.detach(|| traffic.add(&flows.judge, flows.marks()));
        // as tuples: lists are no keys
        let bytes = sums.bytes.into_iter().map(|(key, sums)| (key.into(), sums.into()));
        let connections = sums.connections.into_iter().map(|(key, sums)| (key.into(), sums.into()));
        Ok((bytes.collect(), sums.evidence, connections.collect()))
    }
}

/// Egress of a whole run.
#[pyclass]
pub(crate) struct TotalSums {
    totals: totals::Totals,
}

#[pymethods]
impl TotalSums {
    /// Keep at most `most` rows.
    #[new]
    #[pyo3(signature = (*, most))]
    fn new(most: usize) -> TotalSums {
        TotalSums { totals: totals::Totals::new(most) }
    }

    /// Add the rows of one batch.
    fn add(&mut self, py: Python<'_>, flows: &Bound<'_, PyRows>) -> PyResult<()> {
        let flows = flows.get();
        let totals = &mut self.totals;
        py.detach(|| totals.add(&flows.judge, flows.marks()));
        Ok(())
    }

    /// All rows.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyRecordBatch>> {
        let failed = |error: ArrowError| PyRuntimeError::new_err(error.to_string());
        let rows = RecordBatch::try_from_iter(self.totals.rows()).map_err(failed)?;
        Bound::new(py, PyRecordBatch::new(rows))
    }

    /// Times of the first and the last packet, ns since 1970.
    #[getter]
    fn span(&self) -> Option<(i64, i64)> {
        self.totals.span
    }
}

/// Bytes between addresses that are not local.
#[pyclass]
pub(crate) struct TransitSums {
    transit: transit::Transit,
}

#[pymethods]
impl TransitSums {
    /// Remember at most `most` addresses, the heaviest.
    #[new]
    #[pyo3(signature = (*, most))]
    fn new(most: usize) -> TransitSums {
        TransitSums { transit: transit::Transit::new(most) }
    }

    /// Add the rows of one batch.
    fn add(&mut self, py: Python<'_>, flows: &Bound<'_, PyRows>) -> PyResult<()> {
        let flows = flows.get();
        let transit = &mut self.transit;
        py.detach(|| transit.add(&flows.judge, flows.marks()));
        Ok(())
    }

    /// Bytes of all flows, and of those.
    #[getter]
    fn byte_sums(&self) -> (u64, u64) {
        (self.transit.bytes, self.transit.transit_bytes)
    }

    /// The address at the end of most of them, and how many these are.
    fn heaviest<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyBytes>, u64)> {
        self.transit.heaviest().map(|(address, bytes)| (PyBytes::new(py, &address), bytes))
    }
}

/// The label value of a workload.
#[pyfunction]
#[pyo3(signature = (workload))]
pub(crate) fn fold_workload(workload: Option<&str>) -> &str {
    labels::workload(workload)
}

/// The label value of a provider.
#[pyfunction]
#[pyo3(signature = (provider))]
pub(crate) fn fold_provider(provider: Option<&str>) -> &str {
    labels::provider(provider)
}
