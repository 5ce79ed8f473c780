//! Fingerprints that were made lately: a client says the same in each of its hellos, and two hashes take longer than
//! to find them again.
//!
//! A memo changes nothing but time: it is asked with all that a fingerprint is made of, and with nothing else. Browsers put
//! the extensions in another order in each hello and reserved values of chance among them; neither is in a fingerprint.

use std::cell::RefCell;

use super::ja4::{is_grease, values, Fields, Ja4, Transport};

/// Hellos that are remembered; the length is a power of two. A new one takes the place of one with the same hash.
const PLACES: usize = 1 << 10;
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

/// All that a fingerprint is made of, each list behind its length, without GREASE, the extensions in the order of their
/// numbers; `None` where that is too long.
fn write<'r>(fields: &Fields<'_>, transport: Transport, room: &'r mut [u8; LONGEST]) -> Option<&'r [u8]> {
    let mut push = |at: usize, bytes: &[u8]| {
        room.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(at + bytes.len())
    };
    let mut end = push(0, &[transport as u8, fields.alpn.len() as u8])?;
    end = push(end, &fields.version.to_be_bytes())?;
    end = push(end, fields.alpn)?;
    for list in [fields.ciphers, fields.signatures] {
        let start = end;
        end += 2;
        for value in values(list) {
            end = push(end, &value.to_be_bytes())?;
        }
        push(start, &((end - start) as u16).to_be_bytes())?;
    }
    let mut kinds = [0; LONGEST / 2];
    let mut count = 0;
    for kind in fields.extension_types().filter(|kind| !is_grease(*kind)) {
        *kinds.get_mut(count)? = kind;
        count += 1;
    }
    let kinds = kinds.get_mut(..count)?;
    kinds.sort_unstable();
    for kind in kinds {
        end = push(end, &kind.to_be_bytes())?;
    }
    room.get(..end)
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
