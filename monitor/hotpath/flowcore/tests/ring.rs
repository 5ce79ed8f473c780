//! The ring on disk: what is kept of frames, what a reader finds, what a torn or foreign file does.
//! Expected lengths are arithmetic over the headers; files are read back by the reader of capture files.

#![allow(missing_docs, unused_crate_dependencies, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::line::{span, Made, RAW, SECOND};
use common::ring_folder::{files, frames, ipv4, options, record_all, tcp, udp, Scratch, IP, TCP, UDP};
use flowcore::evidence::{Ring, RingOptions};
use flowcore::source::FrameSpan;

/// A question for `www.example`, RFC 1035 section 4.
fn question() -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x03www\x07example\x00\x00\x01\x00\x01");
    message
}

/// A handshake record of TLS 1.2 that holds one message.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut all = vec![22, 3, 3, ((length + 4) >> 8) as u8, (length + 4) as u8];
    all.extend([kind, 0, (length >> 8) as u8, length as u8]);
    all.extend(body);
    all
}

/// What is kept of packets that come a millisecond apart.
fn kept(name: &str, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let scratch = Scratch::new(name);
    let ring = Ring::new(options(&scratch.0));
    let timed: Vec<(i64, Vec<u8>)> = packets.iter().cloned().enumerate().map(|(at, one)| (at as i64, one)).collect();
    record_all(&ring, Made::of_packets(&timed));
    ring.stop();
    let found = frames(&files(&scratch.0));
    assert_eq!(found.len(), packets.len());
    for ((span, data), packet) in found.iter().zip(packets) {
        assert_eq!(span.wire as usize, packet.len(), "the true length");
        assert!(packet.starts_with(data));
    }
    found.into_iter().map(|(_, data)| data).collect()
}

#[test]
fn headers_are_kept_and_payload_is_not() {
    let secret = b"Authorization: Basic c2VjcmV0 4111111111111111 anna@example.org";
    let mut odd_offset = tcp(true, 1, secret);
    odd_offset[IP + 12] = 0x10; // a header of 4 bytes: malformed
    let mut behind = udp(9, b"");
    behind.extend(secret); // bytes in the IP packet behind the datagram
    behind[2..4].copy_from_slice(&((IP + UDP + secret.len()) as u16).to_be_bytes());
    let mut fragment = udp(9, secret);
    fragment[6] = 0x20; // more fragments
    let mut later = ipv4(17, true, &[], secret);
    later[7] = 9;
    // records that say they hold a hello, and hold something else
    let feigned = |kind: u8| [&[22, 3, 1, 0, 60, kind], &secret[..]].concat();
    let packets = [
        tcp(true, 1, &feigned(1)),
        tcp(true, 1, &feigned(2)),
        tcp(true, 1, secret),
        tcp(true, 1, b""),
        udp(9, secret),
        udp(53, secret),
        ipv4(1, true, &[8, 0, 0, 0, 0, 1, 0, 1], secret),
        ipv4(50, true, &[], secret),
        odd_offset,
        behind,
        fragment,
        later,
    ];
    let lengths: Vec<usize> = kept("headers", &packets).iter().map(Vec::len).collect();
    let tcp = IP + TCP;
    assert_eq!(lengths, [tcp, tcp, tcp, tcp, IP + UDP, IP + UDP, IP + 8, IP, IP, IP + UDP, IP + UDP, IP]);
}

#[test]
fn what_names_come_from_is_kept() {
    let message = question();
    let mut in_tcp = (message.len() as u16).to_be_bytes().to_vec();
    in_tcp.extend(&message);
    let mut dns_over_tcp = tcp(true, 1, &in_tcp);
    dns_over_tcp[IP + 2..IP + 4].copy_from_slice(&53_u16.to_be_bytes());
    let request = b"GET /customers/anna?card=4111 HTTP/1.1\r\nHost: shop.example\r\nCookie: id=7\r\n\r\n";
    let response = b"HTTP/1.1 404 Not Found\r\nSet-Cookie: id=7\r\n\r\nanna";
    let packets = [udp(53, &message), dns_over_tcp, tcp(true, 1, request), tcp(false, 1, response)];
    let found = kept("names", &packets);
    assert_eq!(found[0], packets[0]);
    assert_eq!(found[1], packets[1]);
    assert_eq!(&found[2][IP + TCP..], b"GET ");
    assert_eq!(&found[3][IP + TCP..], b"HTTP/1.1 404");
}

#[test]
fn handshakes_that_span_segments_are_kept_to_their_end() {
    let body = |length: usize| [vec![3, 3], vec![7; length - 2]].concat();
    let hello = record(1, &body(2000));
    let (hello_a, hello_b) = hello.split_at(1448);
    // the server's flight: hello, certificate over two segments, and then what is encrypted
    let mut flight = record(2, &body(80));
    flight.extend(record(11, &[2; 1800]));
    flight.extend([20, 3, 3, 0, 1, 1]);
    let clear = flight.len() - 6;
    let (server_a, server_b) = flight.split_at(1448);
    let client_certificate = record(11, b"CN=Anna Schmidt");
    let mut finished = hello_b.to_vec();
    finished.extend(&client_certificate);
    let packets = [
        tcp(true, 1000, hello_a),
        tcp(true, 1000 + 1448, &finished),
        tcp(false, 5000, server_a),
        tcp(false, 5000 + 1448, server_b),
        tcp(true, 1000 + 1448 + finished.len() as u32, &client_certificate),
    ];
    let lengths: Vec<usize> = kept("flights", &packets).iter().map(|data| data.len() - IP - TCP).collect();
    assert_eq!(lengths, [1448, hello_b.len(), 1448, clear - 1448, 0]);
}

#[test]
fn a_tag_that_the_kernel_took_out_is_put_back() {
    let scratch = Scratch::new("tag");
    let ring = Ring::new(options(&scratch.0));
    let mut made = Made::new(2);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend(udp(9, b"abc"));
    made.add(FrameSpan { vlan: 42, time: 5, interface: 1, ..span(1) }, &frame);
    record_all(&ring, made);
    ring.stop();
    let found = frames(&files(&scratch.0));
    let mut expected = frame[..12].to_vec();
    expected.extend([0x81, 0, 0, 42]);
    expected.extend(&frame[12..frame.len() - 3]);
    assert_eq!(found[0].1, expected);
    assert_eq!(found[0].0.wire as usize, frame.len() + 4);
    assert_eq!(found[0].0.time, 5);
    let bytes = fs::read(&files(&scratch.0)[0]).unwrap();
    assert!(bytes.windows(5).any(|five| five == b"made1"), "the interface's name");
}

#[test]
fn only_the_owner_reads_it() {
    let scratch = Scratch::new("mode");
    let ring = Ring::new(options(&scratch.0));
    record_all(&ring, Made::of_packets(&[(0, tcp(true, 1, b"x"))]));
    ring.stop();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.0.join("ring")), 0o700);
    assert_eq!(mode(&files(&scratch.0)[0]), 0o600);
}

#[test]
fn the_oldest_go_where_the_ring_is_full() {
    let scratch = Scratch::new("bound");
    let size = 1 << 20;
    let ring = Ring::new(RingOptions { size, ..options(&scratch.0) });
    // 60 000 packets of 72 bytes on disk are 4 MB
    let packets: Vec<(i64, Vec<u8>)> = (0..60_000).map(|time| (time, tcp(true, time as u32, b"x"))).collect();
    record_all(&ring, Made::of_packets(&packets));
    ring.stop();
    let held: u64 = files(&scratch.0).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    // a file that is written to may be beyond
    assert!(held <= size + (1 << 20), "{held}");
    let found = frames(&files(&scratch.0));
    let times: Vec<i64> = found.iter().map(|(span, _)| span.time / 1_000_000).collect();
    let expected: Vec<i64> = (60_000 - times.len() as i64..60_000).collect();
    assert_eq!(times, expected, "the newest, without a gap");
    assert_eq!(ring.tally().kept_frames.load(Ordering::Relaxed), 60_000);
}

#[test]
fn what_is_older_than_the_age_goes() {
    let scratch = Scratch::new("age");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let hours = |number: i64| now - number * 3_600_000;
    // a file goes as a whole: the second one has a packet that is young enough
    let runs = [vec![hours(5), hours(2)], vec![hours(2), hours(1) + 600_000], vec![now]];
    for times in &runs {
        let ring = Ring::new(RingOptions { age: Some(3_600 * SECOND), waits: false, ..options(&scratch.0) });
        let packets: Vec<(i64, Vec<u8>)> = times.iter().map(|time| (*time, tcp(true, 1, b"x"))).collect();
        record_all(&ring, Made::of_packets(&packets));
        ring.stop();
    }
    let found: Vec<i64> = frames(&files(&scratch.0)).iter().map(|(span, _)| span.time / 1_000_000).collect();
    assert_eq!(found, runs[1..].concat());
}

#[test]
fn a_file_says_who_wrote_it_and_where() {
    let scratch = Scratch::new("comment");
    let ring = Ring::new(options(&scratch.0));
    record_all(&ring, Made::of_packets(&[(0, tcp(true, 1, b"x"))]));
    ring.stop();
    let data = fs::read(&files(&scratch.0)[0]).unwrap();
    let says = b"egress-monitor 0.0 on made0: headers";
    assert!(data.windows(says.len()).any(|window| window == says));
}

#[test]
fn a_ring_is_taken_up_and_a_torn_end_taken_away() {
    let scratch = Scratch::new("torn");
    let ring = Ring::new(options(&scratch.0));
    record_all(&ring, Made::of_packets(&[(0, tcp(true, 1, b"")), (1, tcp(true, 1, b""))]));
    ring.stop();
    let torn = files(&scratch.0)[0].clone();
    let whole = fs::read(&torn).unwrap();
    // as kill -9 leaves it: the last block is not all there
    fs::write(&torn, &whole[..whole.len() - 9]).unwrap();
    fs::write(scratch.0.join("ring/headers-00-0000000009.pcapng"), b"nothing of a file").unwrap();
    fs::write(scratch.0.join("ring/notes.txt"), b"not ours").unwrap();
    let again = Ring::new(options(&scratch.0));
    record_all(&again, Made::of_packets(&[(2, tcp(true, 1, b""))]));
    again.stop();
    let names: Vec<String> =
        files(&scratch.0).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect();
    assert_eq!(names, ["headers-00-0000000001.pcapng", "headers-00-0000000010.pcapng", "notes.txt"]);
    let times: Vec<i64> = frames(&files(&scratch.0)[..2]).iter().map(|(span, _)| span.time / 1_000_000).collect();
    assert_eq!(times, [0, 2]);
}

#[test]
fn a_disk_that_takes_nothing_costs_frames_and_says_so() {
    let scratch = Scratch::new("refused");
    let ring = Ring::new(options(&scratch.0));
    let recorder = ring.recorder(0, &["made0".into()]).unwrap();
    ring.start().unwrap();
    // the folder is gone: no file can be made
    fs::remove_dir(scratch.0.join("ring")).unwrap();
    let mut recorder = recorder;
    let packet = tcp(true, 1, b"x");
    for time in 0..100 {
        recorder.frame(&FrameSpan { time, wire: 41, captured: 41, ..span(RAW) }, &packet, None, 1);
    }
    recorder.flush();
    assert!(ring.tally().settle(Duration::from_secs(20)));
    assert_eq!(ring.tally().shed_disk.load(Ordering::Relaxed), 100);
    assert_eq!(ring.tally().kept_frames.load(Ordering::Relaxed), 0);
    drop(recorder);
    ring.stop();
}

#[test]
fn a_disk_that_is_slow_costs_frames_and_says_so_and_nobody_waits() {
    let scratch = Scratch::new("slow");
    let ring = Ring::new(RingOptions { waits: false, payload: 64 << 20, ..options(&scratch.0) });
    let mut recorder = ring.recorder(0, &["made0".into()]).unwrap();
    // nothing takes a buffer yet, as where the disk takes its time: four are there for each lane, of 512 KiB
    let packet = tcp(true, 1, &[0; 1400]);
    let frame = FrameSpan { time: 0, wire: 1440, captured: 1440, ..span(RAW) };
    let frames = 4_000;
    for _ in 0..frames {
        recorder.frame(&frame, &packet, None, 1);
    }
    recorder.flush();
    ring.start().unwrap();
    assert!(ring.tally().settle(Duration::from_secs(20)));
    let shed = ring.tally().shed_queue.load(Ordering::Relaxed);
    let kept = ring.tally().kept_frames.load(Ordering::Relaxed);
    assert_eq!(kept + shed, 2 * frames, "both lanes");
    // of headers all fit; of whole frames what four buffers hold, each frame with the 32 bytes around it
    assert_eq!(shed, frames - 4 * ((512 << 10) / (1440 + 32)));
    // and it goes on as soon as the disk does
    recorder.frame(&frame, &packet, None, 1);
    recorder.flush();
    recorder.frame(&frame, &packet, None, 1);
    recorder.flush();
    assert!(ring.tally().settle(Duration::from_secs(20)));
    assert!(ring.tally().kept_frames.load(Ordering::Relaxed) > kept);
    drop(recorder);
    ring.stop();
}
