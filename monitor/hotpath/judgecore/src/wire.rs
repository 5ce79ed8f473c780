//! Numbers, texts and values as bytes, and back. What is read may be damaged: it is never trusted.

use std::sync::Arc;

use crate::hash;
use crate::value::Value;

/// What was kept cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Writes.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

/// Bytes of a seal.
const SEAL: usize = 8;

/// What tells bytes that were changed since they were written; by no secret, since nobody forges them.
fn seal(bytes: &[u8]) -> [u8; SEAL] {
    hash::bytes([0x7365_616c, 0x6f70_656e], 0, bytes).to_le_bytes()
}

/// What stands before the seal at the end, where it is that of these bytes.
pub fn unsealed(bytes: &[u8]) -> Result<&[u8], Damaged> {
    let (before, sealed) = bytes.split_last_chunk::<SEAL>().ok_or(Damaged)?;
    (*sealed == seal(before)).then_some(before).ok_or(Damaged)
}

impl Writer {
    /// All that was written, with a seal at the end.
    pub fn sealed(mut self) -> Vec<u8> {
        let seal = seal(&self.0);
        self.0.extend_from_slice(&seal);
        self.0
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A number, small ones in few bytes.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// A number that may be negative.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    /// A count of what follows.
    pub fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Something that may be missing.
    pub fn option<T>(&mut self, option: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        self.byte(u8::from(option.is_some()));
        if let Some(some) = option {
            write(self, some);
        }
    }

    /// Several.
    pub fn all<T>(&mut self, all: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Writer, T)) {
        self.count(all.len());
        for one in all {
            write(self, one);
        }
    }

    /// A value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Missing => self.byte(0),
            Value::Bool(flag) => {
                self.byte(1);
                self.byte(u8::from(*flag));
            }
            Value::Number(number) => {
                self.byte(2);
                self.number(*number);
            }
            Value::Time(time) => {
                self.byte(3);
                self.signed(*time);
            }
            Value::Address(address) => {
                self.byte(4);
                self.0.extend_from_slice(address);
            }
            Value::Text(text) => {
                self.byte(5);
                self.text(text);
            }
        }
    }
}

/// Reads.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (mine, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(mine)
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    /// A number that may be negative.
    pub fn signed(&mut self) -> Result<i64, Damaged> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A count of what follows; each of it takes at least a byte.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        let count = usize::try_from(self.number()?).map_err(|_| Damaged)?;
        if count > self.0.len() {
            return Err(Damaged);
        }
        Ok(count)
    }

    /// Text.
    pub fn text(&mut self) -> Result<Arc<str>, Damaged> {
        let count = self.count()?;
        std::str::from_utf8(self.bytes(count)?).map(Into::into).map_err(|_| Damaged)
    }

    /// Something that may be missing.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Damaged>) -> Result<Option<T>, Damaged> {
        if self.byte()? == 0 {
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Several.
    pub fn all<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, Damaged>) -> Result<Vec<T>, Damaged> {
        let count = self.count()?;
        (0..count).map(|_| read(self)).collect()
    }

    /// A value.
    pub fn value(&mut self) -> Result<Value, Damaged> {
        Ok(match self.byte()? {
            0 => Value::Missing,
            1 => Value::Bool(self.byte()? != 0),
            2 => Value::Number(self.number()?),
            3 => Value::Time(self.signed()?),
            4 => Value::Address(self.bytes(16)?.try_into().map_err(|_| Damaged)?),
            5 => Value::Text(self.text()?),
            _ => return Err(Damaged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_told() {
        let mut writer = Writer::default();
        (0..40).for_each(|number| writer.number(number * number));
        let before = writer.0.clone();
        let sealed = writer.sealed();
        assert_eq!(unsealed(&sealed), Ok(&before[..]));
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[place] ^= 1 << bit;
                assert_eq!(unsealed(&changed), Err(Damaged), "bit {bit} of byte {place}");
            }
            assert_eq!(unsealed(&sealed[..place]), Err(Damaged), "{place} bytes");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let values = [
            Value::Missing,
            Value::Bool(true),
            Value::Number(u64::MAX),
            Value::Time(i64::MIN),
            Value::Time(-1),
            Value::Address([7; 16]),
            Value::Text("é\0".into()),
        ];
        let mut writer = Writer::default();
        writer.all(values.iter(), |writer, value| writer.value(value));
        for cut in 0..writer.0.len() {
            let whole = Reader(&writer.0[..cut]).all(Reader::value);
            assert_eq!(whole, Err(Damaged), "{cut}");
        }
        assert_eq!(Reader(&writer.0).all(Reader::value), Ok(values.to_vec()));
    }
}
