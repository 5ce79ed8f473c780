//! Who opened flows, as bytes that Python keeps in a file.

use flowcore::flow::Opened;

/// Bytes of one entry: the hash, little-endian; the confidence's index, with the end that opened in the
/// highest bit.
const ENTRY: usize = 9;
const BY_LOW: u8 = 0x80;

/// The entries, one after the other.
pub(crate) fn to_bytes(entries: &[Opened]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
    for entry in entries {
        bytes.extend_from_slice(&entry.hash.to_le_bytes());
        bytes.push(entry.confidence | (BY_LOW * u8::from(entry.by_low)));
    }
    bytes
}

/// The entries back; half an entry at the end is passed over.
pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<Opened> {
    bytes
        .chunks_exact(ENTRY)
        .filter_map(|entry| {
            let (hash, last) = entry.split_first_chunk::<8>()?;
            let last = *last.first()?;
            let (by_low, confidence) = (last & BY_LOW != 0, last & !BY_LOW);
            Some(Opened { hash: u64::from_le_bytes(*hash), by_low, confidence })
        })
        .collect()
}
