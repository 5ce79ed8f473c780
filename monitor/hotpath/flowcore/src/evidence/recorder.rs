//! The worker's side of the ring: what is kept of frames goes into buffers that were made beforehand.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::Arc;

use super::block;
use super::flight::Flights;
use super::keep::kept;
use super::ring::Tally;
use super::Lane;
use crate::decode::Packet;
use crate::source::FrameSpan;

/// Bytes of a buffer.
pub(super) const BUFFER: usize = 512 << 10;
/// Buffers of one lane of one worker: one is filled while others are written.
pub(super) const BUFFERS: usize = 4;
/// Kept of one frame at most, so that one fits into a buffer whatever it claims.
const MAX_KEPT: usize = BUFFER / 2;
/// Pairs of interface and link type; a capture with more is hostile.
const MAX_INTERFACES: usize = 1 << 10;

const LINKTYPE_ETHERNET: u16 = 1;
const ADDRESSES: usize = 12;
/// Bytes of a VLAN tag.
const TAG: usize = 4;

/// Packets on their way to the disk.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) lane: Lane,
    pub(super) worker: usize,
    /// As long as it ever gets; what is filled are packet blocks.
    data: Vec<u8>,
    filled: usize,
    /// Descriptions of interfaces that appear in it for the first time; they go before the packets.
    pub(super) interfaces: Vec<u8>,
    pub(super) frames: u64,
    /// Times of the oldest and the newest packet.
    pub(super) first: i64,
    pub(super) last: i64,
}

/// What goes to the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// Packets.
    Full(Buffer),
    /// There will be no more that count.
    Stop,
}

impl Buffer {
    pub(super) fn new(lane: Lane, worker: usize) -> Buffer {
        let (data, interfaces) = (vec![0; BUFFER], Vec::new());
        Buffer { lane, worker, data, filled: 0, interfaces, frames: 0, first: i64::MAX, last: i64::MIN }
    }

    /// The packet blocks in it.
    pub(super) fn blocks(&self) -> &[u8] {
        self.data.get(..self.filled).unwrap_or_default()
    }

    /// Add a packet of `wire` bytes, of which the `pieces` are kept; false where there is no room.
    #[inline]
    fn add<const N: usize>(&mut self, interface: u32, time: i64, wire: u32, pieces: [&[u8]; N]) -> bool {
        let end = self.filled + block::packet_length(pieces.iter().map(|piece| piece.len()).sum());
        let place = self.data.get_mut(self.filled..end);
        if !place.is_some_and(|place| block::packet(place, interface, time, wire, pieces)) {
            return false;
        }
        self.filled = end;
        self.frames += 1;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        true
    }

    /// Make it empty again.
    pub(super) fn clear(&mut self) {
        self.interfaces.clear();
        self.filled = 0;
        (self.frames, self.first, self.last) = (0, i64::MAX, i64::MIN);
    }
}

/// One lane of a worker.
pub(super) struct Series {
    pub(super) lane: Lane,
    /// `None` while all buffers wait for the disk.
    pub(super) filling: Option<Buffer>,
    pub(super) empty: Receiver<Buffer>,
    /// Interface and link type of each number in the files.
    interfaces: Vec<(u16, u16)>,
    /// The last pair and its number.
    latest: ((u16, u16), u32),
    shed: u64,
}

impl Series {
    pub(super) fn new(lane: Lane, worker: usize, empty: Receiver<Buffer>) -> Series {
        let filling = Some(Buffer::new(lane, worker));
        Series { lane, filling, empty, interfaces: Vec::new(), latest: ((u16::MAX, u16::MAX), 0), shed: 0 }
    }
}

/// What a worker hands frames to.
pub struct Recorder {
    pub(super) series: Vec<Series>,
    pub(super) way: Way,
    pub(super) flights: Flights,
}

/// What all lanes of a worker need.
pub(super) struct Way {
    pub(super) full: Sender<Message>,
    pub(super) tally: Arc<Tally>,
    /// A replay waits for the disk, a live capture does not.
    pub(super) waits: bool,
    pub(super) names: Vec<String>,
    pub(super) version: Arc<str>,
}

impl Recorder {
    /// Keep what is to be kept of a frame. `packet` is `None` where it was not understood; `stream` is the
    /// same for all packets of one direction of a flow.
    #[inline]
    pub fn frame(&mut self, span: &FrameSpan, data: &[u8], packet: Option<&Packet<'_>>, stream: u32) {
        for series in &mut self.series {
            let bytes = match series.lane {
                Lane::Headers => kept(packet, data, stream, &mut self.flights),
                Lane::Payload => data.len(),
            };
            series.keep(span, data.get(..bytes.min(MAX_KEPT)).unwrap_or_default(), &self.way);
        }
    }

    /// Hand over what is there, so that it can be read soon.
    pub fn flush(&mut self) {
        for series in &mut self.series {
            if series.filling.as_ref().is_none_or(|buffer| buffer.frames > 0) {
                series.swap(&self.way);
            }
        }
    }
}

impl Series {
    #[inline]
    fn keep(&mut self, span: &FrameSpan, data: &[u8], way: &Way) {
        let pair = (span.interface, span.link);
        if let (Some(buffer), 0, true) = (&mut self.filling, span.vlan, self.latest.0 == pair) {
            if buffer.add(self.latest.1, span.time, span.wire, [data]) {
                return;
            }
        }
        self.keep_other(span, data, way);
    }

    /// Keep a frame where the buffer is full, the interface another than before, or a tag was taken out.
    #[inline(never)]
    fn keep_other(&mut self, span: &FrameSpan, data: &[u8], way: &Way) {
        let need = block::packet_length(data.len() + TAG);
        if self.filling.as_ref().is_none_or(|buffer| buffer.filled + need > BUFFER) {
            self.swap(way);
        }
        let number = self.number((span.interface, span.link), way);
        // a tag that the kernel took out is put back where it was
        let tag: [u8; TAG] = [0x81, 0x00, (span.vlan >> 8) as u8, span.vlan as u8];
        let (addresses, rest) = data.split_at(ADDRESSES.min(data.len()));
        let is_tagged = span.vlan != 0 && span.link == LINKTYPE_ETHERNET && addresses.len() == ADDRESSES;
        let kept = match (&mut self.filling, number) {
            (Some(buffer), Some(number)) if is_tagged => {
                buffer.add(number, span.time, span.wire.saturating_add(TAG as u32), [addresses, &tag, rest])
            }
            (Some(buffer), Some(number)) => buffer.add(number, span.time, span.wire, [data]),
            _ => false,
        };
        self.shed += u64::from(!kept);
    }

    /// The number of an interface in the files; it is described where it appears first.
    fn number(&mut self, pair: (u16, u16), way: &Way) -> Option<u32> {
        if self.latest.0 == pair {
            return Some(self.latest.1);
        }
        let buffer = self.filling.as_mut()?;
        let known = self.interfaces.iter().position(|known| *known == pair);
        let number = match known {
            Some(number) => number,
            None if self.interfaces.len() >= MAX_INTERFACES => return None,
            None => {
                let name = way.names.get(usize::from(pair.0)).map_or("", String::as_str);
                let what = match self.lane {
                    Lane::Headers => "headers, and what names come from; lengths are true",
                    Lane::Payload => "all that was captured",
                };
                let comment = format!("egress-monitor {} on {name}: {what}", way.version);
                block::interface(&mut buffer.interfaces, pair.1, name, &comment);
                self.interfaces.push(pair);
                self.interfaces.len() - 1
            }
        };
        self.latest = (pair, number as u32);
        Some(number as u32)
    }

    /// Hand over the buffer that is being filled, and take an empty one.
    #[cold]
    fn swap(&mut self, way: &Way) {
        if let Some(buffer) = self.filling.take() {
            way.tally.submitted.fetch_add(1, Ordering::AcqRel);
            // a ring that has stopped takes nothing more
            if way.full.send(Message::Full(buffer)).is_err() {
                way.tally.written(1);
            }
        }
        self.filling = if way.waits { self.empty.recv().ok() } else { self.empty.try_recv().ok() };
        way.tally.shed_queue.fetch_add(std::mem::take(&mut self.shed), Ordering::Relaxed);
    }
}
