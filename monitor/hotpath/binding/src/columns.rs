//! Rows as Arrow record batches, with the columns of `monitor/flow_batch.py` in their order.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::types::UInt8Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, RecordBatch, StringArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt16Array, UInt32Array, UInt64Array, UInt8Array,
};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, Field, Schema};
use flowcore::decode::Tunnel;
use flowcore::flow::{Application, Batch, Confidence, Ending, Initiator, NameSource, Scope, Texts, NONE, NO_CODE};

const UTC: &str = "UTC";
const DNS_KINDS: &[&str] = &["question", "answer"];
const DNS_SECTIONS: &[&str] = &["question", "answer", "authority", "additional"];

type Result<T> = std::result::Result<T, ArrowError>;

/// Columns on their way to a record batch.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn push(&mut self, name: &str, array: ArrayRef) {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
    }

    fn nanoseconds(&mut self, name: &str, values: Vec<i64>) {
        self.push(name, Arc::new(TimestampNanosecondArray::from(values).with_timezone(UTC)));
    }

    /// Ticks: whole seconds, in the coarsest unit that Polars has.
    fn ticks(&mut self, mut values: Vec<i64>) {
        values.iter_mut().for_each(|time| *time /= 1_000_000);
        self.push("tick", Arc::new(TimestampMillisecondArray::from(values).with_timezone(UTC)));
    }

    fn addresses(&mut self, name: &str, values: Vec<[u8; 16]>) -> Result<()> {
        let bytes = Buffer::from_vec(values.into_flattened());
        self.push(name, Arc::new(FixedSizeBinaryArray::try_new(16, bytes, None)?));
        Ok(())
    }

    /// A closed set: a dictionary whose field carries the mark by which Polars reads it as an Enum.
    fn codes(&mut self, name: &str, codes: &[u8], names: &[&str]) -> Result<()> {
        let keys: UInt8Array = codes.iter().map(|code| (*code != NO_CODE).then_some(*code)).collect();
        let values = Arc::new(StringArray::from(names.to_vec()));
        let array = DictionaryArray::<UInt8Type>::try_new(keys, values)?;
        let marks: String = names.iter().map(|name| [&name.len().to_string(), ";", name].concat()).collect();
        let metadata = HashMap::from([("_PL_ENUM_VALUES2".to_string(), marks)]);
        self.fields.push(Field::new(name, array.data_type().clone(), true).with_metadata(metadata));
        self.arrays.push(Arc::new(array));
        Ok(())
    }

    fn booleans(&mut self, name: &str, values: &[bool]) {
        self.push(name, Arc::new(BooleanArray::from(values.to_vec())));
    }

    fn texts<'a>(&mut self, name: &str, values: impl Iterator<Item = Option<&'a str>>) {
        let mut builder = StringViewBuilder::new();
        values.for_each(|value| builder.append_option(value));
        self.push(name, Arc::new(builder.finish()));
    }

    /// Texts by their numbers; their bytes are shared and not copied.
    fn numbered(&mut self, name: &str, numbers: &[u32], texts: &Texts, bytes: &Buffer) -> Result<()> {
        let mut builder = StringViewBuilder::with_capacity(numbers.len());
        let block = builder.append_block(bytes.clone());
        for number in numbers {
            match texts.place(*number) {
                Some((start, end)) => builder.try_append_view(block, start, end - start)?,
                None => builder.append_null(),
            }
        }
        self.push(name, Arc::new(builder.finish()));
        Ok(())
    }

    fn finish(self) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}

/// The flow rows of a batch, taken out of it.
pub(crate) fn flows(batch: &mut Batch, interfaces: &[String]) -> Result<RecordBatch> {
    let rows = std::mem::take(&mut batch.flows);
    let mut all = Columns::default();
    all.ticks(rows.tick);
    all.push("flow_id", Arc::new(UInt64Array::from(rows.flow_id)));
    all.codes("scope", &rows.scope, &Scope::NAMES)?;
    all.nanoseconds("started", rows.started);
    all.nanoseconds("first_seen", rows.first_seen);
    all.nanoseconds("last_seen", rows.last_seen);
    all.addresses("local_address", rows.local_address)?;
    let remote = |id: &u32| batch.remotes.get(*id as usize).copied().unwrap_or_default();
    all.addresses("remote_address", rows.remote_id.iter().map(remote).collect())?;
    all.push("remote_id", Arc::new(UInt32Array::from(rows.remote_id)));
    all.push("local_port", Arc::new(UInt16Array::from(rows.local_port)));
    all.push("remote_port", Arc::new(UInt16Array::from(rows.remote_port)));
    all.push("protocol", Arc::new(UInt8Array::from(rows.protocol)));
    all.codes("initiator", &rows.initiator, &Initiator::NAMES)?;
    all.codes("initiator_confidence", &rows.confidence, &Confidence::NAMES)?;
    for (name, values) in [("bytes", rows.bytes), ("packets", rows.packets), ("payload", rows.payload)] {
        for (direction, values) in ["out", "in"].iter().zip(values) {
            all.push(&format!("{name}_{direction}"), Arc::new(UInt64Array::from(values)));
        }
    }
    all.push("tcp_flags", Arc::new(UInt8Array::from(rows.tcp_flags)));
    all.codes("application", &rows.application, &Application::NAMES)?;
    let name = |id: &u32| batch.names.get(*id as usize).map(|name| &**name);
    all.texts("name", rows.name_id.iter().map(name));
    let name_ids: UInt32Array = rows.name_id.iter().map(|id| (*id != NONE).then_some(*id)).collect();
    all.push("name_id", Arc::new(name_ids));
    all.codes("name_source", &rows.name_source, &NameSource::NAMES)?;
    all.booleans("ech", &rows.ech);
    let ja4 = |id: &u32| batch.ja4s.get(*id as usize).map(|ja4| &**ja4);
    all.texts("ja4", rows.ja4_id.iter().map(ja4));
    all.codes("tunnel", &rows.tunnel, &Tunnel::NAMES)?;
    all.push("tunnel_id", Arc::new(UInt32Array::from(rows.tunnel_id)));
    let interface = |index: &u16| interfaces.get(usize::from(*index)).map(String::as_str);
    all.texts("interface", rows.interface.iter().map(interface));
    all.codes("ended", &rows.ended, &Ending::NAMES)?;
    all.finish()
}

/// The DNS rows of a batch, taken out of it.
pub(crate) fn dns(batch: &mut Batch) -> Result<RecordBatch> {
    let rows = std::mem::take(&mut batch.dns);
    let mut all = Columns::default();
    all.ticks(rows.tick);
    all.nanoseconds("time", rows.time);
    let kinds: Vec<u8> = rows.answer.iter().map(|answer| u8::from(*answer)).collect();
    all.codes("kind", &kinds, DNS_KINDS)?;
    all.codes("scope", &rows.scope, &Scope::NAMES)?;
    all.addresses("client", rows.client)?;
    all.addresses("resolver", rows.resolver)?;
    all.push("client_port", Arc::new(UInt16Array::from(rows.client_port)));
    all.push("resolver_port", Arc::new(UInt16Array::from(rows.resolver_port)));
    all.push("query_id", Arc::new(UInt16Array::from(rows.query_id)));
    all.booleans("matched", &rows.matched);
    let texts = Buffer::from_slice_ref(rows.texts.bytes());
    all.numbered("question", &rows.question, &rows.texts, &texts)?;
    all.numbered("owner", &rows.owner, &rows.texts, &texts)?;
    all.push("type", Arc::new(UInt16Array::from(rows.rtype)));
    all.numbered("value", &rows.value, &rows.texts, &texts)?;
    let address = FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows.address.into_iter(), 16)?;
    all.push("address", Arc::new(address));
    all.push("ttl", Arc::new(UInt32Array::from(rows.ttl)));
    all.codes("section", &rows.section, DNS_SECTIONS)?;
    all.push("rcode", Arc::new(UInt8Array::from(rows.rcode)));
    all.push("message_bytes", Arc::new(UInt32Array::from(rows.message_bytes)));
    all.push("record_index", Arc::new(UInt16Array::from(rows.record_index)));
    all.finish()
}
