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

/// Packets on their way to the disk.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) lane: Lane,
    pub(super) worker: usize,
    /// Packet blocks.
    pub(super) data: Vec<u8>,
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
        let data = Vec::with_capacity(BUFFER);
        Buffer { lane, worker, data, interfaces: Vec::new(), frames: 0, first: i64::MAX, last: i64::MIN }
    }

    /// Make it empty again.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.interfaces.clear();
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
    pub(super) full: Sender<Message>,
    pub(super) tally: Arc<Tally>,
    /// A replay waits for the disk, a live capture does not.
    pub(super) waits: bool,
    pub(super) names: Vec<String>,
    pub(super) version: Arc<str>,
    pub(super) flights: Flights,
}

impl Recorder {
    /// Keep what is to be kept of a frame. `packet` is `None` where it was not understood; `stream` is the
    /// same for all packets of one direction of a flow.
    #[inline]
    pub fn frame(&mut self, span: &FrameSpan, data: &[u8], packet: Option<&Packet<'_>>, stream: u32) {
        for index in 0..self.series.len() {
            let Some(series) = self.series.get_mut(index) else { continue };
            let bytes = match series.lane {
                Lane::Headers => kept(packet, data, stream, &mut self.flights),
                Lane::Payload => data.len(),
            };
            self.keep(index, span, data.get(..bytes.min(MAX_KEPT)).unwrap_or_default());
        }
    }

    #[inline]
    fn keep(&mut self, index: usize, span: &FrameSpan, data: &[u8]) {
        let Some(series) = self.series.get_mut(index) else { return };
        let need = block::PACKET_OVERHEAD + 8 + data.len();
        if series.filling.as_ref().is_none_or(|buffer| buffer.data.len() + need > BUFFER) {
            self.swap(index);
        }
        let Some(series) = self.series.get_mut(index) else { return };
        let pair = (span.interface, span.link);
        let number = if series.latest.0 == pair { Some(series.latest.1) } else { self.number(index, pair) };
        let Some(series) = self.series.get_mut(index) else { return };
        let (Some(buffer), Some(number)) = (&mut series.filling, number) else {
            series.shed += 1;
            return;
        };
        // a tag that the kernel took out is put back where it was
        let tag = [0x81, 0x00, (span.vlan >> 8) as u8, span.vlan as u8];
        let (addresses, rest) = data.split_at(ADDRESSES.min(data.len()));
        if span.vlan != 0 && span.link == LINKTYPE_ETHERNET && addresses.len() == ADDRESSES {
            block::packet(&mut buffer.data, number, span.time, span.wire.saturating_add(4), [addresses, &tag, rest]);
        } else {
            block::packet(&mut buffer.data, number, span.time, span.wire, [data, &[], &[]]);
        }
        buffer.frames += 1;
        buffer.first = buffer.first.min(span.time);
        buffer.last = buffer.last.max(span.time);
    }

    /// The number of an interface in the files; it is described where it appears first.
    #[cold]
    fn number(&mut self, index: usize, pair: (u16, u16)) -> Option<u32> {
        let series = self.series.get_mut(index)?;
        let buffer = series.filling.as_mut()?;
        let known = series.interfaces.iter().position(|known| *known == pair);
        let number = match known {
            Some(number) => number,
            None if series.interfaces.len() >= MAX_INTERFACES => return None,
            None => {
                let name = self.names.get(usize::from(pair.0)).map_or("", String::as_str);
                let what = match series.lane {
                    Lane::Headers => "headers, and what names come from; lengths are true",
                    Lane::Payload => "all that was captured",
                };
                let comment = format!("egress-monitor {} on {name}: {what}", self.version);
                block::interface(&mut buffer.interfaces, pair.1, name, &comment);
                series.interfaces.push(pair);
                series.interfaces.len() - 1
            }
        };
        series.latest = (pair, number as u32);
        Some(number as u32)
    }

    /// Hand over the buffer that is being filled, and take an empty one.
    #[cold]
    fn swap(&mut self, index: usize) {
        let Some(series) = self.series.get_mut(index) else { return };
        if let Some(buffer) = series.filling.take() {
            self.tally.submitted.fetch_add(1, Ordering::AcqRel);
            // a ring that has stopped takes nothing more
            if self.full.send(Message::Full(buffer)).is_err() {
                self.tally.written(1);
            }
        }
        series.filling = if self.waits { series.empty.recv().ok() } else { series.empty.try_recv().ok() };
        self.tally.shed_queue.fetch_add(std::mem::take(&mut series.shed), Ordering::Relaxed);
    }

    /// Hand over what is there, so that it can be read soon.
    pub fn flush(&mut self) {
        for index in 0..self.series.len() {
            let Some(series) = self.series.get_mut(index) else { continue };
            if series.filling.as_ref().is_none_or(|buffer| buffer.frames > 0) {
                self.swap(index);
            }
        }
    }
}
