//! The dealer: each frame to one worker, both directions to the same, ticks to all.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use common::line::{assert_laws, play_made, sides, Made, SECOND};
use common::{ipv4, ipv6, udp, Noise};
use flowcore::dealer::deal;
use flowcore::flow::{Batch, FlowTables, Limits};
use flowcore::queue::{Orders, Queue};
use flowcore::source::{Next, Source};
use flowcore::worker::{Handover, Worker, MOST_ROWS};

/// Datagrams both ways between 300 pairs of hosts, over 40 seconds with a gap, some of them late.
fn packets() -> Vec<(i64, Vec<u8>)> {
    let mut noise = Noise(0xdea1);
    (0..6000)
        .map(|number: i64| {
            let host = noise.below(300);
            let (local, remote) = ([10, 0, 0, (host % 200) as u8], [198, 51, (host / 100) as u8, host as u8]);
            let gap = if number > 3000 { 600_000 } else { 0 };
            let time = 1_000_000 + number * 6 + gap - 3000 * i64::from(noise.below(50) == 0);
            let datagram = udp(5000, 443, &vec![0; noise.below(500) as usize]);
            let mut sixth = [0; 16];
            sixth[0] = 0xfd;
            sixth[15] = host as u8;
            let packet = match noise.below(4) {
                0 => ipv4(remote, local, 17, &udp(443, 5000, b"answer")),
                1 => ipv6(sixth, [0x20; 16], 17, &datagram),
                2 => ipv6([0x20; 16], sixth, 17, &udp(443, 5000, b"answer")),
                _ => ipv4(local, remote, 17, &datagram),
            };
            (time, packet)
        })
        .collect()
}

/// The ends of a raw IP packet, in a fixed order.
fn ends(packet: &[u8]) -> Vec<Vec<u8>> {
    let (at, size) = if packet[0] >> 4 == 4 { (12, 4) } else { (8, 16) };
    let mut both: Vec<Vec<u8>> = packet[at..at + 2 * size].chunks(size).map(<[u8]>::to_vec).collect();
    both.sort();
    both
}

#[test]
fn both_directions_go_to_one_share_and_nothing_is_lost() {
    let all = packets();
    let (dealer, shares) = deal(Made::of_packets(&all), 3, SECOND);
    let dealing = std::thread::spawn(move || dealer.run());
    let readers: Vec<_> = shares
        .into_iter()
        .map(|mut share| {
            std::thread::spawn(move || {
                let (mut taken, mut clocks) = (Vec::new(), Vec::new());
                while let Next::Frames(burst) = share.next_burst().unwrap() {
                    for span in burst.frames {
                        let at = span.offset as usize;
                        taken.push((span.time, burst.memory[at..at + span.captured as usize].to_vec()));
                    }
                    clocks.extend(share.clock());
                }
                clocks.dedup();
                (taken, clocks)
            })
        })
        .collect();
    let shares: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    dealing.join().unwrap();
    let mut owner = HashMap::new();
    let mut seen: Vec<(i64, Vec<u8>)> = Vec::new();
    for (number, (taken, clocks)) in shares.iter().enumerate() {
        assert!(taken.len() > 1000, "share {number} has {} frames", taken.len());
        assert_eq!(clocks, &shares[0].1, "every share is told of every tick");
        for (_, packet) in taken {
            assert_eq!(*owner.entry(ends(packet)).or_insert(number), number);
        }
        seen.extend(taken.iter().cloned());
    }
    let mut expected: Vec<(i64, Vec<u8>)> =
        all.iter().map(|(time, packet)| (time * 1_000_000, packet.clone())).collect();
    expected.sort();
    seen.sort();
    assert!(seen == expected);
}

/// A record that holds nothing of its frame takes 16 bytes of a file, and more on its way to a worker.
#[test]
fn frames_of_which_nothing_is_there_are_handed_over_by_the_piece_too() {
    const FRAMES: usize = 100_000;
    let empty: Vec<(i64, Vec<u8>)> = vec![(1000, Vec::new()); FRAMES];
    let (dealer, mut shares) = deal(Made::of_packets(&empty), 1, SECOND);
    let dealing = std::thread::spawn(move || dealer.run());
    let mut share = shares.remove(0);
    let mut frames = 0;
    while let Next::Frames(burst) = share.next_burst().unwrap() {
        assert!(size_of_val(burst.frames) <= 1 << 20, "{} frames", burst.frames.len());
        frames += burst.frames.len();
    }
    assert_eq!(frames, FRAMES);
    dealing.join().unwrap();
}

type Row = (i64, u64, u8, [u64; 2], [u64; 2], i64, i64, u8);

/// Rows without what holds in one batch only, in an order of their own.
fn rows(batches: &[Batch]) -> BTreeMap<Row, usize> {
    let mut all = BTreeMap::new();
    for batch in batches {
        let flows = &batch.flows;
        for row in 0..flows.tick.len() {
            let both = |columns: &[Vec<u64>; 2]| [columns[0][row], columns[1][row]];
            let one = (
                flows.tick[row],
                flows.flow_id[row],
                flows.scope[row],
                both(&flows.bytes),
                both(&flows.packets),
                flows.first_seen[row],
                flows.last_seen[row],
                flows.ended[row],
            );
            *all.entry(one).or_insert(0) += 1;
        }
    }
    all
}

#[test]
fn several_workers_give_the_rows_of_one() {
    let all = packets();
    let one = play_made(Made::of_packets(&all), Limits::default(), 500);
    for workers in [2, 5] {
        let (dealer, shares) = deal(Made::of_packets(&all), workers, SECOND);
        let queue = Arc::new(Queue::new(workers));
        std::thread::spawn(move || dealer.run());
        for (number, share) in shares.into_iter().enumerate() {
            let flows = FlowTables::new(sides(), Limits::default(), SECOND);
            let handover = Handover { tick: SECOND, rows: 100, ticks: 256, most: MOST_ROWS };
            let worker = Worker::new(share, flows, handover, Arc::clone(&queue), Arc::new(Orders::default()));
            std::thread::spawn(move || worker.numbered(number).run());
        }
        let mut batches = Vec::new();
        while batches.iter().filter(|batch: &&Batch| batch.done).count() < workers {
            batches.push(queue.pop(Duration::from_secs(20)).unwrap());
        }
        assert_eq!(rows(&batches), rows(&one));
        let last = batches.iter().filter(|batch| batch.done);
        let mut frames = 0;
        for batch in last {
            assert_laws(&batch.counters);
            frames += batch.counters.frames.iter().sum::<u64>();
        }
        assert_eq!(frames, all.len() as u64);
    }
}

/// A flood between two addresses within one second is one worker's: it hands that over in parts, and these wait in Python
/// until the others have told that nothing older comes.
#[test]
fn a_worker_without_frames_hands_over_when_another_has_a_tick_in_parts() {
    let flood: Vec<(i64, Vec<u8>)> = (0..20_000_u16)
        .map(|port| (1_000_000, ipv4([10, 0, 0, 1], [198, 51, 100, 1], 17, &udp(port, 9, &[0; 1000]))))
        .collect();
    let (dealer, shares) = deal(Made::of_packets(&flood), 2, SECOND);
    let queue = Arc::new(Queue::new(2));
    std::thread::spawn(move || dealer.run());
    for (number, share) in shares.into_iter().enumerate() {
        let flows = FlowTables::new(sides(), Limits { flows: 1 << 20, ..Limits::default() }, SECOND);
        let handover = Handover { tick: SECOND, rows: 1 << 20, ticks: 256, most: 64 };
        let worker = Worker::new(share, flows, handover, Arc::clone(&queue), Arc::new(Orders::default()));
        std::thread::spawn(move || worker.numbered(number).run());
    }
    let mut batches: Vec<Batch> = Vec::new();
    while batches.iter().filter(|batch| batch.done).count() < 2 {
        batches.push(queue.pop(Duration::from_secs(20)).unwrap());
        // Python works on it
        std::thread::sleep(Duration::from_millis(1));
    }
    let of_flood = batches.iter().find(|batch| !batch.flows.tick.is_empty()).unwrap().worker;
    let (parts, others): (Vec<&Batch>, Vec<&Batch>) = batches.iter().partition(|batch| batch.worker == of_flood);
    assert!(parts.len() > 100, "{} parts", parts.len());
    let told: Vec<(i64, bool)> = others.iter().map(|batch| (batch.clock, batch.done)).collect();
    assert_eq!(told, [(1000 * SECOND, false), (1001 * SECOND, true)]);
    let told = batches.iter().position(|batch| batch.worker != of_flood).unwrap();
    assert!(batches[told..].iter().filter(|batch| batch.worker == of_flood).count() > 1, "while the tick goes on");
}
