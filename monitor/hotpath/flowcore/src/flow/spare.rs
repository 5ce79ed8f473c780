//! Vectors of batches that are through, to be filled again: new memory costs a page fault and a page of zeros each 4 KiB.

use super::texts::Texts;

/// Emptied vectors of one type.
#[derive(Debug)]
pub struct Pool<T>(Vec<Vec<T>>);

/// A vector with room for more than this many times what is wanted is left to the allocator: after a flood the room of one
/// batch would stay for ever.
const TOO_LARGE: usize = 4;
/// Values that any vector may have room for.
const SMALL: usize = 1 << 12;

/// Whether what has room for so many values is of use where `wanted` are expected.
pub(super) fn fits(capacity: usize, wanted: usize) -> bool {
    (wanted - wanted / 4..=wanted.saturating_mul(TOO_LARGE).max(SMALL)).contains(&capacity)
}

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool(Vec::new())
    }
}

impl<T> Pool<T> {
    /// Keep a vector. What is in it is forgotten.
    pub fn put(&mut self, mut vector: Vec<T>) {
        vector.clear();
        self.0.push(vector);
    }

    /// An empty vector with room for about so many values: three quarters of them at least.
    pub(super) fn take(&mut self, values: usize) -> Vec<T> {
        while let Some(vector) = self.0.pop() {
            if fits(vector.capacity(), values) {
                return vector;
            }
        }
        Vec::with_capacity(values)
    }
}

/// Vectors in which columns of rows stood, by type.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct SpareColumns {
    pub i64s: Pool<i64>,
    pub u64s: Pool<u64>,
    pub u32s: Pool<u32>,
    pub u16s: Pool<u16>,
    pub u8s: Pool<u8>,
    pub bools: Pool<bool>,
    pub addresses: Pool<[u8; 16]>,
    pub maybe_addresses: Pool<Option<[u8; 16]>>,
    pub maybe_u32s: Pool<Option<u32>>,
    pub maybe_u8s: Pool<Option<u8>>,
}

/// What is left of a batch.
#[derive(Debug, Default)]
pub struct Spare {
    /// Of flow rows, and of the addresses that they number.
    pub flows: SpareColumns,
    /// Of DNS rows.
    pub dns: SpareColumns,
    /// The texts of these.
    pub texts: Texts,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Pool, SMALL, TOO_LARGE};

    #[test]
    fn a_vector_comes_back_empty_and_in_its_place() {
        let mut pool = Pool::default();
        let mut vector: Vec<u64> = Vec::with_capacity(8000);
        vector.extend(0..5000);
        let place = vector.as_ptr();
        pool.put(vector);
        let again = pool.take(10_000);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (place, 0, 8000));
    }

    #[test]
    fn what_is_too_small_or_far_too_large_is_left_to_the_allocator() {
        let mut pool: Pool<u8> = Pool::default();
        let wanted = 2 * SMALL;
        for capacity in [wanted / 2, TOO_LARGE * wanted + 1] {
            pool.put(Vec::with_capacity(capacity));
            assert_eq!(pool.take(wanted).capacity(), wanted);
        }
        // a small one may be larger than that: it is not worth a call
        pool.put(Vec::with_capacity(SMALL));
        assert_eq!(pool.take(1).capacity(), SMALL);
    }
}
