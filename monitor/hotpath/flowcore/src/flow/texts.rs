//! Texts of a batch in one piece of memory: a text costs no allocation of its own, and one that repeats
//! the last is kept once.

use std::fmt::Write;
use std::net::Ipv6Addr;

use super::spare::fits;

/// Texts by number.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: String,
    /// Where each ends; it starts where the one before ends.
    ends: Vec<u32>,
}

impl Texts {
    /// The text with this number; `None` for a number that none has.
    pub fn get(&self, number: u32) -> Option<&str> {
        let end = *self.ends.get(number as usize)?;
        let start = (number as usize).checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start as usize..end as usize)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).filter_map(|number| self.get(number))
    }

    /// No text yet, and room for so many of so many bytes: this memory, where it fits.
    pub(super) fn again(mut self, (texts, bytes): (usize, usize)) -> Texts {
        self.bytes.clear();
        self.ends.clear();
        if !fits(self.bytes.capacity(), bytes) {
            self.bytes = String::with_capacity(bytes);
        }
        if !fits(self.ends.capacity(), texts) {
            self.ends = Vec::with_capacity(texts);
        }
        self
    }

    /// How many, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.ends.len(), self.bytes.len())
    }

    /// Bytes of all of them.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Keep a text and give its number.
    pub(super) fn push(&mut self, text: &str) -> u32 {
        if let Some(last) = (self.ends.len() as u32).checked_sub(1) {
            if self.get(last) == Some(text) {
                return last;
            }
        }
        self.bytes.push_str(text);
        self.close()
    }

    /// Keep an IPv4 address in dotted form. By hand: the standard library's way takes five times as long,
    /// and most answers are addresses.
    pub(super) fn push_v4(&mut self, address: [u8; 4]) -> u32 {
        let mut text = [0; 15];
        let mut length = 0;
        for (index, byte) in address.into_iter().enumerate() {
            let digits = [(index > 0, b'.'), (byte >= 100, b'0' + byte / 100), (byte >= 10, b'0' + byte / 10 % 10)];
            for (wanted, digit) in digits.into_iter().chain([(true, b'0' + byte % 10)]) {
                if let Some(place) = text.get_mut(length) {
                    *place = digit;
                }
                length += usize::from(wanted);
            }
        }
        self.bytes.push_str(std::str::from_utf8(text.get(..length).unwrap_or_default()).unwrap_or_default());
        self.close()
    }

    /// Keep an IPv6 address in the form of RFC 5952.
    pub(super) fn push_v6(&mut self, address: [u8; 16]) -> u32 {
        // writing to a string does not fail
        let _ = write!(self.bytes, "{}", Ipv6Addr::from(address));
        self.close()
    }

    fn close(&mut self) -> u32 {
        // who fills it asks its length before: see `Limits::dns`
        self.ends.push(self.bytes.len() as u32);
        (self.ends.len() - 1) as u32
    }
}
