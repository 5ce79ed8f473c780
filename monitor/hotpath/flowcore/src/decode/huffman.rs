//! The Huffman code of HPACK: RFC 7541 section 5.2 and appendix B.
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and
//! the first code of a length follows from those of the shorter ones. So the lengths alone make it.

/// Length of each byte's code in bits (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
/// The longest code; among those of this length EOS is the last, and must not occur.
const LONGEST: usize = 30;

/// Codes of each length.
const COUNTS: [u16; LONGEST + 1] = counts();
/// Symbols in the order of their codes.
const SYMBOLS: [u8; 256] = symbols();

const fn counts() -> [u16; LONGEST + 1] {
    let mut counts = [0; LONGEST + 1];
    let mut symbol = 0;
    while symbol < LENGTHS.len() {
        counts[LENGTHS[symbol] as usize] += 1;
        symbol += 1;
    }
    counts
}

const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let (mut at, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[at] = symbol as u8;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

/// Decode a string of at most `limit` bytes; `None` where it is longer, holds EOS, or its padding is not
/// the beginning of EOS (section 5.2).
pub(super) fn decode(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    // of the code that is being read: its bits, its length, the first code of this length, symbols before it
    let (mut code, mut length, mut first, mut before) = (0_u32, 0_usize, 0_u32, 0_u32);
    let mut only_ones = true;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| u32::from(byte >> place & 1))) {
        code = code << 1 | bit;
        only_ones &= bit == 1;
        length += 1;
        first <<= 1;
        let count = u32::from(*COUNTS.get(length)?);
        if code - first < count {
            if text.len() == limit {
                return None;
            }
            text.push(*SYMBOLS.get((before + code - first) as usize)?);
            (code, length, first, before, only_ones) = (0, 0, 0, 0, true);
        } else {
            first += count;
            before += count;
        }
    }
    (length < 8 && only_ones).then_some(text)
}
