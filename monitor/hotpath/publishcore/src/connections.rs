//! Counts each connection once: when its initiator is decided, or when the flow ends undecided.
//!
//! Flow rows come once a tick and repeat the flow's state. A row holds the first packet of its connection
//! where its `first_seen` is not later than `started`; a flow decided there, as nearly all are, is counted
//! there and needs no memory. Only flows that began undecided are remembered, until they are decided or end.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use arrow_array::types::UInt64Type;
use arrow_array::RecordBatch;
use arrow_buffer::NullBuffer;
use judgecore::hash::Ready;

use crate::columns::{numbers, there, Closed};
use crate::marks::{places, Marks, WORD};

/// Flow ids: they are hashes of the sensor's own.
type Flows = HashSet<u64, BuildHasherDefault<Ready>>;

/// Flows that wait to be counted.
pub struct Connections {
    undecided: Flows,
    /// Which may be among them.
    near: Near,
    most: usize,
}

impl Connections {
    /// Remember at most `most` undecided flows, 8 bytes each; past it a flow counts as unknown at once.
    pub fn new(most: usize) -> Connections {
        Connections { undecided: Flows::default(), near: Near::default(), most }
    }

    /// Tell `count` the rows of a batch in which a connection is to be counted, in their order.
    pub fn counted(&mut self, columns: &Columns<'_>, marks: &Marks, mut count: impl FnMut(usize)) {
        self.near = Near::of(&self.undecided);
        for (place, (egress, first)) in marks.egress.iter().zip(&marks.first).enumerate() {
            let from = place * WORD;
            for row in places(from, *egress) {
                if self.counts(columns, row, first >> (row - from) & 1 == 1) {
                    count(row);
                }
            }
        }
    }

    fn counts(&mut self, columns: &Columns<'_>, row: usize, is_first: bool) -> bool {
        // few wait, and most rows end here
        if !is_first && self.near.0.is_empty() {
            return false;
        }
        let flow = columns.flow_id.get(row).copied().unwrap_or_default();
        if is_first {
            if columns.is_decided(row) || self.undecided.len() >= self.most {
                return true;
            }
            self.undecided.insert(flow);
            self.near.add(flow);
            return false;
        }
        self.near.has(flow) && columns.is_decided(row) && self.undecided.remove(&flow)
    }
}

/// What a connection is counted by.
pub struct Columns<'a> {
    flow_id: Cow<'a, [u64]>,
    initiator: Closed<'a>,
    unknown: Option<u8>,
    ended: Option<&'a NullBuffer>,
}

impl<'a> Columns<'a> {
    /// Look at a batch.
    pub fn new(flows: &'a RecordBatch) -> Columns<'a> {
        let initiator = Closed::new(flows, "initiator");
        Columns {
            flow_id: numbers::<UInt64Type>(flows, "flow_id"),
            unknown: initiator.code_of("unknown"),
            initiator,
            ended: there(flows, "ended"),
        }
    }

    /// The code of a word of `initiator`.
    pub(crate) fn code_of(&self, initiator: &str) -> Option<u8> {
        self.initiator.code_of(initiator)
    }

    /// The code of the initiator in a row.
    pub(crate) fn initiator(&self, row: usize) -> Option<u8> {
        self.initiator.codes().get(row).copied()
    }

    fn is_decided(&self, row: usize) -> bool {
        self.initiator(row) != self.unknown || self.has_ended(row)
    }

    fn has_ended(&self, row: usize) -> bool {
        self.ended.is_none_or(|ended| ended.is_valid(row))
    }
}

/// By the low bits of a flow: whether it may be one of a few. Nothing where there are none.
#[derive(Default)]
struct Near(Vec<u64>);

/// Words of [`Near`]: 8 KB.
const NEAR: usize = 1024;

impl Near {
    fn of(flows: &Flows) -> Near {
        let mut near = Near::default();
        flows.iter().for_each(|flow| near.add(*flow));
        near
    }

    fn add(&mut self, flow: u64) {
        if self.0.is_empty() {
            self.0 = vec![0; NEAR];
        }
        if let Some(word) = self.0.get_mut(flow as usize / 64 % NEAR) {
            *word |= 1 << (flow % 64);
        }
    }

    fn has(&self, flow: u64) -> bool {
        self.0.get(flow as usize / 64 % NEAR).is_some_and(|word| word >> (flow % 64) & 1 == 1)
    }
}
