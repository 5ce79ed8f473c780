//! HMAC-SHA-256 (RFC 2104) where key and message fit in a block each, as all of them do from which an Initial's keys are
//! made. What a key makes of the two hashes is worked out once for all its messages, and of the fixed keys once for all.

use sha2::block_api::compress256;

/// Bytes of a block, of a hash, and the longest message behind a block of pads.
const BLOCK: usize = 64;
pub(super) const HASH: usize = 32;
const LONGEST: usize = BLOCK - 9;

/// FIPS 180-4 section 5.3.3.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A key: the states of the inner and the outer hash behind their pads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hmac {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Hmac {
    /// That of a key of a hash's length at most.
    pub(super) fn new<const N: usize>(key: &[u8; N]) -> Hmac {
        const { assert!(N <= BLOCK) };
        let behind = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(to, byte)| *to ^= byte);
            let mut state = START;
            compress256(&mut state, &[block]);
            state
        };
        Hmac { inner: behind(0x36), outer: behind(0x5c) }
    }

    /// Of a message of 55 bytes at most; `None` for a longer one.
    pub(super) fn of(&self, message: &[u8]) -> Option<[u8; HASH]> {
        let inner = hash(self.inner, last_block(message)?);
        Some(hash(self.outer, last_block(&inner)?))
    }

    /// The first block that HKDF-Expand (RFC 5869 section 2.3) gives, where this is the pseudorandom key.
    pub(super) fn expand<const N: usize>(&self, info: &[u8]) -> Option<[u8; N]> {
        const { assert!(N <= HASH) };
        let mut message = [1; LONGEST];
        message.get_mut(..info.len())?.copy_from_slice(info);
        let bytes = self.of(message.get(..=info.len())?)?;
        bytes.first_chunk().copied()
    }
}

/// The last block of what is hashed behind a first one: padded, and with the length of both.
fn last_block(message: &[u8]) -> Option<[u8; BLOCK]> {
    if message.len() > LONGEST {
        return None;
    }
    let mut block = [0; BLOCK];
    block.get_mut(..message.len())?.copy_from_slice(message);
    *block.get_mut(message.len())? = 0x80;
    *block.last_chunk_mut()? = (8 * (BLOCK + message.len()) as u64).to_be_bytes();
    Some(block)
}

fn hash(mut state: [u32; 8], block: [u8; BLOCK]) -> [u8; HASH] {
    compress256(&mut state, &[block]);
    let mut bytes = [0; HASH];
    for (four, word) in bytes.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Hmac;

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn vectors_of_rfc_4231_and_rfc_5869() {
        // RFC 4231 sections 4.2 and 4.3
        let first = Hmac::new(&[0x0b; 20]).of(b"Hi There").unwrap();
        assert_eq!(text(&first), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let second = Hmac::new(b"Jefe").of(b"what do ya want for nothing?").unwrap();
        assert_eq!(text(&second), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        // RFC 5869 appendix A.1: 32 of its 42 bytes
        let salt: [u8; 13] = std::array::from_fn(|at| at as u8);
        let prk = Hmac::new(&salt).of(&[0x0b; 22]).unwrap();
        assert_eq!(text(&prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let info: [u8; 10] = std::array::from_fn(|at| 0xf0 + at as u8);
        let okm: [u8; 32] = Hmac::new(&prk).expand(&info).unwrap();
        assert_eq!(text(&okm), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn a_message_that_does_not_fit_is_none() {
        let hmac = Hmac::new(b"key");
        assert!(hmac.of(&[0; 55]).is_some());
        assert!(hmac.of(&[0; 56]).is_none());
        assert!(hmac.expand::<32>(&[0; 54]).is_some());
        assert!(hmac.expand::<32>(&[0; 55]).is_none());
    }
}
