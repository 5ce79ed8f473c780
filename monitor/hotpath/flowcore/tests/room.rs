//! What flows that are gone leave: the other family can have that memory, and no row is another for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{assert_laws, play_made, rows, sides, span, Made, RAW, SECOND};
use common::{ipv4, ipv6, tcp, udp};
use flowcore::counters::Counters;
use flowcore::decode::decode;
use flowcore::flow::{FlowTables, Limits, Place, Spare, FLOW_BYTES};
use flowcore::source::FrameSpan;

const ACK: u8 = 0x10;
/// What is kept for findings that may go on in the next segment (docs/content.md) is asked for by this.
const CLEAR: &[u8] = b"POST /upload HTTP/1.1\r\nHost: a.example\r\n\r\ncard=4111 1111 1111 1111&mail=alice@example.com";

/// A packet of the local side in a flow of its own: `number` tells flows apart.
fn packet(is_v6: bool, number: u32, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let [a, b, c, d] = number.to_be_bytes();
    if is_v6 {
        let mut peer = [0; 16];
        (peer[0], peer[1]) = (0x20, 1);
        peer[12..].copy_from_slice(&[a, b, c, d]);
        let mut host = [0; 16];
        (host[0], host[15]) = (0xfd, 1);
        ipv6(host, peer, protocol, upper)
    } else {
        ipv4([10, 0, 0, 1], [198, b | 64, c, d], protocol, upper)
    }
}

/// Waves of flows, of one family after the other, each gone when the next comes but for some that stay for two more: these
/// stand between those that go. What those of IPv4 send in clear is cut in the middle of an address; those of IPv6 send
/// nothing, so that what is kept of the others is no use to them.
fn waves() -> Made {
    const FLOWS: u32 = 300;
    let (first, rest) = CLEAR.split_at(CLEAR.len() - 12);
    let mut sent = Vec::new();
    for wave in 0..12_u32 {
        for one in 0..FLOWS {
            let start = (1_700_000_000 + 200 * i64::from(wave)) * SECOND + i64::from(one) * 1_000_000;
            let is_v6 = wave % 2 == 1;
            let mut send = |after: i64, sequence, payload: &[u8]| {
                let segment = tcp(5000, 8080, sequence, ACK, if is_v6 { b"" } else { payload });
                sent.push((start + after, packet(is_v6, wave * FLOWS + one, 6, &segment)));
            };
            send(0, 1, first);
            let stays = if one % 10 == 7 { 500 * SECOND } else { 1000 };
            for after in (50 * SECOND..stays).step_by(50 * SECOND as usize) {
                send(after, 1 + first.len() as u32, b"");
            }
            send(stays, 1 + first.len() as u32, rest);
        }
    }
    sent.sort_by_key(|(time, _)| *time);
    let mut made = Made::new(1);
    sent.iter().for_each(|(time, packet)| made.add(FrameSpan { time: *time, ..span(RAW) }, packet));
    made
}

#[test]
fn rows_are_the_same_however_often_memory_is_given_back() {
    let expected = rows(&play_made(waves(), Limits::default(), usize::MAX));
    // a wave and those that stay have room, but not what the wave before has left
    let batches = play_made(waves(), Limits { flows: 650 * FLOW_BYTES, ..Limits::default() }, 100);
    let counters = &batches.last().unwrap().counters;
    assert_laws(counters);
    assert_eq!(counters.flows_evicted, 0);
    let found = rows(&batches);
    assert_eq!(expected.iter().flat_map(|row| row.findings).sum::<u32>(), 2 * 6 * 300);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// Bytes of physical memory of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

/// A flood of one family after another, each gone before the next: memory is that of one, and an eighth.
#[test]
fn the_families_share_one_limit() {
    const FLOWS: usize = 96 << 20;
    let limits = Limits { flows: FLOWS, ..Limits::default() };
    let mut tables = FlowTables::new(sides(), limits, SECOND);
    let (mut counters, before, mut most) = (Counters::default(), resident(), 0);
    for wave in 0..4 {
        tables.begin(i64::from(wave) * 10_000);
        while !tables.expire(10_000) {
            drop(tables.take(&mut counters, Spare::default()));
        }
        for number in 0..(FLOWS / FLOW_BYTES) as u32 {
            let frame = packet(wave % 2 == 1, number, 17, &udp(5000, 7000, b""));
            let (found, mut place) = (decode(RAW, &frame, frame.len() as u32).unwrap(), Place::EMPTY);
            tables.place(&found, 0, &mut place);
            let mut places = [place];
            tables.prefetch(&mut places);
            let time = i64::from(wave) * 10_000 * SECOND;
            tables.book(&found, &places[0], time, frame.len() as u32, &mut counters);
            if number % 4096 == 0 {
                most = most.max(resident().saturating_sub(before));
                drop(tables.take(&mut counters, Spare::default()));
            }
        }
        most = most.max(resident().saturating_sub(before));
        while !tables.cut(&mut counters, 10_000) {
            drop(tables.take(&mut counters, Spare::default()));
        }
        drop(tables.take(&mut counters, Spare::default()));
    }
    assert!(most > FLOWS / 2, "{most}");
    assert!(most < FLOWS / 8 * 9 + (16 << 20), "{most} bytes in physical memory, {FLOWS} are the limit");
}
