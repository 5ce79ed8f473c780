//! The ring on disk as Python sees it.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use flowcore::evidence::{extract, Extracted, Flow, Lane, Pass, Ring, RingOptions, Selection};
use flowcore::source::SourceError;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::CaptureError;

/// One end of a flow: 16 bytes of address (IPv4 mapped) and the port.
type PyEnd = ([u8; 16], u16);
/// A flow: both ends, protocol, tunnel's id, interface, times of its first and last packet.
type PyFlow = (PyEnd, PyEnd, u8, Option<u32>, Option<String>, i64, i64);
/// A selection: flows, the file to write, an earlier one, comments, bytes at most.
type PySelection = (Vec<PyFlow>, PathBuf, Option<PathBuf>, Vec<String>, usize);

/// A ring of pcapng files.
#[pyclass(frozen, name = "Ring")]
pub(crate) struct PyRing {
    pub(crate) ring: Arc<Ring>,
    version: String,
}

#[pymethods]
impl PyRing {
    /// `size` and `payload` in bytes (0: no payload), `age` in nanoseconds.
    #[new]
    #[pyo3(signature = (folder, *, size, payload, age, waits, version))]
    fn new(folder: PathBuf, size: u64, payload: u64, age: Option<i64>, waits: bool, version: String) -> PyRing {
        let options = RingOptions { folder, size, payload, age, waits, version: version.clone() };
        PyRing { ring: Arc::new(Ring::new(options)), version }
    }

    /// Take up what an earlier run left and begin to write, behind captures that were made before. Gives
    /// warnings; raises CaptureError where the folder cannot be used.
    fn start(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        py.detach(|| self.ring.start()).map_err(|SourceError(what)| CaptureError::new_err(what))
    }

    /// Write what waits and end; captures are to be closed before.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.ring.stop());
    }

    /// What it counts: totals, but for `held` and `oldest`.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tally = self.ring.tally();
        let all = PyDict::new(py);
        let [headers, payload] = &tally.held;
        for (name, number) in [
            ("kept_frames", &tally.kept_frames),
            ("kept_bytes", &tally.kept_bytes),
            ("shed_queue", &tally.shed_queue),
            ("shed_disk", &tally.shed_disk),
            ("held_headers", headers),
            ("held_payload", payload),
            ("oldest", &tally.oldest),
        ] {
            all.set_item(name, number.load(Ordering::Relaxed))?;
        }
        Ok(all)
    }

    /// Go through the ring once for all of `selections`: for each the flows, the new file for their packets, a
    /// file that was taken out before (or None), comments, and the bytes of packets at most. `patience` are
    /// milliseconds to wait for what is on its way, `room` the bytes of memory for what is found.
    ///
    /// Gives for each a dict of what came of it, an OSError where a file cannot be written or the earlier one
    /// not read, or None where there was no room for it: it is to be asked for again. The first has room.
    #[pyo3(signature = (selections, *, payload, patience, room))]
    fn extract<'py>(
        &self,
        py: Python<'py>,
        selections: Vec<PySelection>,
        payload: bool,
        patience: u64,
        room: usize,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let selections: Vec<Selection> = selections.into_iter().map(selection).collect();
        let pass = Pass {
            lane: if payload { Lane::Payload } else { Lane::Headers },
            application: format!("egress-monitor {}", self.version),
            patience: Duration::from_millis(patience),
            room,
        };
        let told = py.detach(|| extract(Some(&self.ring), &pass, &selections));
        told.into_iter()
            .map(|one| match one {
                None => Ok(py.None().into_bound(py)),
                Some(Ok(told)) => Ok(as_dict(py, told)?.into_any()),
                Some(Err(error)) => {
                    let error = PyOSError::new_err((error.raw_os_error(), error.to_string()));
                    Ok(error.into_value(py).into_bound(py).into_any())
                }
            })
            .collect()
    }
}

fn selection((flows, to, earlier, comments, limit): PySelection) -> Selection {
    let flows = flows.into_iter().map(|(one, other, protocol, tunnel, interface, from, to)| Flow {
        ends: [one, other],
        protocol,
        tunnel,
        interface,
        from,
        to,
    });
    Selection { flows: flows.collect(), earlier, to, comments, limit }
}

fn as_dict(py: Python<'_>, told: Extracted) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    all.set_item("packets", told.packets)?;
    all.set_item("wire_bytes", told.wire_bytes)?;
    all.set_item("span", told.span)?;
    all.set_item("left_out", told.left_out)?;
    all.set_item("oldest", told.oldest)?;
    Ok(all)
}
