//! IP fragments: IPv4 (RFC 791 section 3.2) and IPv6 (RFC 8200 section 4.5).

use std::hash::{Hash, Hasher};

use super::{be16, be32};

/// The IP header of a fragment, up to and with what says where it belongs: of IPv4 the header, of IPv6 the
/// header and its extensions, the fragment header last.
#[derive(Clone, Copy, Debug)]
pub struct FragmentHead<'a>(pub(super) &'a [u8]);

/// What tells the packet that a fragment is of. A table adds the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentKey {
    /// Source and destination; 8 bytes of IPv4, zeros behind.
    addresses: [u8; 32],
    /// Identification; IPv4 has 16 bits.
    id: u32,
    /// IPv4: the upper protocol. IPv6: `None`, it is not part of the key there.
    protocol: Option<u8>,
    /// Two networks behind tunnels may use the same addresses.
    tunnel: u32,
}

/// As few steps as there can be. The protocol is left out: it hardly ever differs where all else is the same.
impl Hash for FragmentKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, rest @ ..] = self.words();
        let place = (u64::from(self.id) << 32) | u64::from(self.tunnel);
        // of IPv4 that is all
        state.write_u128((u128::from(first) << 64) | u128::from(place));
        if self.protocol.is_none() {
            rest.into_iter().for_each(|word| state.write_u64(word));
        }
    }
}

impl FragmentKey {
    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        let read =
            self.addresses.chunks_exact(8).filter_map(|word| word.first_chunk().copied().map(u64::from_le_bytes));
        words.iter_mut().zip(read).for_each(|(to, word)| *to = word);
        words
    }
}

/// The part of a packet that a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Place of its first byte in the packet's payload.
    pub start: u32,
    /// Place behind its last byte, as the header claims.
    pub end: u32,
    /// It is the last one.
    pub last: bool,
}

impl FragmentHead<'_> {
    /// What tells the packet, and which part of it this is. `tunnel` is the key of the tunnel around it
    /// ([`Encapsulation::key`](super::Encapsulation::key)). `None` cannot be where `decode` made it.
    pub fn read(&self, tunnel: u32) -> Option<(FragmentKey, Piece)> {
        let header = self.0;
        let mut addresses = [0; 32];
        if header.first()? >> 4 == 4 {
            addresses.get_mut(..8)?.copy_from_slice(header.get(12..20)?);
            let field = be16(header, 6)?;
            let start = u32::from(field & 0x1fff) * 8;
            let length = u32::from(be16(header, 2)?).saturating_sub(header.len() as u32);
            let (id, protocol) = (u32::from(be16(header, 4)?), Some(*header.get(9)?));
            let key = FragmentKey { addresses, id, protocol, tunnel };
            return Some((key, Piece { start, end: start + length, last: field & 0x2000 == 0 }));
        }
        addresses.copy_from_slice(header.get(8..40)?);
        let at = header.len().checked_sub(8)?;
        let field = be16(header, at + 2)?;
        let start = u32::from(field & 0xfff8);
        let length = (u32::from(be16(header, 4)?) + 40).saturating_sub(header.len() as u32);
        let key = FragmentKey { addresses, id: be32(header, at + 4)?, protocol: None, tunnel };
        Some((key, Piece { start, end: start + length, last: field & 1 == 0 }))
    }
}
