//! Headers between Ethernet and IP: MPLS, PPPoE, NSH, and a few that put a frame into a frame.

use super::encapsulation::Tunnel;
use super::link::{dispatch, ethernet, ethertype, Announced, Start, Way};
use super::{be16, be32, ppp, Reason};

/// Labels in a stack; more is hostile.
const MAX_LABELS: usize = 16;

/// Open what stands behind an Ethernet type that is neither IP nor a VLAN tag.
#[cold]
pub(super) fn open(data: &[u8], ethertype: u16, at: usize, way: Way) -> Result<Start, Reason> {
    match ethertype {
        ethertype::MPLS | ethertype::MPLS_MULTICAST => labels(data, at, way),
        ethertype::PPPOE_SESSION => ppp::over_ethernet(data, at, way),
        ethertype::PPP => ppp::frame(data, at, way.deeper(way.encapsulation)?),
        ethertype::NSH => service_header(data, at, way),
        ethertype::FABRIC_PATH => ethernet(data, at + 2, way.deeper(way.encapsulation)?),
        ethertype::PROVIDER_BACKBONE => ethernet(data, at + 4, way.deeper(way.encapsulation)?),
        ethertype::VN_TAG => {
            let next = be16(data, at + 4).ok_or(Reason::LinkTruncated)?;
            dispatch(data, next, at + 6, way.deeper(way.encapsulation)?)
        }
        _ => Err(Reason::NotIp),
    }
}

/// A stack of MPLS labels (RFC 3032 section 2.1). Nothing says what is below it: IP by its first nibble, or
/// Ethernet, behind a control word (RFC 4448 section 4.6) or not.
pub(super) fn labels(data: &[u8], mut at: usize, way: Way) -> Result<Start, Reason> {
    for _ in 0..MAX_LABELS {
        let entry = be32(data, at).ok_or(Reason::LinkTruncated)?;
        at += 4;
        // the bottom of the stack
        if entry & 0x100 != 0 {
            let way = way.deeper(way.encapsulation.one_way(Tunnel::Mpls, entry >> 12))?;
            return below_labels(data, at, way);
        }
    }
    Err(Reason::NotIp)
}

fn below_labels(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    if leads_to_ip(data, at, Announced::Either) {
        return Ok(way.to(at, Announced::Either));
    }
    // a control word begins with a zero nibble, and so may a MAC address: the Ethernet type decides
    let worded = data.get(at).is_some_and(|byte| byte >> 4 == 0)
        && matches!(
            be16(data, at + 16),
            Some(ethertype::IPV4 | ethertype::IPV6 | ethertype::VLAN | ethertype::QINQ | ethertype::MPLS)
        );
    frame_with_ip(data, if worded { at + 4 } else { at }, way)
}

/// An Ethernet frame at `at`, if an IP header is in it.
pub(super) fn frame_with_ip(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    let start = ethernet(data, at, way)?;
    if leads_to_ip(data, start.offset as usize, start.announced) {
        Ok(start)
    } else {
        Err(Reason::NotIp)
    }
}

/// Whether an IP header can start at `at`: version, header length and total length fit each other.
pub(super) fn leads_to_ip(data: &[u8], at: usize, announced: Announced) -> bool {
    let Some(first) = data.get(at) else { return false };
    match (first >> 4, announced) {
        (4, Announced::V4 | Announced::Either) => {
            let header = u16::from(first & 0x0f) * 4;
            header >= 20 && be16(data, at + 2).is_some_and(|total| total == 0 || total >= header)
        }
        (6, Announced::V6 | Announced::Either) => data.len() >= at + 40,
        _ => false,
    }
}

/// Network service header (RFC 8300 section 2).
pub(super) fn service_header(data: &[u8], at: usize, way: Way) -> Result<Start, Reason> {
    const IPV4: u8 = 1;
    const IPV6: u8 = 2;
    const ETHERNET: u8 = 3;
    const SELF: u8 = 4;
    const MPLS: u8 = 5;
    let base = be32(data, at).ok_or(Reason::LinkTruncated)?;
    let path = be32(data, at + 4).ok_or(Reason::LinkTruncated)? >> 8;
    let words = (base >> 16 & 0x3f) as usize;
    // version 0; two words at least
    if base >> 30 != 0 || words < 2 {
        return Err(Reason::NotIp);
    }
    let way = way.deeper(way.encapsulation.one_way(Tunnel::Nsh, path))?;
    let at = at + 4 * words;
    match base as u8 {
        IPV4 => Ok(way.to(at, Announced::V4)),
        IPV6 => Ok(way.to(at, Announced::V6)),
        ETHERNET => ethernet(data, at, way),
        SELF => service_header(data, at, way),
        MPLS => labels(data, at, way),
        _ => Err(Reason::NotIp),
    }
}
