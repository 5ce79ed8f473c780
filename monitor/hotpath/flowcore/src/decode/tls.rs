//! The beginning of a TLS connection: the ClientHello (RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section
//! 3, RFC 7301 section 3.1), and up to TLS 1.2 the server's certificate (RFC 5246 section 7.4.2).

use std::borrow::Cow;

use super::certificate;
use super::claimed::{claimed_name, Claimed};
use super::ja4::{self, Ja4, Transport};
use super::{be16, be24};

/// Longest run of handshake bytes that is put together for a ClientHello or a certificate. Post-quantum key shares
/// make some 2 KiB; RFC 8446 section 4 allows 16 MiB, which nobody sends.
pub const MAX_HELLO: usize = 32 * 1024;

/// Records that are joined for one. A peer may ask for records of 64 bytes (RFC 8449 section 4), and so many of them make the
/// longest run; of records of a byte each, every further packet would have to join thousands again.
const MAX_RECORDS: usize = MAX_HELLO / 64;

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;
const MAX_CIPHERTEXT: u16 = (1 << 14) + 2048;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_SIGNATURE_ALGORITHMS: u16 = 13;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const EXTENSION_ECH: u16 = 0xfe0d;

/// What a ClientHello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name it asks for, lower case.
    pub name: Option<Claimed>,
    /// An encrypted ClientHello was offered, or one was feigned (GREASE): the name may be only the
    /// outer one, and nobody but the server can tell.
    pub ech: bool,
    /// Fingerprint of the client.
    pub ja4: Ja4,
}

/// What a byte stream says about its ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// It is one, whole.
    Found(ClientHello),
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
    let (messages, end) = handshake(stream);
    match be24(&messages, 1).map(|length| 4 + length as usize) {
        Some(wanted) if wanted > MAX_HELLO => Hello::Malformed,
        Some(wanted) if messages.len() >= wanted => {
            let body = messages.get(4..wanted).unwrap_or_default();
            parse_body(body, Transport::Tcp).map_or(Hello::Malformed, Hello::Found)
        }
        _ if end == End::Open => Hello::More,
        _ => Hello::Malformed,
    }
}

/// Whether a segment begins with a record that holds a ServerHello.
#[inline]
pub fn is_server_hello(segment: &[u8]) -> bool {
    matches!(segment, [HANDSHAKE, 3, 0..=4, _, _, SERVER_HELLO, ..])
}

/// Whether a segment begins with a record as it stands in the middle of a connection: its length is a
/// possible one (RFC 5246 section 6.2), its content has it, and a record behind it is one of TLS too.
pub fn is_record(segment: &[u8]) -> bool {
    let (Some(&[kind, 3, 1..=3]), Some(length)) = (segment.get(..3), be16(segment, 3)) else { return false };
    let content = segment.get(5..).unwrap_or_default();
    let fits = match (kind, content) {
        (CHANGE_CIPHER_SPEC, [1, ..]) => length == 1,
        // in clear: a warning, or what ends the connection
        (ALERT, [1 | 2, ..]) if length == 2 => true,
        (HANDSHAKE, [4 | 11..=16 | 20 | 22, 0, high, low, ..]) => {
            u16::from_be_bytes([*high, *low]) <= length.saturating_sub(4)
        }
        (ALERT | APPLICATION_DATA, _) => (17..=MAX_CIPHERTEXT).contains(&length),
        _ => false,
    };
    let next = content.get(usize::from(length)..).unwrap_or_default();
    fits && (next.is_empty() || matches!(next, [20..=23] | [20..=23, 3, ..]))
}

/// What the stream of a server says about its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flight {
    /// The name in the first certificate of its list, that of the server itself; `None`: it has none.
    Certificate(Option<Claimed>),
    /// More bytes are needed.
    More,
    /// There is none to be read: the handshake is a resumed one, or of TLS 1.3, where it is encrypted.
    No,
}

/// Read the server's handshake messages up to its certificate: RFC 5246 section 7.4.2.
pub fn server_certificate(stream: &[u8]) -> Flight {
    let (messages, end) = handshake(stream);
    let mut rest = &messages[..];
    while let (Some(&kind), Some(length)) = (rest.first(), be24(rest, 1)) {
        match kind {
            CERTIFICATE => {
                // behind the length of the list, the first certificate behind its own
                let size = be24(rest, 7).unwrap_or(0) as usize;
                match rest.get(10..10 + size) {
                    Some(leaf) if size > 0 => return Flight::Certificate(certificate::name(leaf)),
                    _ => break,
                }
            }
            SERVER_HELLO => {}
            _ => return Flight::No,
        }
        rest = rest.get(4 + length as usize..).unwrap_or_default();
    }
    if end == End::Open && stream.len() < MAX_HELLO {
        Flight::More
    } else {
        Flight::No
    }
}

/// How the handshake records at the start of a stream end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The stream ends within a record, or behind one.
    Open,
    /// Something else follows, or an empty record, or there are too many.
    Closed,
}

/// The contents of the handshake records at the start of a stream, joined: a message may span records. Most stand in one.
fn handshake(stream: &[u8]) -> (Cow<'_, [u8]>, End) {
    let mut messages = Cow::default();
    let mut rest = stream;
    for _ in 0..MAX_RECORDS {
        let (Some(&kind), Some(length)) = (rest.first(), be16(rest, 3)) else { return (messages, End::Open) };
        if kind != HANDSHAKE || length == 0 {
            return (messages, End::Closed);
        }
        let end = 5 + usize::from(length);
        let content = rest.get(5..end.min(rest.len())).unwrap_or_default();
        if messages.is_empty() {
            messages = Cow::Borrowed(content);
        } else {
            if let Cow::Borrowed(first) = messages {
                let mut joined = Vec::with_capacity(first.len() + rest.len());
                joined.extend_from_slice(first);
                messages = Cow::Owned(joined);
            }
            messages.to_mut().extend_from_slice(content);
        }
        match rest.get(end..) {
            Some(behind) => rest = behind,
            None => return (messages, End::Open),
        }
    }
    (messages, End::Closed)
}

/// Read a ClientHello behind its handshake header, as QUIC (RFC 9001) and DTLS carry it too; that of
/// DTLS has a cookie (RFC 6347 section 4.2.1). `None` where a field is longer than what is there.
pub fn parse_body(body: &[u8], transport: Transport) -> Option<ClientHello> {
    let mut at = 2 + 32;
    at += 1 + usize::from(*body.get(at)?);
    if transport == Transport::Dtls {
        at += 1 + usize::from(*body.get(at)?);
    }
    let ciphers = body.get(at + 2..at + 2 + usize::from(be16(body, at)?))?;
    at += 2 + ciphers.len();
    at += 1 + usize::from(*body.get(at)?);
    if at > body.len() {
        return None;
    }
    let mut fields = ja4::Fields { version: be16(body, 0)?, ciphers, ..ja4::Fields::default() };
    let (mut name, mut ech) = (None, false);
    // before TLS 1.3 the extensions may be left out
    let end = match be16(body, at) {
        Some(length) => (at + 2 + usize::from(length)).min(body.len()),
        None if at == body.len() => at,
        None => return None,
    };
    at += 2;
    let first = at;
    while at < end {
        let kind = be16(body, at)?;
        let length = usize::from(be16(body, at + 2)?);
        let value = body.get(at + 4..at + 4 + length)?;
        match kind {
            EXTENSION_SERVER_NAME if name.is_none() => name = server_name(value),
            EXTENSION_SIGNATURE_ALGORITHMS => fields.signatures = value.get(2..).unwrap_or_default(),
            EXTENSION_ALPN => fields.alpn = first_protocol(value),
            EXTENSION_SUPPORTED_VERSIONS => {
                fields.version = ja4::highest_version(value, transport).unwrap_or(fields.version);
            }
            EXTENSION_ECH => ech = true,
            _ => {}
        }
        at += 4 + length;
    }
    fields.extensions = body.get(first..at).unwrap_or_default();
    Some(ClientHello { name, ech, ja4: fields.fingerprint(transport) })
}

/// RFC 7301 section 3.1: a list of names, each behind its length.
fn first_protocol(value: &[u8]) -> &[u8] {
    let length = value.get(2).copied().unwrap_or(0);
    value.get(3..3 + usize::from(length)).unwrap_or_default()
}

/// RFC 6066 section 3: a list of names, of which host names have type 0.
fn server_name(value: &[u8]) -> Option<Claimed> {
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
