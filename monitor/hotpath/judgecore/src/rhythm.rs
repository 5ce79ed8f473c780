//! Whether the connections of a group begin regularly, as those of a beacon do.
//!
//! Starts that come closer than the shortest interval are one: a client opens several connections at a
//! time. Of the last `count` starts at least four of five intervals must be near the middle one, so that a
//! beat that fails now and then does not hide the rest. Where much begins between them there is no beat: of a
//! stream that never pauses, the shortest interval alone would make one.

use crate::spec::Periodic;

const SECOND: i64 = 1_000_000_000;
/// Starts kept for each that is looked for: those that come close together are kept apart.
const SPARE: usize = 3;
/// A rhythm is over when nothing began for so many intervals.
const SILENT: i64 = 3;

/// The newest starts of a group: one for each half of the shortest interval, nanoseconds, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// The first start of each half interval.
    pub times: Vec<i64>,
    /// What came before this was dropped.
    pub dropped: i64,
}

impl Starts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Add a start, nanoseconds.
    pub fn add(&mut self, start: i64, way: &Periodic) {
        if start <= self.dropped {
            return;
        }
        let half = (way.between.0 * SECOND / 2).max(1);
        let bin = start.div_euclid(half);
        let place = self.times.partition_point(|time| time.div_euclid(half) < bin);
        match self.times.get_mut(place) {
            Some(time) if time.div_euclid(half) == bin => *time = (*time).min(start),
            _ => self.times.insert(place, start),
        }
        if self.times.len() > SPARE * way.count {
            self.dropped = self.dropped.max(self.times.remove(0));
        }
    }

    /// Drop what left the window by `tick` (seconds).
    pub fn expire(&mut self, tick: i64, window: i64) {
        let limit = (tick - window) * SECOND;
        let gone = self.times.partition_point(|time| *time <= limit);
        if gone > 0 {
            self.times.drain(..gone);
            self.dropped = self.dropped.max(limit);
        }
    }

    /// The middle interval in nanoseconds, where the last `count` starts are regular at `tick`.
    pub fn regular(&self, tick: i64, way: &Periodic) -> Option<i64> {
        let (shortest, longest) = (way.between.0 * SECOND, way.between.1 * SECOND);
        let mut beats: Vec<i64> = Vec::with_capacity(self.times.len());
        for time in &self.times {
            if beats.last().is_none_or(|last| time - last >= shortest) {
                beats.push(*time);
            }
        }
        let beats = beats.get(beats.len().checked_sub(way.count)?..)?;
        let mut intervals: Vec<i64> = beats.iter().zip(beats.iter().skip(1)).map(|(one, next)| next - one).collect();
        intervals.sort_unstable();
        let middle = *intervals.get(intervals.len() / 2)?;
        let slack = i128::from(middle) * i128::from(way.jitter) / 100;
        let near = intervals.iter().filter(|interval| i128::from((**interval - middle).abs()) <= slack).count();
        let (oldest, newest) = (*beats.first()?, *beats.last()?);
        let starts = self.times.iter().filter(|time| (oldest..=newest).contains(*time)).count();
        let has_pauses = starts * 2 <= way.count * 3;
        let is_alive = tick * SECOND - newest <= SILENT * middle;
        (middle >= shortest && middle <= longest && near * 5 >= intervals.len() * 4 && has_pauses && is_alive)
            .then_some(middle)
    }

    /// The tick in which the answer may change if nothing begins.
    pub fn changes_at(&self, window: i64, middle: i64) -> Option<i64> {
        let oldest = self.times.first()?.div_euclid(SECOND) + window;
        let silent = (self.times.last()? + SILENT * middle).div_euclid(SECOND) + 1;
        Some(oldest.min(silent))
    }
}
