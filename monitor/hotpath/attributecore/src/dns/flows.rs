//! What DNS said about each open flow, fixed when the flow was first seen.

use std::collections::VecDeque;

use super::passive::Found;
use super::SECOND;
use crate::bounded::Bounded;

/// Nanoseconds; packets that come within it keep the flow's id.
const KEPT_AFTER_END: i64 = 60 * SECOND;

/// What is known of flows by their ids: the answer of passive DNS, or that there was none.
///
/// One that is forgotten while open is looked up again by its start, which gives the same answer unless that
/// has left passive DNS since; it is counted as evicted.
pub(crate) struct FlowMemory {
    answered: Bounded<u64, Found>,
    /// Most flows, in a fifth of the room that they would take beside the others.
    unanswered: Bounded<u64, ()>,
    /// When to let go, and of which flows.
    ended: VecDeque<(i64, Vec<u64>)>,
}

impl FlowMemory {
    /// An empty memory of `bound` flows at most with an answer, and as many without.
    pub(crate) fn new(bound: usize) -> FlowMemory {
        FlowMemory { answered: Bounded::new(bound), unanswered: Bounded::new(bound), ended: VecDeque::new() }
    }

    /// The answer of a flow, `Some(None)` where there was none; `None` where nothing is known of it.
    pub(crate) fn get(&mut self, flow: u64) -> Option<Option<&Found>> {
        if self.unanswered.get(&flow).is_some() {
            return Some(None);
        }
        self.answered.get(&flow).map(Some)
    }

    /// Remember flows of which nothing is known.
    pub(crate) fn put_all<'a>(&mut self, flows: impl Iterator<Item = (u64, Option<&'a Found>)> + Clone) {
        let with = flows.clone().filter_map(|(flow, answer)| answer.map(|answer| (flow, answer.clone())));
        self.answered.put_all(with);
        self.unanswered.put_all(flows.filter(|(_, answer)| answer.is_none()).map(|(flow, _)| (flow, ())));
    }

    /// Flows that were forgotten because of the bound, since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.answered.evicted + self.unanswered.evicted
    }

    /// Let flows go, a minute after `tick` (ns since 1970).
    pub(crate) fn end(&mut self, flows: Vec<u64>, tick: i64) {
        self.ended.push_back((tick.saturating_add(KEPT_AFTER_END), flows));
    }

    /// Forget the flows whose minute is over at `tick` (ns since 1970).
    pub(crate) fn expire(&mut self, tick: i64) {
        while self.ended.front().is_some_and(|(until, _)| *until < tick) {
            for flow in self.ended.pop_front().map(|(_, flows)| flows).unwrap_or_default() {
                self.unanswered.drop(&flow);
                self.answered.drop(&flow);
            }
        }
    }
}
