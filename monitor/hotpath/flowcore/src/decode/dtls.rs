//! The server name in a DTLS ClientHello: RFC 6347 section 4.2, RFC 9147 sections 4 and 5.
//!
//! Handshake messages are cut into fragments, records hold fragments, datagrams hold records; any of them
//! may come twice, late, or not at all.

use super::tls::{self, Hello};
use super::{be16, be24, Transport};

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;
const RECORD_HEADER: usize = 13;
const FRAGMENT_HEADER: usize = 12;

/// Types of handshake messages (RFC 6347 section 4.3.2).
pub mod message {
    #![allow(missing_docs)]
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
}

/// A piece of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Type of the message; see [`message`].
    pub kind: u8,
    /// Which message of its sender it is part of: a ClientHello with a cookie is another than that without.
    pub sequence: u16,
    /// Length of the whole message.
    pub length: usize,
    /// Where the piece belongs.
    pub offset: usize,
    /// The piece.
    pub bytes: &'a [u8],
}

/// Whether a datagram is DTLS: plain records that fill it, or, with `cut` (the capture has not all of
/// it), one that begins so. The fragments of its handshake messages that are not encrypted are visited.
pub fn fragments(datagram: &[u8], cut: bool, mut visit: impl FnMut(Fragment<'_>)) -> bool {
    let mut rest = datagram;
    while !rest.is_empty() {
        let Some((kind, epoch, length)) = record(rest) else { return false };
        let Some((content, behind)) = rest.get(RECORD_HEADER..).and_then(|rest| rest.split_at_checked(length)) else {
            return cut;
        };
        if kind == HANDSHAKE && epoch == 0 {
            let mut content = content;
            while let Some((fragment, behind)) = fragment(content) {
                visit(fragment);
                content = behind;
            }
        }
        rest = behind;
        // RFC 9147 section 4: an encrypted record of DTLS 1.3 has a header of its own
        if rest.first().is_some_and(|first| first & 0xe0 == 0x20) {
            break;
        }
    }
    !datagram.is_empty()
}

/// Type, epoch and length in the header of a plain record, if it is one.
fn record(bytes: &[u8]) -> Option<(u8, u16, usize)> {
    // versions 1.0 and 1.2 (also in the records of 1.3), and OpenSSL's from before RFC 4347
    const VERSIONS: [u16; 3] = [0xfeff, 0xfefd, 0x0100];
    let kind = *bytes.first()?;
    let length = be16(bytes, 11)?;
    let plausible = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind)
        && VERSIONS.contains(&be16(bytes, 1)?)
        && (1..=(1 << 14) + 2048).contains(&length);
    let epoch = be16(bytes, 3)?;
    // at the beginning nothing is application data, and an alert in the clear has two bytes
    let begins = epoch > 0 || kind == HANDSHAKE || kind == CHANGE_CIPHER_SPEC || (kind == ALERT && length == 2);
    (plausible && begins).then_some((kind, epoch, usize::from(length)))
}

fn fragment(bytes: &[u8]) -> Option<(Fragment<'_>, &[u8])> {
    let [length, offset, size] = [be24(bytes, 1)?, be24(bytes, 6)?, be24(bytes, 9)?].map(|number| number as usize);
    let (piece, behind) = bytes.get(FRAGMENT_HEADER..)?.split_at_checked(size)?;
    let (kind, sequence) = (*bytes.first()?, be16(bytes, 4)?);
    (offset + size <= length).then_some((Fragment { kind, sequence, length, offset, bytes: piece }, behind))
}

/// Read a whole ClientHello, behind its handshake header.
pub fn client_hello(body: &[u8]) -> Hello {
    tls::parse_body(body, Transport::Dtls).map_or(Hello::Malformed, Hello::Found)
}
