//! PPP (RFC 1661, RFC 1662) wherever it is: as a link, over Ethernet (RFC 2516), in L2TP and PPTP; and
//! Cisco's HDLC.

use super::encapsulation::Tunnel;
use super::link::{dispatch, ethertype, Announced, Start, Way};
use super::{be16, shim, Reason};

/// PPP protocol numbers (IANA). Below 0x0100 they may come in one byte (RFC 1661 section 6.5).
const IPV4: u16 = 0x0021;
const IPV6: u16 = 0x0057;
const MPLS: u16 = 0x0281;
const MPLS_MULTICAST: u16 = 0x0283;

/// A PPP link: address and control field may be there or not; pppd writes the direction into the address,
/// and on a serial line Cisco's framing may stand in its place.
pub(super) fn link(data: &[u8], way: Way) -> Result<Start, Reason> {
    match data.get(..2) {
        Some([0x0f | 0x8f, 0]) => cisco(data, way),
        Some([0 | 1, 3]) => frame(data, 2, way),
        _ => frame(data, 0, way),
    }
}

/// Cisco HDLC: address, a zero byte, an Ethernet type.
pub(super) fn cisco(data: &[u8], way: Way) -> Result<Start, Reason> {
    let ethertype = be16(data, 2).ok_or(Reason::LinkTruncated)?;
    dispatch(data, ethertype, 4, way)
}

/// PPPoE session stage (RFC 2516 section 4): version and type 1, code 0.
pub(super) fn over_ethernet(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    if be16(data, at).ok_or(Reason::LinkTruncated)? != 0x1100 {
        return Err(Reason::NotIp);
    }
    let session = be16(data, at + 2).ok_or(Reason::LinkTruncated)?;
    frame(data, at + 6, way.deeper(way.encapsulation.shared(Tunnel::Pppoe, u32::from(session)))?)
}

/// A PPP frame: address and control field if they are there, protocol field, packet.
pub(super) fn frame(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    let at = if data.get(at..at + 2) == Some(&[0xff, 0x03]) { at + 2 } else { at };
    let first = *data.get(at).ok_or(Reason::LinkTruncated)?;
    // the last byte of a protocol number is odd, the others are even
    let (number, at) = if first & 1 == 1 {
        (u16::from(first), at + 1)
    } else {
        (be16(data, at).ok_or(Reason::LinkTruncated)?, at + 2)
    };
    match number {
        IPV4 => Ok(way.to(at, Announced::V4)),
        IPV6 => Ok(way.to(at, Announced::V6)),
        MPLS | MPLS_MULTICAST => shim::open(data, ethertype::MPLS, at, way),
        _ => Err(Reason::NotIp),
    }
}
