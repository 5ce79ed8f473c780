//! The frames of an Initial: RFC 9000 sections 12.4 and 19.

use super::{T050, T051};

/// CRYPTO frames that are read in one packet. Chrome scatters a hello over some 20.
const MAX_CRYPTO: usize = 128;

/// Frames that are not allowed in an Initial, or that do not hold what they announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Visit the CRYPTO frames of an Initial of this version: their offsets and what they hold.
///
/// # Errors
/// Where the frames cannot be read further; those before were visited.
pub fn crypto(version: u32, mut bytes: &[u8], mut visit: impl FnMut(u64, &[u8])) -> Result<(), Malformed> {
    const PADDING: u8 = 0;
    const PING: u8 = 1;
    const ACK: u8 = 2;
    const ACK_ECN: u8 = 3;
    const CRYPTO: u8 = 6;
    const GOOGLES_CRYPTO: u8 = 8;
    const CLOSE: u8 = 0x1c;
    let crypto = if version == T050 || version == T051 { GOOGLES_CRYPTO } else { CRYPTO };
    let mut count = 0;
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        match kind {
            // the most of a client's first Initial
            PADDING => {
                while let Some((block, rest)) = bytes.split_first_chunk::<64>() {
                    if block.iter().fold(0, |all, byte| all | byte) != 0 {
                        break;
                    }
                    bytes = rest;
                }
                while let Some(([0, 0, 0, 0, 0, 0, 0, 0], rest)) = bytes.split_first_chunk::<8>() {
                    bytes = rest;
                }
            }
            PING => {}
            ACK | ACK_ECN => {
                for _ in 0..2 {
                    varint(&mut bytes).ok_or(Malformed)?;
                }
                let ranges = varint(&mut bytes).ok_or(Malformed)?;
                let counts = if kind == ACK_ECN { 3 } else { 0 };
                // the first range, then a gap and a length for each further one; bytes end before a lie does
                for _ in 0..ranges.saturating_mul(2).saturating_add(1 + counts) {
                    varint(&mut bytes).ok_or(Malformed)?;
                }
            }
            _ if kind == crypto => {
                let offset = varint(&mut bytes).ok_or(Malformed)?;
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok()).ok_or(Malformed)?;
                let (data, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
                count += 1;
                if count > MAX_CRYPTO {
                    return Err(Malformed);
                }
                visit(offset, data);
                bytes = rest;
            }
            // the connection is over
            CLOSE => return Ok(()),
            _ => return Err(Malformed),
        }
    }
    Ok(())
}

/// A variable-length integer (RFC 9000 section 16) off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let more = (1_usize << (first >> 6)) - 1;
    let (tail, rest) = rest.split_at_checked(more)?;
    *bytes = rest;
    Some(tail.iter().fold(u64::from(first & 0x3f), |value, byte| (value << 8) | u64::from(*byte)))
}
