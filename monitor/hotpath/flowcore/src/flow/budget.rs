//! A bound on the memory of half-read streams, over all flows.

/// Memory that half-read streams may take together.
#[derive(Debug, Default)]
pub(super) struct Budget {
    pub(super) left: usize,
    /// Times something was not kept because nothing was left.
    pub(super) refused: u64,
}

impl Budget {
    /// Give back all that something held.
    pub(super) fn release(&mut self, held: usize) {
        self.left += held;
    }

    /// Give back a part of what was taken.
    pub(super) fn give_back(&mut self, held: &mut usize, size: usize) {
        let size = size.min(*held);
        *held -= size;
        self.left += size;
    }

    pub(super) fn take(&mut self, held: &mut usize, size: usize) -> bool {
        if self.left < size {
            self.refused += 1;
            return false;
        }
        self.left -= size;
        *held += size;
        true
    }
}
