//! Segments of one direction, put together by sequence number.

use crate::decode::tls::MAX_HELLO;

/// Bytes from the start of a stream on that are kept.
pub(super) const MAX_STREAM: usize = MAX_HELLO;

/// A stream in one direction of which the start is there.
#[derive(Debug)]
pub(super) struct Stream {
    start: u32,
    bytes: Vec<u8>,
    /// Ranges of `bytes` that are filled, sorted, apart.
    filled: Vec<(usize, usize)>,
}

impl Stream {
    /// A stream that begins at this sequence number.
    pub(super) fn new(start: u32) -> Stream {
        Stream { start, bytes: Vec::new(), filled: Vec::new() }
    }

    /// Put a segment in its place; a byte that is there stays, as most hosts have it.
    pub(super) fn add(&mut self, sequence: u32, segment: &[u8]) {
        let offset = sequence.wrapping_sub(self.start) as usize;
        if offset >= MAX_STREAM {
            return;
        }
        let segment = segment.get(..segment.len().min(MAX_STREAM - offset)).unwrap_or_default();
        let end = offset + segment.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = offset;
        for (from, to) in self.filled.clone() {
            if from > at && at < end {
                self.copy(at, from.min(end), offset, segment);
            }
            at = at.max(to);
        }
        if at < end {
            self.copy(at, end, offset, segment);
        }
        self.filled.push((offset, end));
        self.filled.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(self.filled.len());
        for (from, to) in self.filled.drain(..) {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        self.filled = joined;
    }

    fn copy(&mut self, from: usize, to: usize, offset: usize, segment: &[u8]) {
        if let (Some(place), Some(part)) = (self.bytes.get_mut(from..to), segment.get(from - offset..to - offset)) {
            place.copy_from_slice(part);
        }
    }

    /// What is there from the start on without a hole.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.filled.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }
}
