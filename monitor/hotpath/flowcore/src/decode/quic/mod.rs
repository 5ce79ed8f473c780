//! QUIC's long headers (RFC 9000 section 17.2, RFC 8999, RFC 9369 section 3.2) and what is in the
//! client's Initials.
//!
//! A datagram may hold several packets (RFC 9000 section 12.2), and a frame that the kernel put together
//! (GRO) several datagrams of one size behind each other: [`packets`] walks over both.

mod crypto;
mod frames;
mod hmac;

pub use crypto::{Keys, Opener};
pub use frames::{crypto, Malformed};

use super::tls::{self, Hello, MAX_HELLO};
use super::{be24, be32, Transport};
use frames::varint;

/// RFC 9000.
pub(super) const V1: u32 = 1;
/// RFC 9369.
pub(super) const V2: u32 = 0x6b33_43cf;
/// Google's, with TLS.
pub(super) const T050: u32 = 0x5430_3530;
/// Google's, with TLS.
pub(super) const T051: u32 = 0x5430_3531;
/// Longest Initial that is opened: a jumbo frame. Others are not decrypted, whatever they cost.
pub const MAX_PACKET: usize = 9216;
/// RFC 9000 section 17.2.
const MAX_CONNECTION_ID: usize = 20;

/// What a packet with a long header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Holds the beginning of the handshake; protected with keys that everybody has.
    Initial,
    /// Data before the handshake.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// A server wants the client to show that it can receive.
    Retry,
    /// A server does not know the version.
    VersionNegotiation,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug)]
pub struct Long<'a> {
    /// What it is.
    pub kind: Kind,
    /// 0 in a Version Negotiation.
    pub version: u32,
    /// Destination Connection ID.
    pub dcid: &'a [u8],
    /// From the first byte of its header to the last of its payload.
    pub(super) packet: &'a [u8],
    /// Where its packet number stands.
    pub(super) number_at: usize,
}

/// Version numbers that mean no version, so that endpoints get used to unknown ones (RFC 9000 section 15).
pub(super) fn is_reserved(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// Read the packet with a long header at the start; `None` where there is none of a version that is
/// known, or it does not hold what it announces. Gives what follows it.
pub fn long_header(datagram: &[u8]) -> Option<(Long<'_>, &[u8])> {
    let (&first, mut rest) = datagram.split_first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let version = be32(datagram, 1)?;
    rest = rest.get(4..)?;
    let dcid = connection_id(&mut rest)?;
    connection_id(&mut rest)?;
    let all = Long { kind: Kind::Retry, version, dcid, packet: datagram, number_at: 0 };
    if version == 0 {
        // at least one version, and one that somebody speaks
        let named = |four: &[u8]| be32(four, 0).is_some_and(|version| crypto::recipe(version).is_some());
        let is_list = rest.len() % 4 == 0 && rest.chunks_exact(4).take(32).any(named);
        return is_list.then_some((Long { kind: Kind::VersionNegotiation, ..all }, &[]));
    }
    if first & 0x40 == 0 || crypto::recipe(version).is_none() {
        return None;
    }
    let kind = kind(version, first);
    match kind {
        // section 17.2.5: the token and 16 bytes of integrity tag fill the datagram
        Kind::Retry => return (rest.len() > 16).then_some((all, &[])),
        Kind::Initial => {
            let token = usize::try_from(varint(&mut rest)?).ok()?;
            rest = rest.get(token..)?;
        }
        _ => {}
    }
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let number_at = datagram.len() - rest.len();
    let (packet, rest) = datagram.split_at_checked(number_at.checked_add(length)?)?;
    Some((Long { kind, packet, number_at, ..all }, rest))
}

/// Whether a datagram is Google's QUIC before it had TLS (versions Q001 to Q050), of which only this much is
/// read: a long header, or a public header with a version and an id of 8 bytes.
pub fn is_googles(datagram: &[u8]) -> bool {
    let at = match datagram.first() {
        Some(first) if first & 0xc0 == 0xc0 => 1,
        Some(first) if first & 0xcb == 0x09 => 9,
        _ => return false,
    };
    matches!(datagram.get(at..at + 4), Some(&[b'Q', b'0', b'0'..=b'9', b'0'..=b'9']))
}

/// Whether a datagram that the capture cut off begins like a long header of a version that is known.
pub fn begins_long(start: &[u8]) -> bool {
    let version = be32(start, 1).unwrap_or(0);
    let ids = start.get(5..).and_then(|mut rest| {
        connection_id(&mut rest)?;
        connection_id(&mut rest)
    });
    start.first().is_some_and(|first| first & 0xc0 == 0xc0) && ids.is_some() && crypto::recipe(version).is_some()
}

/// RFC 9000 section 17.2, RFC 9369 section 3.2.
fn kind(version: u32, first: u8) -> Kind {
    const OF_V1: [Kind; 4] = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry];
    const OF_V2: [Kind; 4] = [Kind::Retry, Kind::Initial, Kind::ZeroRtt, Kind::Handshake];
    let kinds = if version == V2 { OF_V2 } else { OF_V1 };
    kinds[usize::from(first >> 4 & 3)]
}

fn connection_id<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, rest) = bytes.split_first()?;
    if usize::from(length) > MAX_CONNECTION_ID {
        return None;
    }
    let (id, rest) = rest.split_at_checked(usize::from(length))?;
    *bytes = rest;
    Some(id)
}

/// The packets with long headers in a datagram, or in several behind each other. Ends at a short header:
/// that one fills its datagram (RFC 9000 section 12.2).
pub fn packets(datagram: &[u8]) -> impl Iterator<Item = Long<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        // some clients fill their datagrams up with zeros behind the packets
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        let (packet, behind) = long_header(rest.get(zeros..)?)?;
        rest = behind;
        Some(packet)
    })
}

/// Read the ClientHello at the start of a stream of CRYPTO data: it has no records (RFC 9001 section 4.1.3).
pub fn client_hello(stream: &[u8]) -> Hello {
    const CLIENT_HELLO: u8 = 1;
    match (stream.first(), be24(stream, 1)) {
        (Some(&CLIENT_HELLO), Some(length)) if length as usize <= MAX_HELLO => match stream.get(4..4 + length as usize)
        {
            Some(body) => tls::parse_body(body, Transport::Quic).map_or(Hello::Malformed, Hello::Found),
            None => Hello::More,
        },
        (Some(&CLIENT_HELLO) | None, None) => Hello::More,
        _ => Hello::Malformed,
    }
}
