//! Findings in rows: over segments' borders, in which direction and scope, how far.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{play, play_with};
use common::{hex, ipv4, tcp, udp, RFC8448_HELLO};
use flowcore::decode::sensitive::Findings;
use flowcore::flow::{Batch, Ending, Limits, FLOW_BYTES};

const HOST: [u8; 4] = [10, 0, 0, 1];
const INSIDE: [u8; 4] = [10, 0, 0, 2];
const PEER: [u8; 4] = [203, 0, 113, 7];
const ACK: u8 = 0x10;
const SYN: u8 = 2;

/// Segments of one side, one behind the other, 1 ms apart.
fn stream(from: [u8; 4], to: [u8; 4], segments: &[&[u8]]) -> Vec<(i64, Vec<u8>)> {
    let mut sequence = 1000_u32;
    let mut packets = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        packets.push((index as i64, ipv4(from, to, 6, &tcp(40000, 8080, sequence, ACK, segment))));
        sequence = sequence.wrapping_add(segment.len() as u32);
    }
    packets
}

fn sum(batches: &[Batch]) -> Findings {
    let mut all = Findings::default();
    for (_, findings) in batches.iter().flat_map(|batch| &batch.flows.findings) {
        all.iter_mut().zip(findings).for_each(|(sum, more)| *sum += more);
    }
    all
}

const TEXT: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n\
    4111 1111 1111 1111, alice@example.com; DE89370400440532013000 -----BEGIN RSA PRIVATE KEY-----\n";
const ALL: Findings = [1, 1, 1, 1, 1];

#[test]
fn in_one_segment_and_cut_anywhere() {
    assert_eq!(sum(&[play(&stream(HOST, PEER, &[TEXT]))]), ALL);
    // of fewer bytes than a method and its space no protocol is told
    for at in 4..TEXT.len() {
        let (first, second) = TEXT.split_at(at);
        assert_eq!(sum(&[play(&stream(HOST, PEER, &[first, second]))]), ALL, "cut at {at}");
    }
}

#[test]
fn in_small_segments() {
    for size in [7, 20, 33] {
        let pieces: Vec<&[u8]> = TEXT.chunks(size).collect();
        let found = sum(&[play(&stream(HOST, PEER, &pieces))]);
        // what spans three segments may be missed, but nothing is found twice
        assert!(found.iter().zip(ALL).all(|(found, there)| *found <= there), "{size}: {found:?}");
        assert!(size < 33 || found == ALL, "{size}: {found:?}");
    }
}

#[test]
fn repeated_segments_count_once() {
    let mut packets = stream(HOST, PEER, &[TEXT, TEXT]);
    assert_eq!(sum(&[play(&packets)]), [2, 2, 2, 2, 2]);
    packets.extend(stream(HOST, PEER, &[TEXT, TEXT]).into_iter().map(|(time, packet)| (time + 5, packet)));
    assert_eq!(sum(&[play(&packets)]), [2, 2, 2, 2, 2]);
}

#[test]
fn a_gap_joins_nothing() {
    let (first, second) = TEXT.split_at(TEXT.len() - 20);
    let mut packets = stream(HOST, PEER, &[first, second]);
    let segment = tcp(40000, 8080, 1000 + first.len() as u32 + 1, ACK, second);
    packets[1].1 = ipv4(HOST, PEER, 6, &segment);
    assert_eq!(sum(&[play(&packets)]), [1, 1, 1, 1, 0]);
}

#[test]
fn only_what_goes_out() {
    assert_eq!(sum(&[play(&stream(PEER, HOST, &[TEXT]))]), Findings::default(), "what comes in");
    assert_eq!(sum(&[play(&stream(HOST, INSIDE, &[TEXT]))]), Findings::default(), "what stays inside");
    let limits = Limits { inspected: 0, ..Limits::default() };
    let batches = play_with(&stream(HOST, PEER, &[TEXT]), limits, usize::MAX);
    assert_eq!(sum(&batches), Findings::default(), "where nobody wants it");
}

#[test]
fn nothing_behind_a_handshake() {
    // RFC 3207: what follows STARTTLS is encrypted; here it is text, to show that it is not looked at
    let hello = hex(RFC8448_HELLO);
    let card: &[u8] = b"4111 1111 1111 1111";
    let talk: [&[u8]; 4] = [b"EHLO client.example\r\n", b"STARTTLS\r\n", &hello, card];
    assert_eq!(sum(&[play(&stream(HOST, PEER, &talk))]), Findings::default());
    assert_eq!(sum(&[play(&stream(HOST, PEER, &[&hello, card]))]), Findings::default());
    assert_eq!(sum(&[play(&stream(HOST, PEER, &[b"EHLO client.example\r\n", card]))]), [0, 0, 1, 0, 0]);
}

#[test]
fn names_of_algorithms_are_no_addresses() {
    // RFC 4253 section 7.1 without the banner before it; RFC 4251 section 6 gives names an @
    let list = b"curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group14-sha256";
    let mut message = vec![20];
    message.extend_from_slice(&[7; 16]);
    message.extend_from_slice(&(list.len() as u32).to_be_bytes());
    message.extend_from_slice(list);
    let packet = [&(message.len() as u32 + 5).to_be_bytes()[..], &[4], &message, &[0; 4]].concat();
    let batch = play(&stream(HOST, PEER, &[&packet, b"alice@example.com"]));
    assert_eq!(batch.flows.application, vec![flowcore::decode::Application::Ssh as u8]);
    assert_eq!(sum(&[batch]), Findings::default());
}

#[test]
fn datagrams() {
    let datagram = ipv4(HOST, PEER, 17, &udp(40000, 514, b"<13>alice@example.com paid with 4111111111111111"));
    let batch = play(&[(0, datagram.clone()), (1, datagram)]);
    assert_eq!(sum(&[batch]), [0, 2, 2, 0, 0]);
}

#[test]
fn each_row_has_its_own() {
    let mut packets = stream(HOST, PEER, &[TEXT, b"nothing here", TEXT]);
    packets[1].0 = 1500;
    packets[2].0 = 2500;
    let batch = play(&packets);
    assert_eq!(batch.flows.findings, vec![(0, ALL), (2, ALL)]);
}

#[test]
fn past_the_first_bytes_a_sample() {
    // 1 000 segments of 1 000 bytes with one address each
    let segment = [&b"alice@example.com "[..], &[b' '; 982]].concat();
    let segments: Vec<&[u8]> = (0..1000).map(|_| &segment[..]).collect();
    let packets: Vec<_> = stream(HOST, PEER, &segments).into_iter().map(|(_, packet)| (0, packet)).collect();
    let found = sum(&[play(&packets)])[1];
    // 64 KiB are 65.5 segments; of the 934 others one in 16 is 58
    assert_eq!(found, 66 + 934 / 16, "{found}");
}

/// What was kept of flows that are gone is not given back, so that it takes the place of flows.
#[test]
fn what_flows_leave_counts_against_the_limit() {
    // less than is given back
    const LOOKED_AT: usize = 20;
    // the 64 bytes behind which findings may go on are the least of what is kept
    const KEPT: usize = 64;
    let packet = |place: usize, port, flags, payload: &[u8]| {
        // a day later the first are gone
        let time = place as i64 + if flags == SYN { 86_400_000 } else { 0 };
        (time, ipv4(HOST, PEER, 6, &tcp(1000 + place as u16, port, 1, flags, payload)))
    };
    let first = (0..LOOKED_AT).map(|place| packet(place, 8080, ACK, TEXT));
    let packets: Vec<_> = first.chain((LOOKED_AT..500).map(|place| packet(place, 443, SYN, b""))).collect();
    let limits = Limits { flows: 100 * FLOW_BYTES, ..Limits::default() };
    let batches = play_with(&packets, limits, usize::MAX);
    assert_eq!(sum(&batches), ALL.map(|count| count * LOOKED_AT as u32), "all of the first were looked at");
    let ended = batches.iter().flat_map(|batch| &batch.flows.ended);
    let open = ended.filter(|ended| **ended == Ending::Shutdown as u8).count();
    assert!(open > 50, "{open}");
    assert!(open * FLOW_BYTES + LOOKED_AT * KEPT <= limits.flows, "{open} beside what {LOOKED_AT} left");
}

/// docs/content.md: past the first bytes one packet of 16, however few a tick has.
#[test]
fn a_slow_flow_is_sampled_as_a_fast_one_is() {
    const PACKETS: i64 = 1600;
    let card: &[u8] = b"4111 1111 1111 1111\n";
    let segments = vec![card; PACKETS as usize];
    let limits = Limits { inspected: 1, ..Limits::default() };
    for per_second in [1, 3, 10, 16, 40, 1000] {
        let mut packets = stream(HOST, PEER, &segments);
        for (number, (time, _)) in (0..).zip(&mut packets) {
            *time = number * 1000 / per_second;
        }
        let [_, _, cards, _, _] = sum(&play_with(&packets, limits, usize::MAX));
        // the first twelve are looked at for a protocol too
        let expected = 12 + (PACKETS as u32 - 12) / 16;
        assert!((expected * 9 / 10..=expected * 11 / 10).contains(&cards), "{per_second} a second: {cards}");
    }
}
