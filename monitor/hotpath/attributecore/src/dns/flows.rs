//! What DNS said about each open flow, fixed when the flow was first seen.

use std::collections::VecDeque;

use std::sync::Arc;

use super::passive::{weight, Found};
use super::SECOND;
use crate::bounded::Bounded;
use crate::maps::Set;

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
    /// How many flows these are, and how many at most.
    ending: usize,
    bound: usize,
    /// Flows that were let go before their minute was over.
    early: u64,
}

impl FlowMemory {
    /// An empty memory of `bound` flows at most with an answer, with `text` bytes of names, and as many without; as
    /// many may have ended.
    pub(crate) fn new(bound: usize, text: usize) -> FlowMemory {
        // a flow holds the names of its answer when passive DNS has forgotten them
        let answered = Bounded::weighed(bound, text, |found: &Found| weight(&found.chain));
        let unanswered = Bounded::new(bound);
        FlowMemory { answered, unanswered, ended: VecDeque::new(), ending: 0, bound, early: 0 }
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
        // many flows of a batch share a chain
        let mut seen = Set::default();
        let chains = flows.clone().filter_map(|(_, answer)| answer.map(|answer| &answer.chain));
        let new = chains.filter(|chain| seen.insert(Arc::as_ptr(chain).cast::<()>() as usize));
        let weight = new.map(weight).sum();
        self.answered.put_all(with, weight);
        self.unanswered.put_all(flows.filter(|(_, answer)| answer.is_none()).map(|(flow, _)| (flow, ())), 0);
    }

    /// Flows that were forgotten because of the bound, since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.answered.evicted + self.unanswered.evicted + self.early
    }

    /// Let flows go, a minute after `tick` (ns since 1970).
    pub(crate) fn end(&mut self, flows: Vec<u64>, tick: i64) {
        self.ending += flows.len();
        self.ended.push_back((tick.saturating_add(KEPT_AFTER_END), flows));
        while self.ending > self.bound {
            // whoever ends so many in a minute must not fill the memory with them
            self.early += self.let_go();
        }
    }

    /// Forget the flows whose minute is over at `tick` (ns since 1970).
    pub(crate) fn expire(&mut self, tick: i64) {
        while self.ended.front().is_some_and(|(until, _)| *until < tick) {
            self.let_go();
        }
    }

    /// Forget the flows that ended first; gives how many were known.
    fn let_go(&mut self) -> u64 {
        let flows = self.ended.pop_front().map(|(_, flows)| flows).unwrap_or_default();
        self.ending = self.ending.saturating_sub(flows.len());
        let mut known = 0;
        for flow in flows {
            known += u64::from(self.unanswered.has(&flow) || self.answered.has(&flow));
            self.unanswered.drop(&flow);
            self.answered.drop(&flow);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_ended_within_a_minute_are_no_more_than_flows_that_are_known() {
        let mut memory = FlowMemory::new(100, 0);
        for second in 0..30_u64 {
            // all in one minute: time stands still for whoever writes the capture
            let flows: Vec<u64> = (10 * second..10 * second + 10).collect();
            memory.put_all(flows.iter().map(|flow| (*flow, None)));
            memory.end(flows, second as i64 * SECOND);
            let waiting: usize = memory.ended.iter().map(|(_, flows)| flows.len()).sum();
            assert!(waiting <= 100 && waiting == memory.ending, "{waiting} flows after {second} s");
        }
        assert!(memory.evicted() > 0, "what is forgotten is counted");
        assert_eq!(memory.get(299), Some(None), "the newest are kept");
        memory.expire(1000 * SECOND);
        assert_eq!(memory.get(299), None);
        assert_eq!(memory.ending, 0);
    }

    #[test]
    fn the_names_that_flows_hold_have_a_bound() {
        let mut memory = FlowMemory::new(100_000, 100_000);
        for batch in 0..100_u64 {
            // each with a name of its own, which passive DNS has forgotten since
            let answers: Vec<(u64, Found)> = (0..10).map(|number| (10 * batch + number, found())).collect();
            memory.put_all(answers.iter().map(|(flow, found)| (*flow, Some(found))));
            let held: usize = memory.answered.iter().map(|(_, found)| weight(&found.chain)).sum();
            assert!(held <= 110_000, "{held} bytes after batch {batch}");
        }
        assert!(memory.evicted() > 0, "what is forgotten is counted");
        // a name that all share is there once
        let mut memory = FlowMemory::new(100_000, 100_000);
        let shared = found();
        memory.put_all((0..10_000).map(|flow| (flow, Some(&shared))));
        assert_eq!((memory.answered.len(), memory.evicted()), (10_000, 0));
    }

    fn found() -> Found {
        Found { chain: Arc::new(["x".repeat(952).into_boxed_str()]), shared: false, time: 0 }
    }
}
