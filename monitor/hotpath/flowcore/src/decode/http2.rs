//! The host of the first request on an HTTP/2 connection with prior knowledge: RFC 9113.

use super::claimed::Claimed;
use super::hpack::Decoder;
use super::http::without_port;
use super::{be24, be32};

/// What a client begins with (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first request is looked for within this many bytes.
pub const MAX_REQUEST: usize = 16 * 1024;

const HEAD: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const ACK: u8 = 0x01;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// What a stream of frames says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The first request, with the host it names: `:authority`, or else the `host` field.
    Found(Option<Claimed>),
    /// More bytes are needed.
    More,
    /// It does not follow the format, or the request does not come within reach.
    Malformed,
}

/// Read what a client sends, from its preface on.
pub fn authority(stream: &[u8]) -> Authority {
    let Some(mut rest) = stream.strip_prefix(PREFACE) else {
        return if PREFACE.starts_with(stream) { Authority::More } else { Authority::Malformed };
    };
    let mut block: Option<Vec<u8>> = None;
    loop {
        let (Some(length), Some(&[kind, flags]), Some(stream_id)) = (be24(rest, 0), rest.get(3..5), be32(rest, 5))
        else {
            return more(stream);
        };
        let end = HEAD + length as usize;
        if end > MAX_REQUEST {
            return Authority::Malformed;
        }
        let Some(payload) = rest.get(HEAD..end) else { return more(stream) };
        match (&mut block, kind) {
            (None, HEADERS) if stream_id != 0 => match fragment(payload, flags) {
                Some(fragment) => block = Some(fragment.to_vec()),
                None => return Authority::Malformed,
            },
            (Some(block), CONTINUATION) => block.extend_from_slice(payload),
            (Some(_), _) | (None, CONTINUATION) => return Authority::Malformed,
            (None, _) => {}
        }
        if let (Some(block), true) = (&block, flags & END_HEADERS != 0) {
            return host(block).map_or(Authority::Malformed, Authority::Found);
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// Whether a stream begins with the SETTINGS frame of a server (RFC 9113 section 3.4), which is its preface.
pub fn is_server_preface(stream: &[u8]) -> bool {
    let Some(length) = be24(stream, 0) else { return false };
    length % 6 == 0 && length <= 96 && stream.get(3..HEAD) == Some(&[SETTINGS, 0, 0, 0, 0, 0]) && {
        // the settings known to RFC 9113 and RFC 8441, or the next frame, which acknowledges the client's
        let first = stream.get(HEAD..).unwrap_or_default();
        match length {
            0 => matches!(first.get(3..5), Some([SETTINGS, ACK])),
            _ => matches!(first, [0, 1..=9, ..]),
        }
    }
}

fn more(stream: &[u8]) -> Authority {
    if stream.len() < MAX_REQUEST {
        Authority::More
    } else {
        Authority::Malformed
    }
}

/// The field block of a HEADERS frame without priority and padding (section 6.2).
fn fragment(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let padded = flags & PADDED != 0;
    let padding = if padded { usize::from(*payload.first()?) } else { 0 };
    let start = usize::from(padded) + if flags & PRIORITY != 0 { 5 } else { 0 };
    payload.get(start..payload.len().checked_sub(padding)?)
}

/// `:authority` stands before other fields; where it is not sent, `host` says the same (section 8.3.1).
fn host(block: &[u8]) -> Option<Option<Claimed>> {
    let mut found = None;
    Decoder::default().read(block, |name, value| {
        let authority = name == b":authority";
        if authority || (name == b"host" && found.is_none()) {
            found = without_port(value);
        }
        !authority
    })?;
    Some(found)
}
