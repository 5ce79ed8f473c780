//! What one group of a rule has in its window: sums in buckets, so that what is old leaves.

use std::collections::hash_map::Entry::{Occupied, Vacant};

use crate::distinct::Values;
use crate::hash::Map;
use crate::life::Track;
use crate::rhythm::Starts;
use crate::value::Value;
use crate::window::Window;

/// The number of the group of what has no room.
pub const OTHER: u64 = 0;
/// Buckets that a window is kept in, where it is longer than so many seconds.
const BUCKETS: i64 = 600;
const HOUR: i64 = 3600;
/// How many of the newest entries are looked at for one that a row can be added to.
const NEAR: usize = 8;

/// What rows add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Of the measure.
    pub value: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// Of a ratio's two columns.
    pub of: u64,
    /// The second.
    pub to: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: Sums) {
        self.value = self.value.saturating_add(other.value);
        self.sent = self.sent.saturating_add(other.sent);
        if other.of | other.to != 0 {
            self.of = self.of.saturating_add(other.of);
            self.to = self.to.saturating_add(other.to);
        }
    }

    fn take(&mut self, other: Sums) {
        self.value = self.value.saturating_sub(other.value);
        self.sent = self.sent.saturating_sub(other.sent);
        self.of = self.of.saturating_sub(other.of);
        self.to = self.to.saturating_sub(other.to);
    }
}

/// One bucket of one part of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tick in which it is no longer in the window.
    pub leaves: i64,
    /// Number of the part (see `parts`).
    pub part: u64,
    /// What is in it.
    pub sums: Sums,
}

/// How a window is cut into buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Seconds of the window.
    pub window: i64,
    /// Seconds of a bucket.
    pub width: i64,
}

impl Cut {
    /// Exact to the second up to ten minutes; else a 600th of the window, an hour at most.
    pub fn new(window: i64) -> Cut {
        Cut { window, width: (window / BUCKETS).clamp(1, HOUR) }
    }

    /// When what comes in a tick leaves the window.
    pub fn leaves(&self, tick: i64) -> i64 {
        (tick.div_euclid(self.width) + 1) * self.width - 1 + self.window
    }
}

/// The rows of a tick, or of a part of one where it comes in several batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fresh {
    /// Which of all ends of ticks these rows come before; the rest is of them.
    pub epoch: u64,
    /// Their payload bytes sent.
    pub sent: u64,
    /// The newest packet, nanoseconds.
    pub last: i64,
    /// First of the group's rows, one more than its place; 0: none.
    pub head: u32,
    /// Which of the groups that had rows it is.
    pub place: u32,
    /// Whether it is among those that are asked at the end of the tick.
    pub is_near: bool,
}

impl Fresh {
    /// Add a row; `head`: one more than its place.
    pub(crate) fn take(&mut self, sent: u64, head: u32, last: i64) {
        self.head = head;
        self.sent = self.sent.saturating_add(sent);
        self.last = self.last.max(last);
    }
}

/// A group.
///
/// What a walk over all groups asks of each stands first: there are more of them than the caches hold.
#[derive(Debug)]
#[repr(C)]
pub struct Group {
    /// Its number.
    pub key: u64,
    /// The tick in which it came.
    pub created: i64,
    /// When the newest entry leaves.
    pub newest: i64,
    /// The open alert.
    pub alert: Option<Box<Track>>,
    /// For `distinct`.
    pub distinct: Option<Box<Values>>,
    /// For `periodic`.
    pub starts: Option<Box<Starts>>,
    /// The window, oldest first.
    pub entries: Window,
    /// Sums of the window.
    pub total: Sums,
    /// What the present tick brought.
    pub fresh: Fresh,
    /// The values of the group's fields.
    pub values: Box<[Value]>,
    /// Where in `entries` each part of the newest bucket is, once there are many; counted from the first ever.
    places: Option<Box<(i64, Map<u64>)>>,
    /// Entries that left.
    gone: u64,
}

impl Group {
    /// A group without anything.
    pub fn new(key: u64, values: Box<[Value]>, created: i64) -> Group {
        Group {
            key,
            values,
            created,
            total: Sums::default(),
            entries: Window::default(),
            newest: i64::MIN,
            places: None,
            gone: 0,
            fresh: Fresh::default(),
            alert: None,
            distinct: None,
            starts: None,
        }
    }

    /// Take what has left by `tick` off the sums; gives how many entries went.
    pub fn expire(&mut self, tick: i64) -> usize {
        let mut gone = 0;
        while let Some(sums) = self.entries.pop_left(tick) {
            self.total.take(sums);
            self.gone += 1;
            gone += 1;
        }
        if self.places.as_ref().is_some_and(|places| places.0 <= tick) {
            // it has room for a bucket of many parts
            self.places = None;
        }
        gone
    }

    /// Add to the window; gives how many entries it grew by.
    pub fn add(&mut self, entry: Entry) -> usize {
        self.total.add(entry.sums);
        self.newest = self.newest.max(entry.leaves);
        self.enter(entry)
    }

    /// The same without the sums of the whole window, which are added later.
    pub(crate) fn enter(&mut self, entry: Entry) -> usize {
        if self.places.as_ref().is_some_and(|places| places.0 == entry.leaves) {
            return self.add_placed(entry);
        }
        let mut near = 0;
        for place in (0..self.entries.len()).rev().take(NEAR) {
            match self.entries.key(place) {
                Some((leaves, part)) if leaves == entry.leaves => {
                    if part == entry.part {
                        self.entries.add(place, entry.sums);
                        return 0;
                    }
                }
                _ => break,
            }
            near += 1;
        }
        if near == NEAR {
            return self.add_placed(entry);
        }
        self.entries.push_back(entry);
        1
    }

    /// How many entries there ever were.
    pub(crate) fn next(&self) -> u64 {
        self.gone + self.entries.len() as u64
    }

    /// Enter what has no entry yet; gives its place, counted from the first ever.
    pub(crate) fn push(&mut self, entry: Entry) -> u32 {
        let next = self.next();
        if let Some(places) = self.places.as_mut().filter(|places| places.0 == entry.leaves) {
            places.1.insert(entry.part, next);
        }
        self.entries.push_back(entry);
        next as u32
    }

    /// Add to the entry at a place, but not to the sums of the whole window.
    #[inline]
    pub(crate) fn enter_at(&mut self, place: u32, sums: Sums) {
        self.entries.add(place.wrapping_sub(self.gone as u32) as usize, sums);
    }

    fn add_placed(&mut self, entry: Entry) -> usize {
        if let Some(place) = self.place_of(entry) {
            self.entries.add(place, entry.sums);
            return 0;
        }
        self.entries.push_back(entry);
        1
    }

    /// The place of the entry of this bucket and part among many; where there is none, its place is noted.
    fn place_of(&mut self, entry: Entry) -> Option<usize> {
        let next = self.next();
        let places = self.places.get_or_insert_with(|| Box::new((i64::MIN, Map::default())));
        if places.0 != entry.leaves || places.1.len() as u64 > next {
            places.0 = entry.leaves;
            places.1.clear();
            let newest = (0..self.entries.len()).rev().map_while(|place| self.entries.key(place));
            let mine = newest.take_while(|(leaves, _)| *leaves == entry.leaves).map(|(_, part)| part);
            places.1.extend(mine.zip((self.gone..next).rev()));
        }
        match places.1.entry(entry.part) {
            Occupied(place) => {
                let place = usize::try_from(place.get().checked_sub(self.gone)?).ok()?;
                (self.entries.key(place) == Some((entry.leaves, entry.part))).then_some(place)
            }
            Vacant(new) => {
                new.insert(next);
                None
            }
        }
    }

    /// Drop all sums.
    pub fn forget(&mut self) {
        self.entries = Window::default();
        self.places = None;
        self.total = Sums::default();
        self.distinct = None;
        self.starts = None;
    }

    /// Whether it may begin an alert, or has one.
    pub fn is_near(&self, line: i64) -> bool {
        self.alert.is_some() || i128::from(self.total.value) > i128::from(line)
    }

    /// Whether nothing of it is in the window and no alert needs it.
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty()
            && self.alert.is_none()
            && self.distinct.as_ref().is_none_or(|values| values.is_empty())
            && self.starts.as_ref().is_none_or(|starts| starts.is_empty())
    }

    /// Join entries of the same bucket and part, buckets cut anew; past `one_part`, of the same bucket.
    pub fn join(&mut self, cut: Cut, one_part: bool) {
        let mut joined = Window::default();
        let mut bucket: Map<usize> = Map::default();
        self.places = None;
        for mut entry in std::mem::take(&mut self.entries).iter() {
            entry.leaves = cut.leaves(entry.leaves - cut.window);
            if joined.last_leaves() != Some(entry.leaves) {
                bucket.clear();
            }
            let place = *bucket.entry(if one_part { 0 } else { entry.part }).or_insert(joined.len());
            if place < joined.len() {
                joined.join(place, &entry);
            } else {
                joined.push_back(entry);
            }
        }
        self.newest = joined.last_leaves().unwrap_or(self.newest);
        self.entries = joined;
    }

    /// The tick in which the sum comes down to `line` if nothing is added; `None` where it is there.
    pub fn falls_at(&self, line: i64) -> Option<i64> {
        let mut left = self.total.value;
        let mut found = None;
        if i128::from(left) <= i128::from(line) {
            return None;
        }
        for entry in self.entries.iter() {
            left = left.saturating_sub(entry.sums.value);
            if i128::from(left) <= i128::from(line) {
                found = Some(entry.leaves);
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_takes_no_room() {
        let mut group = Group::new(7, Box::default(), 0);
        for part in 1..=1000 {
            group.add(Entry { leaves: 10, part, sums: Sums::default() });
        }
        group.add(Entry { leaves: 20, part: 1, sums: Sums::default() });
        assert!(group.places.as_ref().is_some_and(|places| places.1.len() == 1000));
        assert_eq!(group.expire(10), 1000);
        assert!(group.places.is_none(), "what says where a thousand parts were");
    }
}
