//! A keyed 64-bit hash: equal values have equal numbers, and nobody outside can choose values that collide.
//!
//! The keys are chosen at random for a new state and kept with it, so that kept numbers stay good.

use std::hash::{BuildHasherDefault, Hasher};

/// The secret of a state.
pub type Keys = [u64; 2];

/// The kind of texts.
pub(crate) const TEXT: u64 = 4;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The first eight bytes as a number, the first byte last; what lacks is zero.
///
/// Fixed pieces that overlap are read, since a copy of any length is a call.
fn word(bytes: &[u8]) -> u64 {
    let all = bytes.len().min(8);
    match (bytes.first_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(whole), ..) => u64::from_le_bytes(*whole),
        (_, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (all - 4))
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The number of some bytes; `kind` keeps the kinds of values apart.
pub fn bytes(keys: Keys, kind: u64, bytes: &[u8]) -> u64 {
    let mut state = keys[0] ^ kind.wrapping_mul(ODD) ^ bytes.len() as u64;
    for piece in bytes.chunks(16) {
        let (low, high) = piece.split_at(piece.len().min(8));
        state = fold(word(low) ^ state ^ keys[1], word(high) ^ state.rotate_left(29) ^ ODD);
    }
    fold(state ^ keys[1], ODD ^ keys[0])
}

/// What `bytes` gives for a text of at most 16 bytes, which are in two words of 8 bytes, filled up with zeros.
pub(crate) fn short_text(keys: Keys, length: u64, low: u64, high: u64) -> u64 {
    let mut state = keys[0] ^ TEXT.wrapping_mul(ODD) ^ length;
    if length > 0 {
        state = fold(low ^ state ^ keys[1], high ^ state.rotate_left(29) ^ ODD);
    }
    fold(state ^ keys[1], ODD ^ keys[0])
}

/// A number of two words, for a table that lives no longer than a batch.
pub(crate) fn pair(keys: Keys, one: u64, other: u64) -> u64 {
    spread(fold(one ^ keys[0], other ^ keys[1] ^ ODD))
}

/// Where a number stands in a table. Folded products of what counts up are a progression; under one key of a hundred its step
/// is such a one that look-ups go past 5 others, and under one of a thousand past 100. So its halves meet once more.
#[inline]
pub(crate) fn spread(number: u64) -> u64 {
    let mixed = (number ^ (number >> 32)).wrapping_mul(ODD);
    mixed ^ (mixed >> 32)
}

/// The number of a number; in a table it stands where [`spread`] says.
pub fn number(keys: Keys, kind: u64, value: u64) -> u64 {
    fold(value ^ keys[0] ^ kind.wrapping_mul(ODD), keys[1] | 1) ^ value.rotate_left(32)
}

/// One number of several, in their order.
pub fn mix(keys: Keys, numbers: impl Iterator<Item = u64>) -> u64 {
    // 0 is the group of what has no room
    numbers.fold(keys[0] ^ ODD, |state, number| and(keys, state, number)).max(1)
}

/// The same of one or two.
#[inline]
pub(crate) fn mix_few(keys: Keys, one: u64, two: Option<u64>) -> u64 {
    let one = and(keys, keys[0] ^ ODD, one);
    two.map_or(one, |two| and(keys, one, two)).max(1)
}

#[inline]
fn and(keys: Keys, state: u64, number: u64) -> u64 {
    fold(state ^ number, keys[1] | 1).wrapping_add(number.rotate_left(17))
}

/// For a number that is a hash already.
#[derive(Default)]
pub struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        spread(self.0)
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = word(bytes);
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// A map whose keys are hashes.
pub type Map<V> = std::collections::HashMap<u64, V, BuildHasherDefault<Ready>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_make_one_as_many_do() {
        let keys = [7, 11];
        assert_eq!(mix_few(keys, 3, None), mix(keys, [3].into_iter()));
        assert_eq!(mix_few(keys, 3, Some(5)), mix(keys, [3, 5].into_iter()));
    }

    #[test]
    fn a_word_is_its_bytes_filled_up_with_zeros() {
        let bytes: Vec<u8> = (0xf0..=0xfb).collect();
        for length in 0..=bytes.len() {
            let mut padded = [0; 8];
            for (place, byte) in padded.iter_mut().zip(&bytes[..length]) {
                *place = *byte;
            }
            assert_eq!(word(&bytes[..length]), u64::from_le_bytes(padded), "{length} bytes");
        }
    }

    /// Steps past its own place that a look-up in an open table takes for its numbers, on average: a sixth of one in a table
    /// of which a quarter is filled, if places are as good as random (Knuth, The Art of Computer Programming, section 6.4).
    fn steps(places: impl Iterator<Item = u64>, size: usize) -> f64 {
        let mut filled = vec![false; size];
        let (mut steps, mut count) = (0_u32, 0_u32);
        for place in places {
            let mut at = place as usize % size;
            while filled[at] {
                at = (at + 1) % size;
                steps += 1;
            }
            filled[at] = true;
            count += 1;
        }
        f64::from(steps) / f64::from(count)
    }

    /// Whatever a stranger counts up: in each half of a word, in each half of what a table asks.
    #[test]
    fn numbers_of_what_counts_up_spread_as_random_ones_do() {
        const COUNT: u64 = 1 << 11;
        for draw in 0..300_u64 {
            let keys = [1, 2].map(|kind| bytes([3, 5], kind, &draw.to_le_bytes()));
            let text = bytes(keys, TEXT, b"web");
            let ways: [(&str, &dyn Fn(u64) -> u64); 6] = [
                ("a number", &|n| spread(number(keys, 2, n))),
                ("a group of a number", &|n| spread(mix_few(keys, number(keys, 2, n), None))),
                ("a group of a text and a number", &|n| spread(mix_few(keys, text, Some(number(keys, 2, n))))),
                ("a mixed number", &|n| spread(mix(keys, [n, 7].into_iter()))),
                ("one of a pair", &|n| pair(keys, n, 0x3030_2e33)),
                ("the other of a pair", &|n| pair(keys, 0x2e30_312e_0000_000b, n)),
            ];
            for (what, place) in ways {
                for shift in [0, 16, 32, 50] {
                    for half in [0, 32] {
                        let steps = steps((0..COUNT).map(|n| place(n << shift) >> half), 4 * COUNT as usize);
                        assert!(steps < 0.25, "{what}, shifted by {shift}, from bit {half}, draw {draw}: {steps}");
                    }
                }
            }
        }
    }
}
