//! What DNS said about each open flow, fixed when the flow was first seen.

use std::collections::VecDeque;

use super::passive::Found;
use super::SECOND;
use crate::bounded::Bounded;

/// Nanoseconds; packets that come within it keep the flow's id.
const KEPT_AFTER_END: i64 = 60 * SECOND;

/// From flow id to the answer of passive DNS, or `None` where there was none.
///
/// One that is forgotten while open is looked up again by its start, which gives the same answer unless that
/// has left passive DNS since; it is counted as evicted.
pub(crate) struct FlowMemory {
    pub(crate) answers: Bounded<u64, Option<Found>>,
    /// When to let go, and of which flows.
    ended: VecDeque<(i64, Vec<u64>)>,
}

impl FlowMemory {
    pub(crate) fn new(bound: usize) -> FlowMemory {
        FlowMemory { answers: Bounded::new(bound), ended: VecDeque::new() }
    }

    /// Let flows go, a minute after `tick` (ns since 1970).
    pub(crate) fn end(&mut self, flows: Vec<u64>, tick: i64) {
        self.ended.push_back((tick.saturating_add(KEPT_AFTER_END), flows));
    }

    /// Forget the flows whose minute is over at `tick` (ns since 1970).
    pub(crate) fn expire(&mut self, tick: i64) {
        while self.ended.front().is_some_and(|(until, _)| *until < tick) {
            let flows = self.ended.pop_front().map(|(_, flows)| flows).unwrap_or_default();
            flows.iter().for_each(|flow| self.answers.drop(flow));
        }
    }
}
