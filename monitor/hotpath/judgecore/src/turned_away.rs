//! Rows that a full table of a rule turned away, and where they stand in the group of what has no room.

use crate::group::{Cut, Entry, Group, Sums};
use crate::reuse;
use crate::take::Match;

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
    /// When what comes now leaves the window.
    leaves: i64,
    /// The row and kind of what was turned away before and came again in this turn: whether their groups count is still
    /// to be found out.
    pub(crate) again: Vec<(u32, u32)>,
}

impl TurnedAway {
    /// Begin a batch.
    pub(crate) fn clear(&mut self) {
        reuse::clear(&mut self.kinds);
        let TurnedAway { kinds, again, .. } = std::mem::take(self);
        *self = TurnedAway { kinds, again, ..TurnedAway::default() };
    }

    /// Begin to take rows that leave the window at `leaves`; `others`: the group of what has no room, where no other can
    /// come in.
    ///
    /// `kinds`: how many there are. `remembered`: how often something became known to the rule, which then has to be asked
    /// anew.
    pub(crate) fn begin(&mut self, others: Option<&Group>, kinds: usize, leaves: i64, cut: Cut, remembered: u64) {
        if std::mem::replace(&mut self.remembered, remembered) != remembered {
            self.open = self.turn;
        }
        self.turn += 1;
        let Some(others) = others else {
            self.open = self.turn;
            return;
        };
        if self.kinds.len() < kinds {
            self.kinds.resize(kinds, Away::default());
        }
        self.leaves = leaves;
        if others.entries.last_leaves() != Some(leaves) {
            self.bucket += 1;
            self.is_alone = true;
        } else {
            // somebody else may have added to it since
            self.is_alone &= self.newest == Some((leaves, cut, others.next()));
        }
        self.newest = Some((leaves, cut, others.next()));
    }

    /// Whether a kind was turned away since groups could come in last.
    #[inline]
    pub(crate) fn has(&self, kind: Option<u32>) -> bool {
        kind.and_then(|kind| self.kinds.get(kind as usize)).is_some_and(|away| away.turn > self.open)
    }

    /// Turn a kind away that was not before.
    pub(crate) fn turn(&mut self, kind: Option<u32>) {
        let turn = self.turn;
        if let Some(away) = kind.and_then(|kind| self.kinds.get_mut(kind as usize)) {
            away.turn = turn;
        }
    }

    /// Add what a row that is turned away brings to the entry of its part, where that is known; gives whether it is.
    #[inline(always)]
    pub(crate) fn add(&mut self, others: &mut Group, found: &Match, sums: Sums) -> bool {
        let Some(away) = self.kinds.get_mut(found.kind as usize) else { return false };
        if away.turn != self.turn {
            away.turn = self.turn;
            self.again.push((found.row, found.kind));
        }
        let is_known = self.is_alone && away.bucket == self.bucket;
        if is_known {
            others.enter_at(away.place, sums);
        }
        is_known
    }

    /// Add what a row of a kind brings; `first` is the first kind of its part. Gives by how many entries the window grew.
    #[inline(never)]
    pub(crate) fn enter(&mut self, others: &mut Group, (part, first): (u64, u32), kind: u32, sums: Sums) -> usize {
        let entry = Entry { leaves: self.leaves, part, sums };
        let bucket = self.bucket;
        let known = self.kinds.get_mut(first as usize).filter(|_| self.is_alone);
        let Some(away) = known else { return others.enter(entry) };
        let is_new = away.bucket != bucket;
        if is_new {
            (away.bucket, away.place) = (bucket, others.push(entry));
        } else {
            others.enter_at(away.place, sums);
        }
        let place = away.place;
        if kind != first {
            if let Some(away) = self.kinds.get_mut(kind as usize) {
                (away.bucket, away.place) = (bucket, place);
            }
        }
        usize::from(is_new)
    }

    /// All rows that are turned away now were added, which came to `sums`.
    pub(crate) fn end(&mut self, others: &mut Group, sums: Sums) {
        others.total.add(sums);
        others.newest = others.newest.max(self.leaves);
        if let Some((_, _, next)) = &mut self.newest {
            *next = others.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::OTHER;

    fn others() -> Group {
        Group::new(OTHER, Box::default(), 0)
    }

    fn row(kind: u32) -> Match {
        Match { row: 7 * kind, kind, sent: 0, last: 0 }
    }

    /// Add rows, each with what it brings; gives by how many entries the window grew.
    fn add(
        away: &mut TurnedAway,
        others: &mut Group,
        rows: &[(Match, Sums)],
        part: impl Fn(u32) -> (u64, u32),
    ) -> usize {
        let (mut all, mut grown) = (Sums::default(), 0);
        for (found, sums) in rows {
            if !away.add(others, found, *sums) {
                grown += away.enter(others, part(found.kind), found.kind, *sums);
            }
            all.add(*sums);
        }
        away.end(others, all);
        grown
    }

    #[test]
    fn what_was_turned_away_is_so_until_groups_may_come_in() {
        let (mut away, mut others, cut) = (TurnedAway::default(), others(), Cut::new(60));
        let begin = |away: &mut TurnedAway, is_shut: bool, known| {
            away.begin(is_shut.then(self::others).as_ref(), 9, 60, cut, known);
        };
        let kind = Some(3);
        begin(&mut away, true, 0);
        assert!(!away.has(kind));
        away.turn(kind);
        assert_eq!([away.has(kind), away.has(Some(2)), away.has(None)], [true, false, false]);
        let mut add = |away: &mut TurnedAway| {
            let rows = [row(3), row(3)].map(|found| (found, Sums::default()));
            self::add(away, &mut others, &rows, |kind| (9, kind));
            away.again.drain(..).collect::<Vec<_>>()
        };
        assert_eq!(add(&mut away), [], "it was counted when it came first");
        begin(&mut away, true, 0);
        assert!(away.has(kind));
        assert_eq!(add(&mut away), [(21, 3)], "to be counted once");
        begin(&mut away, false, 0);
        assert!(!away.has(kind));
        begin(&mut away, true, 0);
        assert!(!away.has(kind));
        away.turn(kind);
        begin(&mut away, true, 1);
        assert!(!away.has(kind), "something became known");
        away.turn(kind);
        away.clear();
        begin(&mut away, true, 1);
        assert!(!away.has(kind), "another batch has other kinds");
    }

    /// One entry for each bucket and part in the order in which they come, whoever adds in between.
    #[test]
    fn rows_join_as_if_each_were_looked_for() {
        // buckets of few ticks, and of so many that groups could come in several times meanwhile
        [2, 16].into_iter().for_each(rows_join_in_buckets_of);
    }

    fn rows_join_in_buckets_of(width: i64) {
        let cut = Cut { window: 600, width };
        let (mut one, mut other) = (others(), others());
        let mut away = TurnedAway::default();
        let (mut number, mut again) = (1_u64, 0);
        for tick in 0..400 {
            let leaves = cut.leaves(tick);
            if tick % 100 == 50 {
                away.clear(); // another batch
            }
            let is_shut = tick % 7 != 3;
            away.begin(is_shut.then_some(&one), 30, leaves, cut, 0);
            let mut rows = Vec::new();
            for _ in 0..20 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let sums = Sums { value: number >> 50, to: number >> 60, sent: number >> 45, of: 0 };
                // two kinds to a part, other ones in each batch
                rows.push((row((number >> 40) as u32 % 30), sums));
            }
            let part = |kind: u32| (u64::from((kind / 2 * 2 + (tick as u32 + 50) / 100) % 30 / 2), kind / 2 * 2);
            let entries = rows.iter().map(|(found, sums)| Entry { leaves, part: part(found.kind).0, sums: *sums });
            let grown: usize = entries.clone().map(|entry| other.add(entry)).sum();
            if is_shut {
                assert_eq!(add(&mut away, &mut one, &rows, part), grown);
                let mut seen: Vec<u32> = away.again.drain(..).map(|(_, kind)| kind).collect();
                again += rows.len() - seen.len();
                seen.sort_unstable();
                seen.dedup();
                assert!(rows.iter().all(|(found, _)| seen.binary_search(&found.kind).is_ok()));
            } else {
                assert_eq!(entries.map(|entry| one.add(entry)).sum::<usize>(), grown);
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
