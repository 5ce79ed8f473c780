//! Classic pcap (draft-ietf-opsawg-pcap): micro- and nanoseconds, both byte orders, and the variant
//! with the longer record header that patched libpcaps of the 1990s wrote.

use super::stream::{Stream, MAX_RECORD};
use super::{FrameSpan, FILE_BURST, MAX_TIME};

/// State of a classic capture file.
#[derive(Debug)]
pub(super) struct Pcap {
    /// The other byte order than this machine's.
    swapped: bool,
    /// Nanoseconds in a unit of the second half of a time stamp.
    fraction: i64,
    record_header: usize,
    link: u16,
}

/// The longest unit of the second half of a time stamp, in nanoseconds.
const MICROSECOND: i64 = 1000;

// no time that two numbers of 32 bits can tell is out of range
const _: () = assert!(u32::MAX as i64 * (1_000_000_000 + MICROSECOND) < MAX_TIME);

/// What reading one burst of records came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Some records, and bytes of the window that they and skipped blocks took.
    More(usize),
    /// The file is over, at the end of a record.
    End,
    /// The file is over, or cannot be understood any further: what to tell people.
    Cut(String),
}

pub(super) fn read_u32(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
}

pub(super) fn read_u16(bytes: &[u8], at: usize, big_endian: bool) -> Option<u16> {
    let two: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(if big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
}

impl Pcap {
    /// Read the file header at the start of the window; `None` where this is no classic pcap.
    pub(super) fn open(stream: &mut Stream) -> Option<Pcap> {
        stream.fill(24);
        let head = stream.window();
        let (big_endian, nanoseconds, record_header) = match head.get(..4)? {
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false, 16),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true, 16),
            [0x34, 0xcd, 0xb2, 0xa1] => (false, false, 24),
            [0xa1, 0xb2, 0xcd, 0x34] => (true, false, 24),
            _ => return None,
        };
        // the upper half of the field tells the length of a frame check sequence
        let link = (read_u32(head, 20, big_endian)? & 0xffff) as u16;
        stream.consume(24);
        let fraction = if nanoseconds { 1 } else { MICROSECOND };
        Some(Pcap { swapped: big_endian != cfg!(target_endian = "big"), fraction, record_header, link })
    }

    /// Read up to a burst of records out of the window into `frames`.
    pub(super) fn read(&mut self, stream: &mut Stream, frames: &mut Vec<FrameSpan>) -> Reading {
        if !stream.fill(self.record_header) {
            let left = stream.window().len();
            return if left == 0 && stream.fault().is_none() {
                Reading::End
            } else {
                Reading::Cut("is cut off in the middle of a record".into())
            };
        }
        let needed = self.record_size(stream.window());
        match needed {
            Some(size) if size - self.record_header > MAX_RECORD => {
                return Reading::Cut(format!("has a record that claims {} bytes", size - self.record_header));
            }
            Some(size) if !stream.fill(size) => {
                return Reading::Cut("is cut off in the middle of a record".into());
            }
            _ => {}
        }
        let at =
            if self.swapped { self.records::<true>(stream, frames) } else { self.records::<false>(stream, frames) };
        Reading::More(at)
    }

    /// Read the records that the window holds, up to a burst; gives where the last one ends. It is made for both byte orders,
    /// so that no field asks for it.
    #[inline(never)]
    fn records<const SWAPPED: bool>(&self, stream: &Stream, frames: &mut Vec<FrameSpan>) -> usize {
        let (memory, start) = stream.memory();
        let window = stream.window();
        let mut at = 0;
        while frames.len() < FILE_BURST {
            let Some(head) = window.get(at..).and_then(|rest| rest.first_chunk::<16>()) else { break };
            let field = |index: usize| {
                let word = u32::from_ne_bytes([
                    head[4 * index],
                    head[4 * index + 1],
                    head[4 * index + 2],
                    head[4 * index + 3],
                ]);
                if SWAPPED {
                    word.swap_bytes()
                } else {
                    word
                }
            };
            let captured = field(2);
            let end = at + self.record_header + captured as usize;
            if end > window.len() {
                break;
            }
            let time = i64::from(field(0)) * 1_000_000_000 + i64::from(field(1)) * self.fraction;
            debug_assert!(start + end <= memory.len());
            frames.push(FrameSpan {
                time,
                offset: (start + at + self.record_header) as u32,
                captured,
                wire: field(3),
                link: self.link,
                interface: 0,
                vlan: 0,
                segment: 0,
            });
            at = end;
        }
        at
    }

    /// Header and data of the record that starts here; `None` where its header is not all there.
    fn record_size(&self, rest: &[u8]) -> Option<usize> {
        rest.get(..self.record_header)?;
        let big_endian = self.swapped != cfg!(target_endian = "big");
        Some(self.record_header + read_u32(rest, 8, big_endian)? as usize)
    }
}
