//! Texts and addresses as columns of views: what lies one behind the other in memory is copied as a whole, and not one by one.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, BinaryViewArray, StringArray, StringViewArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use flowcore::flow::Texts;

/// All texts, which are told; those that are not there according to `nulls` are null.
pub(crate) fn texts(texts: &Texts, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let (all, ends) = texts.all();
    let values = Buffer::from(all.as_bytes());
    let whole = StringArray::try_new(offsets(ends.iter().map(|end| *end as i32), ends.len())?, values, nulls)?;
    Ok(Arc::new(StringViewArray::from(&whole)))
}

/// Addresses of 16 bytes.
pub(crate) fn addresses(distinct: &[[u8; 16]]) -> Result<ArrayRef, ArrowError> {
    let ends = (1..=distinct.len() as i32).map(|place| 16 * place);
    let values = Buffer::from(distinct.as_flattened());
    let whole = BinaryArray::try_new(offsets(ends, distinct.len())?, values, None)?;
    Ok(Arc::new(BinaryViewArray::from(&whole)))
}

/// Where values begin and the last one ends, by where each ends.
fn offsets(ends: impl Iterator<Item = i32>, count: usize) -> Result<OffsetBuffer<i32>, ArrowError> {
    let mut all = Vec::with_capacity(count + 1);
    all.push(0);
    all.extend(ends);
    // a batch has far less than 2 GiB of text
    match all.is_sorted() {
        true => Ok(OffsetBuffer::new(ScalarBuffer::from(all))),
        false => Err(ArrowError::OffsetOverflowError(count)),
    }
}
