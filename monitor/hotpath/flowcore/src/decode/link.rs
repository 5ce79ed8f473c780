//! Link headers: from a frame to the start of its IP header.
//!
//! Link types are those of the tcpdump group's register (<https://www.tcpdump.org/linktypes.html>).

use super::encapsulation::Encapsulation;
use super::{be16, ppp, shim, Reason};

const NULL: u16 = 0;
pub(super) const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const RAW_BSD: u16 = 12;
const RAW_OPENBSD: u16 = 14;
const PPP_HDLC: u16 = 50;
const PPP_ETHER: u16 = 51;
const RAW: u16 = 101;
const C_HDLC: u16 = 104;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const PPP_PPPD: u16 = 166;
const MPLS: u16 = 219;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

/// Ethernet types (IEEE 802 numbers at IANA) that lead to an IP packet.
pub(super) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const PPP: u16 = 0x880b;
    pub(crate) const MPLS: u16 = 0x8847;
    pub(crate) const MPLS_MULTICAST: u16 = 0x8848;
    pub(crate) const PPPOE_SESSION: u16 = 0x8864;
    pub(crate) const QINQ: u16 = 0x88a8;
    /// IEEE 802.1ah: the customer's whole frame behind a service id.
    pub(crate) const PROVIDER_BACKBONE: u16 = 0x88e7;
    /// Cisco FabricPath: a whole frame behind two bytes.
    pub(crate) const FABRIC_PATH: u16 = 0x8903;
    /// IEEE 802.1BR and its forerunner VN-Tag.
    pub(crate) const VN_TAG: u16 = 0x8926;
    pub(crate) const NSH: u16 = 0x894f;
    pub(crate) const QINQ_OLD: u16 = 0x9100;
}

/// Tags deeper than any network has; a longer stack is hostile.
const MAX_TAGS: usize = 8;

/// Which IP version the header before announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    V4,
    V6,
    /// The first nibble decides.
    Either,
}

/// Where an IP header starts, and what is around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) offset: u32,
    pub(super) announced: Announced,
    pub(super) way: Way,
}

/// What was passed on the way to a header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    pub(super) encapsulation: Encapsulation,
    /// Layers so far that can hold each other without end.
    pub(super) depth: u8,
}

/// Layers that are opened; what is deeper is no network's design.
const MAX_DEPTH: u8 = 8;

impl Way {
    /// One layer deeper.
    pub(super) fn deeper(self, encapsulation: Encapsulation) -> Result<Way, Reason> {
        if self.depth >= MAX_DEPTH {
            return Err(Reason::TunnelDepth);
        }
        Ok(Way { encapsulation, depth: self.depth + 1 })
    }

    pub(super) fn to(self, offset: usize, announced: Announced) -> Start {
        Start { offset: offset as u32, announced, way: self }
    }
}

/// Take off the link header.
#[inline]
pub(super) fn strip(link: u16, data: &[u8]) -> Result<Start, Reason> {
    let way = Way::default();
    match link {
        ETHERNET => ethernet(data, 0, way),
        RAW | RAW_BSD | RAW_OPENBSD => Ok(way.to(0, Announced::Either)),
        IPV4 => Ok(way.to(0, Announced::V4)),
        IPV6 => Ok(way.to(0, Announced::V6)),
        LINUX_SLL => after_ethertype(data, 14, way),
        LINUX_SLL2 => sll2(data),
        NULL | LOOP => loopback(data),
        PPP | PPP_HDLC | PPP_PPPD => ppp::link(data, way),
        PPP_ETHER => ppp::over_ethernet(data, 0, way),
        C_HDLC => ppp::cisco(data, way),
        MPLS => shim::labels(data, 0, way),
        _ => Err(Reason::LinkType),
    }
}

/// Linux cooked v2: the protocol stands first, the header is 20 bytes.
fn sll2(data: &[u8]) -> Result<Start, Reason> {
    let ethertype = be16(data, 0).ok_or(Reason::LinkTruncated)?;
    dispatch(data, ethertype, 20, Way::default())
}

/// BSD loopback: an address family in the byte order of the host that captured.
fn loopback(data: &[u8]) -> Result<Start, Reason> {
    let way = Way::default();
    // some devices write an Ethernet type into the lower half
    match be16(data, 2) {
        Some(ethertype::IPV4) => return Ok(way.to(4, Announced::V4)),
        Some(ethertype::IPV6) => return Ok(way.to(4, Announced::V6)),
        _ => {}
    }
    let family: [u8; 4] = data.get(..4).and_then(|four| four.try_into().ok()).ok_or(Reason::LinkTruncated)?;
    // AF_INET is 2 everywhere; AF_INET6 is 10 (Linux), 24 (NetBSD, OpenBSD), 28 (FreeBSD), 30 (Darwin), 23 (Windows)
    let family = match u32::from_le_bytes(family) {
        swapped if swapped > 0xffff => swapped.swap_bytes(),
        number => number,
    };
    match family {
        2 => Ok(way.to(4, Announced::V4)),
        10 | 23 | 24 | 28 | 30 => Ok(way.to(4, Announced::V6)),
        _ => Err(Reason::NotIp),
    }
}

/// An Ethernet header (IEEE 802.3) at `at`.
#[inline]
pub(super) fn ethernet(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    after_ethertype(data, at + 12, way)
}

#[inline]
fn after_ethertype(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    let ethertype = be16(data, at).ok_or(Reason::LinkTruncated)?;
    dispatch(data, ethertype, at + 2, way)
}

/// Follow VLAN tags (IEEE 802.1Q) and LLC/SNAP (RFC 1042) to the IP header.
#[inline]
pub(super) fn dispatch(data: &[u8], mut ethertype: u16, mut at: usize, mut way: Way) -> Result<Start, Reason> {
    for _ in 0..=MAX_TAGS {
        match ethertype {
            ethertype::IPV4 => return Ok(way.to(at, Announced::V4)),
            ethertype::IPV6 => return Ok(way.to(at, Announced::V6)),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => {
                let id = be16(data, at).ok_or(Reason::LinkTruncated)? & 0x0fff;
                way.encapsulation = way.encapsulation.tagged(id);
                ethertype = be16(data, at + 2).ok_or(Reason::LinkTruncated)?;
                at += 4;
            }
            // a length, not a type: IP only behind a SNAP header with the Ethernet organisation code
            length if length <= 1500 && data.get(at..at + 6) == Some(&[0xaa, 0xaa, 0x03, 0, 0, 0]) => {
                ethertype = be16(data, at + 6).ok_or(Reason::LinkTruncated)?;
                at += 8;
            }
            _ => return shim::open(data, ethertype, at, way),
        }
    }
    Err(Reason::NotIp)
}
