//! Flow rows as columns. The columns are those of `monitor/flow_batch.py`.

use super::slot::{IN, OUT};
use super::spare::SpareColumns;
use crate::decode::sensitive::Findings;

/// Flow rows, a vector a column. Enum columns hold indices of the names in [`super`].
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct FlowRows {
    pub tick: Vec<i64>,
    pub flow_id: Vec<u64>,
    pub scope: Vec<u8>,
    pub started: Vec<i64>,
    pub first_seen: Vec<i64>,
    pub last_seen: Vec<i64>,
    pub local_id: Vec<u32>,
    pub remote_id: Vec<u32>,
    pub local_port: Vec<u16>,
    pub remote_port: Vec<u16>,
    pub protocol: Vec<u8>,
    pub initiator: Vec<u8>,
    pub confidence: Vec<u8>,
    pub bytes: [Vec<u64>; 2],
    pub packets: [Vec<u64>; 2],
    pub payload: [Vec<u64>; 2],
    /// The rows in which something was found in what was sent, and how much of each
    /// [`Finding`](crate::decode::sensitive::Finding). Few rows have any.
    pub findings: Vec<(u32, Findings)>,
    pub tcp_flags: Vec<u8>,
    pub application: Vec<u8>,
    pub name_id: Vec<u32>,
    pub name_source: Vec<u8>,
    pub ech: Vec<bool>,
    pub ja4_id: Vec<u32>,
    pub tunnel: Vec<u8>,
    pub tunnel_id: Vec<u32>,
    pub interface: Vec<u16>,
    pub ended: Vec<u8>,
}

impl FlowRows {
    /// No rows yet, and room for so many.
    pub(super) fn with_room(rows: usize, spare: &mut SpareColumns) -> FlowRows {
        FlowRows {
            tick: spare.i64s.take(rows),
            flow_id: spare.u64s.take(rows),
            scope: spare.u8s.take(rows),
            started: spare.i64s.take(rows),
            first_seen: spare.i64s.take(rows),
            last_seen: spare.i64s.take(rows),
            local_id: spare.u32s.take(rows),
            remote_id: spare.u32s.take(rows),
            local_port: spare.u16s.take(rows),
            remote_port: spare.u16s.take(rows),
            protocol: spare.u8s.take(rows),
            initiator: spare.u8s.take(rows),
            confidence: spare.u8s.take(rows),
            bytes: [spare.u64s.take(rows), spare.u64s.take(rows)],
            packets: [spare.u64s.take(rows), spare.u64s.take(rows)],
            payload: [spare.u64s.take(rows), spare.u64s.take(rows)],
            findings: Vec::new(),
            tcp_flags: spare.u8s.take(rows),
            application: spare.u8s.take(rows),
            name_id: spare.u32s.take(rows),
            name_source: spare.u8s.take(rows),
            ech: spare.bools.take(rows),
            ja4_id: spare.u32s.take(rows),
            tunnel: spare.u8s.take(rows),
            tunnel_id: spare.u32s.take(rows),
            interface: spare.u16s.take(rows),
            ended: spare.u8s.take(rows),
        }
    }

    /// Put rows behind those that are there.
    #[inline(never)]
    fn append(&mut self, rows: &[Row]) {
        self.tick.extend(rows.iter().map(|row| row.tick));
        self.flow_id.extend(rows.iter().map(|row| row.flow_id));
        self.scope.extend(rows.iter().map(|row| row.scope));
        self.started.extend(rows.iter().map(|row| row.started));
        self.first_seen.extend(rows.iter().map(|row| row.first_seen));
        self.last_seen.extend(rows.iter().map(|row| row.last_seen));
        self.local_id.extend(rows.iter().map(|row| row.local_id));
        self.remote_id.extend(rows.iter().map(|row| row.remote_id));
        self.local_port.extend(rows.iter().map(|row| row.local_port));
        self.remote_port.extend(rows.iter().map(|row| row.remote_port));
        self.protocol.extend(rows.iter().map(|row| row.protocol));
        self.initiator.extend(rows.iter().map(|row| row.initiator));
        self.confidence.extend(rows.iter().map(|row| row.confidence));
        self.tcp_flags.extend(rows.iter().map(|row| row.tcp_flags));
        self.application.extend(rows.iter().map(|row| row.application));
        self.name_id.extend(rows.iter().map(|row| row.name_id));
        self.name_source.extend(rows.iter().map(|row| row.name_source));
        self.ech.extend(rows.iter().map(|row| row.ech));
        self.ja4_id.extend(rows.iter().map(|row| row.ja4_id));
        self.tunnel.extend(rows.iter().map(|row| row.tunnel));
        self.tunnel_id.extend(rows.iter().map(|row| row.tunnel_id));
        self.interface.extend(rows.iter().map(|row| row.interface));
        self.ended.extend(rows.iter().map(|row| row.ended));
        for direction in [OUT, IN] {
            self.bytes[direction].extend(rows.iter().map(|row| row.bytes[direction]));
            self.packets[direction].extend(rows.iter().map(|row| u64::from(row.packets[direction])));
            self.payload[direction].extend(rows.iter().map(|row| row.payload[direction]));
        }
    }
}

/// Rows that go to the columns together: as many as fill whole cache lines of each.
const TOGETHER: usize = 64;

/// Rows that are not in their columns yet. Each is written where it stands: one that is put together elsewhere is copied in
/// pieces that wait for the smaller ones just written.
#[derive(Debug)]
pub(super) struct Newest {
    rows: Box<[Row; TOGETHER]>,
    count: usize,
}

impl Default for Newest {
    fn default() -> Newest {
        Newest { rows: Box::new([Row::default(); TOGETHER]), count: 0 }
    }
}

impl Newest {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The place of the next row, which is to be written; those before go to the columns where there is none.
    #[inline(always)]
    pub(super) fn next(&mut self, columns: &mut FlowRows) -> &mut Row {
        if self.count == TOGETHER {
            self.go_to(columns);
        }
        let at = self.count % TOGETHER;
        self.count += 1;
        &mut self.rows[at]
    }

    /// All of them go to the columns.
    pub(super) fn go_to(&mut self, columns: &mut FlowRows) {
        columns.append(self.rows.get(..self.count).unwrap_or_default());
        self.count = 0;
    }
}

/// A row on its way to the columns. Row by row, each column would be asked whether it has room, and written to at a place
/// far from all others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    pub(super) tick: i64,
    pub(super) flow_id: u64,
    pub(super) started: i64,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) bytes: [u64; 2],
    pub(super) payload: [u64; 2],
    pub(super) packets: [u32; 2],
    pub(super) local_id: u32,
    pub(super) remote_id: u32,
    pub(super) name_id: u32,
    pub(super) ja4_id: u32,
    pub(super) tunnel_id: u32,
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    pub(super) interface: u16,
    pub(super) scope: u8,
    pub(super) protocol: u8,
    pub(super) initiator: u8,
    pub(super) confidence: u8,
    pub(super) tcp_flags: u8,
    pub(super) application: u8,
    pub(super) name_source: u8,
    pub(super) ech: bool,
    pub(super) tunnel: u8,
    pub(super) ended: u8,
}
