//! The groups that the rows of a batch belong to.

use std::ops::Range;

use crate::kinds::Kinds;
use crate::reuse;

/// A number for each row of a tick, worked out where it is asked for.
#[derive(Default)]
pub(crate) struct OfTick {
    /// At least as many as the tick has rows, a power of two: where a row stands if it was asked for.
    room: usize,
    /// A row, one more, and its number. What is of another tick has another row.
    numbers: Vec<(u32, u64)>,
}

impl OfTick {
    /// Go on to the rows of a tick.
    fn begin(&mut self, rows: &Range<usize>) {
        self.room = self.room.max(rows.len().next_power_of_two());
    }

    /// Begin a batch.
    fn clear(&mut self) {
        self.room = 0;
        reuse::clear(&mut self.numbers);
    }

    /// The number of a row.
    fn get(&mut self, row: usize, number: impl FnOnce() -> u64) -> u64 {
        if self.numbers.len() < self.room {
            self.numbers.resize(self.room, (0, 0));
        }
        match self.numbers.get_mut(row & self.room.wrapping_sub(1)) {
            Some((known, number)) if *known == row as u32 + 1 => *number,
            Some(unknown) => {
                *unknown = (row as u32 + 1, number());
                unknown.1
            }
            None => number(),
        }
    }
}

/// The groups of rows, for all rules whose groups are made of the same fields.
pub struct RowGroups<'l> {
    /// The places of the fields' columns.
    pub(crate) places: &'l [usize],
    /// Rows of one kind are of one group.
    pub(crate) is_common: bool,
    /// The number of a group follows from what is kept of a kind.
    is_kept: bool,
    /// Where that is not so.
    of_tick: OfTick,
}

impl<'l> RowGroups<'l> {
    /// Those of a batch. `is_common`: rows of a kind agree in all the fields.
    pub(crate) fn new(
        places: &'l [usize],
        is_common: bool,
        kinds: &Kinds<'_, '_, '_>,
        of_tick: OfTick,
    ) -> RowGroups<'l> {
        RowGroups { places, is_common, is_kept: kinds.has_kept(places), of_tick }
    }

    /// Give the memory back.
    pub(crate) fn into_memory(mut self) -> OfTick {
        self.of_tick.clear();
        self.of_tick
    }

    /// Go on to the rows of a tick.
    pub(crate) fn begin(&mut self, rows: &Range<usize>) {
        self.of_tick.begin(rows);
    }

    /// The number of the group of a row of the tick.
    #[inline(always)]
    pub(crate) fn of_row(&mut self, kinds: &Kinds<'_, '_, '_>, row: usize, kind: u32) -> u64 {
        if self.is_kept {
            return kinds.mix_kept(self.places, kind);
        }
        self.of_tick.get(row, || kinds.mix(self.places, row, kind))
    }

    /// What tells the groups of rows apart, as far as rows of one kind are of one group.
    pub(crate) fn kind(&self, kind: u32) -> Option<u32> {
        self.is_common.then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_worked_out_once_a_tick() {
        let mut numbers = OfTick::default();
        numbers.begin(&(10..12));
        assert_eq!([numbers.get(10, || 1), numbers.get(11, || 2), numbers.get(10, || 3)], [1, 2, 1]);
        numbers.begin(&(10..12));
        assert_eq!(numbers.get(11, || 4), 2);
        numbers.begin(&(12..17));
        assert_eq!([numbers.get(12, || 5), numbers.get(16, || 6)], [5, 6]);
        assert_eq!([numbers.get(12, || 8), numbers.get(16, || 8)], [5, 6]);
        numbers.begin(&(17..19));
        assert_eq!([numbers.get(17, || 9), numbers.get(18, || 10)], [9, 10]);
        numbers.clear();
        numbers.begin(&(10..12));
        assert_eq!(numbers.get(10, || 7), 7, "a row of another batch");
    }
}
