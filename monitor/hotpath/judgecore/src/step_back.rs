//! A clock that was set back: the state was kept at a later time than the one that rows now come from.
//!
//! A machine whose clock stood years ahead, or one capture with a frame of the wrong year, must not leave groups
//! that learn until then, and alerts that end then. What is not of the new time's past is moved by as much as the clock
//! was. Only values that are known stay so: where a capture of earlier days was judged in between, they are not new.

use crate::engine::Engine;
use crate::life::SECOND;
use crate::rule::RuleRun;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// How far a clock was set back, seconds since 1970.
#[derive(Clone, Copy)]
struct Step {
    before: i64,
    now: i64,
}

impl Step {
    /// A time of the new clock.
    fn of(self, time: i64) -> i64 {
        if time <= self.now {
            return time;
        }
        time.saturating_sub(self.before - self.now).min(self.now)
    }

    /// The same in nanoseconds.
    fn of_nanoseconds(self, time: i64) -> i64 {
        if time <= self.now.saturating_mul(SECOND) {
            return time;
        }
        self.of(time.div_euclid(SECOND)).saturating_mul(SECOND)
    }

    /// The same for an hour since 1970.
    fn of_hour(self, hour: i64) -> i64 {
        self.of(hour.saturating_mul(HOUR)).div_euclid(HOUR)
    }
}

impl Engine {
    /// Drop all sums and go on from an earlier time.
    pub fn step_back(&mut self, now: i64) {
        let step = Step { before: self.now.max(now), now };
        for run in &mut self.runs {
            run.step_back(step);
        }
        self.directions.hour = step.of_hour(self.directions.hour);
        self.now = now;
    }
}

impl RuleRun {
    fn step_back(&mut self, step: Step) {
        let is_novel = self.rule.novel.is_some();
        for track in self.groups.values_mut().filter_map(|group| group.alert.as_mut()) {
            track.counted_until = step.of(track.counted_until);
            track.alert.began = step.of_nanoseconds(track.alert.began);
            track.alert.last = step.of_nanoseconds(track.alert.last);
            // what is novel is so for a window, which is not over
            let ahead = if is_novel { self.rule.window } else { 0 };
            track.falls = track.falls.map(|falls| step.of(falls - ahead) + ahead);
        }
        self.forget_windows();
        self.ended.retain(|_, ended| ended.track.ended_at() <= step.now);
        self.full_until = self.full_until.min(step.now);
        self.newest_group = self.newest_group.min(step.now);
        for (past, _) in self.past.values_mut() {
            past.began = step.of(past.began);
            past.move_hours(|hour| step.of_hour(hour));
        }
        for began in self.novelty.began.values_mut() {
            began.tick = step.of(began.tick);
        }
        self.novelty.newest = self.novelty.began.values().map(|began| began.tick).max();
        for suppressed in self.suppressed.values_mut() {
            suppressed.days.retain(|(day, _)| *day <= step.now.div_euclid(DAY));
        }
        self.changed = true;
    }
}
