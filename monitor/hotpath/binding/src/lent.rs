//! Columns that Python was given, taken back once it has let them go: a vector that is filled again costs no page faults.
//!
//! A column that somebody keeps is never touched: its buffer is shared then, and only the last owner of a buffer gets
//! the vector out of it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use arrow_array::Array;
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_schema::DataType;
use flowcore::flow::{Pool, Spare, SpareColumns, Texts};

/// Batches that are waited for. Of one that Python keeps longer than these it is the only owner then.
const MOST: usize = 3;

/// The columns of one record batch.
#[derive(Default)]
pub(crate) struct LentColumns {
    /// By the type of their values.
    i64s: Vec<Buffer>,
    u64s: Vec<Buffer>,
    u32s: Vec<Buffer>,
    u16s: Vec<Buffer>,
    u8s: Vec<Buffer>,
    /// Vectors that were copied, and that nobody has.
    pub(crate) spare: SpareColumns,
}

impl LentColumns {
    /// Note an array that was made of a vector.
    pub(crate) fn note(&mut self, array: &dyn Array) {
        let list = match array.data_type() {
            DataType::Timestamp(..) => &mut self.i64s,
            DataType::UInt64 => &mut self.u64s,
            DataType::UInt32 => &mut self.u32s,
            DataType::UInt16 => &mut self.u16s,
            DataType::UInt8 => &mut self.u8s,
            _ => return,
        };
        list.extend(array.to_data().buffers().first().cloned());
    }

    fn is_free(&self) -> bool {
        let all = [&self.i64s, &self.u64s, &self.u32s, &self.u16s, &self.u8s];
        all.into_iter().flatten().all(|buffer| buffer.strong_count() == 1)
    }

    fn take_back(mut self) -> SpareColumns {
        let spare = &mut self.spare;
        take_back(self.i64s, &mut spare.i64s);
        take_back(self.u64s, &mut spare.u64s);
        take_back(self.u32s, &mut spare.u32s);
        take_back(self.u16s, &mut spare.u16s);
        take_back(self.u8s, &mut spare.u8s);
        self.spare
    }
}

fn take_back<T: ArrowNativeType>(buffers: Vec<Buffer>, pool: &mut Pool<T>) {
    buffers.into_iter().filter_map(|buffer| buffer.into_vec().ok()).for_each(|vector| pool.put(vector));
}

/// What Python has of one batch.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) flows: LentColumns,
    pub(crate) dns: LentColumns,
    pub(crate) texts: Texts,
}

/// What Python has of the last batches.
#[derive(Default)]
pub(crate) struct AllLent(Mutex<VecDeque<Lent>>);

impl AllLent {
    /// Note what Python is given.
    pub(crate) fn add(&self, lent: Lent) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(lent);
        let surplus = all.len().saturating_sub(MOST);
        all.drain(..surplus);
    }

    /// What Python has let go of since.
    pub(crate) fn take_back(&self) -> impl Iterator<Item = Spare> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (free, kept) =
            all.drain(..).partition::<VecDeque<Lent>, _>(|lent| lent.flows.is_free() && lent.dns.is_free());
        *all = kept;
        free.into_iter().map(|lent| Spare {
            flows: lent.flows.take_back(),
            dns: lent.dns.take_back(),
            texts: lent.texts,
        })
    }
}
