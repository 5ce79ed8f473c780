//! The data section: values, each with a control byte. They are checked, not kept.

use std::fmt;

/// Containers in containers; the format's own C library goes no deeper than 512.
const MAX_DEPTH: u32 = 64;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not end in metadata: no file of this format, or cut off.
    NoMetadata,
    /// The metadata does not say what the tree is like, or says something that cannot be.
    BadMetadata,
    /// The tree does not fit into the file: cut off, or two files in one.
    ShortTree,
    /// A record of the tree points outside the data.
    BadRecord,
    /// A value in the data is cut off, of no known type, or nested too deep.
    BadValue,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Fault::NoMetadata => "it does not end in the metadata of a MaxMind DB file, or is cut off",
            Fault::BadMetadata => "its metadata is damaged",
            Fault::ShortTree => "its search tree is cut off",
            Fault::BadRecord => "its search tree points outside the data",
            Fault::BadValue => "its data is damaged",
        })
    }
}

/// What a control byte and the bytes behind it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The value is elsewhere: offset in the section.
    Pointer(usize),
    /// So many bytes of content follow.
    Bytes(usize),
    /// An unsigned number of so many bytes follows.
    Number(usize),
    /// So many pairs of values follow, the first of each a name.
    Map(usize),
    /// So many values follow.
    Array(usize),
}

/// How far a check may go on.
#[derive(Default)]
pub(crate) struct Walk {
    /// What values point to, and was not checked yet.
    waiting: Vec<usize>,
    /// Values that may still be looked at.
    left: usize,
}

impl Walk {
    /// Through data of so many bytes. A value takes a byte at least, and is looked at once for each value around it
    /// that something points to: a few. A file that was made for it has values begin in the midst of others, each of
    /// which goes on to the end.
    pub(crate) fn through(bytes: usize) -> Walk {
        Walk { waiting: Vec::new(), left: bytes.saturating_mul(8) }
    }
}

/// One section of values, with offsets from its start.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a>(pub(crate) &'a [u8]);

impl Section<'_> {
    /// Read the control byte at an offset; gives what it says and where the content begins.
    pub(crate) fn head(self, at: usize) -> Option<(Head, usize)> {
        let control = *self.0.get(at)?;
        let mut next = at + 1;
        let mut kind = control >> 5;
        if kind == 1 {
            return self.pointer(control, next);
        }
        if kind == 0 {
            kind = self.0.get(next)?.checked_add(7)?;
            next += 1;
        }
        let (more, base) = match control & 0x1f {
            29 => (1, 29),
            30 => (2, 285),
            31 => (3, 65_821),
            size => (0, usize::from(size)),
        };
        let size = base + self.number(next, more)?;
        next += more;
        let head = match kind {
            2 | 4 => Head::Bytes(size),
            3 if size == 8 => Head::Bytes(size),
            5 if size <= 2 => Head::Number(size),
            6 if size <= 4 => Head::Number(size),
            8 if size <= 4 => Head::Bytes(size),
            9 if size <= 8 => Head::Number(size),
            10 if size <= 16 => Head::Bytes(size),
            7 => Head::Map(size),
            11 => Head::Array(size),
            14 if size <= 1 => Head::Bytes(0),
            15 if size == 4 => Head::Bytes(size),
            _ => return None,
        };
        Some((head, next))
    }

    fn pointer(self, control: u8, at: usize) -> Option<(Head, usize)> {
        let size = usize::from(control >> 3 & 3) + 1;
        let high = usize::from(control & 7);
        let low = self.number(at, size)?;
        let target = match size {
            1 => high << 8 | low,
            2 => (high << 16 | low) + 2_048,
            3 => (high << 24 | low) + 526_336,
            _ => low,
        };
        Some((Head::Pointer(target), at + size))
    }

    /// Read a number of so many bytes, most significant first.
    pub(crate) fn number(self, at: usize, size: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Read the text at an offset; gives it and where it ends.
    pub(crate) fn text(self, at: usize) -> Option<(&'static str, usize)> {
        let (Head::Bytes(size), start) = self.head(at)? else { return None };
        let end = start.checked_add(size)?;
        let bytes = self.0.get(start..end)?;
        let known = ["node_count", "record_size", "ip_version"].into_iter().find(|name| name.as_bytes() == bytes);
        Some((known.unwrap_or_default(), end))
    }

    /// Check one value and all that it points to, each once; `seen` says for each offset whether it was.
    pub(crate) fn check(self, at: usize, seen: &mut [bool], walk: &mut Walk) -> Result<(), Fault> {
        let mut next = Some(at);
        while let Some(at) = next {
            let is_checked = seen.get_mut(at).ok_or(Fault::BadValue)?;
            if !*is_checked {
                *is_checked = true;
                self.skip(at, 0, walk)?;
            }
            next = walk.waiting.pop();
        }
        Ok(())
    }

    /// Give where a value ends; what it points to waits.
    pub(crate) fn skip(self, at: usize, depth: u32, walk: &mut Walk) -> Result<usize, Fault> {
        let (head, start) = self.head(at).ok_or(Fault::BadValue)?;
        walk.left = walk.left.checked_sub(1).ok_or(Fault::BadValue)?;
        if depth > MAX_DEPTH {
            return Err(Fault::BadValue);
        }
        let parts = match head {
            Head::Pointer(target) => {
                walk.waiting.push(target);
                return Ok(start);
            }
            Head::Bytes(size) | Head::Number(size) => {
                let end = start.checked_add(size).filter(|end| *end <= self.0.len());
                return end.ok_or(Fault::BadValue);
            }
            Head::Map(pairs) => pairs.saturating_mul(2),
            Head::Array(values) => values,
        };
        let mut next = start;
        for _ in 0..parts {
            next = self.skip(next, depth + 1, walk)?;
        }
        Ok(next)
    }
}
