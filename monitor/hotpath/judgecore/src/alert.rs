//! What the judge gives: alerts, and the events of their life.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::sample::Flow;
use crate::value::Value;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The condition holds, for the first time or again.
    Begun,
    /// The value or the bytes sent have doubled since the last event.
    Growing,
    /// The condition was false for long enough.
    Ended,
}

/// What the ways to fire found when they were last all true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Sums of a ratio.
    pub ratio: Option<(u64, u64)>,
    /// Values in the window.
    pub distinct: Option<u64>,
    /// Nanoseconds between two starts.
    pub interval: Option<u64>,
    /// What is usual at this hour.
    pub usual: Option<u64>,
}

/// Why an exception did not take out the flow that an alert shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotApplied {
    /// It ended.
    Expired,
    /// The condition at this place does not hold.
    Condition(usize),
    /// It would have: the flow is of another tick.
    Nothing,
}

/// One group that a rule minds. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Stays when it re-opens.
    pub id: u64,
    /// The values of the group's fields; `None`: the group of what has no room.
    pub group: Option<Arc<[Value]>>,
    /// Where most of its bytes came from when it began.
    pub workload: Option<Arc<str>>,
    /// Where most of them went.
    pub provider: Option<Arc<str>>,
    /// Newest packet of the tick that crossed the line.
    pub began: i64,
    /// Newest packet since.
    pub last: i64,
    /// `None` while open.
    pub ended: Option<i64>,
    /// The largest that the measure has been.
    pub value: u64,
    /// Payload sent: in the window when it began, and since.
    pub sent: u64,
    /// How often it came back.
    pub reopened: u32,
    /// Where to, most bytes first.
    pub countries: Vec<Arc<str>>,
    /// Names of the other side.
    pub names: Vec<Arc<str>>,
    /// How the provider is known.
    pub evidence: Vec<Arc<str>>,
    /// The first few flows since it began.
    pub flows: Vec<Arc<Flow>>,
    /// For each exception of the rule.
    pub not_applied: Vec<NotApplied>,
    /// What the ways to fire found.
    pub found: Found,
}

/// Something that happened, with the alert as it was then.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Place of the rule among the engine's.
    pub rule: usize,
    /// As it was.
    pub alert: Alert,
}

/// The id of an alert that begins: the same rows give the same.
pub fn identity(rule: &str, group: Option<&[Value]>, began: i64) -> u64 {
    let mut digest = Sha256::new();
    digest.update(rule.as_bytes());
    for value in group.unwrap_or_default() {
        let (kind, bytes): (u8, Vec<u8>) = match value {
            Value::Missing => (0, Vec::new()),
            Value::Bool(flag) => (1, vec![u8::from(*flag)]),
            Value::Number(number) => (2, number.to_le_bytes().to_vec()),
            Value::Time(time) => (3, time.to_le_bytes().to_vec()),
            Value::Address(address) => (4, address.to_vec()),
            Value::Text(text) => (5, text.as_bytes().to_vec()),
        };
        digest.update([0xff, kind]);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
    digest.update([u8::from(group.is_none())]);
    digest.update(began.to_le_bytes());
    digest.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
