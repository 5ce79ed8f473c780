//! What is spoken over UDP, by content: signatures that chance hardly meets.
//!
//! QUIC and DTLS are told by their own files. Nothing here looks further than one datagram.

use super::recognise::Sender;
use super::{be16, be24, be32, Application};

/// What a datagram is. `payload` is what is there of it, `length` how long it was, in bytes.
pub fn application(payload: &[u8], length: u64, ports: (u16, u16)) -> Option<(Application, Sender)> {
    let name = |application| move |sender| (application, sender);
    wireguard(payload, length)
        .map(name(Application::Wireguard))
        .or_else(|| stun(payload, length).map(name(Application::Stun)))
        .or_else(|| bittorrent(payload, length).map(name(Application::Bittorrent)))
        .or_else(|| ntp(payload, length, ports).map(name(Application::Ntp)))
        .or_else(|| snmp(payload, length).map(name(Application::Snmp)))
        .or_else(|| sip(payload).map(name(Application::Sip)))
        .or_else(|| openvpn(payload, length).map(name(Application::Openvpn)))
}

/// The protocol paper of WireGuard, section 5.4: a type, three zeros, and lengths that are fixed.
fn wireguard(payload: &[u8], length: u64) -> Option<Sender> {
    let [kind, 0, 0, 0] = *payload.first_chunk::<4>()? else { return None };
    match (kind, length) {
        (1, 148) => Some(Sender::Client),
        (2, 92) => Some(Sender::Server),
        (3, 64) => Some(Sender::Either),
        // a session ends after 120 s: the upper half of its little-endian counter stays 0
        (4, 32..) if length % 16 == 0 && be32(payload, 12) == Some(0) => Some(Sender::Either),
        _ => None,
    }
}

/// RFC 8489 section 5: two zero bits, the magic cookie, and a length that is that of the datagram.
fn stun(payload: &[u8], length: u64) -> Option<Sender> {
    const COOKIE: u32 = 0x2112_a442;
    let kind = be16(payload, 0)?;
    let body = u64::from(be16(payload, 2)?);
    if kind >= 0x4000 || be32(payload, 4)? != COOKIE || body % 4 != 0 || 20 + body != length {
        return None;
    }
    // the class stands in two bits of the type: request, indication, success, error
    Some(match kind & 0x0110 {
        0x0000 => Sender::Client,
        0x0010 => Sender::Either,
        _ => Sender::Server,
    })
}

/// BEP 5 (DHT), BEP 15 (trackers), BEP 29 (uTP).
fn bittorrent(payload: &[u8], length: u64) -> Option<Sender> {
    const TRACKER: &[u8] = &[0, 0, 0x04, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0];
    // a SYN: type 4, version 1; perhaps 8 bytes of extension bits; nothing was received yet
    let utp_syn = |extension: &[u8], after: usize| {
        payload.get(..2) == Some(extension)
            && length == 20 + after as u64
            && payload.get(8..12) == Some(&[0; 4])
            && payload.get(16..20) == Some(&[0, 1, 0, 0])
    };
    let utp = utp_syn(&[0x41, 0], 0) || (utp_syn(&[0x41, 2], 10) && payload.get(20..22) == Some(&[0, 8]));
    if payload.starts_with(b"d1:ad2:id20:") || (payload.starts_with(TRACKER) && length == 16) || utp {
        return Some(Sender::Client);
    }
    let answer = payload.starts_with(b"d1:rd2:id20:")
        || (payload.starts_with(b"d2:ip6:") && payload.get(13..25) == Some(b"1:rd2:id20:".as_slice()));
    (answer || payload.starts_with(b"d1:eli20")).then_some(Sender::Server)
}

/// RFC 5905 section 7.3, and its control messages (RFC 9327). Little in it is fixed, so its port counts too.
fn ntp(payload: &[u8], length: u64, ports: (u16, u16)) -> Option<Sender> {
    const PORT: u16 = 123;
    if ports.0 != PORT && ports.1 != PORT {
        return None;
    }
    let (first, second) = (*payload.first()?, *payload.get(1)?);
    let (version, mode) = (first >> 3 & 7, first & 7);
    if !(1..=4).contains(&version) {
        return None;
    }
    let time = length >= 48 && length % 4 == 0 && second <= 16;
    match mode {
        3 if time => Some(Sender::Client),
        4 if time => Some(Sender::Server),
        1 | 2 | 5 if time => Some(Sender::Either),
        // control: the first bit of the second byte tells answers
        6 if length >= 12 => Some(if second & 0x80 == 0 { Sender::Client } else { Sender::Server }),
        // ntpdc's private mode: the first bit of all does
        7 if length >= 8 => Some(if first & 0x80 == 0 { Sender::Client } else { Sender::Server }),
        _ => None,
    }
}

/// RFC 3416 section 3 in the message formats of RFC 1157, 1901 and 3412, in BER.
fn snmp(payload: &[u8], length: u64) -> Option<Sender> {
    const SEQUENCE: u8 = 0x30;
    const OCTETS: u8 = 4;
    let (kind, size, body) = tag(payload)?;
    let head = payload.len() - body.len();
    if kind != SEQUENCE || head as u64 + size as u64 != length {
        return None;
    }
    let &[2, 1, version, ref rest @ ..] = body else { return None };
    let (kind, size, inner) = tag(rest)?;
    match version {
        0 | 1 if kind == OCTETS => {
            // GetRequest 0xa0, GetNext, Response, Set, Trap, GetBulk, Inform, Trap of version 2, Report
            match inner.get(size)? {
                0xa2 | 0xa8 => Some(Sender::Server),
                0xa0 | 0xa1 | 0xa3..=0xa7 => Some(Sender::Client),
                _ => None,
            }
        }
        3 if kind == SEQUENCE && inner.first() == Some(&2) => Some(Sender::Either),
        _ => None,
    }
}

/// Type and length of a BER element, and what follows that.
fn tag(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    match *bytes {
        [kind, length @ ..=0x7f, ref rest @ ..] => Some((kind, length.into(), rest)),
        [kind, 0x81, length, ref rest @ ..] => Some((kind, length.into(), rest)),
        [kind, 0x82, ..] => Some((kind, be16(bytes, 2)?.into(), bytes.get(4..)?)),
        [kind, 0x83, ..] => Some((kind, be24(bytes, 2)? as usize, bytes.get(5..)?)),
        _ => None,
    }
}

/// RFC 3261 section 7: a method before a SIP URI, or the version before a status.
fn sip(payload: &[u8]) -> Option<Sender> {
    const METHODS: [&[u8]; 14] = [
        b"INVITE ",
        b"ACK ",
        b"OPTIONS ",
        b"BYE ",
        b"CANCEL ",
        b"REGISTER ",
        b"PRACK ",
        b"SUBSCRIBE ",
        b"NOTIFY ",
        b"PUBLISH ",
        b"INFO ",
        b"REFER ",
        b"MESSAGE ",
        b"UPDATE ",
    ];
    if !payload.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    if payload.starts_with(b"SIP/2.0 ") {
        return Some(Sender::Server);
    }
    let target = METHODS.iter().find_map(|method| payload.strip_prefix(*method))?;
    (target.starts_with(b"sip:") || target.starts_with(b"sips:")).then_some(Sender::Client)
}

/// The first message of an OpenVPN client: a reset, key method 2, without `tls-auth` or with it (SHA-1,
/// SHA-256 or SHA-512), that acknowledges nothing and is packet 0.
fn openvpn(payload: &[u8], length: u64) -> Option<Sender> {
    const RESET: u8 = 7 << 3;
    let end = usize::try_from(length).ok()?;
    let authentic = || payload.get(end - 13..end - 9) == Some(&[0, 0, 0, 1]);
    let known = match end {
        14 => true,
        42 | 54 | 86 => authentic(),
        _ => false,
    };
    (payload.first() == Some(&RESET) && known && payload.get(end - 5..end) == Some(&[0; 5])).then_some(Sender::Client)
}
