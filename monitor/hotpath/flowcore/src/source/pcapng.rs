//! pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces, any time
//! resolution; enhanced, simple and the obsolete packet block. Other blocks are passed over.

use super::pcap::{read_u16, read_u32, Reading};
use super::stream::{Stream, MAX_RECORD};
use super::{FrameSpan, FILE_BURST, MAX_TIME};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// Interfaces of a section that are remembered; a file with more is malformed or hostile.
const MAX_INTERFACES: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snap: u32,
    /// Units of a time stamp: `10^-n` seconds, or `2^-n` where `binary`.
    exponent: u8,
    binary: bool,
    /// Seconds to add to each time stamp.
    offset: i64,
}

/// State of a pcapng file.
#[derive(Debug, Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Simple packet blocks carry no time: they get the last one seen.
    last_time: i64,
}

impl PcapNg {
    /// Start, if the window begins with a section header.
    pub(super) fn open(stream: &mut Stream) -> Option<PcapNg> {
        stream.fill(12);
        let head = stream.window();
        if read_u32(head, 0, false)? != SECTION {
            return None;
        }
        section_order(head)?;
        Some(PcapNg::default())
    }

    /// Read blocks out of the window until a burst of frames is there.
    pub(super) fn read(&mut self, stream: &mut Stream, frames: &mut Vec<FrameSpan>, clamped: &mut u64) -> Reading {
        if !stream.fill(12) {
            return if stream.window().is_empty() && stream.fault().is_none() {
                Reading::End
            } else {
                Reading::Cut("is cut off in the middle of a block".into())
            };
        }
        match self.block_size(stream.window()) {
            Ok(Some(size)) if !stream.fill(size) => {
                return Reading::Cut("is cut off in the middle of a block".into());
            }
            Ok(_) => {}
            Err(reason) => return Reading::Cut(reason),
        }
        let (_, start) = stream.memory();
        let window = stream.window();
        let mut at = 0;
        while frames.len() < FILE_BURST {
            let Some(rest) = window.get(at..) else { break };
            // a faulty block further on is told when it comes first
            let Ok(Some(size)) = self.block_size(rest) else { break };
            let Some(block) = rest.get(..size) else { break };
            if let Some((span, body_offset)) = self.block(block, clamped) {
                frames.push(FrameSpan { offset: (start + at + body_offset) as u32, ..span });
            }
            at += size;
        }
        Reading::More(at)
    }

    /// Total length of the block that starts here; `None` where fewer than 12 bytes are there.
    fn block_size(&mut self, rest: &[u8]) -> Result<Option<usize>, String> {
        let Some(head) = rest.get(..12) else { return Ok(None) };
        let order = if read_u32(head, 0, false) == Some(SECTION) {
            match section_order(head) {
                Some(order) => order,
                None => return Err("has a section header without the byte-order magic".into()),
            }
        } else {
            self.big_endian
        };
        let size = read_u32(head, 4, order).unwrap_or(0) as usize;
        if size < 12 || size % 4 != 0 {
            return Err(format!("has a block of impossible length {size}"));
        }
        if size > MAX_RECORD {
            return Err(format!("has a block that claims {size} bytes"));
        }
        Ok(Some(size))
    }

    /// Take in one whole block; gives the frame in it, if it holds one, and where that starts.
    fn block(&mut self, block: &[u8], clamped: &mut u64) -> Option<(FrameSpan, usize)> {
        let kind = read_u32(block, 0, self.big_endian)?;
        if kind == SECTION {
            self.big_endian = section_order(block)?;
            self.interfaces.clear();
            return None;
        }
        let word = |at: usize| read_u32(block, at, self.big_endian);
        match kind {
            INTERFACE => {
                if self.interfaces.len() < MAX_INTERFACES {
                    let found = self.interface(block)?;
                    self.interfaces.push(found);
                }
                None
            }
            ENHANCED | PACKET => {
                let index = if kind == ENHANCED { word(8)? } else { u32::from(read_u16(block, 8, self.big_endian)?) };
                let interface = *self.interfaces.get(index as usize)?;
                let units = (u64::from(word(12)?) << 32) | u64::from(word(16)?);
                let captured = word(20)?.min(block.len().saturating_sub(32) as u32);
                let (time, ok) = interface.nanoseconds(units);
                *clamped += u64::from(!ok);
                self.last_time = time;
                Some((span(time, captured, word(24)?, interface.link), 28))
            }
            SIMPLE => {
                let interface = *self.interfaces.first()?;
                let wire = word(8)?;
                let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
                let captured = wire.min(snap).min(block.len().saturating_sub(16) as u32);
                Some((span(self.last_time, captured, wire, interface.link), 12))
            }
            _ => None,
        }
    }

    fn interface(&self, block: &[u8]) -> Option<Interface> {
        let mut found = Interface {
            link: read_u16(block, 8, self.big_endian)?,
            snap: read_u32(block, 12, self.big_endian)?,
            exponent: 6,
            binary: false,
            offset: 0,
        };
        let mut at = 16;
        while let (Some(code), Some(length)) =
            (read_u16(block, at, self.big_endian), read_u16(block, at + 2, self.big_endian))
        {
            let length = usize::from(length);
            let Some(value) = block.get(at + 4..at + 4 + length) else { break };
            match (code, value) {
                (0, _) => break,
                (9, &[resolution]) => {
                    found.binary = resolution & 0x80 != 0;
                    found.exponent = resolution & 0x7f;
                }
                (14, value) if value.len() == 8 => {
                    let eight: [u8; 8] = value.try_into().ok()?;
                    found.offset = if self.big_endian { i64::from_be_bytes(eight) } else { i64::from_le_bytes(eight) };
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        Some(found)
    }
}

impl Interface {
    /// Nanoseconds since 1970, clamped; false where it had to be.
    fn nanoseconds(&self, units: u64) -> (i64, bool) {
        let units = i128::from(units);
        let fraction = if self.binary {
            (units * 1_000_000_000).checked_shr(u32::from(self.exponent)).unwrap_or(0)
        } else if self.exponent <= 9 {
            units * 10_i128.pow(9 - u32::from(self.exponent))
        } else {
            units / 10_i128.checked_pow(u32::from(self.exponent) - 9).unwrap_or(i128::MAX)
        };
        let time = fraction + i128::from(self.offset) * 1_000_000_000;
        let clamped = time.clamp(0, i128::from(MAX_TIME));
        (clamped as i64, clamped == time)
    }
}

fn span(time: i64, captured: u32, wire: u32, link: u16) -> FrameSpan {
    FrameSpan { time, offset: 0, captured, wire, link, interface: 0, vlan: 0, segment: 0 }
}

/// True for big endian; `None` where the byte-order magic is missing.
fn section_order(head: &[u8]) -> Option<bool> {
    match head.get(8..12)? {
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(true),
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(false),
        _ => None,
    }
}
