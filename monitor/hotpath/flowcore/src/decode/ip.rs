//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, options and extension headers.

use super::fragment::FragmentHead;
use super::link::{Announced, Start};
use super::transport::{self, Upper};
use super::tunnel::Carrier;
use super::{be16, be32, protocol, Addresses, Packet, Reason};

/// Extension headers in a row; more is hostile.
const MAX_EXTENSIONS: usize = 16;
const JUMBO: u8 = 0xc2;

/// Decode from the IP header on. `room` is what the wire, or the packet around, had from there on.
#[inline]
pub(super) fn decode<'a>(
    data: &'a [u8],
    start: Start,
    room: u64,
    carrier: Carrier<'a>,
    packet: &mut Packet<'a>,
) -> Result<(), Reason> {
    let bytes = data.get(start.offset as usize..).ok_or(Reason::IpTruncated)?;
    let version = bytes.first().ok_or(Reason::IpTruncated)? >> 4;
    let mut upper = match (version, start.announced) {
        (4, Announced::V4 | Announced::Either) => ipv4(bytes, start, room)?,
        (6, Announced::V6 | Announced::Either) => ipv6(bytes, start, room)?,
        _ => return Err(Reason::IpVersion),
    };
    if carrier.is_fragment() {
        // the rest of it is in the later fragments, which are counted by themselves
        let beyond = upper.ip_bytes.saturating_sub(room);
        upper.ip_bytes -= beyond;
        upper.length = upper.length.saturating_sub(beyond);
    }
    transport::decode(&upper, carrier, packet)
}

#[inline]
fn ipv4(packet: &[u8], start: Start, room: u64) -> Result<Upper<'_>, Reason> {
    let head: &[u8; 20] = packet.get(..20).and_then(|head| head.try_into().ok()).ok_or(Reason::IpTruncated)?;
    let header = usize::from(head[0] & 0x0f) * 4;
    if header < 20 {
        return Err(Reason::IpLength);
    }
    let claimed = u64::from(u16::from_be_bytes([head[2], head[3]]));
    // 0: the sender left the length to segmentation offload, or the packet is a jumbo (BIG TCP)
    let ip_bytes = if claimed == 0 { room } else { claimed };
    if ip_bytes < header as u64 {
        return Err(Reason::IpLength);
    }
    let fragment_field = u16::from_be_bytes([head[6], head[7]]);
    let (offset, more) = (fragment_field & 0x1fff, fragment_field & 0x2000 != 0);
    let addresses = Addresses::V4 {
        source: [head[12], head[13], head[14], head[15]],
        destination: [head[16], head[17], head[18], head[19]],
    };
    let mut upper = Upper {
        addresses,
        protocol: head[9],
        data: bounded(packet, header, ip_bytes).ok_or(Reason::IpTruncated)?,
        length: ip_bytes - header as u64,
        ip_bytes,
        start,
        fragment: None,
        continuation: false,
    };
    if offset != 0 || more {
        let header = packet.get(..header).ok_or(Reason::IpTruncated)?;
        upper.fragment = Some(FragmentHead(header));
        upper.continuation = offset != 0;
    }
    if upper.protocol == protocol::AH && offset == 0 {
        skip_authentication(&mut upper)?;
    }
    Ok(upper)
}

/// The captured part of `packet` from `start` to the claimed end; `None` where it ends before `start`.
#[inline]
fn bounded(packet: &[u8], start: usize, claimed: u64) -> Option<&[u8]> {
    let end = claimed.min(packet.len() as u64) as usize;
    packet.get(start..end.max(start))
}

/// RFC 4302 section 2: the length counts 32-bit words, less two.
fn skip_authentication(upper: &mut Upper<'_>) -> Result<(), Reason> {
    let (Some(&next), Some(&words)) = (upper.data.first(), upper.data.get(1)) else {
        return Err(Reason::IpTruncated);
    };
    let size = (usize::from(words) + 2) * 4;
    upper.data = upper.data.get(size..).ok_or(Reason::IpTruncated)?;
    upper.length = upper.length.saturating_sub(size as u64);
    upper.protocol = next;
    Ok(())
}

#[inline]
fn ipv6(packet: &[u8], start: Start, room: u64) -> Result<Upper<'_>, Reason> {
    let head: &[u8; 40] = packet.get(..40).and_then(|head| head.try_into().ok()).ok_or(Reason::IpTruncated)?;
    let mut source = [0; 16];
    let mut destination = [0; 16];
    source.copy_from_slice(&head[8..24]);
    destination.copy_from_slice(&head[24..40]);
    let claimed = u64::from(u16::from_be_bytes([head[4], head[5]]));
    let mut next = head[6];
    let mut ip_bytes = claimed + 40;
    if claimed == 0 && next != protocol::NO_NEXT {
        // RFC 2675 section 2, or segmentation offload
        ip_bytes = jumbo_length(packet, next).map_or(room.max(40), |length| u64::from(length) + 40);
    }
    let mut at = 40;
    let (mut fragment, mut continuation) = (None, false);
    let end = ip_bytes.min(packet.len() as u64) as usize;
    let available = packet.get(..end).ok_or(Reason::IpTruncated)?;
    for _ in 0..MAX_EXTENSIONS {
        let size = match next {
            // a later fragment ends the chain: what follows is not the start of a header
            _ if continuation => 0,
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => 8 * (usize::from(*available.get(at + 1).ok_or(Reason::IpTruncated)?) + 1),
            protocol::AH => 4 * (usize::from(*available.get(at + 1).ok_or(Reason::IpTruncated)?) + 2),
            protocol::FRAGMENT => {
                let field = be16(available, at + 2).ok_or(Reason::IpTruncated)?;
                // an atomic fragment (RFC 6946) is a whole packet
                if field & 0xfff9 != 0 {
                    let header = available.get(..at + 8).ok_or(Reason::IpTruncated)?;
                    fragment = Some(FragmentHead(header));
                    continuation = field & 0xfff8 != 0;
                }
                8
            }
            _ => 0,
        };
        if size == 0 {
            return Ok(Upper {
                addresses: Addresses::V6 { source, destination },
                protocol: next,
                data: available.get(at..).ok_or(Reason::IpTruncated)?,
                length: ip_bytes.saturating_sub(at as u64),
                ip_bytes,
                start,
                fragment,
                continuation,
            });
        }
        next = *available.get(at).ok_or(Reason::IpTruncated)?;
        at += size;
    }
    Err(Reason::ExtensionChain)
}

/// The jumbo payload option, if the first extension header is a hop-by-hop header that holds it.
fn jumbo_length(packet: &[u8], next: u8) -> Option<u32> {
    if next != protocol::HOP_BY_HOP {
        return None;
    }
    let end = 40 + 8 * (usize::from(*packet.get(41)?) + 1);
    let mut at = 42;
    while at < end {
        match *packet.get(at)? {
            0 => at += 1,
            JUMBO => return be32(packet, at + 2),
            _ => at += 2 + usize::from(*packet.get(at + 1)?),
        }
    }
    None
}
