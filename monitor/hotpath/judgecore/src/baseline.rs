//! What a group did at each hour before, so that a rule can tell what is more than usual at this hour.
//!
//! Of each hour the largest sum that the window came to is kept, 28 days long. An hour is compared with the
//! same hour of the days before, of each day the largest of that hour and the ones beside it: what runs at
//! two o'clock may run at three. The line is the larger of
//! - the middle of these days and so many deviations, robust ones (median absolute deviation),
//! - the second largest of them: what was reached on two days is not unusual (a backup every Sunday).
//!
//! An attacker may raise traffic slowly until it counts as usual. So an hour in which an alert was open
//! counts as a usual one, and any other moves the line by at most a 20th.

use std::collections::VecDeque;

use crate::spec::Baseline;

const HOUR: i64 = 3600;
const DAY_HOURS: i64 = 24;
/// Days that are kept.
pub const DAYS: i64 = 28;
/// A normal distribution's standard deviation is 1.4826 times its median absolute deviation.
const PER_MAD: (u64, u64) = (14_826, 10_000);
/// The least deviation is this share of the middle.
const LEAST: u64 = 10;
/// The share by which an hour may be above the line that was.
const STEP: u64 = 20;

/// The past of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The tick in which the group was first seen.
    pub began: i64,
    /// Hours since 1970 with something, oldest first, and their largest sums.
    pub hours: VecDeque<(i64, u64)>,
    /// The present hour, its largest sum, and whether an alert was open in it.
    pub now: (i64, u64, bool),
    /// Whether what it learnt was told.
    pub is_told: bool,
    /// The line of an hour, once worked out.
    line: Option<(i64, u64)>,
}

/// What the days before say of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usual {
    middle: u64,
    deviation: u64,
    second: u64,
}

impl Past {
    /// A group that is first seen.
    pub fn new(began: i64) -> Past {
        Past { began, hours: VecDeque::new(), now: (began.div_euclid(HOUR), 0, false), is_told: false, line: None }
    }

    /// What was kept of a group.
    pub fn kept(began: i64, hours: VecDeque<(i64, u64)>, now: (i64, u64, bool), is_told: bool) -> Past {
        Past { began, hours, now, is_told, line: None }
    }

    /// Take note that the sum is `total` at the end of a tick.
    pub fn note(&mut self, tick: i64, total: u64, is_open: bool, way: &Baseline) {
        self.turn(tick, way);
        self.now.1 = self.now.1.max(total);
        self.now.2 |= is_open;
    }

    /// Seconds for which it has learnt by a tick: so long as was asked for at most, and 0 where it was not used for a day
    /// longer than that.
    pub fn learnt(&self, tick: i64, way: &Baseline) -> i64 {
        let last = self.now.0 * HOUR;
        if tick - last > way.history + DAY_HOURS * HOUR {
            return 0;
        }
        (last - self.began).clamp(0, way.history)
    }

    /// Close the hour that is over.
    fn turn(&mut self, tick: i64, way: &Baseline) {
        let hour = tick.div_euclid(HOUR);
        if hour <= self.now.0 {
            return;
        }
        let (closed, peak, is_open) = self.now;
        let mut peak = peak;
        if closed * HOUR - self.began >= way.history {
            let usual = self.usual(closed);
            let most = usual.middle.max(usual.second);
            peak = peak.min(if is_open { most } else { way.floor.max(most.saturating_add(most / STEP)) });
        }
        if peak > 0 {
            self.hours.push_back((closed, peak));
        }
        let oldest = hour - DAYS * DAY_HOURS - 1;
        while self.hours.front().is_some_and(|(hour, _)| *hour < oldest) {
            self.hours.pop_front();
        }
        self.now = (hour, 0, false);
    }

    /// Take every hour for another one.
    pub fn move_hours(&mut self, to: impl Fn(i64) -> i64) {
        self.hours.iter_mut().for_each(|(hour, _)| *hour = to(*hour));
        self.hours.make_contiguous().sort_unstable();
        self.now.0 = to(self.now.0);
        self.line = None;
    }

    /// The line at a tick: more is unusual. `None` while the group is not known for long enough.
    pub fn line(&mut self, tick: i64, way: &Baseline) -> Option<u64> {
        self.turn(tick, way);
        if tick - self.began < way.history {
            return None;
        }
        let hour = tick.div_euclid(HOUR);
        if let Some((of, line)) = self.line {
            if of == hour {
                return Some(line);
            }
        }
        let usual = self.usual(hour);
        let (number, divisor) = way.deviations;
        let wide = u128::from(usual.deviation) * u128::from(number) / u128::from(divisor.max(1));
        let line = usual.second.max(usual.middle.saturating_add(u64::try_from(wide).unwrap_or(u64::MAX)));
        self.line = Some((hour, line));
        Some(line)
    }

    fn usual(&self, hour: i64) -> Usual {
        let days = ((hour - self.began.div_euclid(HOUR)) / DAY_HOURS).clamp(1, DAYS);
        let mut peaks: Vec<u64> = (1..=days).map(|day| self.around(hour - day * DAY_HOURS)).collect();
        let second = {
            peaks.sort_unstable();
            peaks.len().checked_sub(2).and_then(|place| peaks.get(place)).copied().unwrap_or(0)
        };
        let middle = median(&peaks);
        let mut apart: Vec<u64> = peaks.iter().map(|peak| peak.abs_diff(middle)).collect();
        apart.sort_unstable();
        let spread = u128::from(median(&apart)) * u128::from(PER_MAD.0) / u128::from(PER_MAD.1);
        let deviation = u64::try_from(spread).unwrap_or(u64::MAX).max(middle / LEAST);
        Usual { middle, deviation, second }
    }

    /// The largest sum of an hour and the ones beside it.
    fn around(&self, hour: i64) -> u64 {
        let first = self.hours.partition_point(|(one, _)| *one < hour - 1);
        self.hours.iter().skip(first).take_while(|(one, _)| *one <= hour + 1).map(|(_, peak)| *peak).max().unwrap_or(0)
    }
}

/// The middle of sorted numbers; of an even count the larger of the two.
fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}
