//! Link headers: from a frame to the start of its IP header.
//!
//! Link types are those of the tcpdump group's register (<https://www.tcpdump.org/linktypes.html>).

use super::{be16, Reason};

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW_BSD: u16 = 12;
const RAW_OPENBSD: u16 = 14;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_QINQ_OLD: u16 = 0x9100;

/// Tags deeper than any network has; a longer stack is hostile.
const MAX_TAGS: usize = 8;

/// Which IP version the link header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    V4,
    V6,
    /// The first nibble decides.
    Either,
}

/// Where the IP header starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkPayload {
    pub(super) offset: u32,
    pub(super) announced: Announced,
    pub(super) vlan: u16,
}

/// Take off the link header.
#[inline]
pub(super) fn strip(link: u16, data: &[u8]) -> Result<LinkPayload, Reason> {
    match link {
        ETHERNET => after_ethertype(data, 12),
        RAW | RAW_BSD | RAW_OPENBSD => Ok(plain(0, Announced::Either)),
        IPV4 => Ok(plain(0, Announced::V4)),
        IPV6 => Ok(plain(0, Announced::V6)),
        LINUX_SLL => after_ethertype(data, 14),
        LINUX_SLL2 => sll2(data),
        NULL | LOOP => loopback(data),
        _ => Err(Reason::LinkType),
    }
}

fn plain(offset: u32, announced: Announced) -> LinkPayload {
    LinkPayload { offset, announced, vlan: 0 }
}

/// Linux cooked v2: the protocol stands first, the header is 20 bytes.
fn sll2(data: &[u8]) -> Result<LinkPayload, Reason> {
    let ethertype = be16(data, 0).ok_or(Reason::LinkTruncated)?;
    dispatch(data, ethertype, 20, 0)
}

/// BSD loopback: an address family in the byte order of the host that captured.
fn loopback(data: &[u8]) -> Result<LinkPayload, Reason> {
    // some devices write an Ethernet type into the lower half
    match be16(data, 2) {
        Some(ETHERTYPE_IPV4) => return Ok(plain(4, Announced::V4)),
        Some(ETHERTYPE_IPV6) => return Ok(plain(4, Announced::V6)),
        _ => {}
    }
    let family: [u8; 4] = data.get(..4).and_then(|four| four.try_into().ok()).ok_or(Reason::LinkTruncated)?;
    // AF_INET is 2 everywhere; AF_INET6 is 10 (Linux), 24 (NetBSD, OpenBSD), 28 (FreeBSD), 30 (Darwin), 23 (Windows)
    let family = match u32::from_le_bytes(family) {
        swapped if swapped > 0xffff => swapped.swap_bytes(),
        number => number,
    };
    match family {
        2 => Ok(plain(4, Announced::V4)),
        10 | 23 | 24 | 28 | 30 => Ok(plain(4, Announced::V6)),
        _ => Err(Reason::NotIp),
    }
}

#[inline]
fn after_ethertype(data: &[u8], at: usize) -> Result<LinkPayload, Reason> {
    let ethertype = be16(data, at).ok_or(Reason::LinkTruncated)?;
    dispatch(data, ethertype, at + 2, 0)
}

/// Follow VLAN tags (IEEE 802.1Q) and LLC/SNAP (RFC 1042) to the IP header.
#[inline]
fn dispatch(data: &[u8], mut ethertype: u16, mut at: usize, mut vlan: u16) -> Result<LinkPayload, Reason> {
    for _ in 0..=MAX_TAGS {
        let announced = match ethertype {
            ETHERTYPE_IPV4 => Announced::V4,
            ETHERTYPE_IPV6 => Announced::V6,
            ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_QINQ_OLD => {
                vlan = be16(data, at).ok_or(Reason::LinkTruncated)? & 0x0fff;
                ethertype = be16(data, at + 2).ok_or(Reason::LinkTruncated)?;
                at += 4;
                continue;
            }
            // a length, not a type: IP only behind a SNAP header with the Ethernet organisation code
            length if length <= 1500 && data.get(at..at + 6) == Some(&[0xaa, 0xaa, 0x03, 0, 0, 0]) => {
                ethertype = be16(data, at + 6).ok_or(Reason::LinkTruncated)?;
                at += 8;
                continue;
            }
            _ => return Err(Reason::NotIp),
        };
        return Ok(LinkPayload { offset: at as u32, announced, vlan });
    }
    Err(Reason::NotIp)
}
