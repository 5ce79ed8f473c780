//! The ordinary frame, read at once: Ethernet, IPv4 without options or IPv6 without extension headers, in one
//! piece, TCP or UDP, in no tunnel.
//!
//! Nine of ten frames are such. Their fields stand at fixed places, so that one look at the length suffices for all
//! of them: half of the instructions of the general way. What is in any way different is left to that, and
//! where both read a frame they say the same (`tests/decode.rs`).

use super::link::ethertype;
use super::{protocol, tunnel, Addresses, Packet};

const LINK: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// Of a TCP header without options, and of a UDP header.
const TCP: usize = 20;
const UDP: usize = 8;

/// Read an ordinary Ethernet frame; false where it is another, and the packet as it was.
#[inline(always)]
pub(super) fn read<'a>(data: &'a [u8], packet: &mut Packet<'a>) -> bool {
    let Some(head) = data.first_chunk::<{ LINK + IPV4 + UDP }>() else { return false };
    match u16::from_be_bytes([head[12], head[13]]) {
        ethertype::IPV4 => {
            let claimed = usize::from(u16::from_be_bytes([head[16], head[17]]));
            let fragment = u16::from_be_bytes([head[20], head[21]]) & 0x3fff;
            if head[14] != 0x45 || fragment != 0 || claimed < IPV4 {
                return false;
            }
            let addresses = Addresses::V4 {
                source: [head[26], head[27], head[28], head[29]],
                destination: [head[30], head[31], head[32], head[33]],
            };
            upper(data, LINK + IPV4, claimed - IPV4, claimed, head[23], addresses, packet)
        }
        ethertype::IPV6 => {
            let Some(head) = data.first_chunk::<{ LINK + IPV6 + UDP }>() else { return false };
            let length = usize::from(u16::from_be_bytes([head[18], head[19]]));
            if head[14] >> 4 != 6 {
                return false;
            }
            let (mut source, mut destination) = ([0; 16], [0; 16]);
            source.copy_from_slice(&head[22..38]);
            destination.copy_from_slice(&head[38..54]);
            let addresses = Addresses::V6 { source, destination };
            upper(data, LINK + IPV6, length, length + IPV6, head[20], addresses, packet)
        }
        _ => false,
    }
}

/// The transport header at `at`, of an IP payload that claims `length` bytes.
#[inline(always)]
fn upper<'a>(
    data: &'a [u8],
    at: usize,
    length: usize,
    ip_bytes: usize,
    number: u8,
    addresses: Addresses,
    packet: &mut Packet<'a>,
) -> bool {
    // what stands behind the packet in its frame is not of it
    let Some(there) = data.get(at..data.len().min(at + length)) else { return false };
    let (header, payload_bytes, sequence, tcp_flags) = match number {
        protocol::TCP => {
            let Some(head) = there.first_chunk::<TCP>() else { return false };
            let header = usize::from(head[12] >> 4) * 4;
            if header < TCP || header > length {
                return false;
            }
            (header, length - header, u32::from_be_bytes([head[4], head[5], head[6], head[7]]), head[13])
        }
        protocol::UDP => {
            let Some(head) = there.first_chunk::<UDP>() else { return false };
            let claimed = usize::from(u16::from_be_bytes([head[4], head[5]]));
            let (source, destination) =
                (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
            if claimed < UDP || claimed > length || tunnel::on_port(source, destination) {
                return false;
            }
            (UDP, claimed - UDP, 0, 0)
        }
        _ => return false,
    };
    let [a, b, c, d, ..] = *there else { return false };
    let behind = there.get(header..).unwrap_or_default();
    *packet = Packet {
        addresses,
        source_port: u16::from_be_bytes([a, b]),
        destination_port: u16::from_be_bytes([c, d]),
        protocol: number,
        ip_bytes: ip_bytes as u32,
        link_bytes: LINK as u32,
        payload_bytes: payload_bytes as u64,
        payload: behind.get(..behind.len().min(payload_bytes)).unwrap_or_default(),
        tcp_flags,
        sequence,
        ..Packet::EMPTY
    };
    true
}
