//! Which DNS answer each flow's name comes from: the newest that its client had when the flow began.

use std::sync::Arc;

use super::events::{Event, What};
use super::flows::FlowMemory;
use super::memory::Counts;
use super::passive::{Chain, Found, PassiveDns};
use super::rows::FlowRows;
use super::{Address, MILLISECOND};
use crate::maps::{Map, Set};

/// The answers of a batch, each kind once.
pub(crate) struct Answers {
    /// For each row the place of its answer among `said`, from 1; 0: none.
    pub(crate) found: Vec<u32>,
    /// What was told, and whether it was to a resolver that the client asks.
    pub(crate) said: Vec<(Chain, bool)>,
}

/// A flow of the batch that DNS may have said something about. They are as many as rows, so they are kept small.
struct Flow {
    /// Its first row.
    row: u32,
    /// The place of its answer among those of the batch, from 1; 0: none.
    answer: u32,
    is_new: bool,
}

/// Tell passive DNS the events, and fix the answer of each flow that is new.
///
/// A flow to an address that nobody was told yet has no answer for its life, because an answer never counts
/// before the tick that it came in: such flows, the most, are neither looked up nor remembered.
pub(crate) fn fix(
    rows: &FlowRows<'_>,
    events: &[Event],
    passive: &mut PassiveDns,
    memory: &mut FlowMemory,
    counts: &mut Counts,
) -> Answers {
    let places = told(rows, events, passive);
    let mut numbers: Map<u64, u32> = Map::with_capacity_and_hasher(places.len(), Default::default());
    let mut flows: Vec<Flow> = Vec::with_capacity(places.len());
    let mut answers: Vec<Found> = Vec::new();
    let mut flow_of: Vec<u32> = Vec::with_capacity(places.len());
    for row in places.iter().copied() {
        let id = rows.flow_id[row as usize];
        flow_of.push(*numbers.entry(id).or_insert_with(|| {
            let known = memory.get(id);
            let mut flow = Flow { row, answer: 0, is_new: known.is_none() };
            if let Some(Some(found)) = known {
                answers.push(found.clone());
                flow.answer = answers.len() as u32;
            }
            flows.push(flow);
            flows.len() as u32 - 1
        }));
    }
    drop(numbers);
    let mut new: Vec<&mut Flow> = flows.iter_mut().filter(|flow| flow.is_new).collect();
    new.sort_by_key(|flow| rows.moment(flow.row as usize));
    let mut pending = events.iter().peekable();
    for flow in new {
        let row = flow.row as usize;
        let moment = rows.moment(row);
        while let Some(event) = pending.next_if(|event| event.moment <= moment) {
            event.tell(passive, counts);
        }
        if let Some(found) = passive.find(rows.local(row), rows.remote(row), rows.started[row]) {
            answers.push(found);
            flow.answer = answers.len() as u32;
        }
    }
    pending.for_each(|event| event.tell(passive, counts));
    let of_flow = |flow: &Flow| flow.answer.checked_sub(1).and_then(|place| answers.get(place as usize));
    let fixed = flows.iter().filter(|flow| flow.is_new);
    memory.put_all(fixed.map(|flow| (rows.flow_id[flow.row as usize], of_flow(flow))));
    let_go(rows, &places, memory);
    let (of_answer, said) = number(&answers);
    let mut found = vec![0; rows.rows];
    for (row, flow) in places.iter().zip(flow_of) {
        found[*row as usize] = of_answer[flows[flow as usize].answer as usize];
    }
    Answers { found, said }
}

/// The rows to addresses that somebody was told, now or before.
fn told(rows: &FlowRows<'_>, events: &[Event], passive: &PassiveDns) -> Vec<u32> {
    let now: Set<Address> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Told { address, .. } => Some(*address),
            What::Asked(_) => None,
        })
        .collect();
    // step by step, so that addresses, and then look-ups, are waited for together
    let addresses = rows.remotes();
    let is_told = |address: &Address| now.contains(address) || passive.was_told(address);
    let told: Vec<bool> = addresses.iter().map(|address| address.as_ref().is_some_and(is_told)).collect();
    let all = rows.remote_id.iter().enumerate();
    all.filter(|(_, remote)| told[**remote as usize]).map(|(row, _)| row as u32).collect()
}

fn let_go(rows: &FlowRows<'_>, places: &[u32], memory: &mut FlowMemory) {
    for tick in places.chunk_by(|one, other| rows.tick[*one as usize] == rows.tick[*other as usize]) {
        let ended = tick.iter().map(|row| *row as usize).filter(|row| rows.has_ended(*row));
        let ended: Vec<u64> = ended.map(|row| rows.flow_id[row]).collect();
        if let (Some(row), false) = (tick.first(), ended.is_empty()) {
            memory.end(ended, rows.tick[*row as usize].saturating_mul(MILLISECOND));
        }
    }
    if let Some(newest) = rows.tick.iter().max() {
        memory.expire(newest.saturating_mul(MILLISECOND));
    }
}

/// Number answers by what they say, from 1, behind a 0 for no answer; and give what they say, each once.
fn number(answers: &[Found]) -> (Vec<u32>, Vec<(Chain, bool)>) {
    let mut said: Vec<(Chain, bool)> = Vec::new();
    let mut numbers: Map<(&Chain, bool), u32> = Map::default();
    // most chains are shared, and where one lies is hashed sooner than all its names
    let mut by_place: Map<(usize, bool), u32> = Map::default();
    let mut of_answer = Vec::with_capacity(answers.len() + 1);
    of_answer.push(0);
    for Found { chain, shared, .. } in answers {
        let place = Arc::as_ptr(chain).cast::<()>() as usize;
        of_answer.push(*by_place.entry((place, *shared)).or_insert_with(|| {
            *numbers.entry((chain, *shared)).or_insert_with(|| {
                said.push((Arc::clone(chain), *shared));
                said.len() as u32
            })
        }));
    }
    (of_answer, said)
}
