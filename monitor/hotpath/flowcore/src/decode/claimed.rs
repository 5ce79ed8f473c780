//! Names as somebody claims them, in a form that is safe to keep.

use std::cell::RefCell;
use std::sync::Arc;

use super::memo::Memo;

/// A claimed name. Those that are claimed again and again share one text.
pub type Claimed = Arc<str>;

const MAX_NAME: usize = 255;
/// Names that are remembered.
const PLACES: usize = 1 << 12;

thread_local! {
    static KNOWN: RefCell<Memo<Claimed, PLACES>> = const { RefCell::new(Memo::new()) };
}

/// A name in lower case, without a final dot, at most 255 bytes, and every byte that is not printable ASCII written as
/// `\DDD` (RFC 4343 section 2.1).
pub fn claimed_name(bytes: &[u8]) -> Option<Claimed> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    let mut lower = [0; MAX_NAME];
    let lower = lower.get_mut(..bytes.len()).filter(|lower| !lower.is_empty())?;
    let mut plain = true;
    for (to, from) in lower.iter_mut().zip(bytes) {
        *to = from.to_ascii_lowercase();
        plain &= from.is_ascii_graphic();
    }
    match std::str::from_utf8(lower) {
        Ok(text) if plain => KNOWN.with_borrow_mut(|known| {
            let is = |there: &Claimed| **there == *text;
            known.recall(text.as_bytes(), is, || text.into()).cloned()
        }),
        _ => Some(escaped(lower).into()),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(4 * bytes.len());
    for byte in bytes {
        match byte {
            b'!'..=b'~' => text.push(*byte as char),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text
}
