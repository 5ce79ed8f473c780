//! Protocols of binary messages. Each is told by fixed bytes and by lengths that must agree:
//!
//! - PostgreSQL: "Message Formats" of its manual; MySQL: "Connection Phase" of its internals manual;
//!   Microsoft SQL Server: MS-TDS section 2.2; MongoDB: its wire protocol specification;
//!   Cassandra: native_protocol_v4.spec; memcached: doc/protocol-binary.txt; Kafka: its protocol guide;
//!   Elasticsearch: the header of its transport protocol.
//! - SSH without its banner: RFC 4253; AMQP 0-9-1 section 4.2.2 and AMQP 1.0 section 2.2; MQTT 3.1.1 section 3.1.
//! - SMB: MS-CIFS section 2.2.3.1, MS-SMB2 section 2.2.1; LDAP: RFC 4511 section 4; RDP: MS-RDPBCGR section
//!   2.2.1.1; BitTorrent: BEP 3.

use super::recognise::{Sender, Told};
use super::{be16, be24, be32, Application};

pub(super) fn segment(payload: &[u8]) -> Option<Told> {
    let (&first, rest) = payload.split_first()?;
    match first {
        0 => smb(payload)
            .or_else(|| postgresql_startup(payload))
            .or_else(|| ssh_key_exchange(payload))
            .or_else(|| kafka(payload)),
        b'R' => postgresql_authentication(payload),
        4 | 0x12 => tds(payload).or_else(|| cassandra(payload)).or_else(|| mongodb(payload)),
        3 => rdp(payload).or_else(|| cassandra(payload)).or_else(|| mongodb(payload)),
        0x10 => mqtt(payload).or_else(|| mysql(payload)).or_else(|| mongodb(payload)),
        0x13 if rest.starts_with(b"BitTorrent protocol") => Some(Told::new(Application::Bittorrent, Sender::Either)),
        0x30 => ldap(payload).or_else(|| mysql(payload)).or_else(|| mongodb(payload)),
        b'A' if rest.starts_with(b"MQP") => amqp_header(payload),
        b'E' if rest.starts_with(b"S\0") => elasticsearch(payload),
        1 => amqp_start(payload).or_else(|| mysql(payload)),
        5 | 0x83..=0x85 => cassandra(payload).or_else(|| mysql(payload)),
        0x80 | 0x81 => memcached(payload).or_else(|| smb(payload)).or_else(|| mysql(payload)),
        _ => mysql(payload).or_else(|| mongodb(payload)),
    }
}

fn le32(data: &[u8], at: usize) -> Option<u32> {
    be32(data, at).map(u32::swap_bytes)
}

/// StartupMessage of version 3, SSLRequest, GSSENCRequest, CancelRequest.
fn postgresql_startup(payload: &[u8]) -> Option<Told> {
    const VERSION_3: [u32; 2] = [0x0003_0000, 0x0003_0002];
    const CANCEL: u32 = 80_877_102;
    const SSL: u32 = 80_877_103;
    const GSSENC: u32 = 80_877_104;
    let (length, code) = (be32(payload, 0)?, be32(payload, 4)?);
    if length as usize != payload.len() {
        return None;
    }
    match (code, length) {
        (SSL | GSSENC, 8) => Some(Told::before_tls(Application::Postgresql, Sender::Client)),
        (CANCEL, 16) => Some(Told::new(Application::Postgresql, Sender::Client)),
        // names and values, each behind the other, and a NUL at the end
        (version, 9..=10_000) if VERSION_3.contains(&version) && payload.ends_with(&[0, 0]) => {
            Some(Told::new(Application::Postgresql, Sender::Client))
        }
        _ => None,
    }
}

/// SSH_MSG_KEXINIT (RFC 4253 section 7.1), where the banner before it was not seen: a cookie, and then the key
/// exchanges, all of which name a hash.
fn ssh_key_exchange(payload: &[u8]) -> Option<Told> {
    const KEXINIT: u8 = 20;
    const MAX_PACKET: u32 = 35_000;
    let list = payload.get(26..26 + be32(payload, 22)? as usize)?;
    let fits = payload.get(5) == Some(&KEXINIT)
        && be32(payload, 0)? <= MAX_PACKET
        && list.iter().all(u8::is_ascii_graphic)
        && memchr::memmem::find(list, b"-sha").is_some();
    fits.then_some(Told::new(Application::Ssh, Sender::Either))
}

/// An Authentication message: its code fits its length.
fn postgresql_authentication(payload: &[u8]) -> Option<Told> {
    let fits = matches!((be32(payload, 1)?, be32(payload, 5)?), (8, 0 | 2 | 3 | 7 | 9) | (12, 5) | (9..=2048, 10));
    fits.then_some(Told::new(Application::Postgresql, Sender::Server))
}

/// The server's greeting (version 10) or refusal, and the client's answer where the greeting was not seen.
fn mysql(payload: &[u8]) -> Option<Told> {
    const PROTOCOL_41: u32 = 0x200;
    const SSL: u32 = 0x800;
    let &[low, middle, high, number, ..] = payload else { return None };
    let body = payload.get(4..)?;
    if u32::from_le_bytes([low, middle, high, 0]) as usize != body.len() {
        return None;
    }
    if number == 0 && body.first() == Some(&10) {
        let mut parts = body.get(1..)?.splitn(2, |byte| *byte == 0);
        let (version, rest) = (parts.next()?, parts.next()?);
        let fits = version.first().is_some_and(u8::is_ascii_digit)
            && version.iter().all(|byte| byte.is_ascii_graphic())
            && version.contains(&b'.')
            // connection id, eight bytes of salt, a filler
            && rest.get(12) == Some(&0);
        return fits.then_some(Told::before_tls(Application::Mysql, Sender::Server));
    }
    if number == 0 && body.first() == Some(&0xff) {
        let code = u16::from_le_bytes([*body.get(1)?, *body.get(2)?]);
        let text = body.get(3..)?;
        let fits =
            (1000..2000).contains(&code) && text.len() > 8 && text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        return fits.then_some(Told::new(Application::Mysql, Sender::Server));
    }
    let capabilities = le32(body, 0)?;
    let reserved = body.get(9..28)?.iter().all(|byte| *byte == 0);
    let fits = number == 1 && reserved && capabilities & PROTOCOL_41 != 0 && le32(body, 4)? <= 1 << 30;
    match (fits, capabilities & SSL != 0 && body.len() == 32) {
        (true, true) => Some(Told::before_tls(Application::Mysql, Sender::Client)),
        (true, false) => Some(Told::new(Application::Mysql, Sender::Client)),
        _ => None,
    }
}

/// PRELOGIN and the answer to it: a whole packet whose first option is the version.
fn tds(payload: &[u8]) -> Option<Told> {
    const PRELOGIN: u8 = 0x12;
    let &[kind, 1, _, _, _, _, _, 0, 0, _, _, 0, 6, ..] = payload else { return None };
    let sender = if kind == PRELOGIN { Sender::Client } else { Sender::Server };
    (usize::from(be16(payload, 2)?) == payload.len()).then_some(Told::before_tls(Application::Mssql, sender))
}

/// A message header, and what must follow it: OP_MSG with its first section, OP_QUERY of a collection,
/// OP_REPLY, or OP_COMPRESSED around one of them.
fn mongodb(payload: &[u8]) -> Option<Told> {
    const REPLY: u32 = 1;
    const QUERY: u32 = 2004;
    const COMPRESSED: u32 = 2012;
    const MESSAGE: u32 = 2013;
    const MAX_MESSAGE: usize = 48_000_000;
    let (length, response_to, code) = (le32(payload, 0)? as usize, le32(payload, 8)?, le32(payload, 12)?);
    let body = payload.get(16..)?;
    let fits = length >= payload.len()
        && length <= MAX_MESSAGE
        && match code {
            // the first section is a document, which ends within the message
            MESSAGE => {
                le32(body, 0)? & !0x0001_0003 == 0
                    && body.get(4) == Some(&0)
                    && (5..length).contains(&(le32(body, 5)? as usize))
            }
            QUERY => {
                let name = body.get(4..)?.split(|byte| *byte == 0).next()?;
                le32(body, 0)? < 0x100 && name.contains(&b'.') && name.iter().all(u8::is_ascii_graphic)
            }
            REPLY => le32(body, 0)? < 0x10 && response_to != 0 && body.len() >= 20,
            COMPRESSED => matches!(le32(body, 0)?, MESSAGE | QUERY | REPLY) && *body.get(8)? <= 3,
            _ => false,
        };
    let sender = if response_to == 0 { Sender::Client } else { Sender::Server };
    fits.then_some(Told::new(Application::Mongodb, sender))
}

/// A frame of version 3 to 5: OPTIONS, STARTUP, or an answer to them.
fn cassandra(payload: &[u8]) -> Option<Told> {
    let &[version, 0..=0x1f, _, _, code, ..] = payload else { return None };
    let body = payload.get(9..)?;
    if !(3..=5).contains(&(version & 0x7f)) || be32(payload, 5)? as usize != body.len() {
        return None;
    }
    let holds = |word: &[u8]| body.windows(word.len()).any(|part| part == word);
    match (version & 0x80 != 0, code) {
        (false, 1) if holds(b"CQL_VERSION") => Some(Told::new(Application::Cassandra, Sender::Client)),
        (false, 5) if body.is_empty() => Some(Told::new(Application::Cassandra, Sender::Client)),
        (true, 6) if holds(b"CQL_VERSION") => Some(Told::new(Application::Cassandra, Sender::Server)),
        (true, 3) if holds(b"org.apache.cassandra") => Some(Told::new(Application::Cassandra, Sender::Server)),
        _ => None,
    }
}

/// The binary protocol: the lengths of key, extras and body agree with each other and with the segment.
fn memcached(payload: &[u8]) -> Option<Told> {
    let &[magic, code, _, _, extras, 0, ..] = payload else { return None };
    let (key, body) = (usize::from(be16(payload, 2)?), be32(payload, 8)? as usize);
    let fits = code <= 0x26 && body == payload.len().checked_sub(24)? && key + usize::from(extras) <= body;
    let sender = if magic == 0x80 { Sender::Client } else { Sender::Server };
    fits.then_some(Told::new(Application::Memcached, sender))
}

/// A request: its size is the segment's, and its client has a printable name, as those of libraries are.
fn kafka(payload: &[u8]) -> Option<Told> {
    let (size, key, version) = (be32(payload, 0)? as usize, be16(payload, 4)?, be16(payload, 6)?);
    let length = usize::from(be16(payload, 12)?);
    let name = payload.get(14..14 + length)?;
    let fits = size == payload.len() - 4
        && key <= 92
        && version <= 18
        && (1..=255).contains(&length)
        && name.iter().all(u8::is_ascii_graphic);
    fits.then_some(Told::new(Application::Kafka, Sender::Client))
}

/// The transport protocol between nodes: `ES` and the length of what follows.
fn elasticsearch(payload: &[u8]) -> Option<Told> {
    // request id, status, version, and from version 7.6 on the length of the variable header
    let fits = be32(payload, 2)? as usize == payload.len().checked_sub(6)? && payload.len() >= 19;
    let sender = match (fits, payload.get(14)? & 1) {
        (false, _) => return None,
        (true, 0) => Sender::Client,
        (true, _) => Sender::Server,
    };
    Some(Told::new(Application::Elasticsearch, sender))
}

/// The protocol header; a server answers with one of its own where it does not speak the version, and in
/// 1.0 always.
fn amqp_header(payload: &[u8]) -> Option<Told> {
    let header = payload.get(4..8)?;
    let before_tls = header == [2, 1, 0, 0];
    let known = before_tls
        || matches!(header, [0, 0, 9, 1] | [0 | 3, 1, 0, 0] | [1, 1, 0, 9 | 10] | [1, 1, 8, 0] | [1, 1, 9, 1]);
    known.then_some(Told { application: Application::Amqp, sender: Sender::Either, tls_may_follow: before_tls })
}

/// Connection.Start of 0-9-1, which the server sends.
fn amqp_start(payload: &[u8]) -> Option<Told> {
    let &[1, 0, 0, _, _, _, _, 0, 10, 0, 10, 0, 9, ..] = payload else { return None };
    Some(Told::new(Application::Amqp, Sender::Server))
}

/// CONNECT of versions 3.1 to 5.
fn mqtt(payload: &[u8]) -> Option<Told> {
    // the remaining length takes one to four bytes, seven bits each
    let size = payload.get(1..5)?.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let head = payload.get(1 + size..)?;
    let known =
        matches!(head, [0, 4, b'M', b'Q', b'T', b'T', 4 | 5, ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, ..]);
    known.then_some(Told::new(Application::Mqtt, Sender::Client))
}

/// SMB behind the header of a NetBIOS session (RFC 1002 section 4.3), or a request for such a session.
fn smb(payload: &[u8]) -> Option<Told> {
    const SESSION_REQUEST: &[u8] = &[0x81, 0, 0, 0x44, 0x20];
    if payload.starts_with(SESSION_REQUEST) {
        return Some(Told::new(Application::Smb, Sender::Client));
    }
    let &[0, _, _, _, mark, b'S', b'M', b'B', ..] = payload else { return None };
    if (be24(payload, 1)? as usize) < 8 {
        return None;
    }
    // the flags of versions 1 and 2 say whether it is an answer; an encrypted or compressed message, and
    // one whose header is cut, do not
    let answer = match mark {
        0xff => payload.get(13).map(|flags| flags & 0x80 != 0),
        0xfe => payload.get(20).map(|flags| flags & 1 != 0),
        0xfc | 0xfd => None,
        _ => return None,
    };
    let sender = answer.map_or(Sender::Either, |answer| if answer { Sender::Server } else { Sender::Client });
    Some(Told::new(Application::Smb, sender))
}

/// A message with its id, and an operation whose first fields are those of bind, search or an extended one.
fn ldap(payload: &[u8]) -> Option<Told> {
    let mut rest = payload.get(1..)?;
    length(&mut rest)?;
    let (&[2, size @ 1..=4], behind) = rest.split_first_chunk::<2>()? else { return None };
    let (&operation, mut inner) = behind.get(usize::from(size)..)?.split_first()?;
    length(&mut inner)?;
    let sender = match (operation, inner) {
        // bindRequest of version 2 or 3; searchRequest: base, and then the scope
        (0x60, [2, 1, 2 | 3, 4, ..]) => Sender::Client,
        (0x63, [4, base, ..]) if inner.get(2 + usize::from(*base)..)?.starts_with(&[10, 1]) => Sender::Client,
        // an extended request names itself by a number of the Internet's
        (0x77, [0x80, _, b'1', b'.', b'3', b'.', b'6', b'.', b'1', ..]) => Sender::Client,
        // bindResponse, searchResDone, extendedResp: a result code, and the matched name
        (0x61 | 0x65 | 0x78, [10, 1, 0..=123, 4, ..]) => Sender::Server,
        // searchResEntry: a name, and a sequence of attributes
        (0x64, [4, name, ..]) if inner.get(2 + usize::from(*name)) == Some(&0x30) => Sender::Server,
        _ => return None,
    };
    Some(Told::before_tls(Application::Ldap, sender))
}

/// Pass over a length of BER (X.690 section 8.1.3).
fn length(rest: &mut &[u8]) -> Option<()> {
    let (&first, after) = rest.split_first()?;
    let size = if first & 0x80 == 0 { 0 } else { usize::from(first & 0x7f) };
    if size > 4 || first == 0x80 {
        return None;
    }
    *rest = after.get(size..)?;
    Some(())
}

/// A connection request or confirm of X.224 that carries a negotiation or a cookie of remote desktop.
fn rdp(payload: &[u8]) -> Option<Told> {
    const REQUEST: u8 = 0xe0;
    const CONFIRM: u8 = 0xd0;
    let &[3, 0, _, _, _, kind, 0, 0, ..] = payload else { return None };
    if usize::from(be16(payload, 2)?) != payload.len() {
        return None;
    }
    let carried = payload.get(11..)?;
    let negotiates = matches!(carried.get(carried.len().saturating_sub(8)..), Some([1..=3, _, 8, 0, ..]));
    match kind {
        REQUEST if negotiates || carried.starts_with(b"Cookie: ms") => {
            Some(Told::before_tls(Application::Rdp, Sender::Client))
        }
        CONFIRM if negotiates => Some(Told::before_tls(Application::Rdp, Sender::Server)),
        _ => None,
    }
}
