//! From a frame to addresses, ports, lengths: one file a protocol, and the reasons a packet can fail for.
//!
//! Nothing here allocates, panics or keeps state, but that fingerprints are remembered. A frame either gives a
//! [`Packet`] or one [`Reason`]; what is wrong above the ports is a [`Fault`], which the packet carries along.

mod application;
pub mod certificate;
pub mod claimed;
pub mod datagram;
pub mod dns;
pub mod dtls;
mod encapsulation;
mod fragment;
mod gre;
pub mod hpack;
pub mod http;
pub mod http2;
mod huffman;
mod ip;
mod ja4;
mod ja4_memo;
mod link;
mod memo;
mod ordinary;
mod ppp;
pub(crate) mod preamble;
pub mod quic;
mod reason;
pub mod recognise;
pub mod sensitive;
mod shim;
pub mod socks;
mod text;
pub mod tls;
mod transport;
mod tunnel;
mod udp_tunnel;
mod wire;

pub use application::Application;
pub use encapsulation::{Encapsulation, Tunnel};
pub use fragment::{FragmentHead, FragmentKey, Piece};
pub use ja4::{Ja4, Transport};
pub use reason::{Fault, Reason};

/// IANA protocol numbers that are told apart here.
pub mod protocol {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const L2TP: u8 = 115;
    pub const SCTP: u8 = 132;
    pub const MOBILITY: u8 = 135;
    pub const UDP_LITE: u8 = 136;
    pub const MPLS: u8 = 137;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// Flags of the TCP header (RFC 9293 section 3.1).
pub mod tcp_flag {
    #![allow(missing_docs)]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// Source and destination of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4.
    V4 {
        /// Sender.
        source: [u8; 4],
        /// Receiver.
        destination: [u8; 4],
    },
    /// IPv6.
    V6 {
        /// Sender.
        source: [u8; 16],
        /// Receiver.
        destination: [u8; 16],
    },
}

/// What a frame says, once its addresses and ports are read.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Source and destination.
    pub addresses: Addresses,
    /// 0 where the protocol has none, or in a later fragment.
    pub source_port: u16,
    /// 0 where the protocol has none, or in a later fragment.
    pub destination_port: u16,
    /// IANA number of the upper protocol.
    pub protocol: u8,
    /// From the start of the (innermost) IP header to the end of the IP payload, as the header claims.
    pub ip_bytes: u32,
    /// Bytes of link and tunnel headers before the IP header.
    pub link_bytes: u32,
    /// Above the transport header, as the headers claim.
    pub payload_bytes: u64,
    /// What is there of the payload; of a later fragment, all that it carries.
    pub payload: &'a [u8],
    /// TCP flags; 0 for other protocols.
    pub tcp_flags: u8,
    /// TCP sequence number of the first payload byte (SYN not counted).
    pub sequence: u32,
    /// ICMP and ICMPv6 type; 0 for others.
    pub icmp_type: u8,
    /// The innermost tunnel around it.
    pub encapsulation: Encapsulation,
    /// Part of a fragmented datagram, or inside of one: not all of it is in this frame.
    pub fragment: bool,
    /// A later fragment: it has no ports, and only its first fragment tells its flow.
    pub continuation: bool,
    /// The fragmented packets that it is of or in, the outermost first.
    pub fragments: [Option<FragmentHead<'a>>; 2],
    /// It is in the last of these, behind a tunnel's headers, and not of it.
    pub carried: bool,
    /// Where it is in one of these: the key of the tunnel around the first.
    pub outer_key: u32,
    /// What is wrong above the ports.
    pub fault: Option<Fault>,
}

impl Packet<'_> {
    /// What [`decode_into`] starts from.
    pub const EMPTY: Packet<'static> = Packet {
        addresses: Addresses::V4 { source: [0; 4], destination: [0; 4] },
        source_port: 0,
        destination_port: 0,
        protocol: 0,
        ip_bytes: 0,
        link_bytes: 0,
        payload_bytes: 0,
        payload: &[],
        tcp_flags: 0,
        sequence: 0,
        icmp_type: 0,
        encapsulation: Encapsulation { tunnel: None, id: 0, key: 0 },
        fragment: false,
        continuation: false,
        fragments: [None, None],
        carried: false,
        outer_key: 0,
        fault: None,
    };

    /// The same without the bytes of its frame, which it can outlive then.
    pub fn detached(&self) -> Packet<'static> {
        Packet { payload: &[], fragments: [None, None], carried: false, outer_key: 0, ..*self }
    }
}

/// Decode one frame.
///
/// `link` is its LINKTYPE_ number, `wire` its length before it was cut to `data`.
///
/// # Errors
/// The reason why it has no addresses and ports that can be read.
pub fn decode(link: u16, data: &[u8], wire: u32) -> Result<Packet<'_>, Reason> {
    let mut packet = Packet::EMPTY;
    decode_into(link, data, wire, &mut packet)?;
    Ok(packet)
}

/// [`decode`] into a packet, whatever that held: a burst of packets is filled where it stands, and none is moved.
///
/// # Errors
/// As of [`decode`]; what the packet holds then means nothing.
#[inline]
pub fn decode_into<'a>(link: u16, data: &'a [u8], wire: u32, packet: &mut Packet<'a>) -> Result<(), Reason> {
    if link == link::ETHERNET && ordinary::read(data, packet) {
        return Ok(());
    }
    decode_any(link, data, wire, packet)
}

/// [`decode_into`] of any frame.
#[inline(never)]
fn decode_any<'a>(link: u16, data: &'a [u8], wire: u32, packet: &mut Packet<'a>) -> Result<(), Reason> {
    *packet = Packet::EMPTY;
    let start = link::strip(link, data)?;
    let room = u64::from(wire).saturating_sub(u64::from(start.offset));
    ip::decode(data, start, room, tunnel::Carrier::NONE, packet)
}

/// Big-endian number at an offset, if it is there.
#[inline]
pub(crate) fn be16(data: &[u8], at: usize) -> Option<u16> {
    let two: [u8; 2] = data.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(two))
}

/// Big-endian number of three bytes at an offset, if it is there.
#[inline]
pub(crate) fn be24(data: &[u8], at: usize) -> Option<u32> {
    match data.get(at..at + 3)? {
        [high, middle, low] => Some(u32::from_be_bytes([0, *high, *middle, *low])),
        _ => None,
    }
}

/// Big-endian number at an offset, if it is there.
#[inline]
pub(crate) fn be32(data: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}
