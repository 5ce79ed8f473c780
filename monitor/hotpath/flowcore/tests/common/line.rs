//! A whole worker over frames that were made before: what the tests and the fuzz targets play through.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flowcore::counters::Counters;
use flowcore::decode::sensitive::Findings;
use flowcore::flow::{Batch, FlowTables, Limits, Network, Sides, Spare, NONE};
use flowcore::queue::{Orders, Queue};
use flowcore::source::{Burst, FrameSpan, KernelCounts, Next, Source, SourceError};
use flowcore::worker::{Handover, Worker, MOST_ROWS};

pub const SECOND: i64 = 1_000_000_000;
/// LINKTYPE_RAW: the frame is an IP packet.
pub const RAW: u16 = 101;

/// A source of frames that were made before.
#[derive(Clone, Default)]
pub struct Made {
    frames: Vec<FrameSpan>,
    memory: Vec<u8>,
    given: usize,
    names: Vec<String>,
    /// Frames in a burst; 0 is 7, as good as any.
    pub burst: usize,
}

impl Made {
    pub fn new(interfaces: usize) -> Made {
        Made { names: (0..interfaces).map(|index| format!("made{index}")).collect(), ..Made::default() }
    }

    /// Packets with their times in milliseconds.
    pub fn of_packets(packets: &[(i64, Vec<u8>)]) -> Made {
        let mut made = Made::new(1);
        for (time, packet) in packets {
            made.add(FrameSpan { time: time * 1_000_000, ..span(RAW) }, packet);
        }
        made
    }

    /// Add a frame. Its place and captured length are set here, and a wire length of 0 to the same.
    pub fn add(&mut self, mut span: FrameSpan, data: &[u8]) {
        span.offset = self.memory.len() as u32;
        span.captured = data.len() as u32;
        if span.wire == 0 {
            span.wire = span.captured;
        }
        self.frames.push(span);
        self.memory.extend_from_slice(data);
    }
}

/// A span at time 0 on the first interface.
pub fn span(link: u16) -> FrameSpan {
    FrameSpan { time: 0, offset: 0, captured: 0, wire: 0, link, interface: 0, vlan: 0, segment: 0 }
}

impl Source for Made {
    fn interfaces(&self) -> &[String] {
        &self.names
    }
    fn next_burst(&mut self) -> Result<Next<'_>, SourceError> {
        let burst = if self.burst == 0 { 7 } else { self.burst };
        let end = (self.given + burst).min(self.frames.len());
        let frames = &self.frames[self.given..end];
        self.given = end;
        Ok(if frames.is_empty() { Next::End } else { Next::Frames(Burst { frames, memory: &self.memory }) })
    }
    fn clock(&self) -> Option<i64> {
        None
    }
    fn kernel_counts(&mut self) -> Vec<KernelCounts> {
        Vec::new()
    }
    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
    fn clamped_times(&self) -> u64 {
        0
    }
    fn finish(&mut self) {
        self.given = self.frames.len();
    }
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// 10.0.0.0/8 and fd00::/8 are local, 10.0.9.9 is a gateway.
pub fn sides() -> Sides {
    let v4 = |address: [u8; 4], prefix: u8| {
        Network::new([&[0; 10][..], &[0xff, 0xff], &address].concat().try_into().unwrap(), 96 + prefix)
    };
    let mut ula = [0; 16];
    ula[0] = 0xfd;
    Sides { local: vec![v4([10, 0, 0, 0], 8), Network::new(ula, 8)], gateways: vec![v4([10, 0, 9, 9], 32)] }
}

/// Play all frames through a worker that hands over after `rows` rows.
pub fn play_made(made: Made, limits: Limits, rows: usize) -> Vec<Batch> {
    play_through(made, FlowTables::new(sides(), limits, SECOND), rows)
}

/// The same, where a batch has `most` rows at most, and parts of ticks are handed over.
pub fn play_in_parts(made: Made, limits: Limits, most: usize) -> Vec<Batch> {
    let handover = Handover { tick: SECOND, rows: usize::MAX, ticks: 256, most };
    play_handing_over(made, FlowTables::new(sides(), limits, SECOND), handover)
}

/// The same, through tables that were prepared.
pub fn play_through(made: Made, flows: FlowTables, rows: usize) -> Vec<Batch> {
    play_handing_over(made, flows, Handover { tick: SECOND, rows, ticks: 256, most: MOST_ROWS })
}

/// Vectors that something stood in.
fn used() -> Spare {
    let mut spare = Spare::default();
    for columns in [&mut spare.flows, &mut spare.dns] {
        for _ in 0..5 {
            columns.i64s.put(vec![-1; 100]);
            columns.u64s.put(vec![u64::MAX; 100]);
            columns.u32s.put(vec![7; 100]);
            columns.u16s.put(vec![7; 100]);
            columns.u8s.put(vec![7; 100]);
            columns.bools.put(vec![true; 100]);
            columns.addresses.put(vec![[7; 16]; 100]);
            columns.maybe_addresses.put(vec![Some([7; 16]); 100]);
        }
        columns.maybe_u32s.put(vec![Some(7); 100]);
        columns.maybe_u8s.put(vec![Some(7); 100]);
    }
    spare
}

fn play_handing_over(made: Made, flows: FlowTables, handover: Handover) -> Vec<Batch> {
    let queue = Arc::new(Queue::default());
    let worker = Worker::new(made, flows, handover, Arc::clone(&queue), Arc::new(Orders::default()));
    let thread = std::thread::spawn(move || worker.run());
    let mut batches = Vec::new();
    while let Some(batch) = queue.pop(Duration::from_secs(20)) {
        let done = batch.done;
        batches.push(batch);
        queue.give_back(used());
        if done {
            break;
        }
    }
    thread.join().unwrap();
    batches
}

/// Times in milliseconds, and raw IP packets.
pub fn play_with(packets: &[(i64, Vec<u8>)], limits: Limits, rows: usize) -> Vec<Batch> {
    play_made(Made::of_packets(packets), limits, rows)
}

/// One batch of all, with the laws checked.
pub fn play(packets: &[(i64, Vec<u8>)]) -> Batch {
    let mut batches = play_with(packets, Limits::default(), usize::MAX);
    assert_eq!(batches.len(), 1);
    let batch = batches.remove(0);
    assert_laws(&batch.counters);
    batch
}

/// Design section 4, "Laws": frames and bytes are all accounted for.
pub fn assert_laws(counters: &Counters) {
    let sum = |values: &[u64]| values.iter().sum::<u64>();
    assert_eq!(sum(&counters.frames), sum(&counters.scope_frames) + sum(&counters.undecoded_frames));
    assert_eq!(
        sum(&counters.wire_bytes) + counters.overclaimed_bytes,
        sum(&counters.scope_bytes[0])
            + sum(&counters.scope_bytes[1])
            + counters.overhead_bytes
            + sum(&counters.undecoded_bytes)
    );
}

/// The rows hold what the counters say, direction by direction, over all scopes.
pub fn assert_rows_are_the_counters(batches: &[Batch]) {
    let mut found = ([0; 2], 0);
    for rows in batches.iter().map(|batch| &batch.flows) {
        for direction in [0, 1] {
            found.0[direction] += rows.bytes[direction].iter().sum::<u64>();
            found.1 += rows.packets[direction].iter().sum::<u64>();
        }
    }
    let counters = &batches.last().unwrap().counters;
    let sum = |values: &[u64]| values.iter().sum::<u64>();
    assert_eq!(
        found,
        (counters.scope_bytes.map(|bytes| sum(&bytes)), sum(&counters.scope_frames)),
        "rows against counters"
    );
}

/// A row with its address and name looked up, so that rows of different batches compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub tick: i64,
    pub flow_id: u64,
    pub scope: u8,
    pub times: [i64; 3],
    pub local: ([u8; 16], u16),
    pub remote: ([u8; 16], u16),
    pub protocol: u8,
    pub opened: (u8, u8),
    pub bytes: [u64; 2],
    pub packets: [u64; 2],
    pub payload: [u64; 2],
    pub findings: Findings,
    pub tcp_flags: u8,
    pub application: u8,
    pub name: Option<String>,
    pub name_source: u8,
    pub ech: bool,
    pub tunnel: (u8, u32),
    pub interface: u16,
    pub ended: u8,
}

/// All rows in their order.
pub fn rows(batches: &[Batch]) -> Vec<Row> {
    let mut all = Vec::new();
    for batch in batches {
        let rows = &batch.flows;
        let found: HashMap<u32, Findings> = rows.findings.iter().copied().collect();
        for row in 0..rows.tick.len() {
            let pair = |columns: &[Vec<u64>; 2]| [columns[0][row], columns[1][row]];
            let name = Some(rows.name_id[row]).filter(|id| *id != NONE);
            all.push(Row {
                tick: rows.tick[row],
                flow_id: rows.flow_id[row],
                scope: rows.scope[row],
                times: [rows.started[row], rows.first_seen[row], rows.last_seen[row]],
                local: (batch.locals[rows.local_id[row] as usize], rows.local_port[row]),
                remote: (batch.remotes[rows.remote_id[row] as usize], rows.remote_port[row]),
                protocol: rows.protocol[row],
                opened: (rows.initiator[row], rows.confidence[row]),
                bytes: pair(&rows.bytes),
                packets: pair(&rows.packets),
                payload: pair(&rows.payload),
                findings: found.get(&(row as u32)).copied().unwrap_or_default(),
                tcp_flags: rows.tcp_flags[row],
                application: rows.application[row],
                name: name.map(|id| batch.names[id as usize].to_string()),
                name_source: rows.name_source[row],
                ech: rows.ech[row],
                tunnel: (rows.tunnel[row], rows.tunnel_id[row]),
                interface: rows.interface[row],
                ended: rows.ended[row],
            });
        }
    }
    all
}

/// All DNS rows in their order, as text.
pub fn dns_rows(batches: &[Batch]) -> Vec<String> {
    let mut all = Vec::new();
    for rows in batches.iter().map(|batch| &batch.dns) {
        for row in 0..rows.tick.len() {
            all.push(format!(
                "{} {} {} {:?} {:?} {:?} {:?} {} {:?} {:?}",
                rows.tick[row],
                rows.time[row],
                rows.matched[row],
                rows.client[row],
                rows.resolver[row],
                rows.texts.get(rows.question[row]),
                rows.texts.get(rows.owner[row]),
                rows.rtype[row],
                rows.texts.get(rows.value[row]),
                rows.ttl[row],
            ));
        }
    }
    all
}
