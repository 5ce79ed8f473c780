//! Names in QUIC: the packets of RFC 9001 and RFC 9369, and hellos scattered over packets and datagrams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/initials.rs"]
mod initials;

use common::line::{play, play_with};
use common::{hex, ipv4, udp, Noise};
use flowcore::decode::quic::{self, client_hello, Keys, Kind, Opener};
use flowcore::decode::tls::Hello;
use flowcore::decode::{Application, Fault};
use flowcore::flow::{Batch, Confidence, Initiator, Limits, NameSource, NONE};
use initials::{
    crypto, initial, long_hello, Initial, DCID, RFC9001_A2, RFC9001_A3, RFC9001_A4, RFC9001_FRAME, RFC9369_A2, V1, V2,
};

const HOST: [u8; 4] = [10, 0, 1, 5];
const PEER: [u8; 4] = [198, 51, 100, 7];
const OTHER: [u8; 4] = *b"\xaa\xbb\xcc\xdd";

/// From the host to its peer; both ports say nothing of who is the client.
fn out(payload: &[u8]) -> (i64, Vec<u8>) {
    (0, ipv4(HOST, PEER, 17, &udp(40000, 4433, payload)))
}

fn back(payload: &[u8]) -> (i64, Vec<u8>) {
    (0, ipv4(PEER, HOST, 17, &udp(4433, 40000, payload)))
}

fn name(batch: &Batch) -> Option<&str> {
    assert_eq!(batch.flows.flow_id.len(), 1);
    let id = batch.flows.name_id[0];
    (id != NONE).then(|| &*batch.names[id as usize])
}

fn is_quic(batch: &Batch) -> bool {
    batch.flows.application[0] == Application::Quic as u8
}

/// A client's flow to example.com, whose packets were these.
fn assert_found(case: &str, packets: &[(i64, Vec<u8>)]) {
    let batch = play(packets);
    assert_eq!(name(&batch), Some("example.com"), "{case}");
    assert_eq!(batch.flows.name_source[0], NameSource::QuicSni as u8, "{case}");
    assert!(is_quic(&batch), "{case}");
    assert_eq!(batch.flows.initiator[0], Initiator::Local as u8, "{case}");
    assert_eq!(batch.flows.confidence[0], Confidence::Content as u8, "{case}");
    assert_eq!(batch.counters.faults, [0; Fault::COUNT], "{case}");
}

/// The only packet of a datagram, and its frames under the client's keys.
fn open(datagram: &[u8]) -> (Kind, Option<Vec<u8>>) {
    let (packet, _) = quic::long_header(datagram).unwrap();
    let keys = Keys::of_client(packet.version, &DCID).unwrap();
    (packet.kind, Opener::default().open(&packet, &keys).map(<[u8]>::to_vec))
}

#[test]
fn packets_of_the_rfcs() {
    for text in [RFC9001_A2, RFC9369_A2] {
        let (kind, frames) = open(&hex(text));
        let mut expected = hex(RFC9001_FRAME);
        expected.resize(1162, 0);
        assert_eq!((kind, frames.as_ref()), (Kind::Initial, Some(&expected)));
        let mut stream = Vec::new();
        quic::crypto(V1, &expected, |offset, bytes| {
            assert_eq!(offset, 0);
            stream = bytes.to_vec();
        })
        .unwrap();
        let Hello::Found(hello) = client_hello(&stream) else { panic!() };
        assert_eq!(hello.name.as_deref(), Some("example.com"));
        // JA4's specification by hand: QUIC, TLS 1.3, a name, 2 suites, 11 extensions, "alpn"
        assert!(hello.ja4.as_str().starts_with("q13d0211an_"), "{}", hello.ja4.as_str());
    }
    // the server's are under other keys
    assert_eq!(open(&hex(RFC9001_A3)), (Kind::Initial, None));
    assert_eq!(quic::long_header(&hex(RFC9001_A4)).unwrap().0.kind, Kind::Retry);
}

#[test]
fn what_the_tests_make_is_what_the_rfcs_make() {
    let mut frames = hex(RFC9001_FRAME);
    frames.resize(1162, 0);
    for (version, text) in [(V1, RFC9001_A2), (V2, RFC9369_A2)] {
        assert_eq!(Initial { version, number: 2, ..initial(&DCID) }.seal(&frames), hex(text));
    }
}

#[test]
fn a_flow_of_either_version_has_its_name() {
    for text in [RFC9001_A2, RFC9369_A2] {
        assert_found("RFC", &[out(&hex(text))]);
    }
    // an outsider's hello to us
    let batch = play(&[back(&hex(RFC9001_A2))]);
    assert_eq!(name(&batch), Some("example.com"));
    assert_eq!(batch.flows.initiator[0], Initiator::Remote as u8);
}

#[test]
fn one_wrong_bit_and_nothing_is_believed() {
    let good = hex(RFC9001_A2);
    for at in [0, 6, 20, 500, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let batch = play(&[out(&bad)]);
        assert_eq!(name(&batch), None, "byte {at}");
        assert_eq!(batch.flows.initiator[0], Initiator::Unknown as u8, "byte {at}");
        // by its form it is QUIC all the same
        assert!(is_quic(&batch), "byte {at}");
    }
}

#[test]
fn hellos_scattered_over_packets_and_datagrams() {
    let hello = long_hello(1500);
    let end = hello.len();
    let middle = 900;
    let first = Initial { number: 0, ..initial(&DCID) };
    let second = Initial { number: 1, ..initial(&DCID) };
    let (head, tail) = (crypto(&hello, 0, middle), crypto(&hello, middle, end));
    let (head, tail) = (first.seal(&head), second.seal(&tail));

    assert_found("two datagrams", &[out(&head), out(&tail)]);
    assert_found("two datagrams, the second first", &[out(&tail), out(&head)]);
    assert_found("the first one twice", &[out(&head), out(&head), out(&tail)]);
    assert_found("coalesced", &[out(&[head.clone(), tail.clone()].concat())]);
    let mut padded = head.clone();
    padded.resize(1200, 0);
    padded.extend_from_slice(&tail);
    assert_found("datagrams filled up with zeros, put together by the kernel", &[out(&padded)]);

    let mut scattered = vec![1, 0, 0, 0];
    for from in (0..end).step_by(100).collect::<Vec<_>>().into_iter().rev() {
        // each overlaps the one behind it
        scattered.extend_from_slice(&crypto(&hello, from, (from + 130).min(end)));
        scattered.extend_from_slice(&[0, 1, 0]);
    }
    assert_found("backwards, with PING and PADDING between", &[out(&first.seal(&scattered))]);

    // an ACK with one range besides the first (RFC 9000 section 19.3), and one with ECN counts
    let acks = hex("02 05 00 01 00 01 01  03 05 00 00 00 01 02 03");
    let with_acks = second.seal(&[acks, crypto(&hello, middle, end)].concat());
    assert_found("ACKs before the rest", &[out(&head), out(&with_acks)]);
    assert_found("nothing but PADDING first", &[out(&first.seal(&[0; 100])), out(&head), out(&tail)]);

    // RFC 9000 section 7.2: the client turns to the id that the server chose, under the keys of the first
    let moved = Initial { dcid: &OTHER, number: 1, ..initial(&DCID) }.seal(&crypto(&hello, middle, end));
    assert_found("another id", &[out(&head), back(&hex(RFC9001_A3)), out(&moved)]);
    assert_found("the server's is seen first", &[back(&hex(RFC9001_A3)), out(&head), out(&moved)]);

    // RFC 9000 section 17.2.5: after a Retry all begins anew, with a token and under other keys
    let anew =
        |number, from, to| Initial { token: b"token", number, ..initial(&OTHER) }.seal(&crypto(&hello, from, to));
    let retried = [out(&head), back(&hex(RFC9001_A4)), out(&anew(1, 0, middle)), out(&anew(2, middle, end))];
    assert_found("Retry", &retried);
    assert_found("Retry, of which the beginning was not seen", &retried[1..]);

    // RFC 9369 section 4, RFC 9000 section 6: the other version, under other keys
    let second_version =
        |number, from, to| Initial { version: V2, number, ..initial(&DCID) }.seal(&crypto(&hello, from, to));
    let negotiation = hex("8a 00000000 00 08 8394c8f03e515708 6b3343cf 1a2a3a4a");
    let versions =
        [out(&head), back(&negotiation), out(&second_version(0, 0, middle)), out(&second_version(1, middle, end))];
    assert_found("version negotiation", &versions);
    assert_found("version negotiation, of which the beginning was not seen", &versions[1..]);

    // what is not the client's is no hindrance: a server that sends much, a packet with a wrong bit
    let servers = vec![back(&hex(RFC9001_A3)); 20];
    assert_found("20 of the server's between", &[&[out(&head)], &servers[..], &[out(&tail)]].concat());
    let mut spoilt = tail.clone();
    spoilt[100] ^= 1;
    assert_found("a spoilt one between", &[out(&head), out(&spoilt), out(&tail)]);

    // 0-RTT may overtake the Initial (RFC 9000 section 17.2.3)
    let early = [&hex("d0 00000001 08 8394c8f03e515708 00 4020")[..], &[0x55; 32]].concat();
    assert_found("0-RTT first", &[out(&early), out(&head), out(&tail)]);
    assert_found("0-RTT behind it", &[out(&[head, early].concat()), out(&tail)]);
}

#[test]
fn pieces_of_two_hellos_are_not_mixed() {
    let hello = long_hello(1500);
    let mut other = hello.clone();
    let at = other.windows(11).position(|part| part == b"example.com").unwrap();
    other[at..at + 11].copy_from_slice(b"example.org");
    let end = hello.len();
    // after a Retry, the new hello counts
    let old = initial(&DCID).seal(&crypto(&other, 0, 900));
    let new = |from, to| Initial { token: b"token", ..initial(&OTHER) }.seal(&crypto(&hello, from, to));
    assert_found("Retry", &[out(&old), back(&hex(RFC9001_A4)), out(&new(900, end)), out(&new(0, 900))]);
    // of what comes twice, the first counts
    let first = initial(&DCID).seal(&crypto(&hello, 0, 900));
    let again = Initial { number: 1, ..initial(&DCID) }.seal(&crypto(&other, 20, end));
    assert_found("twice", &[out(&first), out(&again)]);
}

#[test]
fn who_began_is_told_without_a_hello() {
    let begun = |packets: &[(i64, Vec<u8>)]| {
        let batch = play(packets);
        assert!(is_quic(&batch));
        batch.flows.initiator[0]
    };
    assert_eq!(begun(&[back(&hex(RFC9001_A4))]), Initiator::Local as u8);
    assert_eq!(begun(&[out(&hex("8a 00000000 00 08 8394c8f03e515708 00000001"))]), Initiator::Remote as u8);
    assert_eq!(begun(&[out(&hex(RFC9001_A3))]), Initiator::Unknown as u8);
    // Google's, before it had TLS: a public header with version Q043
    assert_eq!(begun(&[out(&hex("09 0102030405060708 51303433 01 00"))]), Initiator::Unknown as u8);
}

#[test]
fn a_flood_of_initials_is_not_decrypted_for_ever() {
    let hello = long_hello(1500);
    let pieces = |count: usize| -> Vec<(i64, Vec<u8>)> {
        (0..count)
            .map(|place| {
                let (from, to) = (place * hello.len() / count, (place + 1) * hello.len() / count);
                out(&Initial { number: place as u32, ..initial(&DCID) }.seal(&crypto(&hello, from, to)))
            })
            .collect()
    };
    assert_found("as many as are opened", &pieces(16));
    let batch = play(&pieces(17));
    assert_eq!((name(&batch), is_quic(&batch)), (None, true));

    // one piece of each byte: more ranges apart than are kept
    let frames: Vec<u8> = (0..120).rev().flat_map(|place| crypto(&hello, place * 8, place * 8 + 4)).collect();
    let filled = initial(&DCID).seal(&crypto(&hello, 0, hello.len()));
    let batch = play(&[out(&initial(&DCID).seal(&frames)), out(&filled)]);
    assert_eq!(name(&batch), None);
}

#[test]
fn half_read_hellos_are_bounded_and_counted() {
    let hello = long_hello(1500);
    let flow = |port, payload: &[u8]| (0, ipv4(HOST, PEER, 17, &udp(port, 4433, payload)));
    let half = initial(&DCID).seal(&crypto(&hello, 0, 900));
    let whole = initial(&DCID).seal(&crypto(&hello, 0, hello.len()));
    let packets: Vec<_> = (0..50).map(|port| flow(40000 + port, &half)).chain([flow(50000, &whole)]).collect();
    let named = |batch: &Batch| batch.flows.name_id.iter().filter(|id| **id != NONE).count();
    let batch = &play_with(&packets, Limits { content: 8 << 10, ..Limits::default() }, usize::MAX)[0];
    assert!((40..50).contains(&batch.counters.names_skipped), "{}", batch.counters.names_skipped);
    // what is read in one go needs none of that memory
    assert_eq!(named(batch), 1);
    assert_eq!(play(&packets).counters.names_skipped, 0);
}

#[test]
fn a_hello_that_lies_is_a_fault() {
    let mut hello = long_hello(10);
    hello[4 + 2 + 32 + 1] = 0xff; // the cipher suites' length (RFC 8446 section 4.1.2) now passes the end
    let batch = play(&[out(&initial(&DCID).seal(&crypto(&hello, 0, hello.len())))]);
    assert_eq!((name(&batch), batch.counters.faults[Fault::Tls as usize]), (None, 1));
    // a frame that is not allowed in an Initial (RFC 9000 section 12.4)
    let batch = play(&[out(&initial(&DCID).seal(&[&[0x08; 40][..], &[0; 40]].concat()))]);
    assert_eq!((name(&batch), batch.counters.faults[Fault::Tls as usize]), (None, 1));
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise(7);
    let good = hex(RFC9001_A2);
    let mut frames = hex(RFC9001_FRAME);
    frames.extend_from_slice(&hex("02 05 00 01 00 01 01  03 05 00 00 00 01 02 03"));
    let keys = Keys::of_client(V1, &DCID).unwrap();
    let mut opener = Opener::default();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        let mut inner = frames.clone();
        for _ in 0..=noise.below(4) {
            let at = noise.below(40) as usize;
            bytes[at] = noise.next() as u8;
            let at = noise.below(inner.len() as u64) as usize;
            inner[at] = noise.next() as u8;
        }
        bytes.truncate(noise.below(bytes.len() as u64 + 1) as usize);
        for packet in quic::packets(&bytes).take(64) {
            let _ = opener.open(&packet, &keys);
        }
        let _ = quic::begins_long(&bytes);
        let _ = quic::crypto(V1, &inner, |_, bytes| {
            let _ = client_hello(bytes);
        });
    }
}
