//! GRE: version 0 (RFC 2784, RFC 2890) with what it carries, ERSPAN among it, and version 1 (RFC 2637).

use super::encapsulation::Tunnel;
use super::link::{dispatch, ethernet, ethertype, Start, Way};
use super::{be16, be32, ppp, Reason};

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGEMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;

const TRANSPARENT_ETHERNET: u16 = 0x6558;
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

/// RFC 7637 section 3.2: smaller subnet ids are reserved, so a key that gives one is no NVGRE's.
const FIRST_SUBNET: u32 = 0x1000;

/// What a GRE header carries.
pub(super) fn open(data: &[u8], way: Way) -> Result<Start, Reason> {
    let flags = be16(data, 0).ok_or(Reason::LinkTruncated)?;
    let carried = be16(data, 2).ok_or(Reason::LinkTruncated)?;
    match flags & VERSION {
        // source routes (RFC 1701) have gone out of use with RFC 2784
        0 if flags & ROUTING == 0 => standard(data, flags, carried, way),
        1 => point_to_point(data, flags, carried, way),
        _ => Err(Reason::NotIp),
    }
}

fn standard(data: &[u8], flags: u16, carried: u16, way: Way) -> Result<Start, Reason> {
    let mut at = if flags & CHECKSUM != 0 { 8 } else { 4 };
    let mut key = 0;
    if flags & KEY != 0 {
        key = be32(data, at).ok_or(Reason::LinkTruncated)?;
        at += 4;
    }
    if flags & SEQUENCE != 0 {
        at += 4;
    }
    match carried {
        TRANSPARENT_ETHERNET => {
            // NVGRE: the lower byte may be a hash of the flow, other in each direction
            let subnet = key >> 8;
            let id = if subnet >= FIRST_SUBNET { subnet } else { key };
            ethernet(data, at, way.deeper(way.encapsulation.shared(Tunnel::Gre, id))?)
        }
        // type I has no header of its own, and GRE no sequence number
        ERSPAN if flags & SEQUENCE == 0 => ethernet(data, at, way.deeper(way.encapsulation.shared(Tunnel::Erspan, 0))?),
        ERSPAN => mirrored(data, at, at + 8, way),
        ERSPAN_III => {
            let platform = data.get(at + 11).ok_or(Reason::LinkTruncated)? & 1;
            mirrored(data, at, at + 12 + 8 * usize::from(platform), way)
        }
        _ => dispatch(data, carried, at, way.deeper(way.encapsulation.shared(Tunnel::Gre, key))?),
    }
}

/// ERSPAN types II and III (draft-foschiano-erspan section 4): the session is the lower 10 bits of the
/// second half word.
fn mirrored(data: &[u8], at: usize, frame: usize, way: Way) -> Result<Start, Reason> {
    let session = be16(data, at + 2).ok_or(Reason::LinkTruncated)? & 0x03ff;
    ethernet(data, frame, way.deeper(way.encapsulation.shared(Tunnel::Erspan, u32::from(session)))?)
}

/// PPTP (RFC 2637 section 4.1): PPP behind a payload length and a call id.
fn point_to_point(data: &[u8], flags: u16, carried: u16, way: Way) -> Result<Start, Reason> {
    // without a sequence number there is no payload, only an acknowledgement
    if carried != ethertype::PPP || flags & (KEY | SEQUENCE) != KEY | SEQUENCE {
        return Err(Reason::NotIp);
    }
    let call = be16(data, 6).ok_or(Reason::LinkTruncated)?;
    let at = if flags & ACKNOWLEDGEMENT != 0 { 16 } else { 12 };
    ppp::frame(data, at, way.deeper(way.encapsulation.one_way(Tunnel::Gre, u32::from(call)))?)
}
