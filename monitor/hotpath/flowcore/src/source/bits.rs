//! Bits of a word for the bytes of a block: one instruction for sixteen bytes, where a multiplication gathers eight.

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// The highest bit of each byte, the lowest for the first.
#[inline(always)]
pub fn high_bits(block: &[u8; BLOCK]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_loadu_si128, _mm_movemask_epi8};
        let sixteen = |part: &[u8]| {
            // SAFETY: all processors of this architecture have SSE2, and `chunks_exact` gives sixteen bytes.
            u64::from(unsafe { _mm_movemask_epi8(_mm_loadu_si128(part.as_ptr().cast())) } as u16)
        };
        block.chunks_exact(16).rev().fold(0, |bits, part| (bits << 16) | sixteen(part))
    }
    #[cfg(not(target_arch = "x86_64"))]
    gathered(block)
}

/// [`high_bits`] by arithmetic alone.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn gathered(block: &[u8; BLOCK]) -> u64 {
    let words = block.chunks_exact(8).filter_map(|word| word.first_chunk().copied());
    // the multiplication moves the bit of each byte to its place in the highest byte
    let eight =
        |word| ((u64::from_le_bytes(word) >> 7) & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    words.rev().fold(0, |bits, word| (bits << 8) | eight(word))
}

#[cfg(test)]
mod tests {
    use super::{gathered, high_bits, BLOCK};

    #[test]
    fn each_byte_has_its_bit() {
        let mut state = 1_u64;
        for _ in 0..1000 {
            let mut block = [0; BLOCK];
            for byte in &mut block {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = (state >> 32) as u8;
            }
            let expected = block.iter().enumerate().fold(0, |bits, (at, byte)| bits | (u64::from(byte >> 7) << at));
            assert_eq!(high_bits(&block), expected);
            assert_eq!(gathered(&block), expected);
        }
    }
}
