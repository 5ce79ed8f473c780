//! Tunnels over UDP: VXLAN, Geneve, GTP-U, L2TP, Teredo, MPLS.
//!
//! A port alone proves nothing, for any program may use it. So each field that has only one right value is
//! checked, the reserved ones too, and an IP header must stand where it should: otherwise the datagram is
//! an ordinary one.

use super::encapsulation::Tunnel;
use super::link::{dispatch, ethernet, Announced, Start, Way};
use super::shim::{labels, leads_to_ip, service_header};
use super::tunnel::l2tp_session;
use super::{be16, be32, ppp, Packet, Reason};

/// RFC 7348; mirrors of cloud networks use it too.
const VXLAN: u16 = 4789;
/// draft-ietf-nvo3-vxlan-gpe.
const VXLAN_GENERIC: u16 = 4790;
/// Linux before there was a registered one, and still its default.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const GTP_U: u16 = 2152;
const L2TP: u16 = 1701;
const TEREDO: u16 = 3544;
/// RFC 7510.
const MPLS: u16 = 6635;

const TRANSPARENT_ETHERNET: u16 = 0x6558;

/// Whether a tunnel is known on one of these ports. All are compared: which end has the larger port is as good as random,
/// and a branch on it would be predicted wrongly. One by one: a loop over a list of them may become a call.
#[inline(always)]
pub(super) fn on_port(source: u16, destination: u16) -> bool {
    let is = |port: u16| (port == source) | (port == destination);
    let of_ethernet = is(VXLAN) | is(VXLAN_GENERIC) | is(VXLAN_LINUX) | is(GENEVE);
    of_ethernet | is(GTP_U) | is(L2TP) | is(TEREDO) | is(MPLS)
}

/// What a datagram carries.
pub(super) fn open(outer: &Packet<'_>, way: Way) -> Result<Start, Reason> {
    let by_destination = by_port(outer.destination_port, outer, way);
    match by_destination {
        Err(Reason::NotIp | Reason::LinkTruncated) => by_port(outer.source_port, outer, way),
        told => told,
    }
}

fn by_port(port: u16, outer: &Packet<'_>, way: Way) -> Result<Start, Reason> {
    let data = outer.payload;
    // the first fragment of a datagram cannot hold what its inner headers claim
    let length = if outer.fragment { u64::MAX } else { outer.payload_bytes };
    let (start, fit) = match port {
        VXLAN | VXLAN_LINUX | VXLAN_GENERIC => vxlan(data, port == VXLAN_GENERIC, way)?,
        GENEVE => (geneve(data, way)?, Fit::Any),
        GTP_U => (gtp_u(data, length, way)?, Fit::Within),
        L2TP => (l2tp(data, length, way)?, Fit::Within),
        TEREDO => (teredo(data, way)?, Fit::Within),
        MPLS => (labels(data, 0, way)?, Fit::Exactly),
        _ => return Err(Reason::NotIp),
    };
    let at = start.offset as usize;
    let end = claimed_end(data, at);
    let fits = match fit {
        Fit::Any => true,
        Fit::Within => end <= length,
        Fit::Exactly => end == outer.payload_bytes || (outer.fragment && end > outer.payload_bytes),
    };
    if fits && leads_to_ip(data, at, start.announced) {
        Ok(start)
    } else {
        Err(Reason::NotIp)
    }
}

/// How the inner packet must fill the datagram.
enum Fit {
    /// Not at all: a cloud's mirror cuts the packets that it wraps.
    Any,
    Within,
    /// To the byte, where the tunnel's header alone says little.
    Exactly,
}

/// Where the IP packet at `at` ends, as its header claims.
fn claimed_end(data: &[u8], at: usize) -> u64 {
    let four = data.get(at).is_some_and(|first| first >> 4 == 4);
    let (field, header) = if four { (at + 2, 0) } else { (at + 4, 40) };
    at as u64 + header + u64::from(be16(data, field).unwrap_or(0))
}

/// RFC 7348 section 5, and the generic form, known by its port or by flag P alone beside I: it tells a next
/// protocol.
fn vxlan(data: &[u8], generic: bool, way: Way) -> Result<(Start, Fit), Reason> {
    const VALID: u32 = 0x0800_0000;
    const TOLD: u32 = 0x0400_0000;
    /// A group policy (draft-smith-vxlan-group-policy): flag G, and with it flags D and A and the group's id.
    const GROUP: u32 = 0x8000_0000;
    const POLICY: u32 = 0x8048_ffff;
    const IPV4: u32 = 1;
    const IPV6: u32 = 2;
    const ETHERNET: u32 = 3;
    const NSH: u32 = 4;
    let flags = be32(data, 0).ok_or(Reason::LinkTruncated)?;
    let identifier = be32(data, 4).ok_or(Reason::LinkTruncated)?;
    if flags & VALID == 0 {
        return Err(Reason::NotIp);
    }
    let way = way.deeper(way.encapsulation.shared(Tunnel::Vxlan, identifier >> 8))?;
    let generic = generic || flags >> 24 == (VALID | TOLD) >> 24;
    let next = if generic { flags & 0xff } else { 0 };
    let start = match next {
        0 | ETHERNET => ethernet(data, 8, way)?,
        IPV4 => way.to(8, Announced::V4),
        IPV6 => way.to(8, Announced::V6),
        NSH => service_header(data, 8, way)?,
        _ => return Err(Reason::NotIp),
    };
    // a receiver ignores reserved bits, but they are zero as good as always
    let known = match (next, flags & GROUP) {
        (0, 0) => VALID,
        (0, _) => VALID | POLICY,
        _ => VALID | TOLD | 0xff,
    };
    let clean = flags & !known == 0 && identifier & 0xff == 0;
    Ok((start, if clean { Fit::Any } else { Fit::Exactly }))
}

/// RFC 8926 section 3.4: version 0, no control message, reserved bits zero; options are passed over.
fn geneve(data: &[u8], way: Way) -> Result<Start, Reason> {
    let head = be32(data, 0).ok_or(Reason::LinkTruncated)?;
    let identifier = be32(data, 4).ok_or(Reason::LinkTruncated)?;
    // version, the flag O, six reserved bits; the flag C is free
    if head & 0xc0bf_0000 != 0 || identifier & 0xff != 0 {
        return Err(Reason::NotIp);
    }
    let at = 8 + 4 * (head >> 24 & 0x3f) as usize;
    let way = way.deeper(way.encapsulation.shared(Tunnel::Geneve, identifier >> 8))?;
    match head as u16 {
        TRANSPARENT_ETHERNET => ethernet(data, at, way),
        other => dispatch(data, other, at, way),
    }
}

/// 3GPP TS 29.281 section 5: only a T-PDU carries a packet. `length` is that of the datagram.
fn gtp_u(data: &[u8], length: u64, way: Way) -> Result<Start, Reason> {
    const T_PDU: u8 = 255;
    let (Some(&flags), Some(&kind)) = (data.first(), data.get(1)) else { return Err(Reason::LinkTruncated) };
    let claimed = be16(data, 2).ok_or(Reason::LinkTruncated)?;
    // version 1, protocol type GTP, the spare bit zero
    if flags & 0xf8 != 0x30 || kind != T_PDU || u64::from(claimed) + 8 > length {
        return Err(Reason::NotIp);
    }
    let endpoint = be32(data, 4).ok_or(Reason::LinkTruncated)?;
    let mut at = 8;
    // any of the flags E, S, PN brings four bytes for all of them
    if flags & 0x07 != 0 {
        let mut next = *data.get(11).ok_or(Reason::LinkTruncated)?;
        at = 12;
        // an extension counts four bytes, of which the last is the next one's type
        while flags & 0x04 != 0 && next != 0 {
            let words = usize::from(*data.get(at).ok_or(Reason::LinkTruncated)?);
            if words == 0 {
                return Err(Reason::NotIp);
            }
            at += 4 * words;
            next = *data.get(at - 1).ok_or(Reason::LinkTruncated)?;
        }
    }
    Ok(way.deeper(way.encapsulation.one_way(Tunnel::Gtpu, endpoint))?.to(at, Announced::Either))
}

/// L2TP version 2 (RFC 2661 section 3.1) carrying PPP, or version 3 (RFC 3931 section 4.1.2.1).
fn l2tp(data: &[u8], length: u64, way: Way) -> Result<Start, Reason> {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    const RESERVED: u16 = 0x34f0;
    let word = |at| be16(data, at).ok_or(Reason::LinkTruncated);
    let flags = word(0)?;
    if flags & (CONTROL | RESERVED) != 0 {
        return Err(Reason::NotIp);
    }
    if flags == 3 {
        return match be32(data, 4) {
            Some(session) if session != 0 && word(2)? == 0 => l2tp_session(data, 8, session, way),
            _ => Err(Reason::NotIp),
        };
    }
    if flags & 0x000f != 2 {
        return Err(Reason::NotIp);
    }
    let mut at = 2;
    if flags & LENGTH != 0 {
        if u64::from(word(at)?) > length {
            return Err(Reason::NotIp);
        }
        at += 2;
    }
    let ids = be32(data, at).ok_or(Reason::LinkTruncated)?;
    at += 4;
    if flags & SEQUENCE != 0 {
        at += 4;
    }
    if flags & OFFSET != 0 {
        at += 2 + usize::from(word(at)?);
    }
    ppp::frame(data, at, way.deeper(way.encapsulation.one_way(Tunnel::L2tp, ids))?)
}

/// RFC 4380 section 5.1.1: an IPv6 packet, behind an authentication and an origin indication where they are.
fn teredo(data: &[u8], way: Way) -> Result<Start, Reason> {
    const AUTHENTICATION: u16 = 1;
    const ORIGIN: u16 = 0;
    let mut at = 0;
    if be16(data, at) == Some(AUTHENTICATION) {
        let (Some(&client), Some(&value)) = (data.get(at + 2), data.get(at + 3)) else {
            return Err(Reason::LinkTruncated);
        };
        // after both: a nonce of 8 bytes and a confirmation byte
        at += 4 + usize::from(client) + usize::from(value) + 9;
    }
    if be16(data, at) == Some(ORIGIN) {
        at += 8;
    }
    // one end at least has a Teredo or a link-local address
    let own = [at + 8, at + 24].into_iter().any(|at| {
        be32(data, at) == Some(0x2001_0000) || be16(data, at).is_some_and(|prefix| prefix & 0xffc0 == 0xfe80)
    });
    if !own {
        return Err(Reason::NotIp);
    }
    Ok(way.deeper(way.encapsulation.one_way(Tunnel::Teredo, 0))?.to(at, Announced::V6))
}
