//! Rows that a full table of a rule turned away, and where they stand in the group of what has no room.

use crate::group::{Cut, Entry, Group};

/// What is known of rows of a kind.
#[derive(Clone, Copy, Default)]
struct Away {
    /// The turn in which they were last turned away.
    turn: u32,
    /// The bucket in which the part that they are the first kind of came last, and the place of its entry in the window.
    bucket: u32,
    place: u32,
}

/// Rows of what kinds a full table of a rule turned away: their groups are not looked for again as long as none can
/// have come in, nor are the entries of their parts.
#[derive(Default)]
pub struct TurnedAway {
    /// By kind.
    kinds: Vec<Away>,
    /// How many times rows were taken, in this batch.
    turn: u32,
    /// The last time that groups could come in.
    open: u32,
    /// Buckets that were begun, in this batch.
    bucket: u32,
    /// The newest one, how it was cut, and the entries that the window had when rows were last taken.
    newest: Option<(i64, Cut, u64)>,
    /// All entries of the newest bucket are of rows that were turned away here.
    is_alone: bool,
}

impl TurnedAway {
    /// Begin a batch.
    pub(crate) fn clear(&mut self) {
        self.kinds.clear();
        *self = TurnedAway { kinds: std::mem::take(&mut self.kinds), ..TurnedAway::default() };
    }

    /// Begin to take rows that leave the window at `leaves`; `others`: the group of what has no room, where no other can
    /// come in.
    pub(crate) fn begin(&mut self, others: Option<&Group>, leaves: i64, cut: Cut) {
        self.turn += 1;
        let Some(others) = others else {
            self.open = self.turn;
            return;
        };
        if others.entries.back().is_none_or(|entry| entry.leaves != leaves) {
            self.bucket += 1;
            self.is_alone = true;
        } else {
            // somebody else may have added to it since
            self.is_alone &= self.newest == Some((leaves, cut, others.next()));
        }
        self.newest = Some((leaves, cut, others.next()));
    }

    /// All rows that were turned away now were added.
    pub(crate) fn end(&mut self, others: &Group) {
        if let Some((_, _, next)) = &mut self.newest {
            *next = others.next();
        }
    }

    /// Whether a kind was turned away since groups could come in last.
    pub(crate) fn has(&self, kind: Option<u32>) -> bool {
        kind.and_then(|kind| self.kinds.get(kind as usize)).is_some_and(|away| away.turn > self.open)
    }

    /// Turn a kind away; gives whether it may be the first time in this turn.
    pub(crate) fn add(&mut self, kind: Option<u32>) -> bool {
        let turn = self.turn;
        kind.and_then(|kind| self.of_kind(kind)).is_none_or(|away| std::mem::replace(&mut away.turn, turn) != turn)
    }

    /// Add what a row brings to the group of what has no room; `first` is the first kind of its part. Gives how many
    /// entries the window grew by.
    pub(crate) fn join(&mut self, others: &mut Group, entry: Entry, first: u32) -> usize {
        if !self.is_alone {
            return others.add(entry);
        }
        let bucket = self.bucket;
        let Some(away) = self.of_kind(first) else { return others.add(entry) };
        if away.bucket == bucket && others.add_at(away.place, entry) {
            return 0;
        }
        (away.bucket, away.place) = (bucket, others.push(entry));
        1
    }

    fn of_kind(&mut self, kind: u32) -> Option<&mut Away> {
        if self.kinds.len() <= kind as usize {
            self.kinds.resize(kind as usize + 1, Away::default());
        }
        self.kinds.get_mut(kind as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Sums, OTHER};

    fn others() -> Group {
        Group::new(OTHER, Box::default(), 0)
    }

    #[test]
    fn what_was_turned_away_is_so_until_groups_may_come_in() {
        let (mut away, others, cut) = (TurnedAway::default(), others(), Cut::new(60));
        let begin = |away: &mut TurnedAway, is_shut: bool| away.begin(is_shut.then_some(&others), 60, cut);
        let kind = Some(3);
        begin(&mut away, true);
        assert!(!away.has(kind));
        assert_eq!([away.add(kind), away.add(kind), away.has(kind), away.has(Some(2))], [true, false, true, false]);
        begin(&mut away, true);
        assert_eq!([away.has(kind), away.add(kind), away.add(kind)], [true, true, false]);
        begin(&mut away, false);
        assert!(!away.has(kind));
        begin(&mut away, true);
        assert!(!away.has(kind));
        assert_eq!([away.add(None), away.add(None), away.has(None)], [true, true, false]);
        away.add(kind);
        away.clear();
        begin(&mut away, true);
        assert!(!away.has(kind), "another batch has other kinds");
    }

    /// One entry for each bucket and part in the order in which they come, whoever adds in between.
    #[test]
    fn rows_join_as_if_each_were_looked_for() {
        let cut = Cut { window: 600, width: 2 };
        let (mut one, mut other) = (others(), others());
        let mut away = TurnedAway::default();
        let mut number = 1_u64;
        for tick in 0..400 {
            let leaves = cut.leaves(tick);
            if tick % 100 == 50 {
                away.clear(); // another batch
            }
            away.begin((tick % 7 != 3).then_some(&one), leaves, cut);
            for _ in 0..20 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let first = (number >> 40) as u32 % 15;
                let entry = Entry {
                    leaves,
                    part: u64::from(first) + 100,
                    sums: Sums { value: number >> 50, ..Sums::default() },
                };
                let grown = if tick % 7 == 3 { one.add(entry) } else { away.join(&mut one, entry, first) };
                assert_eq!(grown, other.add(entry));
            }
            if tick % 7 != 3 {
                away.end(&one);
            }
            if tick % 11 == 0 {
                let entry = Entry { leaves, part: 7, sums: Sums::default() };
                assert_eq!(one.add(entry), other.add(entry));
            }
            assert_eq!(one.expire(tick - 300), other.expire(tick - 300));
            assert_eq!((one.total, one.newest), (other.total, other.newest));
            assert!(one.entries.iter().eq(other.entries.iter()), "tick {tick}");
        }
    }
}
