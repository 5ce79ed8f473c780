//! Fingerprints that were made lately: a client says the same in each of its hellos, and two hashes take longer than
//! to find them again.
//!
//! Browsers put the extensions in another order in each hello and reserved values of chance among them; neither is in a
//! fingerprint, nor in what is remembered.

use std::cell::RefCell;

use super::ja4::{is_grease, values, Fields, Ja4, Transport};
use super::memo::Memo;

/// Hellos that are remembered.
const PLACES: usize = 1 << 10;
/// Bytes of the longest question that is remembered; an OpenSSL client's has some 120.
const LONGEST: usize = 256;

thread_local! {
    static MEMO: RefCell<Memo<Entry, PLACES>> = const { RefCell::new(Memo::new()) };
}

struct Entry {
    question: Box<[u8]>,
    answer: Ja4,
}

/// The fingerprint of these fields; `make` makes it where it is not known.
pub(super) fn recall(fields: &Fields<'_>, transport: Transport, make: impl Fn() -> Ja4) -> Ja4 {
    let mut question = Question { bytes: [0; LONGEST], end: 0 };
    if question.write(fields, transport).is_none() {
        return make();
    }
    let question = question.bytes.get(..question.end).unwrap_or_default();
    MEMO.with_borrow_mut(|memo| {
        let is = |entry: &Entry| *entry.question == *question;
        let found = memo.recall(question, is, || Entry { question: question.into(), answer: make() });
        found.map_or_else(&make, |entry| entry.answer.clone())
    })
}

/// All that a fingerprint is made of.
struct Question {
    bytes: [u8; LONGEST],
    end: usize,
}

impl Question {
    /// Write each list behind its length, without GREASE, the extensions in the order of their numbers; `None` where that
    /// is too long.
    fn write(&mut self, fields: &Fields<'_>, transport: Transport) -> Option<()> {
        self.push([transport as u8, fields.alpn.len() as u8])?;
        self.push(fields.version.to_be_bytes())?;
        for byte in fields.alpn {
            self.push([*byte])?;
        }
        for list in [fields.ciphers, fields.signatures] {
            let start = self.end;
            self.push([0, 0])?;
            for value in values(list) {
                self.push(value.to_be_bytes())?;
            }
            let length = (self.end - start) as u16;
            *self.bytes.get_mut(start..)?.first_chunk_mut()? = length.to_be_bytes();
        }
        // nearly all have small numbers, which need not be sorted; what comes twice is among the others
        let (mut small, mut others, mut count) = (0_u64, [0; LONGEST / 4], 0);
        for kind in fields.extension_types().filter(|kind| !is_grease(*kind)) {
            let bit = 1_u64.checked_shl(kind.into()).unwrap_or(0);
            if bit & !small != 0 {
                small |= bit;
            } else {
                *others.get_mut(count)? = kind;
                count += 1;
            }
        }
        self.push(small.to_be_bytes())?;
        let others = others.get_mut(..count)?;
        others.sort_unstable();
        others.iter().try_for_each(|kind| self.push(kind.to_be_bytes()))
    }

    #[inline(always)]
    fn push<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        *self.bytes.get_mut(self.end..)?.first_chunk_mut()? = bytes;
        self.end += N;
        Some(())
    }
}
