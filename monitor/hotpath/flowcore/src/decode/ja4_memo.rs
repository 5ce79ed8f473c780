//! Fingerprints that were made lately: a client says the same in each of its hellos, and two hashes take longer than
//! to find them again.
//!
//! A memo changes nothing but time: it is asked with all bytes that a fingerprint is made of.

use std::cell::RefCell;

use super::ja4::{Fields, Ja4, Transport};

/// Hellos that are remembered; the length is a power of two. A new one takes the place of one with the same hash.
const PLACES: usize = 256;
/// Bytes of the longest question that is remembered; an OpenSSL client's has some 120.
const LONGEST: usize = 256;

thread_local! {
    static MEMO: RefCell<Vec<Option<Entry>>> = const { RefCell::new(Vec::new()) };
}

struct Entry {
    question: Box<[u8]>,
    answer: Ja4,
}

/// The fingerprint of these fields; `make` makes it where it is not known.
pub(super) fn recall(fields: &Fields<'_>, transport: Transport, make: impl FnOnce() -> Ja4) -> Ja4 {
    let mut room = [0; LONGEST];
    let Some(question) = write(fields, transport, &mut room) else { return make() };
    MEMO.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        let Some(place) = places.get_mut(hash(question) % PLACES) else { return make() };
        match place {
            Some(entry) if *entry.question == *question => entry.answer.clone(),
            _ => place.insert(Entry { question: question.into(), answer: make() }).answer.clone(),
        }
    })
}

/// All that a fingerprint is made of, each list behind its length; `None` where that is too long.
fn write<'r>(fields: &Fields<'_>, transport: Transport, room: &'r mut [u8; LONGEST]) -> Option<&'r [u8]> {
    let mut at = 0;
    let mut push = |bytes: &[u8]| {
        let end = at + bytes.len();
        room.get_mut(at..end).map(|place| {
            place.copy_from_slice(bytes);
            at = end;
        })
    };
    let length = |list: usize| (list as u16).to_be_bytes();
    push(&[transport as u8])?;
    push(&fields.version.to_be_bytes())?;
    for list in [fields.ciphers, fields.alpn, fields.signatures] {
        push(&length(list.len()))?;
        push(list)?;
    }
    for kind in fields.extension_types() {
        push(&kind.to_be_bytes())?;
    }
    room.get(..at)
}

/// Which place: no secret, since who aims at another's place only has it made anew.
fn hash(question: &[u8]) -> usize {
    let state = question.chunks(8).fold(question.len() as u64, |state, chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        (state ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    (state ^ (state >> 32)) as usize
}
