//! What DNS said, as a Python class. What it does is in `attributecore::dns`.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use attributecore::dns::{weight, Bounds, Chain, Found, Habit, Memory, Resolvers, Run, Told};
use attributecore::Address;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3_arrow::PyRecordBatch;

use crate::numbered::{batch, unreadable};
use crate::row_batch::PyRows;

/// Names from the address to the question, shared, and when the newest answer was (ns since 1970).
type PyFound<'py> = (Bound<'py, PyTuple>, bool, i64);
/// Since, last, expires, number of the chain.
type PyRun = (i64, i64, i64, usize);
/// Client, address, whether it counts only for those who ask the client, runs.
type PyTold<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, bool, Vec<PyRun>);

/// Bounded memory of what DNS said and was asked.
#[pyclass]
pub(crate) struct DnsMemory {
    memory: Memory,
    /// Chains that were put back, and whether each was weighed.
    restored: Vec<(Chain, bool)>,
}

#[pymethods]
impl DnsMemory {
    /// `ranges`: networks of 16 bytes, prefix lengths in IPv6, whether they are local. The bounds are those of
    /// `attributecore::dns::Bounds`.
    #[new]
    #[pyo3(signature = (configured, public, ranges, *, entries, text, clients, flows, names, habits))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        configured: Vec<Address>,
        public: Vec<Address>,
        ranges: Vec<(Address, u8, bool)>,
        entries: usize,
        text: usize,
        clients: usize,
        flows: usize,
        names: usize,
        habits: usize,
    ) -> DnsMemory {
        let resolvers = Resolvers::new(configured, public, ranges);
        let memory = Memory::new(resolvers, Bounds { entries, text, clients, flows, names, habits });
        DnsMemory { memory, restored: Vec::new() }
    }

    /// Take a batch; `carried` gives for each `question_id` the bytes that its asker chose freely. Gives the columns
    /// `found` and `unasked_name` of its flows, `question_bytes`, `fresh_question_bytes` and `listed` of its DNS rows,
    /// and what was told, each once: the names from the address to the question, and whether it was shared.
    #[allow(clippy::type_complexity)]
    fn see<'py>(
        &mut self,
        py: Python<'py>,
        flows: &Bound<'py, PyRows>,
        dns: &Bound<'py, PyRows>,
        carried: Vec<u32>,
    ) -> PyResult<(Bound<'py, PyRecordBatch>, Bound<'py, PyRecordBatch>, Vec<(Bound<'py, PyTuple>, bool)>)> {
        let (flows, dns) = (&flows.get().attribute, &dns.get().attribute);
        let memory = &mut self.memory;
        let seen = py.detach(|| memory.see(flows, dns, &carried));
        let seen = seen.map_err(unreadable)?;
        let said = seen.said.iter().map(|(chain, shared)| Ok((names(py, chain)?, *shared)));
        let said = said.collect::<PyResult<Vec<_>>>()?;
        let flows: [(&str, ArrayRef); 2] = [
            ("found", Arc::new(UInt32Array::from(seen.found))),
            ("unasked_name", Arc::new(BooleanArray::new(seen.unasked, None))),
        ];
        let dns: [(&str, ArrayRef); 3] = [
            ("question_bytes", Arc::new(UInt32Array::from(seen.question_bytes))),
            ("fresh_question_bytes", Arc::new(UInt32Array::from(seen.fresh_question_bytes))),
            ("listed", Arc::new(BooleanArray::from(seen.listed))),
        ];
        Ok((batch(py, flows)?, batch(py, dns)?, said))
    }

    /// The answer that a flow's name comes from; None where there is none (any more).
    fn answer_of<'py>(&mut self, py: Python<'py>, flow: u64) -> PyResult<Option<PyFound<'py>>> {
        self.memory.answer_of(flow).map(|found| as_tuple(py, &found)).transpose()
    }

    /// Remember that this client was seen asking this listed resolver.
    fn ask(&mut self, client: Address, resolver: Address) {
        self.memory.passive.ask(client, resolver);
    }

    /// Remember what a client was told; false where that counts for nobody.
    #[pyo3(signature = (client, address, time, ttl, chain, *, direct))]
    fn learn(
        &mut self,
        client: Address,
        address: Address,
        time: i64,
        ttl: u32,
        chain: Vec<String>,
        direct: bool,
    ) -> bool {
        self.memory.passive.learn(client, address, time, ttl, &shared(chain), direct)
    }

    /// The newest answer for a client and an address that is not later than `started` (ns since 1970).
    fn find<'py>(
        &mut self,
        py: Python<'py>,
        client: Address,
        address: Address,
        started: i64,
    ) -> PyResult<Option<PyFound<'py>>> {
        self.memory.passive.find(client, address, started).map(|found| as_tuple(py, &found)).transpose()
    }

    /// Whether a client did not ask a name lately; it is remembered that it did.
    fn is_fresh(&mut self, client: Address, question: &str) -> bool {
        self.memory.asked.is_fresh(&client, question)
    }

    /// Pairs of client and address that are known.
    fn __len__(&self) -> usize {
        self.memory.passive.len()
    }

    /// What was forgotten because of a bound, since the start: pairs of client and address, clients, flows,
    /// names asked, habits.
    fn evicted(&self) -> (u64, u64, u64, u64, u64) {
        let Memory { passive, asked, habits, .. } = &self.memory;
        let (pairs, clients) = (passive.evicted(), passive.clients_evicted());
        (pairs, clients, self.memory.flows_evicted(), asked.evicted(), habits.evicted())
    }

    /// Answers that did not count since the start: unmatched, unlisted, unlinked.
    fn ignored(&self) -> (u64, u64, u64) {
        let counts = self.memory.counts;
        (counts.unmatched, counts.unlisted, counts.unlinked)
    }

    /// What was told, for saving: the chains, each once, for hundreds of addresses may share one; and who was told what.
    fn told<'py>(&self, py: Python<'py>) -> PyResult<(Vec<Bound<'py, PyTuple>>, Vec<PyTold<'py>>)> {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let (mut chains, mut all) = (Vec::new(), Vec::new());
        for (told, runs) in self.memory.passive.entries() {
            let mut told_runs = Vec::with_capacity(runs.len());
            for Run { since, last, expires, chain } in runs {
                let number = match numbers.entry(Arc::as_ptr(chain).cast::<()>() as usize) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        chains.push(names(py, chain)?);
                        *new.insert(chains.len() - 1)
                    }
                };
                told_runs.push((*since, *last, *expires, number));
            }
            let (client, address) = (PyBytes::new(py, &told.client), PyBytes::new(py, &told.address));
            all.push((client, address, told.shared_only, told_runs));
        }
        Ok((chains, all))
    }

    /// Put back a chain that `told` gave; they are numbered from 0, until `restored` is called.
    fn restore_chain(&mut self, names: Vec<String>) {
        self.restored.push((shared(names), false));
    }

    /// Put back what `told` gave; raises ValueError where there is no such chain.
    fn restore_told(&mut self, client: Address, address: Address, shared_only: bool, runs: Vec<PyRun>) -> PyResult<()> {
        let (mut all, mut new) = (Vec::with_capacity(runs.len()), 0);
        for (since, last, expires, number) in runs {
            let known = self.restored.get_mut(number);
            let (chain, is_weighed) = known.ok_or_else(|| PyValueError::new_err("no such chain"))?;
            if !*is_weighed {
                (*is_weighed, new) = (true, new + weight(chain));
            }
            all.push(Run { since, last, expires, chain: Arc::clone(chain) });
        }
        self.memory.passive.restore(Told { client, address, shared_only }, all, new);
        Ok(())
    }

    /// All is put back.
    fn restored(&mut self) {
        self.restored = Vec::new();
    }

    /// Each client with the resolvers that it was seen asking, for saving.
    fn clients<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>)> {
        let all = self.memory.passive.clients();
        all.map(|(client, asked)| {
            (PyBytes::new(py, client), asked.iter().map(|resolver| PyBytes::new(py, resolver)).collect())
        })
        .collect()
    }

    /// Digests of who asked what lately, for saving.
    fn asked<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.memory.asked.digests().map(|digest| PyBytes::new(py, digest)).collect()
    }

    /// Put back one that `asked` gave.
    fn restore_asked(&mut self, digest: [u8; 12]) {
        self.memory.asked.restore(digest);
    }

    /// Habits for saving: client, day, named, asked, and both of the day before.
    #[allow(clippy::type_complexity)]
    fn habits<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, (i64, u64, u64, u64, u64))> {
        let all = self.memory.habits.items();
        all.map(|(client, habit)| {
            let Habit { day, named, asked, named_before, asked_before } = *habit;
            (PyBytes::new(py, client), (day, named, asked, named_before, asked_before))
        })
        .collect()
    }

    /// Put back one that `habits` gave.
    fn restore_habit(&mut self, client: Address, habit: (i64, u64, u64, u64, u64)) {
        let (day, named, asked, named_before, asked_before) = habit;
        self.memory.habits.restore(client, Habit { day, named, asked, named_before, asked_before });
    }
}

fn shared(chain: Vec<String>) -> Chain {
    chain.into_iter().map(String::into_boxed_str).collect()
}

fn names<'py>(py: Python<'py>, chain: &Chain) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, chain.iter().map(|name| &**name))
}

fn as_tuple<'py>(py: Python<'py>, found: &Found) -> PyResult<PyFound<'py>> {
    Ok((names(py, &found.chain)?, found.shared, found.time))
}
