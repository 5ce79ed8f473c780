//! A queue that is not copied as it grows, once it is long: new memory costs page faults, and so does old memory anew.

use std::collections::VecDeque;

/// How many values stand together in a long queue.
const PIECE: usize = 1024;

/// A queue of values.
#[derive(Debug)]
pub(crate) enum Pieces<T> {
    /// One that doubles.
    Short(VecDeque<T>),
    /// One in pieces.
    Long(Box<Long<T>>),
}

#[derive(Debug)]
pub(crate) struct Long<T> {
    /// Of `PIECE` each, but for the last.
    pieces: VecDeque<Vec<T>>,
    /// How many left the first one.
    gone: usize,
    /// How many there are.
    len: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Pieces<T> {
        Pieces::Short(VecDeque::new())
    }
}

impl<T: Copy> Pieces<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Pieces::Short(all) => all.len(),
            Pieces::Long(long) => long.len,
        }
    }

    /// One by its place.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        match self {
            Pieces::Short(all) => all.get(place),
            Pieces::Long(long) => {
                let place = place + long.gone;
                long.pieces.get(place / PIECE)?.get(place % PIECE)
            }
        }
    }

    /// One by its place, to change it.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        match self {
            Pieces::Short(all) => all.get_mut(place),
            Pieces::Long(long) => {
                let place = place + long.gone;
                long.pieces.get_mut(place / PIECE)?.get_mut(place % PIECE)
            }
        }
    }

    /// The newest.
    pub(crate) fn back(&self) -> Option<&T> {
        match self {
            Pieces::Short(all) => all.back(),
            Pieces::Long(long) => long.pieces.back()?.last(),
        }
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (short, long) = match self {
            Pieces::Short(all) => (Some(all), None),
            Pieces::Long(long) => (None, Some(long)),
        };
        let gone = long.map_or(0, |long| long.gone);
        short.into_iter().flatten().chain(long.into_iter().flat_map(|long| &long.pieces).flatten().skip(gone))
    }

    /// Add the newest.
    #[inline]
    pub(crate) fn push_back(&mut self, value: T) {
        if let Pieces::Long(long) = self {
            if let Some(last) = long.pieces.back_mut().filter(|last| last.len() < PIECE) {
                last.push(value);
                long.len += 1;
                return;
            }
        }
        self.push_other(value);
    }

    /// The same where that needs another piece, or there are none.
    fn push_other(&mut self, value: T) {
        match self {
            Pieces::Short(all) if all.len() < PIECE => all.push_back(value),
            Pieces::Short(all) => {
                let mut first = Vec::from(std::mem::take(all));
                first.shrink_to_fit();
                let len = first.len() + 1;
                let pieces = VecDeque::from([first, of_one(value)]);
                *self = Pieces::Long(Box::new(Long { pieces, gone: 0, len }));
            }
            Pieces::Long(long) => {
                long.pieces.push_back(of_one(value));
                long.len += 1;
            }
        }
    }

    /// Take the oldest.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let long = match self {
            Pieces::Short(all) => return all.pop_front(),
            Pieces::Long(long) => long,
        };
        let first = long.pieces.front()?;
        let taken = first.get(long.gone).copied();
        long.gone += 1;
        long.len -= 1;
        if long.gone >= first.len() {
            long.pieces.pop_front();
            long.gone = 0;
            if long.pieces.is_empty() {
                *self = Pieces::default();
            }
        }
        taken
    }
}

/// A piece that has its first value.
fn of_one<T>(value: T) -> Vec<T> {
    let mut piece = Vec::with_capacity(PIECE);
    piece.push(value);
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_any_length_is_like_a_plain_one() {
        let (mut pieces, mut plain) = (Pieces::default(), VecDeque::new());
        let mut number = 0_u64;
        // it grows over several pieces, is emptied, and begins anew
        for (pushed, popped) in [(3, 1), (1022, 5), (1, 0), (4000, 900), (10, 1500), (0, 5000), (2, 1), (3000, 9)] {
            for _ in 0..pushed {
                number += 1;
                pieces.push_back(number);
                plain.push_back(number);
            }
            for _ in 0..popped {
                assert_eq!(pieces.pop_front(), plain.pop_front());
            }
            let middle = plain.len() / 2;
            if let (Some(one), Some(other)) = (pieces.get_mut(middle), plain.get_mut(middle)) {
                (*one, *other) = (*one + 7, *other + 7);
            }
            assert_eq!((pieces.len(), pieces.back()), (plain.len(), plain.back()));
            assert!(pieces.iter().eq(plain.iter()));
            for place in [0, 1, middle, PIECE - 1, PIECE, 2 * PIECE + 3] {
                assert_eq!(pieces.get(place), plain.get(place), "{place} of {}", plain.len());
            }
        }
    }
}
