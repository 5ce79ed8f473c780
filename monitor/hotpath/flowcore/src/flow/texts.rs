//! Texts of a batch in one piece of memory: a text costs no allocation of its own, and one that repeats
//! the last is kept once.

use std::io::Write;
use std::net::Ipv6Addr;

use super::spare::fits;

/// Texts by number.
#[derive(Debug, Default)]
pub struct Texts {
    /// Those that are told, once there are no others.
    told: String,
    /// Those that come: ASCII, of which nobody has to be told before all are there.
    bytes: Vec<u8>,
    /// Where each ends; it starts where the one before ends.
    ends: Vec<u32>,
}

impl Texts {
    /// The text with this number, once all are told; `None` for a number that none has.
    pub fn get(&self, number: u32) -> Option<&str> {
        let (start, end) = self.place(number)?;
        self.told.get(start..end)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).filter_map(|number| self.get(number))
    }

    /// Tell them: no other comes.
    pub fn tell(&mut self) {
        self.told = String::from_utf8(std::mem::take(&mut self.bytes)).unwrap_or_default();
    }

    /// No text yet, and room for so many of so many bytes: this memory, where it fits.
    pub(super) fn again(self, (texts, bytes): (usize, usize)) -> Texts {
        let (mut room, mut ends) = (self.told.into_bytes(), self.ends);
        room.clear();
        ends.clear();
        if !fits(room.capacity(), bytes) {
            room = Vec::with_capacity(bytes);
        }
        if !fits(ends.capacity(), texts) {
            ends = Vec::with_capacity(texts);
        }
        Texts { told: String::new(), bytes: room, ends }
    }

    /// How many have come, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.ends.len(), self.bytes.len())
    }

    /// Bytes of all that have come.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether this is the text with a number.
    pub(super) fn is(&self, number: u32, text: &[u8]) -> bool {
        self.place(number).and_then(|(start, end)| self.bytes.get(start..end)) == Some(text)
    }

    /// Keep a text and give its number.
    pub(super) fn push(&mut self, text: &[u8]) -> u32 {
        if let Some(last) = (self.ends.len() as u32).checked_sub(1).filter(|last| self.is(*last, text)) {
            return last;
        }
        self.bytes.extend_from_slice(text);
        self.close()
    }

    /// Keep an IPv4 address in dotted form. Out of a table: the standard library's way takes many times as long, and most
    /// answers are addresses.
    pub fn push_v4(&mut self, address: [u8; 4]) -> u32 {
        let mut text = [0; 16];
        let mut length = 0;
        for octet in address {
            let (digits, more) = OCTETS[usize::from(octet)];
            if let Some(place) = text.get_mut(length..).and_then(|rest| rest.first_chunk_mut()) {
                *place = digits;
            }
            length += usize::from(more);
        }
        // without the dot behind the last; a copy of a fixed size is no call
        let end = self.bytes.len() + length - 1;
        self.bytes.extend_from_slice(&text);
        self.bytes.truncate(end);
        self.close()
    }

    /// Keep an IPv6 address in the form of RFC 5952.
    pub fn push_v6(&mut self, address: [u8; 16]) -> u32 {
        let parts: [u16; 8] = std::array::from_fn(|at| u16::from_be_bytes([address[2 * at], address[2 * at + 1]]));
        if parts.starts_with(&[0; 5]) {
            // of these some hold an IPv4 address; writing to memory does not fail
            let _ = write!(self.bytes, "{}", Ipv6Addr::from(address));
            return self.close();
        }
        // two colons stand for all of them
        let (from, to) = longest_zeros(&parts);
        let mut text = [0; 40];
        let mut length = 0;
        let mut push = |byte: u8, wanted: bool| {
            if let Some(place) = text.get_mut(length) {
                *place = byte;
            }
            length += usize::from(wanted);
        };
        for (at, part) in parts.into_iter().enumerate() {
            if (from..to).contains(&at) {
                push(b':', at == from);
                push(b':', at == from);
                continue;
            }
            for shift in [12, 8, 4, 0] {
                push(b"0123456789abcdef"[usize::from((part >> shift) & 0xf)], shift == 0 || part >> shift != 0);
            }
            push(b':', at < 7 && at + 1 != from);
        }
        self.bytes.extend_from_slice(text.get(..length).unwrap_or_default());
        self.close()
    }

    fn place(&self, number: u32) -> Option<(usize, usize)> {
        let end = *self.ends.get(number as usize)?;
        let start = (number as usize).checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        Some((start as usize, end as usize))
    }

    fn close(&mut self) -> u32 {
        // who fills it asks its length before: see `Limits::dns`
        self.ends.push(self.bytes.len() as u32);
        (self.ends.len() - 1) as u32
    }
}

/// For each byte: its decimal digits and a dot behind them, and how many characters these are.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut all = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        all[octet] = match octet {
            0..10 => ([digits[2], b'.', 0, 0], 2),
            10..100 => ([digits[1], digits[2], b'.', 0], 3),
            _ => ([digits[0], digits[1], digits[2], b'.'], 4),
        };
        octet += 1;
    }
    all
};

/// From and to where the longest zeros stand, the first of them where two are as long; one alone stays.
fn longest_zeros(parts: &[u16; 8]) -> (usize, usize) {
    let (mut longest, mut begins) = ((8, 8), 0);
    for (at, part) in parts.iter().enumerate() {
        if *part != 0 {
            begins = at + 1;
        } else if at + 1 - begins > (longest.1 - longest.0).max(1) {
            longest = (begins, at + 1);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::Texts;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let (mut texts, mut expected) = (Texts::default(), Vec::new());
        let mut state = 1_u64;
        for _ in 0..20_000 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut address = [0_u8; 16];
            for (at, byte) in address.iter_mut().enumerate() {
                // many zeros, and parts with leading ones
                let kept = (state >> at) & 1 != 0 && (state >> (16 + at / 2)) & 1 != 0;
                *byte = if kept {
                    (state >> (4 * at % 57)) as u8 & if (state >> 40) & 1 != 0 { 0xff } else { 0xf }
                } else {
                    0
                };
            }
            texts.push_v6(address);
            expected.push(Ipv6Addr::from(address).to_string());
            let [a, b, c, d, ..] = state.to_be_bytes();
            texts.push_v4([a, b, c, d]);
            expected.push(Ipv4Addr::new(a, b, c, d).to_string());
        }
        texts.tell();
        assert!(expected.iter().filter(|text| text.contains("::")).count() > 10_000);
        assert!(texts.iter().eq(expected.iter().map(String::as_str)));
    }

    #[test]
    fn a_text_that_repeats_the_last_is_kept_once() {
        let mut texts = Texts::default();
        let numbers = ["a.b", "a.b", "", "", "a.b"].map(|text| texts.push(text.as_bytes()));
        assert_eq!(numbers, [0, 0, 1, 1, 2]);
        assert!(texts.is(0, b"a.b") && !texts.is(0, b"a.") && texts.is(1, b"") && !texts.is(3, b"a.b"));
        texts.tell();
        assert_eq!((texts.get(2), texts.get(3), texts.get(u32::MAX)), (Some("a.b"), None, None));
        let texts = texts.again((1, 1));
        assert_eq!((texts.size(), texts.get(0)), ((0, 0), None));
    }
}
