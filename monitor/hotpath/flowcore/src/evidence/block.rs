//! Blocks of pcapng as they are written: draft-ietf-opsawg-pcapng sections 4.1 to 4.3. Little endian, times in
//! nanoseconds.

pub(super) const SECTION: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE: u32 = 1;
pub(super) const ENHANCED: u32 = 6;
pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Bytes of an enhanced packet block beside the packet.
pub(super) const PACKET_OVERHEAD: usize = 32;

const END: u16 = 0;
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
pub(super) const NAME: u16 = 2;
const RESOLUTION: u16 = 9;

/// Longest text of an option; the draft allows 65535.
const MAX_TEXT: usize = 4096;

fn put32(to: &mut Vec<u8>, number: u32) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put16(to: &mut Vec<u8>, number: u16) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn pad(to: &mut Vec<u8>, length: usize) {
    to.extend_from_slice([0; 3].get(..length.wrapping_neg() & 3).unwrap_or_default());
}

fn option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(MAX_TEXT)).unwrap_or_default();
    put16(to, code);
    put16(to, value.len() as u16);
    to.extend_from_slice(value);
    pad(to, value.len());
}

/// Add a block whose body is written by `body`.
fn block(to: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    put32(to, kind);
    put32(to, 0);
    body(to);
    let length = (to.len() - start + 4) as u32;
    put32(to, length);
    if let Some(place) = to.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Add a section header: what begins a file.
pub(super) fn section(to: &mut Vec<u8>, application: &str, comments: &[String]) {
    block(to, SECTION, |to| {
        put32(to, BYTE_ORDER);
        put16(to, 1);
        put16(to, 0);
        // the length of the section is not known beforehand
        put32(to, u32::MAX);
        put32(to, u32::MAX);
        for comment in comments {
            option(to, COMMENT, comment.as_bytes());
        }
        option(to, USER_APPLICATION, application.as_bytes());
        put32(to, u32::from(END));
    });
}

/// Add the description of an interface.
pub(super) fn interface(to: &mut Vec<u8>, link: u16, name: &str, comment: &str) {
    block(to, INTERFACE, |to| {
        put16(to, link);
        put16(to, 0);
        // no limit that holds for all packets
        put32(to, 0);
        option(to, NAME, name.as_bytes());
        option(to, COMMENT, comment.as_bytes());
        option(to, RESOLUTION, &[9]);
        put32(to, u32::from(END));
    });
}

/// Bytes of the block of a packet of which so many bytes are kept.
#[inline]
pub(super) fn packet_length(kept: usize) -> usize {
    PACKET_OVERHEAD + kept.next_multiple_of(4)
}

/// Write a packet of `wire` bytes, of which the `pieces` are kept, into a place of [`packet_length`]; false where it is none.
#[inline]
pub(super) fn packet<const N: usize>(to: &mut [u8], interface: u32, time: i64, wire: u32, pieces: [&[u8]; N]) -> bool {
    let kept: usize = pieces.iter().map(|piece| piece.len()).sum();
    let length = to.len() as u32;
    let Some((head, rest)) = to.split_first_chunk_mut::<{ PACKET_OVERHEAD - 4 }>() else { return false };
    let Some((mut body, behind)) = rest.split_last_chunk_mut::<4>() else { return false };
    let time = time.max(0) as u64;
    let words = [ENHANCED, length, interface, (time >> 32) as u32, time as u32, kept as u32, wire.max(kept as u32)];
    for (place, word) in head.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    if let Some(end) = body.last_chunk_mut::<4>() {
        // what is behind the packet up to the next multiple of four
        *end = [0; 4];
    }
    for piece in pieces {
        let Some((place, left)) = body.split_at_mut_checked(piece.len()) else { return false };
        place.copy_from_slice(piece);
        body = left;
    }
    *behind = length.to_le_bytes();
    true
}
