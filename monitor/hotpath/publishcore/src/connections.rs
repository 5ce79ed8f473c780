//! Counts each connection once: when its initiator is decided, or when the flow ends undecided.
//!
//! Flow rows come once a tick and repeat the flow's state. A row holds the first packet of its connection
//! where its `first_seen` is not later than `started`; a flow decided there, as nearly all are, is counted
//! there and needs no memory. Only flows that began undecided are remembered, until they are decided or end.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use judgecore::frame::{Codes, Frame, Numbers};
use judgecore::hash::Ready;

use crate::code_of;

/// Flow ids: they are hashes of the sensor's own.
type Flows = HashSet<u64, BuildHasherDefault<Ready>>;

/// Flows that wait to be counted.
pub struct Connections {
    undecided: Flows,
    most: usize,
    /// Flows whose first row was in this batch: a late frame from before it makes a second one.
    begun: Flows,
}

impl Connections {
    /// Remember at most `most` undecided flows, 8 bytes each; past it a flow counts as unknown at once.
    pub fn new(most: usize) -> Connections {
        Connections { undecided: Flows::default(), most, begun: Flows::default() }
    }

    /// Begin a batch.
    pub fn begin(&mut self) {
        self.begun.clear();
    }

    /// Whether a connection is to be counted in this row; each row is asked about once, in their order.
    pub fn counts(&mut self, columns: &Columns<'_, '_>, row: usize) -> bool {
        let flow = columns.flow_id.or_zero(row);
        let is_decided = columns.is_decided(row);
        if columns.is_first(row) && !self.undecided.contains(&flow) && self.begun.insert(flow) {
            if is_decided || self.undecided.len() >= self.most {
                return true;
            }
            self.undecided.insert(flow);
            return false;
        }
        is_decided && !self.undecided.is_empty() && self.undecided.remove(&flow)
    }
}

/// What a connection is counted by.
pub struct Columns<'f, 'a> {
    flow_id: Numbers<'a>,
    packets: [Numbers<'a>; 2],
    first_seen: Numbers<'a>,
    started: Numbers<'a>,
    initiator: Option<Codes<'f, 'a>>,
    unknown: Option<usize>,
    ended: Option<Codes<'f, 'a>>,
}

impl<'f, 'a> Columns<'f, 'a> {
    /// Look at a batch.
    pub fn new(frame: &'f Frame<'a>) -> Columns<'f, 'a> {
        let initiator = frame.codes("initiator");
        Columns {
            flow_id: frame.numbers("flow_id"),
            packets: [frame.numbers("packets_out"), frame.numbers("packets_in")],
            first_seen: frame.numbers("first_seen"),
            started: frame.numbers("started"),
            initiator,
            unknown: initiator.and_then(|codes| code_of(codes, "unknown")),
            ended: frame.codes("ended"),
        }
    }

    /// Code of the initiator in a row; 0: none.
    pub fn initiator(&self, row: usize) -> usize {
        code(self.initiator, row)
    }

    fn is_decided(&self, row: usize) -> bool {
        Some(self.initiator(row)) != self.unknown || code(self.ended, row) != 0
    }

    fn is_first(&self, row: usize) -> bool {
        self.first_seen.nanoseconds(row) <= self.started.nanoseconds(row)
            && self.packets.iter().any(|packets| packets.or_zero(row) > 0)
    }
}

fn code(codes: Option<Codes<'_, '_>>, row: usize) -> usize {
    codes.map_or(0, |codes| codes.of(row))
}
