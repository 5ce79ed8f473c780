//! The groups that the rows of a batch belong to, and which of them a full table has turned away.

use std::ops::Range;

use crate::kinds::Kinds;

/// A number for each row of a tick, worked out where it is asked for.
#[derive(Default)]
struct OfTick {
    rows: Range<usize>,
    /// Nothing was asked for yet, and the numbers are of another tick.
    is_stale: bool,
    /// 0: not worked out.
    numbers: Vec<u64>,
}

impl OfTick {
    /// Go on to the rows of a tick, unless these are the present ones.
    fn begin(&mut self, rows: &Range<usize>) {
        if self.rows != *rows {
            self.rows = rows.clone();
            self.is_stale = true;
        }
    }

    /// The number of a row, which is never 0.
    fn get(&mut self, row: usize, number: impl FnOnce() -> u64) -> u64 {
        if self.is_stale {
            self.is_stale = false;
            self.numbers.clear();
            self.numbers.resize(self.rows.len(), 0);
        }
        match self.numbers.get_mut(row.wrapping_sub(self.rows.start)) {
            Some(known) if *known != 0 => *known,
            Some(unknown) => {
                *unknown = number();
                *unknown
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
    is_common: bool,
    /// By kind; 0: not worked out.
    of_kind: Vec<u64>,
    /// Where rows of a kind may be of different groups.
    of_tick: OfTick,
}

impl<'l> RowGroups<'l> {
    /// Those of a batch. `is_common`: rows of a kind agree in all the fields.
    pub(crate) fn new(places: &'l [usize], is_common: bool) -> RowGroups<'l> {
        RowGroups { places, is_common, of_kind: Vec::new(), of_tick: OfTick::default() }
    }

    /// Go on to the rows of a tick.
    pub(crate) fn begin(&mut self, rows: &Range<usize>) {
        self.of_tick.begin(rows);
    }

    /// The number of the group of a row of the tick.
    pub(crate) fn of_row(&mut self, kinds: &Kinds<'_, '_, '_>, row: usize, kind: u32) -> u64 {
        let RowGroups { places, is_common, of_kind, of_tick } = self;
        match of_kind.get(kind as usize) {
            Some(known) if *known != 0 => *known,
            _ if *is_common => {
                let number = kinds.mix(places, row, kind);
                if of_kind.len() <= kind as usize {
                    of_kind.resize(kind as usize + 1, 0);
                }
                if let Some(unknown) = of_kind.get_mut(kind as usize) {
                    *unknown = number;
                }
                number
            }
            _ => of_tick.get(row, || kinds.mix(places, row, kind)),
        }
    }

    /// What tells the groups of rows apart, as far as rows of one kind are of one group.
    pub(crate) fn kind(&self, kind: u32) -> Option<u32> {
        self.is_common.then_some(kind)
    }
}

/// Rows of what kinds a full table of a rule turned away: their groups are not looked for again as long as none can
/// have come in.
#[derive(Default)]
pub struct TurnedAway {
    /// By kind: the turn in which it was last turned away.
    turns: Vec<u32>,
    /// How many times rows were taken, in this batch.
    turn: u32,
    /// The last time that groups could come in.
    open: u32,
}

impl TurnedAway {
    /// Begin to take rows.
    pub(crate) fn begin(&mut self, is_shut: bool) {
        self.turn += 1;
        if !is_shut {
            self.open = self.turn;
        }
    }

    /// Whether a kind was turned away since groups could come in last.
    pub(crate) fn has(&self, kind: Option<u32>) -> bool {
        kind.and_then(|kind| self.turns.get(kind as usize)).is_some_and(|turn| *turn > self.open)
    }

    /// Turn a kind away; gives whether it may be the first time in this turn.
    pub(crate) fn add(&mut self, kind: Option<u32>) -> bool {
        let Some(kind) = kind.map(|kind| kind as usize) else { return true };
        if self.turns.len() <= kind {
            self.turns.resize(kind + 1, 0);
        }
        let Some(turn) = self.turns.get_mut(kind) else { return true };
        std::mem::replace(turn, self.turn) != self.turn
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
        numbers.begin(&(12..14));
        assert_eq!([numbers.get(12, || 5), numbers.get(13, || 6)], [5, 6]);
        assert_eq!([numbers.get(12, || 8), numbers.get(13, || 8)], [5, 6]);
        assert_eq!(numbers.get(9, || 7), 7, "a row of another tick");
    }

    #[test]
    fn what_was_turned_away_is_so_until_groups_may_come_in() {
        let mut away = TurnedAway::default();
        let kind = Some(3);
        away.begin(true);
        assert!(!away.has(kind));
        assert_eq!([away.add(kind), away.add(kind), away.has(kind), away.has(Some(2))], [true, false, true, false]);
        away.begin(true);
        assert_eq!([away.has(kind), away.add(kind), away.add(kind)], [true, true, false]);
        away.begin(false);
        assert!(!away.has(kind));
        away.begin(true);
        assert!(!away.has(kind));
        assert_eq!([away.add(None), away.add(None), away.has(None)], [true, true, false]);
    }
}
