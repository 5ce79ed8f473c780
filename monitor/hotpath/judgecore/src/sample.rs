//! What an alert keeps of its rows: the first few flows since it began, names, countries and evidence.

use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;
use std::sync::Arc;

use crate::alert::Alert;
use crate::cell::Cell;
use crate::column::Column;
use crate::frame::Frame;
use crate::hash::{Keys, Map};
use crate::numbers::Numbers;
use crate::spec::Record;
use crate::value::{Seen, Value};

/// Flows of an alert, about 2 KB each.
pub const MAX_FLOWS: usize = 10;
/// Words of each kind, an alert.
pub const MAX_WORDS: usize = 20;
/// Alerts of which it is known what they have got, in a batch: those that many rows belong to are few.
const MAX_KNOWN: usize = 64;
const TCP_FLAGS: &str = "tcp_flags";

/// How rows of one flow become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Added up.
    Sum,
    /// As the first row has it.
    First,
    /// The union of bits.
    Union,
    /// As the newest row has it.
    Newest,
}

/// The columns of a kept flow.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns {
    /// Their names and roles, in order.
    pub all: Vec<(Arc<str>, Role)>,
}

impl Columns {
    /// Those of a batch that say something outside it.
    pub fn of(frame: &Frame<'_>) -> Columns {
        Columns::named(frame.names().filter(|name| !is_dropped(name)).map(Into::into))
    }

    /// Columns by name.
    pub fn named(names: impl Iterator<Item = Arc<str>>) -> Columns {
        let role = |name: &str| match name {
            "first_seen" | "time" | "started" => Role::First,
            TCP_FLAGS => Role::Union,
            "message_bytes" | "question_bytes" | "fresh_question_bytes" => Role::Sum,
            _ if name.ends_with("_out") || name.ends_with("_in") => Role::Sum,
            _ => Role::Newest,
        };
        Columns {
            all: names
                .map(|name| {
                    let role = role(&name);
                    (name, role)
                })
                .collect(),
        }
    }
}

fn is_dropped(name: &str) -> bool {
    const INDEXES: [&str; 17] = [
        "tick",
        "local_id",
        "remote_id",
        "name_id",
        "client_id",
        "resolver_id",
        "question_id",
        "owner_id",
        "value_id",
        "case_id",
        "answer_id",
        "ja4_id",
        "interface_id",
        "query_id",
        "record_index",
        "client_port",
        "interface",
    ];
    INDEXES.contains(&name)
}

/// A flow, or a DNS question, that an alert shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The same for all its rows.
    pub identity: u64,
    /// What the values are.
    pub columns: Arc<Columns>,
    /// In the order of `columns`.
    pub values: Vec<Value>,
}

impl Flow {
    /// Take up a newer row of the flow, of a batch with these columns.
    fn join(&mut self, columns: &Arc<Columns>, cells: &[Cell<'_>], row: usize) {
        if self.columns != *columns {
            // kept by another version: what it lacks is taken from now on
            self.values = columns.all.iter().map(|(name, _)| self.value(name)).collect();
            self.columns = Arc::clone(columns);
        }
        for ((old, cell), (_, role)) in self.values.iter_mut().zip(cells).zip(&columns.all) {
            match (role, old) {
                (Role::First, Value::Time(_)) => {}
                (Role::Newest, Value::Text(old)) if cell.look(row) == Seen::Text(old) => {}
                (role, old) => match (role, &mut *old, cell.keep(row)) {
                    (Role::Sum, Value::Number(old), Value::Number(new)) => *old = old.saturating_add(new),
                    (Role::Union, Value::Number(old), Value::Number(new)) => *old |= new,
                    (_, old, new) => *old = new,
                },
            }
        }
    }

    /// The value of a column.
    pub fn value(&self, name: &str) -> Value {
        let place = self.columns.all.iter().position(|(column, _)| &**column == name);
        place.and_then(|place| self.values.get(place)).cloned().unwrap_or(Value::Missing)
    }
}

/// What tells flows, or questions, apart.
enum Identity<'f, 'a> {
    Number(Numbers<'a>),
    Columns(Vec<Column<'f, 'a>>),
}

/// What rows of a batch are looked at by.
pub struct Sampler<'f, 'a> {
    /// The batch.
    pub frame: &'f Frame<'a>,
    /// Of the state.
    pub keys: Keys,
    kept: OnceCell<(Arc<Columns>, Vec<Cell<'a>>)>,
    /// What tells flows apart.
    identity: Identity<'f, 'a>,
    /// Country and evidence, of flows.
    words: Vec<Column<'f, 'a>>,
    /// The numbers that tell these apart, where the batch has them.
    words_by: Option<&'a [u32]>,
    /// For each alert: bits of numbers whose words it has got. It loses none.
    known: RefCell<Map<Vec<u64>>>,
    names: Vec<Column<'f, 'a>>,
}

impl<'f, 'a> Sampler<'f, 'a> {
    /// Look at a batch.
    pub fn new(frame: &'f Frame<'a>, keys: Keys, record: Record) -> Sampler<'f, 'a> {
        let columns = |names: &[&str]| names.iter().map(|name| frame.column(name)).collect();
        let (identity, words, names): (_, &[&str], &[&str]) = match record {
            Record::Flows => {
                (Identity::Number(frame.numbers("flow_id")), &["country", "evidence"], &["dns_name", "name"])
            }
            Record::Dns => {
                let identity = Identity::Columns(columns(&["client", "resolver", "kind", "question", "type"]));
                (identity, &[], &["question"])
            }
        };
        Sampler {
            frame,
            keys,
            kept: OnceCell::new(),
            identity,
            words: columns(words),
            words_by: frame.numbers_of_all(words).map(|(numbers, _)| numbers),
            known: RefCell::default(),
            names: columns(names),
        }
    }

    #[inline(always)]
    fn identity(&self, row: usize) -> u64 {
        match &self.identity {
            Identity::Number(numbers) => numbers.or_zero(row),
            Identity::Columns(columns) => crate::hash::mix(self.keys, columns.iter().map(|column| column.hash(row))),
        }
    }

    /// Add rows to an alert, the heaviest first; `room` is how many flows it may keep.
    pub fn absorb(&self, alert: &mut Alert, room: usize, rows: impl IntoIterator<Item = (Reverse<u64>, usize)>) {
        let mut rows: Vec<(Reverse<u64>, usize)> = if alert.flows.len() < room {
            rows.into_iter().collect()
        } else {
            // most rows of an alert that has many show nothing new
            let known: Vec<u64> = alert.flows.iter().map(|flow| flow.identity).collect();
            // by the low bits of an identity, which is a hash: whether it may be one of these
            let near = known.iter().fold(0_u64, |near, one| near | 1 << (one % 64));
            let is_known = |identity: u64| near >> (identity % 64) & 1 == 1 && known.contains(&identity);
            let may_name = alert.names.len() < MAX_WORDS;
            let mut has = self.known_words(alert.id);
            let mut shown = Vec::new();
            for (value, row) in rows {
                let is_new = self.may_have_new_word(&has, row) && self.has_new_word(alert, &mut has, row);
                if is_new || is_known(self.identity(row)) || may_name && self.has_new_name(alert, row) {
                    shown.push((value, row));
                }
            }
            self.known.borrow_mut().insert(alert.id, has);
            shown
        };
        rows.sort_unstable();
        for (_, row) in rows {
            self.absorb_words(alert, row);
            let identity = self.identity(row);
            let known = alert.flows.iter().position(|flow| flow.identity == identity);
            if known.is_none() && alert.flows.len() >= room {
                continue;
            }
            let (columns, cells) = self.kept();
            match known.and_then(|place| alert.flows.get_mut(place)) {
                Some(known) => Arc::make_mut(known).join(columns, cells, row),
                None => {
                    let values = cells.iter().map(|cell| cell.keep(row)).collect();
                    alert.flows.push(Arc::new(Flow { identity, columns: Arc::clone(columns), values }));
                }
            }
        }
    }

    /// The columns of a kept flow, found when the first is kept.
    fn kept(&self) -> &(Arc<Columns>, Vec<Cell<'a>>) {
        self.kept.get_or_init(|| {
            let columns = Columns::of(self.frame);
            let cells = columns.all.iter().filter_map(|(name, _)| self.frame.cell(name)).collect();
            (Arc::new(columns), cells)
        })
    }

    fn absorb_words(&self, alert: &mut Alert, row: usize) {
        let known = [&mut alert.countries, &mut alert.evidence];
        let words = self.words.iter().map(|column| column.seen(row).text());
        let name = self.name(row).map(|text| (text, &mut alert.names));
        for (text, known) in words.zip(known).filter_map(|(text, known)| Some((text?, known))).chain(name) {
            if is_new(text, known) {
                known.push(text.into());
            }
        }
    }

    /// Bits of the numbers of which an alert is known to have got the words.
    fn known_words(&self, alert: u64) -> Vec<u64> {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.remove(&alert).unwrap_or_default()
    }

    /// Whether a row may have a country or evidence that an alert has not got; `has` is of `known_words`.
    #[inline]
    fn may_have_new_word(&self, has: &[u64], row: usize) -> bool {
        let Some(number) = self.words_by.and_then(|numbers| numbers.get(row)) else { return !self.words.is_empty() };
        has.get(*number as usize / 64).is_none_or(|bits| bits >> (number % 64) & 1 == 0)
    }

    fn has_new_name(&self, alert: &Alert, row: usize) -> bool {
        self.name(row).is_some_and(|text| is_new(text, &alert.names))
    }

    /// Whether a row has a country or evidence that an alert has not got.
    fn has_new_word(&self, alert: &Alert, has: &mut Vec<u64>, row: usize) -> bool {
        let number = self.words_by.and_then(|numbers| numbers.get(row));
        let mut words = self.words.iter().zip([&alert.countries, &alert.evidence]);
        let found = words.any(|(column, known)| column.seen(row).text().is_some_and(|text| is_new(text, known)));
        if let Some(number) = number.filter(|_| !found) {
            let word = *number as usize / 64;
            if has.len() <= word {
                has.resize(word + 1, 0);
            }
            if let Some(bits) = has.get_mut(word) {
                *bits |= 1 << (number % 64);
            }
        }
        found
    }

    /// The name that a row shows: the first of its columns that has one.
    fn name(&self, row: usize) -> Option<&'a str> {
        self.names.iter().find_map(|column| column.seen(row).text())
    }
}

/// Whether a word is to be added to some.
fn is_new(text: &str, known: &[Arc<str>]) -> bool {
    known.len() < MAX_WORDS && !known.iter().any(|word| &**word == text)
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, RecordBatch, StringViewArray, UInt32Array, UInt64Array};

    use crate::row_batch::RowBatch;

    use super::*;

    fn alert() -> Alert {
        Alert {
            id: 1,
            group: None,
            workload: None,
            provider: None,
            began: 0,
            last: 0,
            ended: None,
            value: 0,
            sent: 0,
            reopened: 0,
            countries: Vec::new(),
            names: Vec::new(),
            evidence: Vec::new(),
            flows: Vec::new(),
            not_applied: Vec::new(),
            found: crate::alert::Found::default(),
        }
    }

    #[test]
    fn an_alert_that_has_its_flows_takes_up_their_rows_and_new_words_only() {
        let columns: [(&str, ArrayRef); 4] = [
            ("flow_id", Arc::new(UInt64Array::from(vec![1, 2, 3, 1, 3, 2]))),
            ("payload_out", Arc::new(UInt64Array::from(vec![10, 20, 30, 40, 50, 60]))),
            ("country", Arc::new(StringViewArray::from(vec!["DE", "FR", "DE", "DE", "CN", "FR"]))),
            ("name", Arc::new(StringViewArray::from(vec![Some("a.test"), None, None, Some("b.test"), None, None]))),
        ];
        let Ok(batch) = RecordBatch::try_from_iter(columns) else { return assert_eq!("a batch", "") };
        let rows = RowBatch::from(batch);
        let frame = Frame::new(&rows, [1, 2]);
        let sampler = Sampler::new(&frame, [1, 2], Record::Flows);
        let mut alert = alert();
        sampler.absorb(&mut alert, 2, vec![(Reverse(10), 0), (Reverse(20), 1)]);
        let sums = |alert: &Alert| -> Vec<(u64, Value)> {
            alert.flows.iter().map(|flow| (flow.identity, flow.value("payload_out"))).collect()
        };
        assert_eq!(sums(&alert), [(2, Value::Number(20)), (1, Value::Number(10))], "the heaviest first");
        sampler.absorb(&mut alert, 2, [2, 3, 4, 5].map(|row| (Reverse(10 * (row as u64 + 1)), row)));
        assert_eq!(sums(&alert), [(2, Value::Number(80)), (1, Value::Number(50))]);
        let words = |all: &[Arc<str>]| all.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        assert_eq!(words(&alert.countries), ["FR", "DE", "CN"]);
        assert_eq!(words(&alert.names), ["a.test", "b.test"]);
        assert_eq!(alert.flows.get(1).map(|flow| flow.value("name")), Some(Value::Text("b.test".into())));
    }

    /// What a number tells is looked at once; it must be found whenever it comes.
    #[test]
    fn new_words_are_found_in_any_tick_of_a_batch() {
        let cases: Vec<u32> = (0..600).map(|row| row * row % 90 + row / 7).collect();
        let country = |case: &u32| format!("country {}", case % 17);
        let evidence = |case: &u32| (case % 3 > 0).then(|| format!("evidence {}", case % 11));
        let columns: [(&str, ArrayRef); 4] = [
            ("flow_id", Arc::new(UInt64Array::from_iter_values(0..600))),
            ("case_id", Arc::new(UInt32Array::from(cases.clone()))),
            ("country", Arc::new(cases.iter().map(|case| Some(country(case))).collect::<StringViewArray>())),
            ("evidence", Arc::new(cases.iter().map(evidence).collect::<StringViewArray>())),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let Ok(batch) = RecordBatch::try_from_iter_with_nullable(columns) else { return assert_eq!("a batch", "") };
        let rows = RowBatch::from(batch);
        let frame = Frame::new(&rows, [1, 2]);
        let sampler = Sampler::new(&frame, [1, 2], Record::Flows);
        assert!(sampler.words_by.is_some());
        let mut alerts = [1, 2].map(|id| Alert { id, ..alert() });
        for tick in 0..60_usize {
            // each sees the rows of other ticks
            let rows = (10 * tick..10 * tick + 10).map(|row| (Reverse(0), row));
            sampler.absorb(&mut alerts[tick % 2], 0, rows);
        }
        for (number, alert) in alerts.iter().enumerate() {
            let mine = || cases.chunks(10).skip(number).step_by(2).flatten();
            let mut words: (Vec<String>, Vec<String>) =
                (mine().map(country).collect(), mine().filter_map(evidence).collect());
            for (words, found) in [(&mut words.0, &alert.countries), (&mut words.1, &alert.evidence)] {
                words.sort();
                words.dedup();
                let mut found: Vec<&str> = found.iter().map(|word| &**word).collect();
                found.sort_unstable();
                assert_eq!(found, *words);
            }
        }
    }
}
