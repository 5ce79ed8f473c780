//! The flow table against a model so plain that it can be read: a list of connections, looked through
//! from the start for every packet. Rows, ends and sums are the same, whatever the packets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::HashMap;

use common::line::{
    assert_laws, assert_rows_are_the_counters, play_in_parts, play_made, rows, span, Made, Row, RAW, SECOND,
};
use common::{ipv4, ipv6, tcp, udp};
use flowcore::flow::{Ending, Initiator, Limits, FLOW_BYTES};
use flowcore::source::FrameSpan;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const MILLISECOND: i64 = 1_000_000;
/// The times that docs/data.md gives.
const TCP_IDLE: i64 = 3600 * SECOND;
const HALF_OPEN: i64 = 120 * SECOND;
const LINGER: i64 = 60 * SECOND;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 0x10;

/// A packet of one of a few connections.
#[derive(Clone, Debug)]
struct Sent {
    /// Nanoseconds after the packet before it.
    step: i64,
    v6: bool,
    host: u8,
    peer: u8,
    port: u16,
    outgoing: bool,
    /// TCP flags; `None` is a datagram.
    flags: Option<u8>,
    payload: usize,
}

impl Sent {
    /// Zeros as payload, which no protocol begins with, so that content decides nothing.
    fn packet(&self) -> Vec<u8> {
        let payload = vec![0; self.payload];
        let (source, destination) = if self.outgoing { (self.port, 7000) } else { (7000, self.port) };
        let (protocol, upper) = match self.flags {
            Some(flags) => (6, tcp(source, destination, 1, flags, &payload)),
            None => (17, udp(source, destination, &payload)),
        };
        if self.v6 {
            let (host, peer) = (v6(0xfd, self.host), v6(0x20, self.peer));
            let (from, to) = if self.outgoing { (host, peer) } else { (peer, host) };
            ipv6(from, to, protocol, &upper)
        } else {
            let (host, peer) = ([10, 0, 0, self.host], [198, 51, 100, self.peer]);
            let (from, to) = if self.outgoing { (host, peer) } else { (peer, host) };
            ipv4(from, to, protocol, &upper)
        }
    }
}

fn v6(first: u8, last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[0] = first;
    address[15] = last;
    address
}

/// What tells connections apart: family, host, peer, port, protocol.
type Key = (bool, u8, u8, u16, u8);

#[derive(Clone, Debug)]
struct Connection {
    key: Key,
    started: i64,
    last_seen: i64,
    heard: [bool; 2],
    fins: [bool; 2],
    initiator: Initiator,
    ended: Option<(Ending, i64)>,
    /// Since the last row.
    tick: Traffic,
}

#[derive(Clone, Debug, Default)]
struct Traffic {
    bytes: [u64; 2],
    payload: [u64; 2],
    packets: [u64; 2],
    flags: u8,
    first_seen: i64,
}

/// A row as the model has it, with what tells its connection apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    tick: i64,
    key: Key,
    started: i64,
    seen: [i64; 2],
    bytes: [u64; 2],
    payload: [u64; 2],
    packets: [u64; 2],
    flags: u8,
    initiator: u8,
    ended: u8,
}

#[derive(Default)]
struct Model {
    connections: Vec<Connection>,
    rows: Vec<Told>,
    tick: Option<i64>,
}

impl Connection {
    fn row(&mut self, tick: i64) -> Told {
        let traffic = std::mem::take(&mut self.tick);
        let quiet = traffic.packets == [0, 0];
        Told {
            tick: tick * SECOND,
            key: self.key,
            started: self.started,
            seen: [if quiet { self.last_seen } else { traffic.first_seen }, self.last_seen],
            bytes: traffic.bytes,
            payload: traffic.payload,
            packets: traffic.packets,
            flags: traffic.flags,
            initiator: self.initiator as u8,
            ended: self.ended.map_or(u8::MAX, |(ending, _)| ending as u8),
        }
    }

    /// When it is over if nothing more comes.
    fn silent_until(&self) -> i64 {
        let is_tcp = self.key.4 == 6;
        self.last_seen + if is_tcp && self.heard == [true, true] { TCP_IDLE } else { HALF_OPEN }
    }
}

impl Model {
    fn take(&mut self, sent: &Sent, time: i64) {
        let tick = time.div_euclid(SECOND);
        if self.tick != Some(tick) {
            self.begin(tick);
        }
        let protocol = if sent.flags.is_some() { 6 } else { 17 };
        let key = (sent.v6, sent.host, sent.peer, sent.port, protocol);
        let flags = sent.flags.unwrap_or(0);
        let opens = flags & (SYN | ACK) == SYN;
        if let Some(at) = self.connections.iter().position(|one| one.key == key) {
            let over = self.connections[at].ended.is_some_and(|(_, when)| opens || time - when > LINGER);
            if over {
                let mut old = self.connections.remove(at);
                if old.tick.packets != [0, 0] {
                    self.rows.push(old.row(tick));
                }
            }
        }
        let at = self.connections.iter().position(|one| one.key == key).unwrap_or_else(|| {
            self.connections.push(Connection {
                key,
                started: time,
                last_seen: time,
                heard: [false; 2],
                fins: [false; 2],
                initiator: Initiator::Unknown,
                ended: None,
                tick: Traffic::default(),
            });
            self.connections.len() - 1
        });
        let one = &mut self.connections[at];
        let direction = usize::from(!sent.outgoing);
        let header = if sent.v6 { 40 } else { 20 } + if sent.flags.is_some() { 20 } else { 8 };
        if one.tick.packets == [0, 0] {
            one.tick.first_seen = time;
        }
        one.tick.bytes[direction] += header + sent.payload as u64;
        one.tick.payload[direction] += sent.payload as u64;
        one.tick.packets[direction] += 1;
        one.tick.flags |= flags;
        one.last_seen = time;
        one.heard[direction] = true;
        if flags & SYN != 0 && one.initiator == Initiator::Unknown {
            let by_sender = flags & ACK == 0;
            one.initiator = if by_sender == sent.outgoing { Initiator::Local } else { Initiator::Remote };
        }
        if one.ended.is_none() {
            one.fins[direction] |= flags & FIN != 0;
            if flags & RST != 0 {
                one.ended = Some((Ending::Rst, time));
            } else if one.fins == [true, true] {
                one.ended = Some((Ending::Fin, time));
            }
        }
    }

    /// Rows of the tick that is over, then what silence ended before this one.
    fn begin(&mut self, tick: i64) {
        if let Some(open) = self.tick.replace(tick) {
            for one in &mut self.connections {
                if one.tick.packets != [0, 0] {
                    self.rows.push(one.row(open));
                }
            }
        }
        let before = |time: i64| time.div_euclid(SECOND) < tick;
        for one in &mut self.connections {
            if one.ended.is_none() && before(one.silent_until()) {
                one.ended = Some((Ending::Idle, one.silent_until()));
                self.rows.push(one.row(tick));
            }
        }
        self.connections.retain(|one| !one.ended.is_some_and(|(_, when)| before(when + LINGER)));
    }

    fn finish(mut self) -> Vec<Told> {
        let tick = self.tick.unwrap_or(0);
        for mut one in self.connections {
            let quiet = one.tick.packets == [0, 0];
            if one.ended.is_none() || !quiet {
                one.ended = one.ended.or(Some((Ending::Shutdown, 0)));
                self.rows.push(one.row(tick));
            }
        }
        self.rows.sort();
        self.rows
    }
}

fn told(row: &Row) -> Told {
    let is_v6 = row.local.0[0] == 0xfd;
    Told {
        tick: row.tick,
        key: (is_v6, row.local.0[15], row.remote.0[15], row.local.1, row.protocol),
        started: row.times[0],
        seen: [row.times[1], row.times[2]],
        bytes: row.bytes,
        payload: row.payload,
        packets: row.packets,
        flags: row.tcp_flags,
        initiator: row.opened.0,
        ended: row.ended,
    }
}

fn made(packets: &[Sent]) -> (Made, Vec<i64>) {
    let mut made = Made::new(1);
    let mut time = 1_700_000_000 * SECOND;
    let mut times = Vec::new();
    for sent in packets {
        time += sent.step;
        times.push(time);
        made.add(FrameSpan { time, ..span(RAW) }, &sent.packet());
    }
    (made, times)
}

/// Steps within a tick, over some ticks, and around each time after which something is over.
fn step() -> impl Strategy<Value = i64> {
    let around = |seconds: i64| (seconds * 1000 - 1500..seconds * 1000 + 1500).prop_map(|ms| ms * MILLISECOND);
    prop_oneof![
        8 => (0..400_i64).prop_map(|ms| ms * MILLISECOND),
        3 => (0..20_000_i64).prop_map(|ms| ms * MILLISECOND),
        1 => around(60),
        1 => around(120),
        1 => around(180),
        1 => around(3600),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let flags = prop_oneof![
        3 => Just(None),
        6 => Just(Some(ACK)),
        2 => Just(Some(SYN)),
        2 => Just(Some(SYN | ACK)),
        2 => Just(Some(FIN | ACK)),
        1 => Just(Some(RST)),
    ];
    (step(), any::<bool>(), 0..2_u8, 0..2_u8, 5000..5002_u16, any::<bool>(), flags, 0..200_usize).prop_map(
        |(step, v6, host, peer, port, outgoing, flags, payload)| Sent {
            step,
            v6,
            host,
            peer,
            port,
            outgoing,
            flags,
            payload,
        },
    )
}

/// The same packets in every run.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rows_are_those_of_the_model(packets in prop::collection::vec(sent(), 1..120)) {
        let (made, times) = made(&packets);
        let mut model = Model::default();
        for (sent, time) in packets.iter().zip(times) {
            model.take(sent, time);
        }
        let batches = play_made(made, Limits::default(), usize::MAX);
        assert_laws(&batches.last().unwrap().counters);
        let all = rows(&batches);
        let mut found: Vec<Told> = all.iter().map(told).collect();
        found.sort();
        let expected = model.finish();
        for (mine, theirs) in found.iter().zip(&expected) {
            prop_assert_eq!(mine, theirs);
        }
        prop_assert_eq!(found.len(), expected.len());
        // one id a connection, one connection an id
        let mut ids = HashMap::new();
        for (row, told) in all.iter().zip(all.iter().map(told)) {
            let connection = (told.key, told.started);
            prop_assert_eq!(*ids.entry(row.flow_id).or_insert(connection), connection);
        }
        let distinct: std::collections::HashSet<_> = ids.values().collect();
        prop_assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn a_full_table_keeps_every_sum(
        packets in prop::collection::vec(sent(), 1..200),
        late in prop::collection::vec(0..5_000_i64, 200),
        flows in 1..6_usize,
        burst in 1..70_usize,
        batch in 1..10_usize,
        most in 1..20_usize,
    ) {
        let mut sums: HashMap<Key, ([u64; 2], [u64; 2])> = HashMap::new();
        let (_, times) = made(&packets);
        let mut made = Made::new(1);
        for ((sent, time), late) in packets.iter().zip(times).zip(late) {
            // every other one comes late
            let time = time - if late % 2 == 0 { 0 } else { late * MILLISECOND };
            made.add(FrameSpan { time, ..span(RAW) }, &sent.packet());
            let protocol = if sent.flags.is_some() { 6 } else { 17 };
            let sum = sums.entry((sent.v6, sent.host, sent.peer, sent.port, protocol)).or_default();
            let direction = usize::from(!sent.outgoing);
            sum.0[direction] += sent.packet().len() as u64;
            sum.1[direction] += 1;
        }
        let limits = Limits { flows: flows * FLOW_BYTES, ..Limits::default() };
        let whole = play_made(made.clone(), limits, usize::MAX);
        assert_laws(&whole.last().unwrap().counters);
        assert_rows_are_the_counters(&whole);
        let all = rows(&whole);
        let mut found: HashMap<Key, ([u64; 2], [u64; 2])> = HashMap::new();
        for row in all.iter().map(told) {
            let sum = found.entry(row.key).or_default();
            for direction in [0, 1] {
                sum.0[direction] += row.bytes[direction];
                sum.1[direction] += row.packets[direction];
            }
        }
        prop_assert_eq!(found, sums);
        let evicted = all.iter().filter(|row| row.ended == Ending::Evicted as u8);
        let ids: std::collections::HashSet<_> = evicted.map(|row| row.flow_id).collect();
        prop_assert!(ids.len() as u64 <= whole.last().unwrap().counters.flows_evicted);
        made.burst = burst;
        let parts = play_in_parts(made.clone(), limits, most);
        prop_assert_eq!(&all, &rows(&parts));
        // one frame can end a flow, evict some and begin one; a burst has up to 32
        prop_assert!(parts.iter().all(|part| part.flows.tick.len() < most + 64 * 3));
        // a part's clock is that of its last row's tick: what comes after is never older
        for pair in parts.windows(2) {
            prop_assert!(pair[0].clock <= pair[1].flows.tick.first().copied().unwrap_or(i64::MAX));
        }
        prop_assert_eq!(all, rows(&play_made(made, limits, batch)));
    }
}
