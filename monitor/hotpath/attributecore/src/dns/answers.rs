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

/// A flow of the batch that DNS may have said something about.
struct Flow {
    id: u64,
    /// Its first row.
    row: usize,
    answer: Option<Found>,
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
    let mut numbers: Map<u64, usize> = Map::with_capacity_and_hasher(places.len(), Default::default());
    let mut flows: Vec<Flow> = Vec::new();
    let mut flow_of = Vec::with_capacity(places.len());
    for row in places.iter().copied() {
        let id = rows.flow_id[row];
        let number = *numbers.entry(id).or_insert_with(|| {
            let known = memory.get(id);
            flows.push(Flow { id, row, is_new: known.is_none(), answer: known.flatten().cloned() });
            flows.len() - 1
        });
        flow_of.push(number);
    }
    let mut new: Vec<&mut Flow> = flows.iter_mut().filter(|flow| flow.is_new).collect();
    new.sort_by_key(|flow| rows.moment(flow.row));
    let mut pending = events.iter().peekable();
    for flow in new {
        let moment = rows.moment(flow.row);
        while let Some(event) = pending.next_if(|event| event.moment <= moment) {
            event.tell(passive, counts);
        }
        flow.answer = passive.find(rows.local(flow.row), rows.remote(flow.row), rows.started[flow.row]);
    }
    pending.for_each(|event| event.tell(passive, counts));
    let fixed = flows.iter().filter(|flow| flow.is_new);
    memory.put_all(fixed.map(|flow| (flow.id, flow.answer.as_ref())));
    let_go(rows, &places, memory);
    number(rows.rows, &places, &flow_of, &flows)
}

/// The rows to addresses that somebody was told, now or before.
fn told(rows: &FlowRows<'_>, events: &[Event], passive: &PassiveDns) -> Vec<usize> {
    let now: Set<Address> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Told { address, .. } => Some(*address),
            What::Asked(_) => None,
        })
        .collect();
    let mut known: Vec<Option<bool>> = vec![None; rows.rows];
    let is_told = |row: &usize| {
        let look = || {
            let address = rows.remote(*row);
            now.contains(&address) || passive.was_told(&address)
        };
        match known.get_mut(rows.remote_id[*row] as usize) {
            Some(place) => *place.get_or_insert_with(look),
            None => look(),
        }
    };
    (0..rows.rows).filter(is_told).collect()
}

fn let_go(rows: &FlowRows<'_>, places: &[usize], memory: &mut FlowMemory) {
    for tick in places.chunk_by(|one, other| rows.tick[*one] == rows.tick[*other]) {
        let ended = tick.iter().copied().filter(|row| rows.has_ended(*row));
        let ended: Vec<u64> = ended.map(|row| rows.flow_id[row]).collect();
        if let (Some(row), false) = (tick.first(), ended.is_empty()) {
            memory.end(ended, rows.tick[*row].saturating_mul(MILLISECOND));
        }
    }
    if let Some(newest) = rows.tick.iter().max() {
        memory.expire(newest.saturating_mul(MILLISECOND));
    }
}

fn number(rows: usize, places: &[usize], flow_of: &[usize], flows: &[Flow]) -> Answers {
    let mut answers = Answers { found: vec![0; rows], said: Vec::new() };
    let mut numbers: Map<(&Chain, bool), u32> = Map::default();
    // most chains are shared, and where one lies is hashed sooner than all its names
    let mut by_place: Map<(usize, bool), u32> = Map::default();
    let of_flow: Vec<u32> = flows
        .iter()
        .map(|flow| match &flow.answer {
            None => 0,
            Some(found) => {
                let place = Arc::as_ptr(&found.chain).cast::<()>() as usize;
                *by_place.entry((place, found.shared)).or_insert_with(|| {
                    *numbers.entry((&found.chain, found.shared)).or_insert_with(|| {
                        answers.said.push((Arc::clone(&found.chain), found.shared));
                        answers.said.len() as u32
                    })
                })
            }
        })
        .collect();
    for (row, flow) in places.iter().zip(flow_of) {
        answers.found[*row] = of_flow[*flow];
    }
    answers
}
