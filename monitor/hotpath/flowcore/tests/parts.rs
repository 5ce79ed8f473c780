//! A tick with more than a batch may hold goes in parts: nothing is dropped for want of room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{
    assert_laws, assert_rows_are_the_counters, dns_rows, play_in_parts, play_made, play_with, rows, Made,
};
use common::{ipv4, tcp, udp};
use flowcore::flow::Limits;
use flowcore::worker::MOST_ROWS;

const HOST: [u8; 4] = [10, 0, 0, 1];
const RESOLVER: [u8; 4] = [198, 51, 100, 53];

/// A question for `name`.example and the answer to it.
fn messages(id: u16) -> [Vec<u8>; 2] {
    let name = format!("n{id:05}");
    let mut message =
        [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6], name.as_bytes(), b"\x07example\0"].concat();
    message.extend([0, 1, 0, 1]);
    let mut answer = message.clone();
    answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    [ipv4(HOST, RESOLVER, 17, &udp(5353, 53, &message)), ipv4(RESOLVER, HOST, 17, &udp(53, 5353, &answer))]
}

#[test]
fn dns_rows_of_one_tick_go_in_parts_before_any_is_dropped() {
    let packets: Vec<(i64, Vec<u8>)> = (0..2000).flat_map(messages).map(|packet| (1000, packet)).collect();
    // two rows a question and its answer, 128 bytes each and their texts
    let limits = Limits { dns: 64 << 10, ..Limits::default() };
    let parts = play_in_parts(Made::of_packets(&packets), limits, MOST_ROWS);
    let last = &parts.last().unwrap().counters;
    assert_laws(last);
    assert_eq!((last.dns_rows_dropped, dns_rows(&parts).len()), (0, 4000));
    assert!(parts.len() > 8, "{} batches", parts.len());
    assert_eq!(dns_rows(&parts), dns_rows(&play_with(&packets, Limits::default(), usize::MAX)));
}

#[test]
fn ticks_stay_whole_where_a_batch_goes_in_time() {
    // 100 questions and answers in each of 20 seconds; half of the room for DNS rows is a batch, some 150 messages
    let at = |number: u16| 1_000_000_000 * (1 + i64::from(number / 200));
    let packets =
        (0..2000).flat_map(messages).zip(0..).map(|(packet, number)| (at(number), packet)).collect::<Vec<_>>();
    let limits = Limits { dns: 128 << 10, ..Limits::default() };
    let ticks = |batches: &[flowcore::flow::Batch]| -> Vec<Vec<i64>> {
        batches.iter().map(|batch| [&batch.flows.tick[..], &batch.dns.tick[..]].concat()).collect()
    };
    let in_two = |batches: &[flowcore::flow::Batch]| {
        let ticks = ticks(batches);
        let pairs = ticks.iter().zip(ticks.iter().skip(1));
        pairs.filter(|(one, next)| one.iter().any(|tick| next.contains(tick))).count()
    };
    let in_time = play_made(Made::of_packets(&packets), limits, MOST_ROWS / 2);
    let late = play_in_parts(Made::of_packets(&packets), limits, MOST_ROWS);
    assert!(in_time.len() > 5 && in_two(&late) > 2, "{} and {}", in_time.len(), in_two(&late));
    assert_eq!(in_two(&in_time), 0);
    assert_eq!(dns_rows(&in_time), dns_rows(&late));
}

#[test]
fn long_names_weigh_what_they_take() {
    let request = |index: u16| {
        let text = format!("GET / HTTP/1.1\r\nHost: {index:05}.{}\r\n\r\n", [["x"; 60].concat().as_str(); 3].join("."));
        (1000, ipv4(HOST, [198, 51, 100, 7], 6, &tcp(1024 + index, 80, 1, 0x18, text.as_bytes())))
    };
    let packets: Vec<(i64, Vec<u8>)> = (0..1000).map(request).collect();
    let parts = play_in_parts(Made::of_packets(&packets), Limits::default(), 400);
    assert_rows_are_the_counters(&parts);
    // a row, and 188 bytes of name that weigh nearly three more
    assert!(parts.iter().all(|part| part.names.len() <= 400 * 64 / 188 + 48));
    assert_eq!(rows(&parts), rows(&play_with(&packets, Limits::default(), usize::MAX)));
}

#[test]
fn a_batch_for_want_of_room_is_not_followed_by_a_small_one() {
    let datagram = |(time, port): (i64, u16)| (time, ipv4(HOST, [198, 51, 100, 7], 17, &udp(port, 9, b"x")));
    let packets: Vec<(i64, Vec<u8>)> = (0..1000)
        .map(|port| (1000, 1024 + port))
        .chain([(2000, 1024), (3000, 1025), (4000, 1026)])
        .map(datagram)
        .collect();
    let parts = play_in_parts(Made::of_packets(&packets), Limits::default(), 400);
    let (_, full) = parts.split_last().unwrap();
    assert!(full.iter().all(|part| part.flows.tick.len() >= 400));
    // a row each second in which a flow has a packet, and one for its end, but for the flow of the last packet
    assert_eq!(parts.iter().map(|part| part.flows.tick.len()).sum::<usize>(), 1003 + 999);
}
