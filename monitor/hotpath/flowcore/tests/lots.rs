//! Frames are decoded, counted and booked in lots; each counts as if it had come alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{assert_laws, assert_rows_are_the_counters, play_made, span, Made, RAW, SECOND};
use common::{ipv4, tcp, udp, Noise};
use flowcore::flow::Limits;
use flowcore::source::FrameSpan;

const HOST: [u8; 4] = [10, 0, 0, 1];
const INTERFACES: usize = 3;
/// IEEE 802.1Q: the tag that the kernel takes out of a frame.
const TAG: u64 = 4;

/// Frames of three interfaces in runs of any length, some late, some tagged, some no IP packet; with what each of these
/// counts by the rules of design section 4, one after the other.
#[test]
fn frames_of_a_lot_count_one_by_one() {
    for burst in [1, 7, 64, 200] {
        let mut noise = Noise(burst as u64);
        let mut made = Made::new(INTERFACES);
        made.burst = burst;
        let (mut frames, mut bytes, mut late, mut undecoded) = ([0; INTERFACES], [0; INTERFACES], 0, 0);
        let (mut clock, mut interface) = (0, 0);
        for _ in 0..2000 {
            if noise.below(4) == 0 {
                interface = noise.below(INTERFACES as u64) as u16;
            }
            let step = noise.below(100) as i64 * SECOND / 1000;
            // one of eight came up to two seconds before
            let time = if noise.below(8) == 0 { (clock - 20 * step).max(0) } else { clock + step };
            clock = clock.max(time);
            late += u64::from(time < clock / SECOND * SECOND);
            let vlan = if noise.below(5) == 0 { 7 } else { 0 };
            let peer = [198, 51, 100, noise.below(40) as u8];
            let packet = match noise.below(10) {
                0 => vec![0; 30],
                1..6 => ipv4(HOST, peer, 17, &udp(2000, 443, &[0; 40])),
                _ => ipv4(HOST, peer, 6, &tcp(2000, 443, 0, 0x10, b"some payload")),
            };
            undecoded += u64::from(packet[0] == 0);
            frames[usize::from(interface)] += 1;
            bytes[usize::from(interface)] += packet.len() as u64 + if vlan == 0 { 0 } else { TAG };
            made.add(FrameSpan { time, vlan, interface, ..span(RAW) }, &packet);
        }
        let batches = play_made(made, Limits::default(), usize::MAX);
        let counters = &batches.last().unwrap().counters;
        assert_eq!(counters.frames, frames, "bursts of {burst}");
        assert_eq!(counters.wire_bytes, bytes, "bursts of {burst}");
        assert_eq!(counters.late_frames, late, "bursts of {burst}");
        assert_eq!(counters.undecoded_frames.iter().sum::<u64>(), undecoded, "bursts of {burst}");
        assert_laws(counters);
        assert_rows_are_the_counters(&batches);
    }
}
