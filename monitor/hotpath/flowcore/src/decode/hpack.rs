//! Header compression of HTTP/2: RFC 7541.

use std::borrow::Cow;

use super::huffman;

/// Entries of the static table (appendix A), counted from 1.
#[rustfmt::skip]
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];
/// What an entry of the dynamic table counts besides its text (section 4.1).
const OVERHEAD: usize = 32;
/// Size of the dynamic table until the other side asks for another (RFC 9113 section 6.5.2).
const TABLE_SIZE: usize = 4096;
/// Longest name or value that is read.
const MAX_TEXT: usize = 4096;
/// Fields of a block at most, and so the work that it can make.
const MAX_FIELDS: usize = 256;

/// Reads header blocks of one direction of a connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    /// The dynamic table, the newest entry last.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    size: usize,
    /// What `size` may become now, and what a block may set it to.
    limit: usize,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::with_table(TABLE_SIZE)
    }
}

impl Decoder {
    /// A decoder whose dynamic table holds this much.
    pub fn with_table(size: usize) -> Decoder {
        Decoder { entries: Vec::new(), size: 0, limit: size, most: size }
    }

    /// Read a block; `visit` gets each field's name and value until it says `false`. `None` where the
    /// block breaks the format, ends within a field, or has too many fields.
    pub fn read(&mut self, block: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> bool) -> Option<()> {
        let mut rest = block;
        for _ in 0..MAX_FIELDS {
            let Some(&first) = rest.first() else { return Some(()) };
            if first & 0x80 != 0 {
                let (name, value) = self.entry(number(&mut rest, 7)?)?;
                if !visit(name, value) {
                    return Some(());
                }
            } else if first & 0xe0 == 0x20 {
                self.limit = number(&mut rest, 5).filter(|size| *size <= self.most)?;
                self.shrink();
            } else {
                let kept = first & 0x40 != 0;
                let name = match number(&mut rest, if kept { 6 } else { 4 })? {
                    0 => text(&mut rest)?,
                    index => Cow::Borrowed(self.entry(index)?.0),
                };
                let value = text(&mut rest)?;
                if !visit(&name, &value) {
                    return Some(());
                }
                if kept {
                    let entry = (name.into_owned(), value.into_owned());
                    self.size += entry.0.len() + entry.1.len() + OVERHEAD;
                    self.entries.push(entry);
                    self.shrink();
                }
            }
        }
        None
    }

    /// Bytes in the dynamic table, as section 4.1 counts them.
    pub fn table_size(&self) -> usize {
        self.size
    }

    /// The static table, and behind it the dynamic one, the newest entry first (section 2.3.3).
    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some(entry) = STATIC.get(index) {
            return Some(*entry);
        }
        let newest = self.entries.len().checked_sub(1)?;
        let (name, value) = self.entries.get(newest.checked_sub(index - STATIC.len())?)?;
        Some((name, value))
    }

    /// Drop the oldest entries until the others fit (section 4.4).
    fn shrink(&mut self) {
        let mut gone = 0;
        while let (true, Some((name, value))) = (self.size > self.limit, self.entries.get(gone)) {
            self.size -= name.len() + value.len() + OVERHEAD;
            gone += 1;
        }
        self.entries.drain(..gone);
    }
}

/// An integer whose first byte has `bits` for it (section 5.1).
fn number(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let (&first, mut after) = rest.split_first()?;
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        for shift in (0..=21).step_by(7) {
            let (&next, behind) = after.split_first()?;
            after = behind;
            value += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                *rest = after;
                return Some(value);
            }
        }
        return None;
    }
    *rest = after;
    Some(value)
}

/// A string, plain or in Huffman's code (section 5.2).
fn text<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let huffman = rest.first()? & 0x80 != 0;
    let length = number(rest, 7)?;
    let bytes = rest.get(..length).filter(|bytes| bytes.len() <= MAX_TEXT)?;
    *rest = rest.get(length..)?;
    if huffman {
        huffman::decode(bytes, MAX_TEXT).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(bytes))
    }
}
