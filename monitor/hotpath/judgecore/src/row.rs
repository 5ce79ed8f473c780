//! What the rows of a batch add to a rule: the columns it looks at, found once a batch.

use std::ops::Range;

use crate::column::Column;
use crate::frame::{Frame, Numbers};
use crate::group::Sums;
use crate::hash::{self, Keys};
use crate::spec::{Measure, Record, Rule};
use crate::value::{Seen, Value};

/// A number for each row of a tick, worked out where it is asked for.
#[derive(Default)]
pub(crate) struct OfTick {
    rows: Range<usize>,
    /// Nothing was asked for yet, and the numbers are of another tick.
    is_stale: bool,
    /// 0: not worked out.
    numbers: Vec<u64>,
}

impl OfTick {
    /// Go on to the rows of a tick, unless these are the present ones.
    pub(crate) fn begin(&mut self, rows: &Range<usize>) {
        if self.rows != *rows {
            self.rows = rows.clone();
            self.is_stale = true;
        }
    }

    /// The number of a row, which is never 0.
    pub(crate) fn get(&mut self, row: usize, number: impl FnOnce() -> u64) -> u64 {
        if self.is_stale {
            self.is_stale = false;
            self.numbers.clear();
            self.numbers.resize(self.rows.len(), 0);
        }
        match self.numbers.get_mut(row.wrapping_sub(self.rows.start)) {
            Some(known) if *known != 0 => *known,
            Some(unknown) => {
                *unknown = number();
                *unknown
            }
            None => number(),
        }
    }
}

/// The numbers of values in the rows of a tick: of each once, whatever is made of them.
pub struct Hashes<'f, 'a> {
    columns: Vec<(Column<'f, 'a>, OfTick)>,
    keys: Keys,
}

impl<'f, 'a> Hashes<'f, 'a> {
    /// Find the columns in a batch.
    pub fn new(frame: &'f Frame<'a>, fields: &[String], keys: Keys) -> Hashes<'f, 'a> {
        let columns = fields.iter().map(|field| (frame.column(field), OfTick::default()));
        Hashes { columns: columns.collect(), keys }
    }

    /// Go on to the rows of a tick.
    pub(crate) fn begin(&mut self, rows: &Range<usize>) {
        self.columns.iter_mut().for_each(|(_, numbers)| numbers.begin(rows));
    }

    /// One number of what a row of the tick has in the columns at some places.
    pub(crate) fn mix(&mut self, places: &[usize], row: usize) -> u64 {
        let Hashes { columns, keys } = self;
        let mut number = |place: &usize| match columns.get_mut(*place) {
            Some((column, numbers)) => numbers.get(row, || column.hash(row)),
            None => 0,
        };
        hash::mix(*keys, places.iter().map(&mut number))
    }

    /// The column at a place.
    pub(crate) fn column(&self, place: usize) -> Option<&Column<'f, 'a>> {
        self.columns.get(place).map(|(column, _)| column)
    }

    /// What a row has in the columns at some places, to keep.
    pub(crate) fn keep(&self, places: &[usize], row: usize) -> Box<[Value]> {
        let column = |place: &usize| self.column(*place).map_or(Value::Missing, |column| column.keep(row));
        places.iter().map(column).collect()
    }
}

/// The numbers of groups, for all rules whose groups are made of the same fields.
pub struct RowKeys<'l> {
    /// The places of the fields' columns.
    pub(crate) places: &'l [usize],
    numbers: OfTick,
}

impl<'l> RowKeys<'l> {
    /// Those of a batch.
    pub fn new(places: &'l [usize]) -> RowKeys<'l> {
        RowKeys { places, numbers: OfTick::default() }
    }

    /// Go on to the rows of a tick.
    pub(crate) fn begin(&mut self, rows: &Range<usize>) {
        self.numbers.begin(rows);
    }

    /// The number of the group of a row of the tick.
    pub(crate) fn of_row(&mut self, hashes: &mut Hashes<'_, '_>, row: usize) -> u64 {
        self.numbers.get(row, || hashes.mix(self.places, row))
    }
}

/// The columns of a batch that a rule looks at.
pub struct Prepared<'f, 'a> {
    pub(crate) value: Numbers<'a>,
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
            Record::Flows => ("payload_out", "last_seen", None),
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

    fn sent(&self, row: usize) -> u64 {
        match &self.kind {
            Some(kind) if kind.seen(row) != Seen::Text("question") => 0,
            _ => self.sent.or_zero(row),
        }
    }
}

/// Find a rule's columns in a batch.
pub(crate) fn prepare<'f, 'a>(rule: &Rule, frame: &'f Frame<'a>) -> Prepared<'f, 'a> {
    Prepared {
        value: match &rule.measure {
            Measure::Sum(column) => frame.numbers(column),
            _ => frame.numbers(""),
        },
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

/// What a row adds; `None` where it does not count.
pub(crate) fn adds(rule: &Rule, at: &Prepared<'_, '_>, common: &Common<'_, '_>, row: usize) -> Option<Sums> {
    let mut sums = Sums { value: measured(&rule.measure, at, common, row), ..Sums::default() };
    if let Some((of, to)) = &at.ratio {
        (sums.of, sums.to) = (of.or_zero(row), to.or_zero(row));
    }
    sums.sent = common.sent(row);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_worked_out_once_a_tick() {
        let mut numbers = OfTick::default();
        numbers.begin(&(10..12));
        assert_eq!([numbers.get(10, || 1), numbers.get(11, || 2), numbers.get(10, || 3)], [1, 2, 1]);
        numbers.begin(&(10..12));
        assert_eq!(numbers.get(11, || 4), 2);
        numbers.begin(&(12..14));
        assert_eq!([numbers.get(12, || 5), numbers.get(13, || 6)], [5, 6]);
        assert_eq!([numbers.get(12, || 8), numbers.get(13, || 8)], [5, 6]);
        assert_eq!(numbers.get(9, || 7), 7, "a row of another tick");
    }
}
