//! Rows that a full table of a rule turned away, and where they stand in the group of what has no room.

use crate::group::{Cut, Entry, Group, Sums};

/// What is known of rows of a kind.
#[derive(Clone, Copy, Default)]
struct Away {
    /// The turn in which they were last turned away.
    turn: u32,
    /// The bucket in which their part came last, as far as they know, and the place of its entry in the window. The first
    /// kind of a part always knows.
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
    /// How often something became known to the rule.
    remembered: u64,
}

impl TurnedAway {
    /// Begin a batch.
    pub(crate) fn clear(&mut self) {
        self.kinds.clear();
        *self = TurnedAway { kinds: std::mem::take(&mut self.kinds), ..TurnedAway::default() };
    }

    /// Begin to take rows that leave the window at `leaves`; `others`: the group of what has no room, where no other can
    /// come in.
    ///
    /// `remembered`: how often something became known to the rule, which then has to be asked anew.
    pub(crate) fn begin(&mut self, others: Option<&Group>, leaves: i64, cut: Cut, remembered: u64) {
        if std::mem::replace(&mut self.remembered, remembered) != remembered {
            self.open = self.turn;
        }
        self.turn += 1;
        let Some(others) = others else {
            self.open = self.turn;
            return;
        };
        if others.entries.last_leaves() != Some(leaves) {
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

    /// Add what a row of a kind brings to the entry of its part, where that is known; gives whether it is.
    pub(crate) fn again(&mut self, others: &mut Group, kind: Option<u32>, sums: Sums) -> bool {
        let away = kind.and_then(|kind| self.kinds.get(kind as usize));
        let Some(away) = away.filter(|away| self.is_alone && away.bucket == self.bucket) else { return false };
        others.add_at(away.place, sums);
        true
    }

    /// Add what a row of a kind brings to the group of what has no room; `first` is the first kind of its part. Gives how
    /// many entries the window grew by.
    pub(crate) fn join(&mut self, others: &mut Group, entry: Entry, kind: Option<u32>, first: u32) -> usize {
        if !self.is_alone {
            return others.add(entry);
        }
        let bucket = self.bucket;
        let Some(away) = self.of_kind(first) else { return others.add(entry) };
        let is_new = away.bucket != bucket;
        if is_new {
            (away.bucket, away.place) = (bucket, others.push(entry));
        } else {
            others.add_at(away.place, entry.sums);
        }
        let place = away.place;
        if let Some(away) = kind.filter(|kind| *kind != first).and_then(|kind| self.of_kind(kind)) {
            (away.bucket, away.place) = (bucket, place);
        }
        usize::from(is_new)
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
    use crate::group::OTHER;

    fn others() -> Group {
        Group::new(OTHER, Box::default(), 0)
    }

    #[test]
    fn what_was_turned_away_is_so_until_groups_may_come_in() {
        let (mut away, others, cut) = (TurnedAway::default(), others(), Cut::new(60));
        let begin = |away: &mut TurnedAway, is_shut: bool| away.begin(is_shut.then_some(&others), 60, cut, 0);
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
        away.begin(Some(&others), 60, cut, 1);
        assert!(!away.has(kind), "something became known");
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
        let (mut number, mut again) = (1_u64, 0);
        for tick in 0..400 {
            let leaves = cut.leaves(tick);
            if tick % 100 == 50 {
                away.clear(); // another batch
            }
            let is_shut = tick % 7 != 3;
            away.begin(is_shut.then_some(&one), leaves, cut, 0);
            for _ in 0..20 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // two kinds to a part, other ones in each batch
                let kind = (number >> 40) as u32 % 30;
                let first = kind / 2 * 2;
                let part = u64::from((first + tick as u32 / 50) % 30 / 2);
                let entry =
                    Entry { leaves, part, sums: Sums { value: number >> 50, to: number >> 60, ..Sums::default() } };
                let grown = if !is_shut {
                    one.add(entry)
                } else if away.again(&mut one, Some(kind), entry.sums) {
                    again += 1;
                    0
                } else {
                    away.join(&mut one, entry, Some(kind), first)
                };
                assert_eq!(grown, other.add(entry));
            }
            if is_shut {
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
        assert!(again > 1000, "{again}");
    }
}
