//! Walks over the blocks of a file that the ring or a capsule wrote; what is cut off or foreign ends the walk.

use super::block::{BYTE_ORDER, ENHANCED, INTERFACE, NAME, SECTION};

/// A packet as it stands in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    /// Bytes on the wire.
    pub(super) wire: u32,
    pub(super) data: &'a [u8],
}

/// An interface as it is described in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Described<'a> {
    pub(super) link: u16,
    pub(super) name: &'a [u8],
    /// The whole block.
    pub(super) block: &'a [u8],
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(four))
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    let two: [u8; 2] = data.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(two))
}

/// Visit each packet with its interface; gives how many bytes are whole blocks.
pub(super) fn walk<'a>(data: &'a [u8], mut visit: impl FnMut(Packet<'a>, &Described<'a>)) -> usize {
    let mut interfaces: Vec<Described<'a>> = Vec::new();
    let mut at = 0;
    while let Some(block) = block_at(data, at) {
        if at == 0 && !is_section(block) {
            break;
        }
        let fits = match word(block, 0) {
            Some(SECTION) => {
                interfaces.clear();
                is_section(block)
            }
            Some(INTERFACE) => described(block).map(|found| interfaces.push(found)).is_some(),
            Some(ENHANCED) => packet(block, &interfaces).map(|(packet, on)| visit(packet, on)).is_some(),
            _ => true,
        };
        if !fits {
            break;
        }
        at += block.len();
    }
    at
}

/// The whole block that begins there.
fn block_at(data: &[u8], at: usize) -> Option<&[u8]> {
    let length = word(data, at + 4)? as usize;
    let block = data.get(at..at.checked_add(length)?)?;
    let same = length >= 12 && length % 4 == 0 && word(block, length - 4) == Some(length as u32);
    same.then_some(block)
}

fn is_section(block: &[u8]) -> bool {
    word(block, 0) == Some(SECTION) && word(block, 8) == Some(BYTE_ORDER)
}

fn described(block: &[u8]) -> Option<Described<'_>> {
    let link = half(block, 8)?;
    let mut name: &[u8] = &[];
    let mut at = 16;
    while let (Some(code), Some(length)) = (half(block, at), half(block, at + 2)) {
        let value = block.get(at + 4..at + 4 + usize::from(length));
        match (code, value) {
            (0, _) | (_, None) => break,
            (NAME, Some(value)) => name = value,
            _ => {}
        }
        at += 4 + usize::from(length).next_multiple_of(4);
    }
    Some(Described { link, name, block })
}

fn packet<'a, 'i>(block: &'a [u8], interfaces: &'i [Described<'a>]) -> Option<(Packet<'a>, &'i Described<'a>)> {
    let on = interfaces.get(word(block, 8)? as usize)?;
    let time = (u64::from(word(block, 12)?) << 32) | u64::from(word(block, 16)?);
    let kept = word(block, 20)? as usize;
    let data = block.get(28..28 + kept)?;
    Some((Packet { time: i64::try_from(time).ok()?, wire: word(block, 24)?, data }, on))
}
