//! The Python module `monitor._hotpath`: starts a worker and hands its batches over as Arrow.
//!
//! Thin on purpose: what happens to a packet is in `flowcore`. Capture threads never hold the
//! interpreter's lock; a drain gives the lock back while it waits.

#![deny(unsafe_code)]

mod address_text;
mod address_tree;
mod cases;
mod columns;
mod dense;
mod dns_memory;
mod evidence;
mod first_rows;
mod judge;
mod judge_rows;
mod judge_spec;
mod judge_values;
mod lent;
mod numbered;
mod opened;
mod row_batch;
mod sums;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use flowcore::counters::Counters;
use flowcore::dealer::deal;
use flowcore::decode::{Fault, Reason};
use flowcore::flow::{Batch, FlowTables, Limits, Network, Opened, Scope, Sides, FRAGMENT_BYTES, INSPECTED_BYTES};
use flowcore::queue::{Orders, Queue};
use flowcore::source::bpf::{Instruction, Program};
use flowcore::source::files::CaptureFiles;
use flowcore::source::ring::{Filter, RingOptions, Rings};
use flowcore::source::{interface, Source, SourceError};
use flowcore::worker::{Handover, Worker, MOST_ROWS};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::address_tree::PyAddressTree;
use crate::evidence::PyRing;
use crate::lent::{AllLent, Lent};

pyo3::create_exception!(_hotpath, CaptureError, PyRuntimeError, "A capture cannot be opened or go on; one line.");

fn capture_error(error: SourceError) -> PyErr {
    CaptureError::new_err(error.0)
}

/// A network as it comes from Python: 16 bytes of address (IPv4 mapped) and the prefix length in IPv6.
type PyNetwork = ([u8; 16], u8);

fn sides(local: Vec<PyNetwork>, gateways: Vec<PyNetwork>) -> Sides {
    let networks = |list: Vec<PyNetwork>| list.into_iter().map(|(bits, prefix)| Network::new(bits, prefix)).collect();
    Sides { local: networks(local), gateways: networks(gateways) }
}

/// A classic BPF program as it comes from Python: (code, jt, jf, k) for each instruction.
type PyProgram = Vec<(u16, u8, u8, u32)>;

fn program(code: PyProgram) -> PyResult<Program> {
    let instructions = code.into_iter().map(|(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
    Program::new(instructions).map_err(capture_error)
}

/// Key of the hashes of flows that are remembered.
type Secret = [u64; 2];

/// How a capture is cut and bounded.
#[pyclass(frozen)]
struct Settings {
    sides: Sides,
    handover: Handover,
    limits: Limits,
    initiators: Option<(Secret, Vec<Opened>)>,
    ring: Option<Py<PyRing>>,
}

#[pymethods]
impl Settings {
    /// `tick` in nanoseconds; a batch is handed over at `rows` rows or `ticks` ticks. `memory` are the
    /// bytes of open flows, fragments, half-read streams and DNS rows. With `content` what flows send in clear is
    /// looked at. `initiators` is a secret and what an
    /// earlier run told by `opened`: with it, who opened flows is remembered. `ring` keeps the recent past.
    #[new]
    #[pyo3(signature = (local, gateways, *, tick, rows, ticks, memory, content, initiators, ring=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        local: Vec<PyNetwork>,
        gateways: Vec<PyNetwork>,
        tick: i64,
        rows: usize,
        ticks: u64,
        memory: (usize, usize, usize, usize),
        content: bool,
        initiators: Option<(Secret, Vec<u8>)>,
        ring: Option<Py<PyRing>>,
    ) -> Settings {
        let (flows, fragments, streams, dns) = memory;
        Settings {
            sides: sides(local, gateways),
            handover: Handover { tick: tick.max(1), rows, ticks: ticks.max(1), most: (rows / 3 * 4).max(MOST_ROWS) },
            limits: Limits {
                flows,
                fragments: fragments / FRAGMENT_BYTES,
                content: streams,
                dns,
                inspected: if content { INSPECTED_BYTES } else { 0 },
            },
            initiators: initiators.map(|(secret, known)| (secret, opened::from_bytes(&known))),
            ring,
        }
    }
}

/// What runs on a thread of its own, ready to start.
type Start = Box<dyn FnOnce() + Send>;

/// A capture: its workers and the queue of their batches.
#[pyclass(frozen)]
struct Capture {
    queue: Arc<Queue>,
    lent: AllLent,
    /// One for each worker.
    orders: Vec<Arc<Orders>>,
    interfaces: Vec<String>,
    waiting: Mutex<Vec<Start>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Capture {
    /// Workers over these sources, one each; `first` runs beside them.
    fn over<S: Source + Send + 'static>(
        sources: Vec<S>,
        settings: &Settings,
        first: Vec<Start>,
        read: Arc<AtomicU64>,
        total: Option<u64>,
    ) -> Capture {
        let queue = Arc::new(Queue::new(sources.len()));
        let interfaces = sources.first().map_or(Vec::new(), |source| source.interfaces().to_vec());
        // the batches of all workers become one
        let rows = settings.handover.rows / sources.len().max(1);
        let handover = Handover { rows, ..settings.handover };
        let (mut orders, mut waiting) = (Vec::new(), first);
        for (number, source) in sources.into_iter().enumerate() {
            let own = Arc::new(Orders::default());
            let mut flows = FlowTables::new(settings.sides.clone(), settings.limits, handover.tick);
            if let Some((secret, known)) = &settings.initiators {
                flows.remember_initiators(*secret, known);
            }
            let recorder = settings.ring.as_ref().and_then(|ring| ring.get().ring.recorder(number, &interfaces));
            let worker = Worker::new(source, flows, handover, Arc::clone(&queue), Arc::clone(&own))
                .numbered(number)
                .recording(recorder);
            waiting.push(Box::new(move || worker.run()));
            orders.push(own);
        }
        let (waiting, threads) = (Mutex::new(waiting), Mutex::default());
        Capture { queue, lent: AllLent::default(), orders, interfaces, waiting, threads, read, total }
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // one that panicked has told so on standard error, and in its last batch
            let _ = thread.join();
        }
    }
}

#[pymethods]
impl Capture {
    /// Open capture files, of each at most `limit` bytes, unpacked; raises CaptureError where one is none.
    #[staticmethod]
    #[pyo3(signature = (paths, settings, *, workers, limit))]
    fn files(paths: Vec<String>, settings: &Settings, workers: usize, limit: Option<u64>) -> PyResult<Capture> {
        let source = CaptureFiles::open(&paths).map_err(capture_error)?.at_most(limit.unwrap_or(u64::MAX));
        let read = source.read_counter();
        let (_, total) = source.progress();
        if workers <= 1 {
            return Ok(Capture::over(vec![source], settings, Vec::new(), read, total));
        }
        let (dealer, shares) = deal(source, workers, settings.handover.tick);
        let first: Vec<Start> = vec![Box::new(move || dealer.run())];
        Ok(Capture::over(shares, settings, first, read, total))
    }

    /// Open a ring of `ring` bytes on each interface for each worker; raises CaptureError where that is refused. `filter`
    /// holds the programs for Ethernet and for IP frames, an instruction as (code, jt, jf, k).
    #[staticmethod]
    #[pyo3(signature = (interfaces, settings, *, ring, promiscuous, busy_poll, snap, superframe_sizes, filter, workers))]
    #[allow(clippy::too_many_arguments)]
    fn rings(
        interfaces: Vec<String>,
        settings: &Settings,
        ring: usize,
        promiscuous: bool,
        busy_poll: bool,
        snap: bool,
        superframe_sizes: bool,
        filter: Option<(PyProgram, PyProgram)>,
        workers: usize,
    ) -> PyResult<Capture> {
        let filter = match filter {
            Some((ethernet, ip)) => Some(Filter { ethernet: program(ethernet)?, ip: program(ip)? }),
            None => None,
        };
        let options = RingOptions { ring, promiscuous, busy_poll, filter, snap, superframe_sizes };
        let sources = Rings::open(&interfaces, &options, workers.max(1)).map_err(capture_error)?;
        Ok(Capture::over(sources, settings, Vec::new(), Arc::default(), None))
    }

    /// Start the workers' threads.
    fn start(&self) -> PyResult<()> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for start in waiting {
            let thread = std::thread::Builder::new().name("egress-worker".into()).spawn(start)?;
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(())
    }

    /// Take the next batch, waiting at most `patience` milliseconds; `None` where there is none.
    fn drain<'py>(&self, py: Python<'py>, patience: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        let queue = &self.queue;
        let taken = py.detach(|| {
            self.lent.take_back().for_each(|spare| queue.give_back(spare));
            let mut batch = queue.pop(Duration::from_millis(patience))?;
            let mut lent = Lent::default();
            let flows = columns::flows(&mut batch, &self.interfaces, &mut lent);
            let records = flows.and_then(|flows| Ok((flows, columns::dns(&mut batch, &mut lent)?)));
            self.lent.add(lent);
            Some((records, batch))
        });
        let Some((records, batch)) = taken else { return Ok(None) };
        let (flows, dns) = records.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let all = PyDict::new(py);
        all.set_item("flows", row_batch::to_python(py, flows)?)?;
        all.set_item("dns", row_batch::to_python(py, dns)?)?;
        all.set_item("counters", counters(py, &batch, &self.interfaces)?)?;
        all.set_item("worker", batch.worker)?;
        all.set_item("clock", batch.clock)?;
        all.set_item("done", batch.done)?;
        all.set_item("opened", batch.opened.as_deref().map(|all| PyBytes::new(py, &opened::to_bytes(all))))?;
        all.set_item("failure", batch.failure)?;
        all.set_item("warnings", PyList::new(py, &batch.warnings)?)?;
        Ok(Some(all))
    }

    /// Bytes read so far and in all, for a progress bar.
    fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Ordering::Relaxed), self.total)
    }

    /// Change what is local for flows that begin from now on.
    fn set_sides(&self, local: Vec<PyNetwork>, gateways: Vec<PyNetwork>) {
        let new = sides(local, gateways);
        for orders in &self.orders {
            *orders.sides.lock().unwrap_or_else(PoisonError::into_inner) = Some(new.clone());
        }
    }

    /// Ask the workers to end; the last batch of each says `done`.
    fn stop(&self) {
        self.orders.iter().for_each(|orders| orders.stop.store(true, Ordering::Relaxed));
    }

    /// Give up what waits and wait for the workers to end.
    fn close(&self, py: Python<'_>) {
        self.stop();
        self.queue.close();
        // a dealer ends when the shares that it deals to are gone
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        py.detach(|| self.join());
    }
}

/// The counters as a dictionary with the fields of `monitor.flow_batch.Counters`.
fn counters<'py>(py: Python<'py>, batch: &Batch, interfaces: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let counters: &Counters = &batch.counters;
    let table = |names: &[&str], values: &[u64]| -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (name, value) in names.iter().zip(values) {
            all.set_item(name, value)?;
        }
        Ok(all)
    };
    let names: Vec<&str> = interfaces.iter().map(String::as_str).collect();
    let all = PyDict::new(py);
    all.set_item("frames", table(&names, &counters.frames)?)?;
    all.set_item("wire_bytes", table(&names, &counters.wire_bytes)?)?;
    all.set_item("superframes", table(&names, &counters.superframes)?)?;
    all.set_item("repeated_told", table(&names, &counters.repeated_told)?)?;
    all.set_item("repeated_estimated", table(&names, &counters.repeated_estimated)?)?;
    all.set_item("kernel_packets", table(&names, &counters.kernel_packets)?)?;
    all.set_item("kernel_drops", table(&names, &counters.kernel_drops)?)?;
    all.set_item("undecoded_frames", table(&Reason::NAMES, &counters.undecoded_frames)?)?;
    all.set_item("undecoded_bytes", table(&Reason::NAMES, &counters.undecoded_bytes)?)?;
    all.set_item("faults", table(&Fault::NAMES, &counters.faults)?)?;
    all.set_item("scope_frames", table(&Scope::NAMES, &counters.scope_frames)?)?;
    all.set_item("scope_sent_bytes", table(&Scope::NAMES, &counters.scope_bytes[0])?)?;
    all.set_item("scope_received_bytes", table(&Scope::NAMES, &counters.scope_bytes[1])?)?;
    for (name, value) in [
        ("overhead_bytes", counters.overhead_bytes),
        ("overclaimed_bytes", counters.overclaimed_bytes),
        ("late_frames", counters.late_frames),
        ("clamped_times", counters.clamped_times),
        ("flows_open", counters.flows_open),
        ("flows_evicted", counters.flows_evicted),
        ("merged_ticks", counters.merged_ticks),
        ("names_skipped", counters.names_skipped),
        ("questions_evicted", counters.questions_evicted),
        ("fragments_evicted", counters.fragments_evicted),
        ("fragments_unplaced", counters.fragments_unplaced),
        ("fragments_unread", counters.fragments_unread),
        ("dns_rows_dropped", counters.dns_rows_dropped),
        ("cpu_nanoseconds", counters.cpu_nanoseconds),
    ] {
        all.set_item(name, value)?;
    }
    Ok(all)
}

/// Addresses of an interface, or of all, 16 bytes each.
#[pyfunction]
#[pyo3(signature = (name=None))]
fn interface_addresses(name: Option<&str>) -> PyResult<Vec<[u8; 16]>> {
    interface::addresses(name).map_err(capture_error)
}

#[pymodule]
fn _hotpath(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("CaptureError", module.py().get_type::<CaptureError>())?;
    module.add_class::<PyAddressTree>()?;
    module.add_class::<PyRing>()?;
    module.add_class::<Settings>()?;
    module.add_class::<Capture>()?;
    module.add_function(wrap_pyfunction!(address_text::address_texts, module)?)?;
    module.add_function(wrap_pyfunction!(numbered::first_values, module)?)?;
    module.add_class::<numbered::KnownRows>()?;
    module.add_class::<cases::PyCases>()?;
    module.add_class::<cases::PyPublicResolvers>()?;
    module.add_class::<dns_memory::DnsMemory>()?;
    module.add_class::<judge::RuleEngine>()?;
    module.add_class::<judge::AddressList>()?;
    module.add_function(wrap_pyfunction!(first_rows::first_rows, module)?)?;
    module.add_class::<row_batch::PyRows>()?;
    module.add_class::<sums::TrafficSums>()?;
    module.add_class::<sums::TotalSums>()?;
    module.add_class::<sums::TransitSums>()?;
    module.add_function(wrap_pyfunction!(sums::fold_workload, module)?)?;
    module.add_function(wrap_pyfunction!(sums::fold_provider, module)?)?;
    module.add_class::<judge_values::KeptFlows>()?;
    module.add_function(wrap_pyfunction!(judge_rows::batch_of_rows, module)?)?;
    module.add_function(wrap_pyfunction!(judge::counted_rows, module)?)?;
    module.add_function(wrap_pyfunction!(interface_addresses, module)?)
}
