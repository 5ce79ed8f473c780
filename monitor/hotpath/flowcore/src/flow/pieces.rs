//! A message put together from pieces that say where they belong.

/// Ranges apart that are kept: so many losses and reorderings no hello meets.
const MAX_RANGES: usize = 64;

/// The beginning of a message, with holes.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Ranges of `bytes` that are filled, sorted, apart.
    filled: Vec<(usize, usize)>,
}

impl Pieces {
    /// Put a piece in its place; a byte that is there stays, as most hosts have it. What would pass `limit` bytes is left out.
    /// False where there are too many pieces apart.
    pub(super) fn add(&mut self, offset: usize, piece: &[u8], limit: usize) -> bool {
        let end = offset.saturating_add(piece.len()).min(limit);
        if offset >= end {
            return true;
        }
        if self.filled.len() >= MAX_RANGES {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut fill = |from: usize, to: usize| {
            if let (Some(place), Some(part)) = (self.bytes.get_mut(from..to), piece.get(from - offset..to - offset)) {
                place.copy_from_slice(part);
            }
        };
        let mut at = offset;
        for &(from, to) in &self.filled {
            if at < from.min(end) {
                fill(at, from.min(end));
            }
            at = at.max(to);
        }
        if at < end {
            fill(at, end);
        }
        let first = self.filled.partition_point(|range| range.1 < offset);
        let behind = self.filled.partition_point(|range| range.0 <= end);
        let touched = self.filled.get(first..behind).unwrap_or_default();
        let from = touched.first().map_or(offset, |range| range.0.min(offset));
        let to = touched.last().map_or(end, |range| range.1.max(end));
        self.filled.splice(first..behind, [(from, to)]);
        true
    }

    /// What is there from the start on without a hole.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.filled.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Forget all.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.filled.clear();
    }

    /// Give back memory that is not filled.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.filled.shrink_to_fit();
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity() + self.filled.capacity() * size_of::<(usize, usize)>()
    }
}
