//! DNS messages: RFC 1035 section 4, RFC 9460 (HTTPS and SVCB records).
//!
//! Records are handed to a visitor one by one; names are decompressed into fixed buffers, which one message after the
//! other uses, so that a message costs no allocation until somebody keeps something of it.

use super::{be16, be32};

/// RR types that are read.
pub mod rtype {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const PTR: u16 = 12;
    pub const AAAA: u16 = 28;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
}

/// Records that are looked at in one message; more fit into no answer that a client can use.
const MAX_RECORDS: usize = 512;
/// RFC 1035 section 2.3.4.
const MAX_NAME: usize = 255;
/// Pointers of one name: before each of the 127 labels that it has room for, and before the root. In a message of pointers
/// alone each record would else take thousands of steps.
const MAX_POINTERS: usize = 128;

/// Ports on which DNS is looked for: unicast, multicast (RFC 6762), link-local (RFC 4795).
const UNICAST: u16 = 53;
const MULTICAST: u16 = 5353;
const LINK_LOCAL: u16 = 5355;

/// Whether a flow between these ports may be DNS.
#[inline]
pub fn on_port(source: u16, destination: u16) -> bool {
    let is = |port: u16| (port == source) | (port == destination);
    is(UNICAST) | is(MULTICAST) | is(LINK_LOCAL)
}

/// The part of a message that a record stands in; the numbers are those of the column `section`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked.
    Question = 0,
    /// What answers it.
    Answer = 1,
    /// Who is in charge.
    Authority = 2,
    /// What else may help.
    Additional = 3,
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Query id.
    pub id: u16,
    /// QR bit.
    pub response: bool,
    /// The operation is QUERY; only then an answer counts as one.
    pub query: bool,
    /// Response code, lower four bits.
    pub rcode: u8,
}

/// What a record holds, where it is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A.
    V4([u8; 4]),
    /// AAAA.
    V6([u8; 16]),
    /// CNAME, NS, PTR, and the target of HTTPS and SVCB.
    Name(&'a [u8]),
    /// Anything else, and every question.
    Other,
}

/// One question or record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it stands.
    pub section: Section,
    /// Name it belongs to, in ASCII: lower case, escaped, without the final dot; `.` is the root.
    pub owner: &'a [u8],
    /// That is the name of the question or record before, by a pointer to the same place. Others may be it too.
    pub again: bool,
    /// RR type.
    pub rtype: u16,
    /// Seconds; 0 in questions.
    pub ttl: u32,
    /// Its data.
    pub value: Value<'a>,
}

/// The message ended early or holds what cannot be; what came before it was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Read the head; `None` where the message is too short for one (RFC 1035 section 4.1.1).
pub fn head(message: &[u8]) -> Option<Head> {
    let flags = be16(message, 2)?;
    if message.len() < 12 {
        return None;
    }
    Some(Head {
        id: be16(message, 0)?,
        response: flags & 0x8000 != 0,
        query: flags & 0x7800 == 0,
        rcode: (flags & 0x0f) as u8,
    })
}

/// Reads messages.
#[derive(Debug, Default)]
pub struct Reader {
    owner: Name,
    target: Name,
}

impl Reader {
    /// Hand each question and record to `visit`, in the order of the message.
    ///
    /// # Errors
    /// [`Malformed`] at the first thing that does not fit; what stands before it has been handed over.
    pub fn records(&mut self, message: &[u8], mut visit: impl FnMut(Record<'_>)) -> Result<(), Malformed> {
        let Reader { owner, target } = self;
        // what they hold stands in another message
        (owner.origin, target.origin) = (0, 0);
        let counts = [4, 6, 8, 10].map(|at| usize::from(be16(message, at).unwrap_or(0)));
        let sections = [Section::Question, Section::Answer, Section::Authority, Section::Additional];
        let mut at = 12;
        let mut budget = MAX_RECORDS;
        for (section, count) in sections.into_iter().zip(counts) {
            for _ in 0..count {
                budget = budget.checked_sub(1).ok_or(Malformed)?;
                at = owner.read(message, at).ok_or(Malformed)?;
                let rtype = be16(message, at).ok_or(Malformed)?;
                if section == Section::Question {
                    be16(message, at + 2).ok_or(Malformed)?;
                    at += 4;
                    visit(Record {
                        section,
                        owner: owner.text(),
                        again: owner.again,
                        rtype,
                        ttl: 0,
                        value: Value::Other,
                    });
                    continue;
                }
                let ttl = be32(message, at + 4).ok_or(Malformed)?;
                let length = usize::from(be16(message, at + 8).ok_or(Malformed)?);
                at += 10;
                let data = message.get(at..at + length).ok_or(Malformed)?;
                let name_at = match rtype {
                    rtype::CNAME | rtype::NS | rtype::PTR => Some(at),
                    rtype::HTTPS | rtype::SVCB => Some(at + 2),
                    _ => None,
                };
                let value = match (rtype, name_at) {
                    (rtype::A, _) => Value::V4(data.try_into().map_err(|_| Malformed)?),
                    (rtype::AAAA, _) => Value::V6(data.try_into().map_err(|_| Malformed)?),
                    (_, Some(start)) => {
                        target.read(message, start).ok_or(Malformed)?;
                        Value::Name(target.text())
                    }
                    _ => Value::Other,
                };
                visit(Record { section, owner: owner.text(), again: owner.again, rtype, ttl, value });
                at += length;
            }
        }
        Ok(())
    }
}

/// Letters in lower case, digits, hyphen and underscore: what stands in nearly all labels. [`OTHER`]: another byte.
const PLAIN: [u8; 256] = {
    let mut plain = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-' || byte as u8 == b'_' {
            plain[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    plain
};

/// The bit that none of those has.
const OTHER: u8 = 0x80;

/// A name in presentation form, at most four times 255 bytes.
#[derive(Debug)]
struct Name {
    bytes: [u8; MAX_NAME * 4 + 4],
    length: usize,
    /// Where in the message this text stands; 0: nowhere.
    origin: usize,
    /// It stood here before it was read last.
    again: bool,
}

impl Default for Name {
    fn default() -> Name {
        Name { bytes: [0; MAX_NAME * 4 + 4], length: 0, origin: 0, again: false }
    }
}

impl Name {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.length)? = byte;
        self.length += 1;
        Some(())
    }

    /// Read the name at `at`, following pointers backwards only (RFC 1035 section 4.1.4: "a prior
    /// occurrence"), so that it ends. Gives where the next field starts.
    fn read(&mut self, message: &[u8], mut at: usize) -> Option<usize> {
        let origin = match be16(message, at) {
            Some(pointer) if pointer >= 0xc000 => usize::from(pointer & 0x3fff),
            _ => at,
        };
        // most records of a message point to the same name
        self.again = origin != at && origin < at && origin == self.origin;
        if self.again {
            return Some(at + 2);
        }
        self.origin = 0;
        self.length = 0;
        let mut wire_length = 1;
        let mut after = None;
        let (mut limit, mut pointers) = (at, 0);
        loop {
            let size = usize::from(*message.get(at)?);
            match size {
                0 => {
                    if self.length == 0 {
                        self.push(b'.')?;
                    }
                    self.origin = origin;
                    return Some(after.unwrap_or(at + 1));
                }
                1..=63 => {
                    let label = message.get(at + 1..at + 1 + size)?;
                    wire_length += size + 1;
                    if wire_length > MAX_NAME {
                        return None;
                    }
                    if self.length > 0 {
                        self.push(b'.')?;
                    }
                    self.push_label(label)?;
                    at += 1 + size;
                }
                192.. => {
                    let target = usize::from(be16(message, at)? & 0x3fff);
                    after = after.or(Some(at + 2));
                    pointers += 1;
                    if target >= limit || pointers > MAX_POINTERS {
                        return None;
                    }
                    limit = target;
                    at = target;
                }
                _ => return None,
            }
        }
    }

    fn push_label(&mut self, label: &[u8]) -> Option<()> {
        let place = self.bytes.get_mut(self.length..self.length + label.len())?;
        let mut all = 0;
        for (to, from) in place.iter_mut().zip(label) {
            *to = PLAIN[usize::from(*from)];
            all |= *to;
        }
        if all & OTHER == 0 {
            self.length += label.len();
            return Some(());
        }
        label.iter().try_for_each(|byte| self.push_escaped(*byte))
    }

    /// RFC 4343 section 2.1: what is not a printable character, and a dot or backslash inside a label,
    /// is escaped.
    fn push_escaped(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'.' | b'\\' => {
                self.push(b'\\')?;
                self.push(byte)
            }
            b'!'..=b'~' => self.push(byte.to_ascii_lowercase()),
            other => {
                self.push(b'\\')?;
                self.push(b'0' + other / 100)?;
                self.push(b'0' + other / 10 % 10)?;
                self.push(b'0' + other % 10)
            }
        }
    }
}
