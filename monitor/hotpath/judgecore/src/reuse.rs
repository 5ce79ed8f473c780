//! Memory that serves one batch after the other, and is given back when batches of late needed little of it.

/// Room that is kept whatever is needed.
const FEWEST: usize = 1024;
/// Places to one that was needed from which there are too many.
const SPARSE: usize = 8;

/// Whether so many places are far more than were needed.
pub(crate) fn is_sparse(places: usize, needed: usize) -> bool {
    places > FEWEST.max(SPARSE * needed)
}

/// Forget all, but keep the room; of far too much half.
pub(crate) fn clear<T>(all: &mut Vec<T>) {
    let needed = all.len();
    all.clear();
    if is_sparse(all.capacity(), needed) {
        all.shrink_to(all.capacity() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_burst_is_given_back() {
        let mut all: Vec<u32> = Vec::new();
        for (batches, needed, least, most) in
            [(1, 500_000, 500_000, 1 << 20), (1, 100_000, 500_000, 1 << 20), (20, 10, 10, 1024)]
        {
            for _ in 0..batches {
                all.extend(0..needed);
                clear(&mut all);
            }
            assert!((least..=most).contains(&all.capacity()), "{needed}: {}", all.capacity());
        }
    }
}
