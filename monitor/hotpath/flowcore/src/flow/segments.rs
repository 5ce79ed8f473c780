//! Segments of one direction, put together by sequence number.

use super::pieces::Pieces;
use crate::decode::tls::MAX_HELLO;

/// Bytes from the start of a stream on that are kept.
pub(super) const MAX_STREAM: usize = MAX_HELLO;

/// A stream in one direction of which the start is there.
#[derive(Debug)]
pub(super) struct Stream {
    start: u32,
    pieces: Pieces,
}

impl Stream {
    /// A stream that begins at this sequence number.
    pub(super) fn new(start: u32) -> Stream {
        Stream { start, pieces: Pieces::default() }
    }

    /// Put a segment in its place.
    pub(super) fn add(&mut self, sequence: u32, segment: &[u8]) {
        let offset = sequence.wrapping_sub(self.start) as usize;
        self.pieces.add(offset, segment, MAX_STREAM);
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        self.pieces.size()
    }

    /// What is there from the start on without a hole.
    pub(super) fn prefix(&self) -> &[u8] {
        self.pieces.prefix()
    }
}
