//! Tunnels: from a packet that carries another one to the packet inside.
//!
//! A packet counts in its innermost flow. Where the packet inside cannot be read (it is not IP, or the
//! capture ends in it), the packet stays what it is: one of the flow around.

use super::encapsulation::Tunnel;
use super::fragment::FragmentHead;
use super::link::{Announced, Start, Way};
use super::{be32, gre, ip, protocol, shim, udp_tunnel, Addresses, Packet, Reason};

/// What is around the data that is decoded.
#[derive(Clone, Copy)]
pub(super) struct Carrier<'a> {
    /// Bytes of the frame before the data.
    pub(super) base: u32,
    /// Fragmented packets around, the outermost first.
    pub(super) fragments: [Option<FragmentHead<'a>>; 2],
    /// The key of the tunnel around the outer one of two.
    pub(super) outer_key: u32,
}

impl<'a> Carrier<'a> {
    /// Nothing: the data is the frame.
    pub(super) const NONE: Carrier<'static> = Carrier { base: 0, fragments: [None, None], outer_key: 0 };

    /// Whether there is only a part of what the data belongs to.
    #[inline]
    pub(super) fn is_fragment(self) -> bool {
        self.fragments[0].is_some()
    }

    /// The fragmented packets around, and this one in them.
    pub(super) fn with(self, inner: Option<FragmentHead<'a>>) -> Result<[Option<FragmentHead<'a>>; 2], Reason> {
        match self.fragments {
            [None, _] => Ok([inner, None]),
            [outer, None] => Ok([outer, inner]),
            _ => Err(Reason::TunnelDepth),
        }
    }
}

/// Whether these ports may be those of a tunnel over UDP.
#[inline]
pub(super) fn on_port(source: u16, destination: u16) -> bool {
    udp_tunnel::on_port(source, destination)
}

/// Whether this protocol may carry an IP packet.
#[inline]
pub(super) fn is_protocol(number: u8) -> bool {
    matches!(number, protocol::IPV4 | protocol::IPV6 | protocol::GRE | protocol::L2TP | protocol::MPLS)
}

/// Decode what a packet carries into its place. Its payload starts at `at` in the frame.
#[cold]
#[inline(never)]
pub(super) fn open(packet: &mut Packet<'_>, way: Way, at: u32) -> Result<(), Reason> {
    let outer = *packet;
    let found = match outer.protocol {
        protocol::IPV4 => way.deeper(way.encapsulation.one_way(Tunnel::Ipip, 0)).map(|way| way.to(0, Announced::V4)),
        protocol::IPV6 => {
            let in_v4 = matches!(outer.addresses, Addresses::V4 { .. });
            let tunnel = if in_v4 { Tunnel::SixInFour } else { Tunnel::Ipip };
            way.deeper(way.encapsulation.one_way(tunnel, 0)).map(|way| way.to(0, Announced::V6))
        }
        protocol::GRE => gre::open(outer.payload, way),
        protocol::MPLS => shim::labels(outer.payload, 0, way),
        protocol::L2TP => l2tp_over_ip(outer.payload, way),
        _ => udp_tunnel::open(&outer, way),
    };
    let start = match found {
        Ok(start) => start,
        Err(Reason::TunnelDepth) => return Err(Reason::TunnelDepth),
        Err(_) => return Ok(()),
    };
    let own = outer.fragments[0].is_some() && !outer.carried && outer.fragments[1].is_none();
    let outer_key = if own { outer.encapsulation.key } else { outer.outer_key };
    let carrier = Carrier { base: at, fragments: outer.fragments, outer_key };
    let room = outer.payload_bytes.saturating_sub(u64::from(start.offset));
    *packet = Packet::EMPTY;
    match ip::decode(outer.payload, start, room, carrier, packet) {
        Err(Reason::TunnelDepth) => Err(Reason::TunnelDepth),
        Err(_) => {
            *packet = outer;
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// L2TP version 3 over IP (RFC 3931 section 4.1.1.1); session 0 is the control channel.
fn l2tp_over_ip(data: &[u8], way: Way) -> Result<Start, Reason> {
    match be32(data, 0) {
        None | Some(0) => Err(Reason::NotIp),
        Some(session) => l2tp_session(data, 4, session, way),
    }
}

/// A frame in an L2TP version 3 session. How long the cookie is (RFC 3931 section 4.1), and whether a
/// sublayer follows (section 4.6), is agreed on beforehand: the place where IP can be read is taken.
pub(super) fn l2tp_session(data: &[u8], at: usize, session: u32, way: Way) -> Result<Start, Reason> {
    let way = way.deeper(way.encapsulation.one_way(Tunnel::L2tp, session))?;
    [0, 4, 8, 12].into_iter().find_map(|skip| shim::frame_with_ip(data, at + skip, way).ok()).ok_or(Reason::NotIp)
}
