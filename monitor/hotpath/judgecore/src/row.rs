//! What the rows of a batch add to a rule: the columns it looks at, found once a batch.

use crate::column::Column;
use crate::frame::Frame;
use crate::group::Sums;
use crate::numbers::Numbers;
use crate::spec::{Measure, Ratio, Record, Rule};
use crate::value::Seen;

/// Bytes that a row of flows sent.
const SENT: &str = "payload_out";

/// The columns of a batch that a rule looks at.
pub struct Prepared<'f, 'a> {
    pub(crate) value: Numbers<'a>,
    /// What is measured are the bytes sent.
    pub(crate) is_sent: bool,
    /// And nothing else is, but for what `to` says.
    pub(crate) is_plain: bool,
    /// What the bytes sent are compared with.
    pub(crate) to: Option<Numbers<'a>>,
    pub(crate) present: Option<Column<'f, 'a>>,
    pub(crate) ratio: Option<(Numbers<'a>, Numbers<'a>)>,
    pub(crate) distinct: Option<Column<'f, 'a>>,
    pub(crate) start: Numbers<'a>,
}

/// The columns of a batch that all rules look at.
pub struct Common<'f, 'a> {
    /// Bytes sent.
    pub sent: Numbers<'a>,
    /// Rows whose bytes do not count as sent: of DNS those that are no question.
    pub kind: Option<Column<'f, 'a>>,
    /// The newest packet.
    pub last: Numbers<'a>,
    /// First packet of the row and of the connection, and what tells that the row has packets.
    pub first_seen: Numbers<'a>,
    /// See `first_seen`.
    pub started: Numbers<'a>,
    /// See `first_seen`.
    pub packets: (Numbers<'a>, Numbers<'a>),
}

impl<'f, 'a> Common<'f, 'a> {
    /// Find the columns in a batch.
    pub fn new(frame: &'f Frame<'a>, record: Record) -> Common<'f, 'a> {
        let (sent, last, kind) = match record {
            Record::Flows => (SENT, "last_seen", None),
            Record::Dns => ("message_bytes", "time", Some(frame.column("kind"))),
        };
        Common {
            sent: frame.numbers(sent),
            kind,
            last: frame.numbers(last),
            first_seen: frame.numbers("first_seen"),
            started: frame.numbers("started"),
            packets: (frame.numbers("packets_out"), frame.numbers("packets_in")),
        }
    }

    /// The bytes that a row sent.
    pub(crate) fn sent(&self, row: usize) -> u64 {
        match &self.kind {
            Some(kind) if kind.seen(row) != Seen::Text("question") => 0,
            _ => self.sent.or_zero(row),
        }
    }
}

/// Find a rule's columns in a batch.
pub(crate) fn prepare<'f, 'a>(rule: &Rule, frame: &'f Frame<'a>) -> Prepared<'f, 'a> {
    let is_sent = rule.record == Record::Flows && rule.measure == Measure::Sum(SENT.to_owned());
    let is_sent_to = |way: &Ratio| way.of == SENT;
    Prepared {
        value: match &rule.measure {
            Measure::Sum(column) => frame.numbers(column),
            _ => frame.numbers(""),
        },
        is_sent,
        is_plain: is_sent && rule.ratio.as_ref().is_none_or(is_sent_to) && rule.periodic.is_none(),
        to: rule.ratio.as_ref().map(|way| frame.numbers(&way.to)),
        present: match &rule.measure {
            Measure::Count(column) => Some(frame.column(column)),
            _ => None,
        },
        ratio: rule.ratio.as_ref().map(|way| (frame.numbers(&way.of), frame.numbers(&way.to))),
        distinct: rule.distinct.as_ref().map(|way| frame.column(&way.of)),
        start: frame.numbers(match rule.record {
            Record::Flows => "started",
            Record::Dns => "time",
        }),
    }
}

/// The column that must not be zero in a row that counts; `None`: there is no single one.
pub(crate) fn counts(rule: &Rule) -> Option<String> {
    match &rule.measure {
        Measure::Sum(column) if rule.ratio.is_none() && rule.periodic.is_none() => Some(column.clone()),
        _ => None,
    }
}

impl Prepared<'_, '_> {
    /// Whether what a row adds are the bytes that it sent.
    pub(crate) fn only_sent(&self) -> bool {
        self.is_plain && self.to.is_none()
    }
}

/// What a row adds of which only the bytes sent count.
#[inline(always)]
pub(crate) fn sent(sent: u64) -> Option<Sums> {
    (sent > 0).then_some(Sums { value: sent, sent, of: 0, to: 0 })
}

/// What a row adds that sent so many bytes; `None` where it does not count.
#[inline(always)]
pub(crate) fn adds(rule: &Rule, at: &Prepared<'_, '_>, common: &Common<'_, '_>, row: usize, sent: u64) -> Option<Sums> {
    if at.is_plain {
        let Some(to) = &at.to else { return self::sent(sent) };
        let to = to.or_zero(row);
        return (sent | to > 0).then_some(Sums { value: sent, sent, of: sent, to });
    }
    adds_other(rule, at, common, row, sent)
}

fn adds_other(rule: &Rule, at: &Prepared<'_, '_>, common: &Common<'_, '_>, row: usize, sent: u64) -> Option<Sums> {
    let value = if at.is_sent { sent } else { measured(&rule.measure, at, common, row) };
    let mut sums = Sums { value, sent, ..Sums::default() };
    if let Some((of, to)) = &at.ratio {
        (sums.of, sums.to) = (of.or_zero(row), to.or_zero(row));
    }
    let counts = sums.value > 0 || sums.of > 0 || sums.to > 0 || rule.periodic.is_some();
    counts.then_some(sums)
}

/// What one row adds to the measure.
fn measured(measure: &Measure, at: &Prepared<'_, '_>, common: &Common<'_, '_>, row: usize) -> u64 {
    match measure {
        Measure::Sum(_) => at.value.or_zero(row),
        Measure::Count(_) => at.present.as_ref().map_or(0, |column| u64::from(column.seen(row) != Seen::Missing)),
        Measure::Connections => {
            let (out, back) = &common.packets;
            let is_first = common.first_seen.nanoseconds(row) <= common.started.nanoseconds(row);
            u64::from(is_first && out.or_zero(row).saturating_add(back.or_zero(row)) > 0)
        }
    }
}
