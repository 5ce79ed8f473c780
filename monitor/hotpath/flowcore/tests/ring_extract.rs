//! What is taken out of the ring on disk for capsules: the packets of their flows, alone and many at once.

#![allow(missing_docs, unused_crate_dependencies, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::line::Made;
use common::ring_folder::{frames, ipv4, options, record_all, tcp, udp, Scratch};
use flowcore::evidence::{extract, Extracted, Flow, Lane, Pass, Ring, Selection};

fn flow(from: i64, to: i64) -> Flow {
    let mapped = |last: [u8; 4]| [&[0; 10][..], &[0xff, 0xff], &last].concat().try_into().unwrap();
    let ends = [(mapped([192, 0, 2, 7]), 80), (mapped([10, 0, 0, 1]), 40000)];
    let (from, to) = (from * 1_000_000, to * 1_000_000);
    Flow { ends, protocol: 6, tunnel: None, interface: None, from, to }
}

fn pass(room: usize) -> Pass {
    Pass { lane: Lane::Headers, application: "test".into(), patience: Duration::from_secs(20), room }
}

fn selection(scratch: &Scratch, flows: Vec<Flow>, earlier: Option<PathBuf>, name: &str) -> Selection {
    Selection { flows, earlier, to: scratch.0.join(name), comments: vec!["a test".into()], limit: 1 << 20 }
}

fn select(scratch: &Scratch, ring: &Ring, flows: Vec<Flow>, earlier: Option<PathBuf>, name: &str) -> Extracted {
    let asked = [selection(scratch, flows, earlier, name)];
    extract(Some(ring), &pass(1 << 20), &asked).pop().flatten().unwrap().unwrap()
}

#[test]
fn the_packets_of_a_flow_are_taken_out_once() {
    let scratch = Scratch::new("extract");
    let ring = Ring::new(options(&scratch.0));
    let mut packets: Vec<(i64, Vec<u8>)> = (0..10).map(|time| (time, tcp(time % 2 == 0, 1, b"x"))).collect();
    packets.push((4, udp(9, b"another flow")));
    packets.push((4, tcp(true, 1, b"x"))); // the same frame twice, as a mirror gives it
    record_all(&ring, Made::of_packets(&packets));
    let first = select(&scratch, &ring, vec![flow(2, 5)], None, "a.pcapng");
    assert_eq!((first.packets, first.left_out, first.oldest), (5, 0, Some(0)));
    assert_eq!(first.span, Some((2_000_000, 5_000_000)));
    // what was taken out before is not there twice
    let second = select(&scratch, &ring, vec![flow(4, 7)], Some(scratch.0.join("a.pcapng")), "b.pcapng");
    assert_eq!(second.packets, 7);
    let times: Vec<i64> = frames(&[scratch.0.join("b.pcapng")]).iter().map(|(span, _)| span.time / 1_000_000).collect();
    assert_eq!(times, [2, 3, 4, 4, 5, 6, 7]);
    ring.stop();
}

#[test]
fn later_fragments_come_with_their_first() {
    let scratch = Scratch::new("pieces");
    let ring = Ring::new(options(&scratch.0));
    let mut first = udp(9, &[0; 16]);
    (first[4], first[5], first[6]) = (7, 7, 0x20);
    let mut later = ipv4(17, true, &[], &[0; 16]);
    (later[4], later[5], later[7]) = (7, 7, 3);
    let mut foreign = later.clone();
    foreign[5] = 8;
    record_all(&ring, Made::of_packets(&[(0, later), (1, first), (2, foreign)]));
    let mut wanted = flow(0, 5);
    wanted.protocol = 17;
    wanted.ends[0].1 = 9;
    assert_eq!(select(&scratch, &ring, vec![wanted], None, "a.pcapng").packets, 2);
    ring.stop();
}

#[test]
fn one_pass_gives_each_what_it_would_get_alone() {
    let scratch = Scratch::new("together");
    let ring = Ring::new(options(&scratch.0));
    let mut packets: Vec<(i64, Vec<u8>)> = (0..40).map(|time| (time, tcp(time % 2 == 0, 1, b"x"))).collect();
    let mut later = ipv4(17, true, &[], &[0; 16]);
    (later[4], later[5], later[7]) = (7, 7, 3);
    let mut first = udp(9, &[0; 16]);
    (first[4], first[5], first[6]) = (7, 7, 0x20);
    packets.extend([(6, later), (7, first)]);
    record_all(&ring, Made::of_packets(&packets));
    let mut fragmented = flow(0, 50);
    (fragmented.protocol, fragmented.ends[0].1) = (17, 9);
    let wanted = [vec![flow(2, 5)], vec![flow(4, 30), fragmented], vec![], vec![flow(0, 3), flow(20, 39), flow(2, 25)]];
    let alone: Vec<(Extracted, Vec<u8>)> = (0..4)
        .map(|number| {
            let name = format!("alone-{number}");
            let told = select(&scratch, &ring, wanted[number].clone(), None, &name);
            (told, fs::read(scratch.0.join(name)).unwrap())
        })
        .collect();
    assert_eq!(alone.iter().map(|(told, _)| told.packets).collect::<Vec<_>>(), [4, 29, 0, 40]);
    let ask = |tag: &str, room| {
        let asked: Vec<Selection> = (0..4)
            .map(|number| selection(&scratch, wanted[number].clone(), None, &format!("{tag}-{number}")))
            .collect();
        extract(Some(&ring), &pass(room), &asked)
    };
    for (number, told) in ask("together", 1 << 20).into_iter().enumerate() {
        let data = fs::read(scratch.0.join(format!("together-{number}"))).unwrap();
        assert_eq!((told.unwrap().unwrap(), data), alone[number], "{number}");
    }
    // without room the last ones are put off, the first never: what it needs it may have
    let told: Vec<Option<Extracted>> = ask("narrow", 1).into_iter().map(|one| one.map(Result::unwrap)).collect();
    assert_eq!(told, [Some(alone[0].0), None, None, None]);
    assert!(!scratch.0.join("narrow-1").exists());
    ring.stop();
}

#[test]
fn a_file_that_cannot_be_written_costs_its_own_capsule() {
    let scratch = Scratch::new("occupied");
    let ring = Ring::new(options(&scratch.0));
    record_all(&ring, Made::of_packets(&[(1, tcp(true, 1, b"x"))]));
    fs::write(scratch.0.join("there"), b"already").unwrap();
    let asked = [
        selection(&scratch, vec![flow(0, 5)], None, "there"),
        selection(&scratch, vec![flow(0, 5)], Some(scratch.0.join("nowhere")), "lacks"),
        selection(&scratch, vec![flow(0, 5)], None, "fine"),
    ];
    let told = extract(Some(&ring), &pass(1 << 20), &asked);
    let packets: Vec<Option<u64>> = told.into_iter().map(|one| one.unwrap().ok().map(|told| told.packets)).collect();
    assert_eq!(packets, [None, None, Some(1)]);
    ring.stop();
}
