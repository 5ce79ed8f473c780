//! A lot: frames that are decoded before the first of them is booked.

use crate::decode::{Packet, Reason};
use crate::flow::{Place, LOT};
use crate::source::FrameSpan;

/// Frames that are decoded and not yet booked.
pub(crate) struct Lot<'a> {
    pub(crate) packets: [Packet<'a>; LOT],
    pub(crate) places: [Place; LOT],
    /// Why a frame could not be decoded; its packet and place mean nothing then.
    pub(crate) failures: [Option<Reason>; LOT],
}

impl Lot<'_> {
    /// Room for a lot.
    pub(crate) const EMPTY: Lot<'static> =
        Lot { packets: [Packet::EMPTY; LOT], places: [Place::EMPTY; LOT], failures: [None; LOT] };
}

/// Some of the frames of a lot, in the order they came.
#[derive(Clone, Copy)]
pub(crate) struct Part<'l, 'a> {
    pub(crate) spans: &'l [FrameSpan],
    pub(crate) packets: &'l [Packet<'a>],
    pub(crate) places: &'l [Place],
    pub(crate) failures: &'l [Option<Reason>],
}

impl<'l, 'a> Part<'l, 'a> {
    /// The first frames, and the others.
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        let (spans, later_spans) = self.spans.split_at(count);
        let (packets, later_packets) = self.packets.split_at(count);
        let (places, later_places) = self.places.split_at(count);
        let (failures, later_failures) = self.failures.split_at(count);
        let later = Part { spans: later_spans, packets: later_packets, places: later_places, failures: later_failures };
        (Part { spans, packets, places, failures }, later)
    }

    /// Each frame with its packet and place, or why it has none.
    #[inline(always)]
    pub(crate) fn frames(self) -> impl Iterator<Item = (&'l FrameSpan, Result<(&'l Packet<'a>, &'l Place), Reason>)> {
        let packets = self.packets.iter().zip(self.places);
        self.spans.iter().zip(self.failures).zip(packets).map(|((span, failure), packet)| match failure {
            None => (span, Ok(packet)),
            Some(reason) => (span, Err(*reason)),
        })
    }
}
