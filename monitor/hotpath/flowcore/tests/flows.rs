//! Frames through a whole worker: what rows come out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::HashMap;

use common::line::{assert_laws, play, play_through, play_with, rows, sides, Made, Row, SECOND};
use common::{hex, ipv4, tcp, udp, Noise, RFC8448_HELLO};
use flowcore::flow::{
    Batch, Confidence, Ending, FlowTables, Initiator, Limits, NameSource, Opened, Scope, FLOW_BYTES, NONE,
};

const SYN: u8 = 2;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;
const FIN_ACK: u8 = 0x11;
const RST: u8 = 4;
const HOST: [u8; 4] = [10, 0, 1, 5];
const PEER: [u8; 4] = [198, 51, 100, 7];

/// A segment from the host to its peer.
fn out(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    ipv4(HOST, PEER, 6, &tcp(40000, 443, sequence, flags, payload))
}

/// A segment back.
fn back(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    ipv4(PEER, HOST, 6, &tcp(443, 40000, sequence, flags, payload))
}

fn ending(batch: &Batch, row: usize) -> Option<&'static str> {
    Ending::NAMES.get(usize::from(batch.flows.ended[row])).copied()
}

fn name(batch: &Batch, row: usize) -> Option<&str> {
    batch.names.get(batch.flows.name_id[row] as usize).map(|name| &**name)
}

#[test]
fn a_connection_is_one_row_a_tick() {
    let batch = play(&[
        (1000, out(99, SYN, b"")),
        (1010, back(500, SYN_ACK, b"")),
        (1020, out(100, ACK, b"hello")),
        (2500, back(501, ACK, b"hi")),
        (2600, out(105, FIN_ACK, b"")),
        (2700, back(503, FIN_ACK, b"")),
        (2800, out(106, ACK, b"")),
    ]);
    let rows = &batch.flows;
    assert_eq!(rows.tick, [SECOND, 2 * SECOND]);
    assert_eq!(rows.bytes[0], [40 + 45, 40 + 40]);
    assert_eq!(rows.bytes[1], [40, 42 + 40]);
    assert_eq!(rows.payload[0], [5, 0]);
    assert_eq!(rows.payload[1], [0, 2]);
    assert_eq!(rows.packets[0], [2, 2]);
    assert_eq!(rows.flow_id[0], rows.flow_id[1]);
    assert_eq!(Initiator::NAMES[usize::from(rows.initiator[1])], "local");
    assert_eq!(Confidence::NAMES[usize::from(rows.confidence[0])], "handshake");
    assert_eq!((ending(&batch, 0), ending(&batch, 1)), (None, Some("fin")));
    assert_eq!((rows.first_seen[1], rows.last_seen[1]), (2500 * SECOND / 1000, 2800 * SECOND / 1000));
}

#[test]
fn a_syn_ack_alone_tells_who_opened() {
    let batch = play(&[(1000, out(99, SYN_ACK, b""))]);
    assert_eq!(Initiator::NAMES[usize::from(batch.flows.initiator[0])], "remote");
    let batch = play(&[(1000, out(99, ACK, b"midstream"))]);
    assert_eq!(Initiator::NAMES[usize::from(batch.flows.initiator[0])], "unknown");
}

#[test]
fn a_reset_ends_and_a_new_syn_begins_anew() {
    let batch = play(&[(1000, out(1, SYN, b"")), (1001, back(0, RST, b"")), (1500, out(900, SYN, b""))]);
    assert_eq!(batch.flows.tick.len(), 2);
    assert_ne!(batch.flows.flow_id[0], batch.flows.flow_id[1]);
    assert_eq!((ending(&batch, 0), ending(&batch, 1)), (Some("rst"), Some("shutdown")));
    assert_eq!(batch.flows.packets[0], [1, 1]);
}

#[test]
fn silence_ends_a_flow_once() {
    let question = ipv4(HOST, PEER, 17, &udp(5000, 9999, b"x"));
    // 120 s of silence end it; a packet more than 60 s after that is another flow
    let batch = play(&[(0, question.clone()), (119_000, question.clone()), (300_000, question.clone())]);
    let ends: Vec<_> = (0..batch.flows.tick.len()).map(|row| ending(&batch, row)).collect();
    assert_eq!(ends, [None, None, Some("idle"), Some("shutdown")]);
    assert_eq!(batch.flows.flow_id[0], batch.flows.flow_id[2]);
    assert_ne!(batch.flows.flow_id[0], batch.flows.flow_id[3]);
    // within 60 s after its end a packet is still its own
    let batch = play(&[(0, question.clone()), (150_000, question)]);
    assert_eq!(batch.flows.flow_id[0], *batch.flows.flow_id.last().unwrap());
}

#[test]
fn a_gap_of_years_is_one_step() {
    let years = 5 * 365 * 86_400_000;
    let batch = play(&[(0, out(0, ACK, b"a")), (years, out(1, ACK, b"b"))]);
    assert_eq!(batch.ticks, 1);
    assert_eq!(batch.flows.tick, [0, years * 1_000_000, years * 1_000_000]);
}

#[test]
fn a_late_frame_counts_in_the_open_tick() {
    let batch = play(&[(5000, out(0, ACK, b"a")), (1000, out(1, ACK, b"b"))]);
    assert_eq!(batch.counters.late_frames, 1);
    assert_eq!(batch.flows.tick, [5 * SECOND]);
    assert_eq!(batch.flows.packets[0], [2]);
}

#[test]
fn sides_are_told_by_address() {
    let other = [10, 2, 3, 4];
    let gateway = [10, 0, 9, 9];
    let stranger = [203, 0, 113, 9];
    let case = |source: [u8; 4], destination: [u8; 4]| {
        let batch = play(&[(0, ipv4(source, destination, 17, &udp(1, 2, b"abc")))]);
        (Scope::NAMES[usize::from(batch.flows.scope[0])], batch.locals[0][12..].to_vec(), batch.flows.payload[0][0])
    };
    assert_eq!(case(HOST, PEER), ("egress", HOST.to_vec(), 3));
    assert_eq!(case(PEER, HOST), ("egress", HOST.to_vec(), 0));
    assert_eq!(case(HOST, other), ("internal", HOST.to_vec(), 3));
    assert_eq!(case(PEER, stranger), ("transit", PEER.to_vec(), 3));
    assert_eq!(case(HOST, [224, 0, 0, 251]), ("internal", HOST.to_vec(), 3));
    assert_eq!(case(gateway, HOST), ("egress", HOST.to_vec(), 0));
    assert_eq!(case(gateway, PEER), ("egress", gateway.to_vec(), 3));
}

#[test]
fn a_hello_is_put_together_in_any_order() {
    let hello = hex(RFC8448_HELLO);
    let cut = [0, 3, 90, hello.len()];
    let segments: Vec<Vec<u8>> =
        cut.windows(2).map(|part| out(100 + part[0] as u32, ACK, &hello[part[0]..part[1]])).collect();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut packets = vec![(0, out(99, SYN, b"")), (1, back(7, SYN_ACK, b""))];
        packets.extend(order.iter().enumerate().map(|(step, index)| (2 + step as i64, segments[*index].clone())));
        let batch = play(&packets);
        assert_eq!(name(&batch, 0), Some("server"), "{order:?}");
        assert_eq!(NameSource::NAMES[usize::from(batch.flows.name_source[0])], "sni");
    }
}

#[test]
fn a_hello_behind_other_talk_is_found() {
    // PostgreSQL asks first whether TLS is spoken (SSLRequest), a mail client says STARTTLS
    let hello = hex(RFC8448_HELLO);
    let request = hex("00000008 04d2162f");
    let batch = play(&[
        (0, out(99, SYN, b"")),
        (1, back(7, SYN_ACK, b"")),
        (2, out(100, ACK, &request)),
        (3, back(8, ACK, b"S")),
        (4, out(108, ACK, &hello)),
    ]);
    assert_eq!(name(&batch, 0), Some("server"));
    let mut with_proxy = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\n".to_vec();
    with_proxy.extend_from_slice(&hello);
    let batch = play(&[(0, out(99, SYN, b"")), (2, out(100, ACK, &with_proxy))]);
    assert_eq!(name(&batch, 0), Some("server"));
}

#[test]
fn half_read_streams_have_a_budget() {
    let hello = hex(RFC8448_HELLO);
    let packets: Vec<_> =
        (0..100_u16).map(|port| (0, ipv4(HOST, PEER, 6, &tcp(1000 + port, 443, 1, ACK, &hello[..100])))).collect();
    let limits = Limits { content: 2000, ..Limits::default() };
    let batch = play_with(&packets, limits, usize::MAX).remove(0);
    // each takes its 100 bytes, 64 that tell where these belong, and 256 for its keeping: four fit
    assert_eq!(batch.counters.names_skipped, 96);
}

#[test]
fn a_full_table_evicts_and_counts() {
    let packets: Vec<_> =
        (0..1000_u16).map(|port| (i64::from(port), ipv4(HOST, PEER, 17, &udp(port + 1, 7777, b"abc")))).collect();
    let limits = Limits { flows: 100 * FLOW_BYTES, inspected: 0, ..Limits::default() };
    let batch = play_with(&packets, limits, usize::MAX).remove(0);
    assert_laws(&batch.counters);
    assert_eq!(batch.counters.flows_evicted, 900);
    assert_eq!(batch.flows.packets[0].iter().sum::<u64>(), 1000);
    let evicted = (0..batch.flows.tick.len()).filter(|row| ending(&batch, *row) == Some("evicted")).count();
    assert_eq!(evicted, 900);
}

fn noisy_packets(count: u64) -> Vec<(i64, Vec<u8>)> {
    let mut noise = Noise(7);
    let mut time = 0;
    (0..count)
        .map(|_| {
            time += noise.below(40) as i64;
            let host = [10, 0, 0, noise.below(8) as u8];
            let peer = [198, 51, noise.below(3) as u8, noise.below(50) as u8];
            let (sport, dport) = (1024 + noise.below(20) as u16, 443);
            let payload = vec![0; noise.below(900) as usize];
            let packet = match noise.below(4) {
                0 => ipv4(host, peer, 17, &udp(sport, dport, &payload)),
                1 => ipv4(peer, host, 17, &udp(dport, sport, &payload)),
                2 => ipv4(host, peer, 6, &tcp(sport, dport, 0, ACK, &payload)),
                _ => ipv4(peer, host, 6, &tcp(dport, sport, 0, ACK, &payload)),
            };
            (time, packet)
        })
        .collect()
}

#[test]
fn sums_equal_a_plain_map() {
    let packets = noisy_packets(10_000);
    let mut model: HashMap<(u8, [u8; 8], u16), [u64; 2]> = HashMap::new();
    for (_, packet) in &packets {
        let outgoing = packet[12] == 10;
        let (host, peer) = if outgoing { (12, 16) } else { (16, 12) };
        let mut ends = [0; 8];
        ends[..4].copy_from_slice(&packet[host..host + 4]);
        ends[4..].copy_from_slice(&packet[peer..peer + 4]);
        let port_at = if outgoing { 20 } else { 22 };
        let port = u16::from_be_bytes([packet[port_at], packet[port_at + 1]]);
        model.entry((packet[9], ends, port)).or_default()[usize::from(!outgoing)] += packet.len() as u64;
    }
    let batch = play(&packets);
    let mut seen: HashMap<(u8, [u8; 8], u16), [u64; 2]> = HashMap::new();
    let rows = &batch.flows;
    for row in 0..rows.tick.len() {
        let remote = batch.remotes[rows.remote_id[row] as usize];
        let mut ends = [0; 8];
        ends[..4].copy_from_slice(&batch.locals[rows.local_id[row] as usize][12..]);
        ends[4..].copy_from_slice(&remote[12..]);
        let sum = seen.entry((rows.protocol[row], ends, rows.local_port[row])).or_default();
        sum[0] += rows.bytes[0][row];
        sum[1] += rows.bytes[1][row];
    }
    assert_eq!(seen, model);
}

#[test]
fn the_size_of_batches_changes_no_row() {
    let packets = noisy_packets(20_000);
    let columns = |batches: &[Batch]| {
        let mut all = Vec::new();
        for batch in batches {
            let rows = &batch.flows;
            for row in 0..rows.tick.len() {
                let remote = batch.remotes[rows.remote_id[row] as usize];
                all.push((
                    rows.tick[row],
                    rows.flow_id[row],
                    remote,
                    rows.bytes[0][row],
                    rows.bytes[1][row],
                    rows.ended[row],
                ));
            }
        }
        all
    };
    let limits = Limits { flows: 300 * FLOW_BYTES, ..Limits::default() };
    let whole = play_with(&packets, limits, usize::MAX);
    let cut = play_with(&packets, limits, 1);
    assert!(cut.len() > 100);
    assert!(whole.last().unwrap().counters.flows_evicted > 0);
    assert_eq!(columns(&whole), columns(&cut));
}

#[test]
fn dns_answers_are_matched_with_their_questions() {
    let mut question = hex("1234 0100 0001 0000 0000 0000");
    question.extend_from_slice(b"\x03www\x07example\x03org\x00\x00\x01\x00\x01");
    let mut answer = hex("1234 8180 0001 0002 0000 0000");
    answer.extend_from_slice(b"\x03WWW\x07example\x03org\x00\x00\x01\x00\x01");
    answer.extend_from_slice(&hex("c00c 0005 0001 00000e10 0006"));
    answer.extend_from_slice(b"\x03cdn\xc0\x10");
    answer.extend_from_slice(&hex("c02d 0001 0001 0000003c 0004 c0000263"));
    let ask = ipv4(HOST, PEER, 17, &udp(5353 + 1, 53, &question));
    let reply = |port: u16| ipv4(PEER, HOST, 17, &udp(53, port, &answer));
    let batch = play(&[(0, ask), (10, reply(5354)), (20, reply(6000))]);
    let rows = &batch.dns;
    assert_eq!(rows.answer, [false, true, true, true, true]);
    assert_eq!(rows.matched, [false, true, true, false, false]);
    assert!(rows.question.iter().all(|name| rows.texts.get(*name) == Some("www.example.org")));
    assert_eq!(rows.texts.get(rows.owner[1]), Some("www.example.org"));
    assert_eq!(rows.texts.get(rows.value[1]), Some("cdn.example.org"));
    assert_eq!(
        (rows.texts.get(rows.owner[2]), rows.texts.get(rows.value[2])),
        (Some("cdn.example.org"), Some("192.0.2.99"))
    );
    assert_eq!(rows.ttl[1..3], [Some(3600), Some(60)]);
    assert_eq!(rows.client[0], rows.client[1]);
}

#[test]
fn an_owner_behind_a_record_that_is_left_out_is_its_own() {
    // OPT (RFC 6891), whose owner at byte 33 is the root, a record that points there, and one that points to the question
    let mut answer = hex("1234 8180 0001 0003 0000 0000");
    answer.extend_from_slice(b"\x03www\x07example\x03org\x00\x00\x01\x00\x01");
    answer.extend_from_slice(&hex("00 0029 1000 00000000 0000 c021 0001 0001 0000003c 0004 c0000201"));
    answer.extend_from_slice(&hex("c00c 0001 0001 0000003c 0004 c0000202"));
    let rows = &play(&[(0, ipv4(PEER, HOST, 17, &udp(53, 6000, &answer)))]).dns;
    let owners: Vec<_> = rows.owner.iter().map(|owner| rows.texts.get(*owner)).collect();
    assert_eq!(owners, [Some("."), Some("www.example.org")]);
}

#[test]
fn dns_over_tcp_is_read_across_segments() {
    // RFC 1035 section 4.2.2: each message behind a length of two bytes
    let mut question = hex("0021 1234 0100 0001 0000 0000 0000");
    question.extend_from_slice(b"\x03www\x07example\x03org\x00\x00\x01\x00\x01");
    let mut answer = hex("0031 1234 8180 0001 0001 0000 0000");
    answer.extend_from_slice(b"\x03www\x07example\x03org\x00\x00\x01\x00\x01");
    answer.extend_from_slice(&hex("c00c 0001 0001 0000003c 0004 c0000263"));
    let ask = |sequence: u32, part: &[u8]| ipv4(HOST, PEER, 6, &tcp(5555, 53, sequence, ACK, part));
    let reply = |sequence: u32, part: &[u8]| ipv4(PEER, HOST, 6, &tcp(53, 5555, sequence, ACK, part));
    let batch = play(&[
        (0, ask(1, &question)),
        (1, reply(1, &answer[..1])),
        (2, reply(2, &answer[1..30])),
        (3, reply(2, &answer[1..30])),
        (4, reply(31, &[&answer[30..], &answer[..]].concat())),
    ]);
    let values: Vec<_> = batch.dns.value.iter().filter_map(|value| batch.dns.texts.get(*value)).collect();
    assert_eq!(values, ["192.0.2.99", "192.0.2.99"]);
    assert_eq!(batch.dns.matched, [false, true, true]);
    // behind a hole reading begins anew
    let batch = play(&[(0, reply(1, &answer[..20])), (1, reply(500, &answer))]);
    assert_eq!(batch.dns.value.iter().filter(|value| **value != NONE).count(), 1);
}

#[test]
fn who_opened_a_flow_is_remembered_over_eviction_and_restart() {
    let opened = [(1000, back(99, SYN, b"")), (1010, out(500, SYN_ACK, b""))];
    let later = [(3000, back(100, ACK, b"midstream"))];
    let tables = |known: &[Opened]| {
        let mut flows = FlowTables::new(sides(), Limits { flows: FLOW_BYTES, ..Limits::default() }, SECOND);
        flows.remember_initiators([7, 9], known);
        flows
    };
    let initiators = |batches: &[Batch]| -> Vec<&str> {
        let codes = batches.iter().flat_map(|batch| &batch.flows.initiator);
        codes.map(|code| Initiator::NAMES[usize::from(*code)]).collect()
    };
    // a flow between others takes its place in a table of one
    let other = (2000, ipv4(HOST, [198, 51, 100, 8], 17, &udp(40001, 443, b"x")));
    let packets: Vec<_> = opened.iter().chain([&other]).chain(&later).cloned().collect();
    let batches = play_through(Made::of_packets(&packets), tables(&[]), usize::MAX);
    // the first two have a row when they come and one when they go
    assert_eq!(initiators(&batches), ["remote", "remote", "local", "local", "remote"]);
    // the next run knows it too, and knows it of this flow only
    let known = batches.iter().rev().find_map(|batch| batch.opened.clone()).unwrap();
    let batches = play_through(Made::of_packets(&later), tables(&known), usize::MAX);
    assert_eq!(initiators(&batches), ["remote"]);
    assert_eq!(Confidence::NAMES[usize::from(batches[0].flows.confidence[0])], "handshake");
    let stranger = [(3000, ipv4(HOST, PEER, 6, &tcp(40001, 443, 1, ACK, b"midstream")))];
    let batches = play_through(Made::of_packets(&stranger), tables(&known), usize::MAX);
    assert_eq!(initiators(&batches), ["unknown"]);
    // a new connection between the same ends is told by its own handshake
    let anew = [(3000, out(700, SYN, b""))];
    let batches = play_through(Made::of_packets(&anew), tables(&known), usize::MAX);
    assert_eq!(initiators(&batches), ["local"]);
}

/// A row begins later than its connection, unless it has its first packet: by that connections are counted, once each.
#[test]
fn only_the_row_of_its_first_packet_begins_with_a_connection() {
    let with = |port, time| (time, ipv4(HOST, PEER, 17, &udp(port, 7000, b"x")));
    let packets = [
        with(5000, 10_500),
        // within the tick from before its first
        with(5001, 10_600),
        with(5001, 10_400),
        // when the tick is over, from before its first, and as old as that
        with(5002, 10_700),
        with(5003, 10_800),
        with(5002, 11_100),
        with(5002, 10_300),
        with(5003, 11_200),
        with(5003, 10_800),
        // of nothing but a late frame
        with(5004, 11_900),
        with(5000, 12_500),
        with(5004, 11_800),
        with(5000, 400_000),
    ];
    let batch = play(&packets);
    let all = rows(&[batch]);
    let begins = |row: &Row| row.times[1] <= row.times[0] && row.packets != [0, 0];
    for port in 5000..5005 {
        let first: Vec<bool> = all.iter().filter(|row| row.local.1 == port).map(begins).collect();
        // the first comes back after it has ended
        assert_eq!(
            first.iter().filter(|begins| **begins).count(),
            if port == 5000 { 2 } else { 1 },
            "{port}: {first:?}"
        );
        assert!(first[0], "{port}");
    }
    assert!(all.iter().all(|row| row.times[1] <= row.times[2]), "the last packet is not before the first");
    assert_eq!(all.iter().map(|row| row.packets[0]).sum::<u64>(), packets.len() as u64);
}
