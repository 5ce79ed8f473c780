//! What hostile flows make the tables keep is counted as what it takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{assert_laws, play_with};
use common::{ipv4, tcp, udp};
use flowcore::counters::Counters;
use flowcore::flow::{Limits, FLOW_BYTES};

const HOST: [u8; 4] = [10, 0, 0, 1];
const ACK: u8 = 0x10;

/// The peer of a flow.
fn peer(number: u32) -> [u8; 4] {
    let [_, _, high, low] = number.to_be_bytes();
    [198, 51, high, low]
}

fn last(packets: &[(i64, Vec<u8>)], limits: Limits) -> Counters {
    let batches = play_with(packets, limits, usize::MAX);
    let counters = batches.last().unwrap().counters.clone();
    assert_laws(&counters);
    counters
}

/// The first bytes of a ClientHello, and then one byte that stands far behind them: what is between is kept for what may
/// come, so it takes memory.
#[test]
fn a_hole_in_a_half_read_stream_counts() {
    const FLOWS: u32 = 500;
    // as far as a stream is kept (docs/limits.md), less that byte
    const HOLE: u32 = (32 << 10) - 1;
    const BUDGET: usize = 1 << 20;
    // a record of 16 384 bytes (RFC 8446 section 5.1) with a ClientHello
    let beginning = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc];
    let packets: Vec<_> = (0..FLOWS)
        .flat_map(|number| {
            let send = |sequence, payload: &[u8]| ipv4(HOST, peer(number), 6, &tcp(40000, 443, sequence, ACK, payload));
            [(0, send(1000, &beginning)), (0, send(1000 + HOLE, b"x"))]
        })
        .collect();
    let counters = last(&packets, Limits { content: BUDGET, ..Limits::default() });
    let most = BUDGET / HOLE as usize;
    assert!(counters.names_skipped >= u64::from(FLOWS) - most as u64, "{} of {FLOWS}", counters.names_skipped);
}

/// What is kept of what a flow sends in clear counts on a port of DNS as on any other, where no DNS is spoken.
#[test]
fn what_is_kept_of_a_flow_on_a_port_of_dns_counts() {
    const FLOWS: u32 = 2000;
    const ROOM: usize = 1000 * FLOW_BYTES;
    let evicted = |port| {
        let text = b"From: alice@example.com, to whom it may concern";
        let packets: Vec<_> =
            (0..FLOWS).map(|number| (0, ipv4(HOST, peer(number), 17, &udp(40000, port, text)))).collect();
        last(&packets, Limits { flows: ROOM, ..Limits::default() }).flows_evicted
    };
    // two cache lines each (docs/limits.md: some 130 bytes a flow)
    let most = ROOM / (FLOW_BYTES + 128);
    for port in [9999, 53, 5353] {
        assert!(evicted(port) >= u64::from(FLOWS) - most as u64, "port {port}: {} evicted", evicted(port));
    }
}
