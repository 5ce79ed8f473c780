//! Records as columns: what a batch hands over.

use std::sync::Arc;

use super::hot::Hot;
use super::initiators::Opened;
use super::inspect::Inspections;
use super::key::{Key, Seed};
use super::naming::Naming;
use super::numbering::Numbering;
use super::rows::{FlowRows, Newest, Row};
use super::slot::{Slot, FOUND};
use super::spare::{Spare, SpareColumns};
use super::texts::Texts;
use crate::counters::Counters;
use crate::source::prefetch::prefetch;

/// Null in a column of indices.
pub const NONE: u32 = u32::MAX;
/// Null in a column of enum codes.
pub const NO_CODE: u8 = u8::MAX;

/// DNS rows, a vector a column.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct DnsRows {
    pub tick: Vec<i64>,
    pub time: Vec<i64>,
    pub answer: Vec<bool>,
    pub scope: Vec<u8>,
    pub client: Vec<[u8; 16]>,
    pub resolver: Vec<[u8; 16]>,
    pub client_port: Vec<u16>,
    pub resolver_port: Vec<u16>,
    pub query_id: Vec<u16>,
    pub matched: Vec<bool>,
    /// Numbers of `texts`, as are `owner` and `value`.
    pub question: Vec<u32>,
    pub owner: Vec<u32>,
    pub rtype: Vec<u16>,
    pub value: Vec<u32>,
    pub address: Vec<Option<[u8; 16]>>,
    pub ttl: Vec<Option<u32>>,
    pub section: Vec<u8>,
    pub rcode: Vec<Option<u8>>,
    pub message_bytes: Vec<u32>,
    pub record_index: Vec<u16>,
    pub texts: Texts,
}

impl DnsRows {
    /// No rows yet, and room for so many; their texts go here.
    fn with_room(rows: usize, texts: Texts, spare: &mut SpareColumns) -> DnsRows {
        DnsRows {
            tick: spare.i64s.take(rows),
            time: spare.i64s.take(rows),
            answer: spare.bools.take(rows),
            scope: spare.u8s.take(rows),
            client: spare.addresses.take(rows),
            resolver: spare.addresses.take(rows),
            client_port: spare.u16s.take(rows),
            resolver_port: spare.u16s.take(rows),
            query_id: spare.u16s.take(rows),
            matched: spare.bools.take(rows),
            question: spare.u32s.take(rows),
            owner: spare.u32s.take(rows),
            rtype: spare.u16s.take(rows),
            value: spare.u32s.take(rows),
            address: spare.maybe_addresses.take(rows),
            ttl: spare.maybe_u32s.take(rows),
            section: spare.u8s.take(rows),
            rcode: spare.maybe_u8s.take(rows),
            message_bytes: spare.u32s.take(rows),
            record_index: spare.u16s.take(rows),
            texts,
        }
    }
}

/// Whole ticks of rows, and the counters as they stood when the last of them ended.
#[derive(Debug, Default)]
pub struct Batch {
    /// Flow rows in tick order.
    pub flows: FlowRows,
    /// DNS rows in the order of the packets.
    pub dns: DnsRows,
    /// The local addresses that `local_id` counts.
    pub locals: Vec<[u8; 16]>,
    /// The remote addresses that `remote_id` counts.
    pub remotes: Vec<[u8; 16]>,
    /// The names that `name_id` counts.
    pub names: Vec<Arc<str>>,
    /// The fingerprints that `ja4_id` counts.
    pub ja4s: Vec<Arc<str>>,
    /// Totals.
    pub counters: Counters,
    /// Event clock in nanoseconds: every tick before it is complete.
    pub clock: i64,
    /// The worker that it comes from.
    pub worker: usize,
    /// Whole ticks in it.
    pub ticks: u64,
    /// Who opened which flows, for the next run: about once a minute, and with the last batch.
    pub opened: Option<Vec<Opened>>,
    /// One-line texts for people.
    pub warnings: Vec<String>,
    /// There will be no other batch.
    pub done: bool,
    /// Why the source could not go on, if it could not.
    pub failure: Option<String>,
}

/// What the next batch is given room for, so that it does not grow by steps: as much as the largest of late had, and a
/// quarter more. Room that is not used is no memory.
#[derive(Debug, Default)]
struct Room {
    flows: usize,
    dns: usize,
    locals: usize,
    remotes: usize,
    /// Texts, and their bytes.
    texts: (usize, usize),
}

impl Room {
    /// Learn from a batch. A quiet one shrinks it by an eighth only: captures have pauses.
    fn follow(&mut self, batch: &Batch) {
        let follow = |room: &mut usize, had: usize| *room = (had + had / 4).max(*room - *room / 8);
        follow(&mut self.flows, batch.flows.tick.len());
        follow(&mut self.dns, batch.dns.tick.len());
        follow(&mut self.locals, batch.locals.len());
        follow(&mut self.remotes, batch.remotes.len());
        let (texts, bytes) = batch.dns.texts.size();
        follow(&mut self.texts.0, texts);
        follow(&mut self.texts.1, bytes);
    }
}

/// Builds a batch: gives addresses and names the small numbers that hold within it.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) batch: Batch,
    /// Its newest flow rows, which are not in its columns yet.
    newest: Newest,
    /// Counts batches, so that a slot can tell whether its numbers are of this one.
    number: u32,
    locals: Numbering,
    remotes: Numbering,
    names: Naming,
    ja4s: Naming,
    /// Bytes of the batch's names.
    name_bytes: usize,
    /// What a byte of DNS rows weighs, in parts of a flow row ([`ONE`]).
    dns_weight: usize,
    room: Room,
}

/// Bytes of text that weigh as much as a flow row: what a row costs the later stages, they cost too.
const UNIT: usize = 64;
/// A flow row, where parts of one are weighed.
const ONE: usize = 1 << 16;

impl Builder {
    /// A builder of batches.
    pub(super) fn new() -> Builder {
        Builder { number: 1, dns_weight: ONE / UNIT, ..Builder::default() }
    }

    /// Let so many bytes of DNS rows weigh as much as `most` flow rows, but no less than other text.
    pub(super) fn weigh(&mut self, dns: usize, most: usize) {
        self.dns_weight = (most.saturating_mul(ONE) / dns.max(1)).max(ONE / UNIT);
    }

    #[inline]
    fn flow_rows(&self) -> usize {
        self.batch.flows.tick.len() + self.newest.len()
    }

    /// What the batch weighs, in flow rows; what bounds it.
    #[inline]
    pub(super) fn weight(&self) -> usize {
        self.flow_rows() + self.batch.dns.held().saturating_mul(self.dns_weight) / ONE + self.name_bytes / UNIT
    }

    /// Take the batch and begin the next, in what was kept of an earlier one.
    pub(super) fn take(&mut self, mut spare: Spare) -> Batch {
        // 0 is of no batch
        self.number = self.number.wrapping_add(1).max(1);
        self.name_bytes = 0;
        self.locals.clear();
        self.remotes.clear();
        self.names.clear();
        self.ja4s.clear();
        self.newest.go_to(&mut self.batch.flows);
        self.room.follow(&self.batch);
        self.batch.dns.texts.tell();
        let next = Batch {
            flows: FlowRows::with_room(self.room.flows, &mut spare.flows),
            dns: DnsRows::with_room(self.room.dns, spare.texts.again(self.room.texts), &mut spare.dns),
            locals: spare.flows.addresses.take(self.room.locals),
            remotes: spare.flows.addresses.take(self.room.remotes),
            ..Batch::default()
        };
        std::mem::replace(&mut self.batch, next)
    }

    /// Ask for what the next row of a flow needs.
    #[inline]
    pub(super) fn prefetch<K: Key>(&self, hot: &Hot<K>, slot: &Slot, inspections: &Inspections) {
        if slot.batch != self.number {
            let ((local, _), (remote, _)) = hot.ends();
            self.locals.prefetch(local);
            self.remotes.prefetch(remote);
            slot.name.iter().for_each(|name| self.names.prefetch(name));
        }
        if slot.watch & FOUND != 0 {
            prefetch(inspections.get(slot.inspection));
        }
    }

    /// Add the row of a flow and clear its traffic.
    pub(super) fn cut<K: Key>(&mut self, tick: i64, hot: &mut Hot<K>, slot: &mut Slot, inspections: &mut Inspections) {
        let ((local, local_port), (remote, remote_port)) = hot.ends();
        if slot.batch != self.number {
            slot.batch = self.number;
            slot.local_id = self.locals.number(local, &mut self.batch.locals);
            slot.remote_id = self.remotes.number(remote, &mut self.batch.remotes);
            slot.name_id = NONE;
            slot.ja4_id = NONE;
        }
        if slot.name_id == NONE {
            if let Some(name) = &slot.name {
                slot.name_id = self.names.number(name, &mut self.batch.names);
                self.name_bytes += name.len();
            }
        }
        if slot.ja4_id == NONE {
            if let Some(ja4) = &slot.ja4 {
                slot.ja4_id = self.ja4s.number(ja4, &mut self.batch.ja4s);
            }
        }
        let (first_seen, last_seen) = span(hot, slot);
        slot.seen |= hot.seen();
        if slot.watch & FOUND != 0 {
            slot.watch &= !FOUND;
            let findings = inspections.take(slot.inspection);
            let row = self.flow_rows() as u32;
            self.batch.flows.findings.extend(findings.map(|findings| (row, findings)));
        }
        let place = self.newest.next(&mut self.batch.flows);
        *place = Row {
            tick,
            flow_id: Seed::FIXED.two(hot.key.hash(&Seed::FIXED), slot.started as u64),
            started: slot.started,
            first_seen,
            last_seen,
            bytes: hot.bytes,
            payload: hot.payload,
            packets: hot.packets,
            local_id: slot.local_id,
            remote_id: slot.remote_id,
            name_id: slot.name_id,
            ja4_id: slot.ja4_id,
            tunnel_id: slot.tunnel_id,
            local_port,
            remote_port,
            interface: u16::from(hot.key.interface()),
            scope: slot.scope as u8,
            protocol: hot.key.protocol(),
            initiator: slot.initiator as u8,
            confidence: slot.confidence as u8,
            tcp_flags: hot.flags,
            application: slot.application as u8,
            name_source: if slot.name.is_some() { slot.name_source as u8 } else { NO_CODE },
            ech: slot.ech,
            tunnel: slot.tunnel.map_or(NO_CODE, |tunnel| tunnel as u8),
            ended: slot.ended.map_or(NO_CODE, |ending| ending as u8),
        };
        hot.clear();
    }
}

/// Times of the first and the last packet in the row that is cut; of a row without packets, twice that of the last one.
///
/// Only the row that has a connection's first packet begins when that did, or before: so it is told from the others. A late
/// frame from before that, which comes when the row is cut, is told to be as old as the next thing after it.
#[inline(always)]
fn span<K: Key>(hot: &Hot<K>, slot: &Slot) -> (i64, i64) {
    if hot.packets == [0, 0] {
        return (hot.last_seen, hot.last_seen);
    }
    let is_first = slot.seen == 0;
    let first = if is_first { slot.first_seen } else { slot.first_seen.max(slot.started.saturating_add(1)) };
    (first, hot.last_seen.max(first))
}
