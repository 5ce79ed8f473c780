//! The server name in a TLS ClientHello: RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3.

use super::be16;

/// Longest run of handshake bytes that is put together for one ClientHello. Post-quantum key shares
/// make some 2 KiB; RFC 8446 section 4 allows 16 MiB, which nobody sends.
pub const MAX_HELLO: usize = 32 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ECH: u16 = 0xfe0d;
const MAX_NAME: usize = 255;

/// What a byte stream says about its ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// It is one, whole.
    Found {
        /// The server name it asks for, lower case.
        name: Option<String>,
        /// An encrypted ClientHello was offered: the name may be only the outer one.
        ech: bool,
    },
    /// It may be one; more bytes are needed.
    More,
    /// It is none.
    No,
    /// It is one that does not hold what it announces.
    Malformed,
}

/// Whether a stream can begin with a TLS record that holds a ClientHello. Decides on as few as one byte.
#[inline]
pub fn may_start(stream: &[u8]) -> bool {
    let at = |index: usize, allowed: fn(u8) -> bool| stream.get(index).is_none_or(|byte| allowed(*byte));
    at(0, |byte| byte == HANDSHAKE)
        && at(1, |byte| byte == 3)
        && at(2, |byte| byte <= 4)
        && at(3, |byte| byte <= 0x48)
        && at(5, |byte| byte == CLIENT_HELLO)
        && !stream.is_empty()
}

/// Read the ClientHello at the start of a stream of TLS records.
pub fn client_hello(stream: &[u8]) -> Hello {
    if !may_start(stream) {
        return Hello::No;
    }
    // a handshake message may span records: join their contents
    let mut message = Vec::new();
    let mut rest = stream;
    loop {
        let (Some(&kind), Some(length)) = (rest.first(), be16(rest, 3)) else { return Hello::More };
        if kind != HANDSHAKE {
            return Hello::Malformed;
        }
        let end = 5 + usize::from(length);
        let part = rest.get(5..end.min(rest.len())).unwrap_or_default();
        message.extend_from_slice(part);
        if let Some(wanted) = message_length(&message) {
            if wanted > MAX_HELLO {
                return Hello::Malformed;
            }
            if message.len() >= wanted {
                let body = message.get(4..wanted).unwrap_or_default();
                return parse_body(body).unwrap_or(Hello::Malformed);
            }
        }
        if part.len() < usize::from(length) {
            return Hello::More;
        }
        if length == 0 {
            return Hello::Malformed;
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// Length of the handshake message with its header, once that is there.
fn message_length(message: &[u8]) -> Option<usize> {
    let head = message.get(..4)?;
    match head {
        [_, high, middle, low] => {
            Some(4 + ((usize::from(*high) << 16) | (usize::from(*middle) << 8) | usize::from(*low)))
        }
        _ => None,
    }
}

/// The fields of a ClientHello, behind its handshake header; `None` where one is longer than what is there.
pub(crate) fn parse_body(body: &[u8]) -> Option<Hello> {
    let mut at = 2 + 32;
    at += 1 + usize::from(*body.get(at)?);
    at += 2 + usize::from(be16(body, at)?);
    at += 1 + usize::from(*body.get(at)?);
    if at > body.len() {
        return None;
    }
    if at == body.len() {
        // before TLS 1.3 the extensions may be left out
        return Some(Hello::Found { name: None, ech: false });
    }
    let end = (at + 2 + usize::from(be16(body, at)?)).min(body.len());
    at += 2;
    let (mut name, mut ech) = (None, false);
    while at < end {
        let kind = be16(body, at)?;
        let length = usize::from(be16(body, at + 2)?);
        let value = body.get(at + 4..at + 4 + length)?;
        match kind {
            EXTENSION_SERVER_NAME if name.is_none() => name = server_name(value),
            EXTENSION_ECH => ech = true,
            _ => {}
        }
        at += 4 + length;
    }
    Some(Hello::Found { name, ech })
}

/// RFC 6066 section 3: a list of names, of which host names have type 0.
fn server_name(value: &[u8]) -> Option<String> {
    let mut at = 2;
    while let (Some(kind), Some(length)) = (value.get(at), be16(value, at + 1)) {
        let name = value.get(at + 3..at + 3 + usize::from(length))?;
        if *kind == 0 {
            return claimed_name(name);
        }
        at += 3 + usize::from(length);
    }
    None
}

/// A name as a client claims it: lower case, without a final dot, at most 255 bytes, and every byte
/// that is not printable ASCII written as `\DDD` (RFC 4343 section 2.1), so that it is safe to keep.
pub fn claimed_name(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() || bytes.len() > MAX_NAME {
        return None;
    }
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'!'..=b'~' => text.push(byte.to_ascii_lowercase() as char),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    Some(text)
}
