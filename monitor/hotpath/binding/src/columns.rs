//! Rows as Arrow record batches, with the columns of `monitor/flow_batch.py` in their order.

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray, TimestampNanosecondArray, UInt16Array,
    UInt32Array, UInt64Array, UInt8Array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{ArrowError, Field, Schema};
use flowcore::decode::sensitive::{Finding, Findings};
use flowcore::flow::{Batch, NONE, NO_CODE};

use crate::dense::dense;
use crate::lent::{Lent, LentColumns};
use crate::row_batch::CODE;

const UTC: &str = "UTC";

type Result<T> = std::result::Result<T, ArrowError>;

/// Columns of rows, and by the name of a column of numbers what each number stands for: one row for each, from 0.
pub(crate) type Numbered = (RecordBatch, Vec<(&'static str, RecordBatch)>);

/// Columns on their way to a record batch.
struct Columns<'l> {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    lent: &'l mut LentColumns,
}

impl<'l> Columns<'l> {
    fn new(lent: &'l mut LentColumns) -> Columns<'l> {
        Columns { fields: Vec::new(), arrays: Vec::new(), lent }
    }

    /// Add a column that stands in a vector of the worker's.
    fn lend(&mut self, name: &str, array: ArrayRef) {
        self.lent.note(&array);
        self.push(name, array);
    }

    fn push(&mut self, name: &str, array: ArrayRef) {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
    }

    fn nanoseconds(&mut self, name: &str, values: Vec<i64>) {
        self.lend(name, Arc::new(TimestampNanosecondArray::from(values).with_timezone(UTC)));
    }

    /// Ticks: whole seconds, in the coarsest unit that Polars has.
    fn ticks(&mut self, mut values: Vec<i64>) {
        // neighbours are of one tick, and a division takes longer than a look
        let mut last = (0, 0);
        for time in &mut values {
            if *time != last.0 {
                last = (*time, *time / 1_000_000);
            }
            *time = last.1;
        }
        self.lend("tick", Arc::new(TimestampMillisecondArray::from(values).with_timezone(UTC)));
    }

    /// A closed set by the places of its words: what stands there is told by name (`monitor/flow_rows.py`).
    fn places(&mut self, name: &str, codes: Vec<u8>) {
        let there = known(&codes, NO_CODE);
        self.lend(&[name, CODE].concat(), Arc::new(UInt8Array::new(codes.into(), there)));
    }

    fn booleans(&mut self, name: &str, values: Vec<bool>) {
        let bits = BooleanBuffer::collect_bool(values.len(), |row| values.get(row) == Some(&true));
        self.push(name, Arc::new(BooleanArray::new(bits, None)));
        self.lent.spare.bools.put(values);
    }

    fn finish(self) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}

/// Which values are none, where some are.
fn known<T: Copy + PartialEq>(values: &[T], none: T) -> Option<NullBuffer> {
    values.contains(&none).then(|| {
        let there = |row: usize| values.get(row).is_some_and(|value| *value != none);
        NullBuffer::new(BooleanBuffer::collect_bool(values.len(), there))
    })
}

/// Numbers as a column; [`NONE`] is null.
fn numbers(values: Vec<u32>) -> UInt32Array {
    let there = known(&values, NONE);
    UInt32Array::new(values.into(), there)
}

fn addresses(distinct: &[[u8; 16]]) -> ArrayRef {
    let mut builder = BinaryViewBuilder::with_capacity(distinct.len());
    distinct.iter().for_each(|address| builder.append_value(address));
    Arc::new(builder.finish())
}

fn texts<'a>(distinct: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringViewBuilder::new();
    distinct.for_each(|text| builder.append_option(text));
    Arc::new(builder.finish())
}

/// What was found in what the rows sent: zero but for a few rows. Columns with nothing else share their memory.
fn found(all: &mut Columns, rows: usize, findings: &[(u32, Findings)]) {
    let nothing: ArrayRef = Arc::new(UInt32Array::from(vec![0; rows]));
    let column = |kinds: &[usize]| -> ArrayRef {
        let of_kinds = |counts: &Findings| {
            kinds.iter().fold(0_u32, |sum, kind| sum.saturating_add(counts.get(*kind).copied().unwrap_or(0)))
        };
        if findings.iter().all(|(_, counts)| of_kinds(counts) == 0) {
            return Arc::clone(&nothing);
        }
        let mut column = vec![0; rows];
        for (row, counts) in findings {
            if let Some(place) = column.get_mut(*row as usize) {
                *place = of_kinds(counts);
            }
        }
        Arc::new(UInt32Array::from(column))
    };
    for (kind, name) in Finding::NAMES.iter().enumerate() {
        all.push(&format!("{name}_out"), column(&[kind]));
    }
    all.push("personal_data_out", column(&[Finding::Email, Finding::Card, Finding::Iban].map(Finding::index)));
}

/// What numbers stand for.
fn told(by: &'static str, name: &str, distinct: ArrayRef) -> Result<(&'static str, RecordBatch)> {
    Ok((by, RecordBatch::try_from_iter_with_nullable([(name, distinct, true)])?))
}

/// The flow rows of a batch, taken out of it.
pub(crate) fn flows(batch: &mut Batch, interfaces: &[String], lent: &mut Lent) -> Result<Numbered> {
    let rows = std::mem::take(&mut batch.flows);
    let count = rows.tick.len();
    let mut all = Columns::new(&mut lent.flows);
    all.ticks(rows.tick);
    all.lend("flow_id", Arc::new(UInt64Array::from(rows.flow_id)));
    all.places("scope", rows.scope);
    all.nanoseconds("started", rows.started);
    all.nanoseconds("first_seen", rows.first_seen);
    all.nanoseconds("last_seen", rows.last_seen);
    all.lend("local_id", Arc::new(UInt32Array::from(rows.local_id)));
    all.lend("remote_id", Arc::new(UInt32Array::from(rows.remote_id)));
    all.lend("local_port", Arc::new(UInt16Array::from(rows.local_port)));
    all.lend("remote_port", Arc::new(UInt16Array::from(rows.remote_port)));
    all.lend("protocol", Arc::new(UInt8Array::from(rows.protocol)));
    all.places("initiator", rows.initiator);
    all.places("initiator_confidence", rows.confidence);
    for (name, values) in [("bytes", rows.bytes), ("packets", rows.packets), ("payload", rows.payload)] {
        for (direction, values) in ["out", "in"].iter().zip(values) {
            all.lend(&format!("{name}_{direction}"), Arc::new(UInt64Array::from(values)));
        }
    }
    found(&mut all, count, &rows.findings);
    all.lend("tcp_flags", Arc::new(UInt8Array::from(rows.tcp_flags)));
    all.places("application", rows.application);
    all.lend("name_id", Arc::new(numbers(rows.name_id)));
    all.places("name_source", rows.name_source);
    all.booleans("ech", rows.ech);
    all.lend("ja4_id", Arc::new(numbers(rows.ja4_id)));
    all.places("tunnel", rows.tunnel);
    all.lend("tunnel_id", Arc::new(UInt32Array::from(rows.tunnel_id)));
    let taken_at = rows.interface.iter().map(|index| u32::from(*index));
    all.push("interface_id", Arc::new(UInt32Array::from_iter_values(taken_at)));
    all.places("ended", rows.ended);
    let told = vec![
        told("local_id", "local_address", addresses(&batch.locals))?,
        told("remote_id", "remote_address", addresses(&batch.remotes))?,
        told("name_id", "name", texts(batch.names.iter().map(|name| Some(&**name))))?,
        told("ja4_id", "ja4", texts(batch.ja4s.iter().map(|ja4| Some(&**ja4))))?,
        told("interface_id", "interface", texts(interfaces.iter().map(|name| Some(name.as_str()))))?,
    ];
    let spare = &mut all.lent.spare;
    spare.u16s.put(rows.interface);
    spare.addresses.put(std::mem::take(&mut batch.locals));
    spare.addresses.put(std::mem::take(&mut batch.remotes));
    Ok((all.finish()?, told))
}

/// The DNS rows of a batch, taken out of it.
pub(crate) fn dns(batch: &mut Batch, lent: &mut Lent) -> Result<Numbered> {
    let rows = std::mem::take(&mut batch.dns);
    let mut all = Columns::new(&mut lent.dns);
    all.ticks(rows.tick);
    all.nanoseconds("time", rows.time);
    all.places("kind", rows.answer.iter().map(|answer| u8::from(*answer)).collect());
    all.places("scope", rows.scope);
    // addresses as numbers, which are hashed in one step
    let [clients, resolvers] =
        [&rows.client, &rows.resolver].map(|ends| dense(ends.iter().copied(), u128::from_ne_bytes));
    let questions = dense(rows.question.iter().copied(), |number| rows.texts.get(number));
    for (name, numbers) in
        [("client_id", clients.numbers), ("resolver_id", resolvers.numbers), ("question_id", questions.numbers)]
    {
        all.push(name, Arc::new(UInt32Array::from(numbers)));
    }
    all.lend("client_port", Arc::new(UInt16Array::from(rows.client_port)));
    all.lend("resolver_port", Arc::new(UInt16Array::from(rows.resolver_port)));
    all.lend("query_id", Arc::new(UInt16Array::from(rows.query_id)));
    all.booleans("matched", rows.matched);
    all.lend("owner_id", Arc::new(numbers(rows.owner)));
    all.lend("type", Arc::new(UInt16Array::from(rows.rtype)));
    all.lend("value_id", Arc::new(numbers(rows.value)));
    let mut address = BinaryViewBuilder::with_capacity(rows.address.len());
    rows.address.iter().for_each(|packed| address.append_option(packed.as_ref()));
    all.push("address", Arc::new(address.finish()));
    all.push("ttl", Arc::new(UInt32Array::from_iter(rows.ttl.iter().copied())));
    all.places("section", rows.section);
    all.push("rcode", Arc::new(UInt8Array::from_iter(rows.rcode.iter().copied())));
    all.lend("message_bytes", Arc::new(UInt32Array::from(rows.message_bytes)));
    all.lend("record_index", Arc::new(UInt16Array::from(rows.record_index)));
    let written = texts(rows.texts.iter().map(Some));
    let told = vec![
        told("client_id", "client", addresses(&clients.distinct))?,
        told("resolver_id", "resolver", addresses(&resolvers.distinct))?,
        told("question_id", "question", texts(questions.distinct.iter().map(|number| rows.texts.get(*number))))?,
        told("owner_id", "owner", Arc::clone(&written))?,
        told("value_id", "value", written)?,
    ];
    let spare = &mut all.lent.spare;
    spare.bools.put(rows.answer);
    spare.addresses.put(rows.client);
    spare.addresses.put(rows.resolver);
    spare.u32s.put(rows.question);
    spare.maybe_addresses.put(rows.address);
    spare.maybe_u32s.put(rows.ttl);
    spare.maybe_u8s.put(rows.rcode);
    let record = all.finish()?;
    lent.texts = rows.texts;
    Ok((record, told))
}
