//! Fragments through a whole worker: which flow they go to, and that nothing is lost on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{assert_laws, assert_rows_are_the_counters, play, play_in_parts, play_with, rows, Made, Row};
use common::{hex, ipv4, ipv6, tcp, udp, Noise};
use flowcore::decode::{Fault, Tunnel};
use flowcore::flow::{Initiator, Limits};

const HOST: [u8; 4] = [10, 0, 1, 5];
const PEER: [u8; 4] = [198, 51, 100, 7];
const HOST6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// Cut an IPv4 packet without options into fragments whose payload is `size` bytes (RFC 791 section 3.2).
fn cut(packet: &[u8], size: usize, id: u16) -> Vec<Vec<u8>> {
    let payload = &packet[20..];
    let count = payload.len().div_ceil(size);
    let pieces = payload.chunks(size).enumerate();
    pieces
        .map(|(place, piece)| {
            let mut head = packet[..20].to_vec();
            head[2..4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
            head[4..6].copy_from_slice(&id.to_be_bytes());
            let more = u16::from(place + 1 < count) << 13;
            head[6..8].copy_from_slice(&(more | (place * size / 8) as u16).to_be_bytes());
            [head, piece.to_vec()].concat()
        })
        .collect()
}

/// Cut an IPv6 packet without extensions (RFC 8200 section 4.5).
fn cut6(packet: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    let payload = &packet[40..];
    let count = payload.len().div_ceil(size);
    let pieces = payload.chunks(size).enumerate();
    pieces
        .map(|(place, piece)| {
            let field = (place * size) as u16 | u16::from(place + 1 < count);
            let mut fragment = vec![packet[6], 0];
            fragment.extend_from_slice(&field.to_be_bytes());
            fragment.extend_from_slice(&id.to_be_bytes());
            fragment.extend_from_slice(piece);
            ipv6(HOST6, PEER6, 44, &fragment)
        })
        .collect()
}

/// A datagram of 3000 bytes, 2992 of them payload.
fn datagram() -> Vec<u8> {
    ipv4(HOST, PEER, 17, &udp(40000, 9999, &[7; 2992]))
}

fn timed(packets: Vec<Vec<u8>>) -> Vec<(i64, Vec<u8>)> {
    packets.into_iter().enumerate().map(|(place, packet)| (1000 + place as i64, packet)).collect()
}

/// The rows of one flow summed: bytes, packets, payload that went out.
fn sums(rows: &[Row], ports: (u16, u16)) -> (u64, u64, u64) {
    let of = rows.iter().filter(|row| (row.local.1, row.remote.1) == ports);
    of.fold((0, 0, 0), |sum, row| (sum.0 + row.bytes[0], sum.1 + row.packets[0], sum.2 + row.payload[0]))
}

#[test]
fn later_fragments_go_to_the_flow_of_the_first() {
    let all = rows(&[play(&timed(cut(&datagram(), 1480, 7)))]);
    assert_eq!(all.len(), 1);
    // 1500 + 1500 + 60 bytes of IP; the payload is the datagram's own
    assert_eq!(sums(&all, (40000, 9999)), (3060, 3, 2992));
    let packet = ipv6(HOST6, PEER6, 17, &udp(40000, 9999, &[7; 2992]));
    let all = rows(&[play(&timed(cut6(&packet, 1448, 7)))]);
    // three times 48 bytes of headers, and 3000 bytes
    assert_eq!((all.len(), sums(&all, (40000, 9999))), (1, (3144, 3, 2992)));
}

#[test]
fn every_order_gives_the_same_sums() {
    let pieces = cut(&datagram(), 1000, 7);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let packets = order.iter().map(|place| pieces[*place].clone()).collect();
        let batch = play(&timed(packets));
        let all = rows(std::slice::from_ref(&batch));
        assert_eq!((all.len(), sums(&all, (40000, 9999))), (1, (3060, 3, 2992)), "{order:?}");
        assert_eq!(all[0].times, [1_000_000_000, 1_000_000_000, 1_002_000_000], "{order:?}");
        assert_eq!((batch.counters.fragments_unplaced, batch.counters.faults), (0, [0; Fault::COUNT]), "{order:?}");
    }
}

#[test]
fn tcp_segments_and_their_answers_stay_one_connection() {
    let segment = ipv4(HOST, PEER, 6, &tcp(40000, 443, 100, 0x18, &[7; 2000]));
    let mut packets =
        vec![ipv4(HOST, PEER, 6, &tcp(40000, 443, 99, 2, b"")), ipv4(PEER, HOST, 6, &tcp(443, 40000, 9, 0x12, b""))];
    packets.extend(cut(&segment, 1480, 1));
    packets.push(ipv4(PEER, HOST, 6, &tcp(443, 40000, 10, 0x10, b"")));
    let all = rows(&[play(&timed(packets))]);
    assert_eq!(all.len(), 1);
    assert_eq!(sums(&all, (40000, 443)), (40 + 2020 + 40, 3, 2000));
    assert_eq!(all[0].packets[1], 2);
}

#[test]
fn a_large_ping_is_its_senders() {
    // RFC 792: echo request
    let packet = ipv4(PEER, HOST, 1, &[hex("0800 0000 0001 0001"), vec![7; 2000]].concat());
    let mut pieces = cut(&packet, 1480, 7);
    pieces.reverse();
    let all = rows(&[play(&timed(pieces))]);
    assert_eq!((all.len(), all[0].opened.0, all[0].payload[1]), (1, Initiator::Remote as u8, 2000));
}

#[test]
fn a_fragment_whose_first_one_never_comes_has_no_ports() {
    let pieces = cut(&datagram(), 1000, 7);
    let batch = play(&[(1000, pieces[1].clone()), (1001, pieces[2].clone())]);
    let all = rows(std::slice::from_ref(&batch));
    assert_eq!((all.len(), sums(&all, (0, 0))), (1, (2040, 2, 2000)));
    assert_eq!(batch.counters.fragments_unplaced, 2);
    // and one that comes in a later tick leaves those of the tick before where they are
    let batch = play(&[(1000, pieces[1].clone()), (2500, pieces[0].clone()), (2501, pieces[2].clone())]);
    let all = rows(&[batch]);
    assert_eq!((sums(&all, (0, 0)), sums(&all, (40000, 9999))), ((1020, 1, 1000), (2040, 2, 1992)));
}

#[test]
fn datagrams_are_told_apart() {
    // by id, by protocol, by direction
    let other = ipv4(HOST, PEER, 17, &udp(40001, 9999, &[7; 1992]));
    let back = ipv4(PEER, HOST, 17, &udp(9999, 40000, &[7; 1992]));
    let segment = ipv4(HOST, PEER, 6, &tcp(40002, 443, 1, 0x18, &[7; 1980]));
    let one = cut(&datagram(), 1000, 7);
    let mut packets = vec![one[0].clone()];
    let others = [cut(&other, 1000, 8), cut(&back, 1000, 7), cut(&segment, 1000, 7)];
    packets.extend(others.iter().map(|pieces| pieces[0].clone()));
    packets.extend(others.iter().map(|pieces| pieces[1].clone()));
    packets.extend(one[1..].to_vec());
    let all = rows(&[play(&timed(packets))]);
    assert_eq!(sums(&all, (40000, 9999)), (3060, 3, 2992));
    assert_eq!(sums(&all, (40001, 9999)), (2040, 2, 1992));
    assert_eq!(sums(&all, (40002, 443)), (2040, 2, 1980));
    assert_eq!(all.iter().map(|row| row.packets[1]).sum::<u64>(), 2);
}

#[test]
fn an_id_that_is_used_again_leads_to_the_new_flow() {
    let other = ipv4(HOST, PEER, 17, &udp(40001, 9999, &[7; 2992]));
    let mut packets = cut(&datagram(), 1000, 7);
    packets.extend(cut(&other, 1000, 7));
    let batch = play(&timed(packets));
    assert_eq!(batch.counters.faults[Fault::FragmentOverlap.index()], 0);
    let all = rows(&[batch]);
    assert_eq!((sums(&all, (40000, 9999)), sums(&all, (40001, 9999))), ((3060, 3, 2992), (3060, 3, 2992)));
}

#[test]
fn after_the_timeout_the_first_one_is_forgotten() {
    let pieces = cut(&datagram(), 1000, 7);
    let batch = play(&[(1000, pieces[0].clone()), (29_000, pieces[1].clone()), (70_000, pieces[2].clone())]);
    let all = rows(&[batch]);
    assert_eq!((sums(&all, (40000, 9999)), sums(&all, (0, 0))), ((2040, 2, 1992), (1020, 1, 1000)));
}

#[test]
fn overlaps_are_counted() {
    let of = |packets: Vec<Vec<u8>>| {
        let batch = play(&timed(packets));
        batch.counters.faults[Fault::FragmentOverlap.index()]
    };
    let pieces = cut(&datagram(), 1000, 7);
    // teardrop (CERT CA-1997-28): the second one ends inside the first
    let mut tear = pieces[1].clone();
    tear[6..8].copy_from_slice(&[0, 3]);
    tear[2..4].copy_from_slice(&[0, 24]);
    tear.truncate(24);
    assert_eq!(of(vec![pieces[0].clone(), tear]), 1);
    assert_eq!(of(pieces.clone()), 0);
    assert_eq!(of(vec![pieces[2].clone(), pieces[0].clone(), pieces[1].clone()]), 0);
    assert_eq!(of(vec![pieces[0].clone(), pieces[0].clone(), pieces[1].clone()]), 1);
}

#[test]
fn fragments_of_a_tunnels_packet_go_to_the_flow_inside() {
    // RFC 2890: a key; the connection inside sends 2000 bytes in one segment
    let inner = ipv4(HOST, PEER, 6, &tcp(40000, 443, 100, 0x18, &[7; 2000]));
    let outer = ipv4([192, 0, 2, 1], [192, 0, 2, 2], 47, &[hex("2000 0800 00000009"), inner.clone()].concat());
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let pieces = cut(&outer, 800, 7);
        let batch = play(&timed(order.iter().map(|place| pieces[*place].clone()).collect()));
        let all = rows(std::slice::from_ref(&batch));
        // the packet inside, whole and once; what is outside is overhead
        assert_eq!((all.len(), sums(&all, (40000, 443))), (1, (2040, 3, 2000)), "{order:?}");
        assert_eq!(all[0].tunnel, (Tunnel::Gre as u8, 9));
        assert_eq!((batch.counters.overhead_bytes, batch.counters.overclaimed_bytes), (20 * 3 + 8, 0));
    }
}

#[test]
fn fragments_in_fragments_meet_in_one_flow() {
    // the host cuts to 1480, then the tunnel cuts each piece again
    let outer = |pieces: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let gre = |packet: Vec<u8>| ipv4([192, 0, 2, 1], [192, 0, 2, 2], 47, &[hex("0000 0800"), packet].concat());
        pieces.into_iter().enumerate().flat_map(|(id, piece)| cut(&gre(piece), 800, 100 + id as u16)).collect()
    };
    let mut packets = outer(cut(&datagram(), 1480, 7));
    assert_eq!(packets.len(), 5);
    let all = rows(&[play(&timed(packets.clone()))]);
    assert_eq!((all.len(), sums(&all, (40000, 9999))), (1, (3060, 5, 2992)));
    packets.reverse();
    let batch = play(&timed(packets));
    assert_rows_are_the_counters(std::slice::from_ref(&batch));
    let all = rows(&[batch]);
    // a later fragment inside, itself in a first one outside: its rest is told only that far
    assert_eq!(
        all.iter().map(|row| (row.bytes[0], row.payload[0])).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (3060, 2992)
    );
}

#[test]
fn networks_behind_tunnels_may_use_the_same_ids() {
    let of = |network: u32, port: u16| -> Vec<Vec<u8>> {
        let packet = ipv4(HOST, PEER, 17, &udp(port, 9999, &[7; 1992]));
        let head = format!("2000 0800 {network:08x}");
        let wrap = |piece: Vec<u8>| ipv4([192, 0, 2, 1], [192, 0, 2, 2], 47, &[hex(&head), piece].concat());
        cut(&packet, 1000, 7).into_iter().map(wrap).collect()
    };
    let (one, two) = (of(1, 40001), of(2, 40002));
    let all = rows(&[play(&timed(vec![one[0].clone(), two[0].clone(), one[1].clone(), two[1].clone()]))]);
    assert_eq!((sums(&all, (40001, 9999)), sums(&all, (40002, 9999))), ((2040, 2, 1992), (2040, 2, 1992)));
}

#[test]
fn the_bound_holds_and_what_is_forgotten_is_counted() {
    let pieces: Vec<Vec<Vec<u8>>> = (0..100).map(|id| cut(&datagram(), 1480, id)).collect();
    let firsts = pieces.iter().map(|piece| piece[0].clone());
    let packets = timed(firsts.chain(pieces.iter().flat_map(|piece| piece[1..].to_vec())).collect());
    let limits = Limits { fragments: 40, ..Limits::default() };
    let batches = play_with(&packets, limits, usize::MAX);
    let counters = &batches.last().unwrap().counters;
    assert_laws(counters);
    assert_rows_are_the_counters(&batches);
    let all = rows(&batches);
    let (placed, lost) = (sums(&all, (40000, 9999)), sums(&all, (0, 0)));
    assert_eq!(placed.0 + lost.0, 100 * 3060);
    assert!(counters.fragments_evicted >= 60 && counters.fragments_unplaced == lost.1 && lost.1 > 0);
}

#[test]
fn the_size_of_batches_changes_nothing_and_the_laws_hold_after_each() {
    let mut noise = Noise(0x5555_1234_abcd_0001);
    let mut packets = Vec::new();
    for id in 0..400_u16 {
        let packet = ipv4(HOST, PEER, 17, &udp(40000 + id % 7, 9999, &vec![7; 800 + noise.below(3000) as usize]));
        let time = 1000 + i64::from(id) * 40;
        for piece in cut(&packet, 504, id) {
            // out of order by up to half a second, and one in twenty lost
            if noise.below(20) != 0 {
                packets.push((time + noise.below(500) as i64, piece));
            }
        }
    }
    packets.sort_by_key(|packet| packet.0);
    let whole = play_with(&packets, Limits::default(), usize::MAX);
    let small = play_with(&packets, Limits::default(), 1);
    assert!(small.len() > 10);
    let parts = play_in_parts(Made::of_packets(&packets), Limits::default(), 3);
    assert!(parts.len() > small.len());
    for batch in whole.iter().chain(&small).chain(&parts) {
        assert_laws(&batch.counters);
    }
    assert_rows_are_the_counters(&small);
    assert!(whole.last().unwrap().counters.fragments_unplaced > 0);
    assert_eq!(rows(&whole), rows(&small));
    assert_eq!(rows(&whole), rows(&parts));
}
