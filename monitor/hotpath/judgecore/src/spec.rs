//! A rule as the engine takes it: made from a file that was read and checked before.

use crate::condition::Condition;

/// Which rows a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Rows of flows.
    Flows,
    /// DNS questions and answers.
    Dns,
}

/// What one row adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The number in a column.
    Sum(String),
    /// One, where the column has a value.
    Count(String),
    /// One, in the row that has the first packet of its connection.
    Connections,
}

/// Something whose group was not seen with this value before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Novel {
    /// The field.
    pub of: String,
    /// Seconds for which a new group learns.
    pub learn: i64,
    /// Seconds without use after which a value is new again.
    pub forget: i64,
}

/// More than the group did at this hour of the day before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Deviations, as a fraction.
    pub deviations: (u64, u64),
    /// The smallest sum that counts.
    pub floor: u64,
    /// Seconds for which a group must have been known.
    pub history: i64,
}

/// One sum is much larger than another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// The column that is summed.
    pub of: String,
    /// The column that it is compared with.
    pub to: String,
    /// How many times as large, as a fraction.
    pub above: (u64, u64),
    /// The smallest sum of `of` that counts.
    pub floor: u64,
}

/// Many values of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    /// The field.
    pub of: String,
    /// More than so many.
    pub above: u64,
}

/// Connections begin regularly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periodic {
    /// So many starts.
    pub count: usize,
    /// Per cent that an interval may differ from the middle one.
    pub jitter: u64,
    /// Shortest and longest interval, seconds.
    pub between: (i64, i64),
}

/// Rows that the rule does not mind.
#[derive(Clone, Debug)]
pub struct Exception {
    /// As in the file; what is counted under it.
    pub words: String,
    /// Seconds since 1970: it holds in ticks before.
    pub ends: i64,
    /// All must hold; of names only those that DNS answered.
    pub conditions: Vec<Condition>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// What its rows are.
    pub record: Record,
    /// Changes with what the kept sums are made of.
    pub shape: String,
    /// It means nothing while only one direction is captured.
    pub two_way: bool,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// What is taken out before summing.
    pub exceptions: Vec<Exception>,
    /// What rows add.
    pub measure: Measure,
    /// The fields that make a group.
    pub per: Vec<String>,
    /// Seconds.
    pub window: i64,
    /// The measure must be larger; -1: nothing is said of it.
    pub line: i64,
    /// Seconds for which the condition must have been false for an alert to end.
    pub resolve_after: i64,
    /// The ways to fire beside the line.
    pub novel: Option<Novel>,
    /// See `novel`.
    pub baseline: Option<Baseline>,
    /// See `novel`.
    pub ratio: Option<Ratio>,
    /// See `novel`.
    pub distinct: Option<Distinct>,
    /// See `novel`.
    pub periodic: Option<Periodic>,
}

impl Rule {
    /// A rule over all flow rows that fires at once, for tests.
    #[cfg(test)]
    pub(crate) fn of_all(measure: Measure, window: i64) -> Rule {
        Rule {
            id: "one".to_owned(),
            record: Record::Flows,
            shape: String::new(),
            two_way: false,
            conditions: Vec::new(),
            exceptions: Vec::new(),
            measure,
            per: Vec::new(),
            window,
            line: 0,
            resolve_after: 1,
            novel: None,
            baseline: None,
            ratio: None,
            distinct: None,
            periodic: None,
        }
    }

    /// The fields whose values tell groups apart: `per`, and the one that is to be novel.
    pub fn group_fields(&self) -> impl Iterator<Item = &str> {
        self.per.iter().map(String::as_str).chain(self.novel.iter().map(|novel| novel.of.as_str()))
    }

    /// Whether the condition, once true, becomes false only by what leaves the window.
    pub fn only_falls(&self) -> bool {
        self.baseline.is_none() && self.ratio.is_none() && self.distinct.is_none() && self.periodic.is_none()
    }
}
