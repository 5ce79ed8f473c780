//! Transport headers: TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), DCCP (RFC 4340), ICMP
//! (RFC 792, RFC 4443).

use super::fragment::FragmentHead;
use super::link::Start;
use super::tunnel::{self, Carrier};
use super::{be16, be32, protocol, Addresses, Fault, Packet, Reason};

/// What the network layer leaves for the transport layer.
pub(super) struct Upper<'a> {
    pub(super) addresses: Addresses,
    pub(super) protocol: u8,
    /// What is there of the IP payload, without extension headers and without padding behind it.
    pub(super) data: &'a [u8],
    /// How long it claims to be.
    pub(super) length: u64,
    pub(super) ip_bytes: u64,
    /// Where the IP header was.
    pub(super) start: Start,
    /// Where the packet belongs, if it is a fragment.
    pub(super) fragment: Option<FragmentHead<'a>>,
    /// It has not the start of the packet.
    pub(super) continuation: bool,
}

#[inline]
pub(super) fn decode<'a>(upper: &Upper<'a>, carrier: Carrier<'a>, packet: &mut Packet<'a>) -> Result<(), Reason> {
    packet.addresses = upper.addresses;
    packet.protocol = upper.protocol;
    // a jumbo that claims all that its field can hold (RFC 2675) is 40 bytes longer
    packet.ip_bytes = upper.ip_bytes.min(u64::from(u32::MAX)) as u32;
    packet.link_bytes = carrier.base + upper.start.offset;
    packet.payload_bytes = upper.length;
    packet.payload = upper.data;
    packet.encapsulation = upper.start.way.encapsulation;
    if upper.fragment.is_some() || carrier.is_fragment() {
        fragmented(upper, carrier, packet)?;
        if upper.continuation {
            return Ok(());
        }
    }
    match upper.protocol {
        protocol::TCP => tcp(packet, upper.data, upper.length)?,
        protocol::UDP | protocol::UDP_LITE => {
            udp(packet, upper.data, upper.length)?;
            if tunnel::on_port(packet.source_port, packet.destination_port) {
                return tunnel::open(packet, upper.start.way, header_end(upper, carrier) + 8);
            }
        }
        protocol::SCTP => {
            ports(packet, upper.data)?;
            above(packet, upper.data, upper.length, 12);
        }
        protocol::DCCP => {
            ports(packet, upper.data)?;
            let offset = upper.data.get(4).map_or(12, |words| usize::from(*words) * 4);
            above(packet, upper.data, upper.length, offset);
        }
        protocol::ICMP | protocol::ICMPV6 => {
            packet.icmp_type = upper.data.first().copied().unwrap_or(0);
            above(packet, upper.data, upper.length, 8);
        }
        other if tunnel::is_protocol(other) => {
            return tunnel::open(packet, upper.start.way, header_end(upper, carrier));
        }
        _ => {}
    }
    Ok(())
}

/// Note which fragmented packets this is of or in.
#[cold]
fn fragmented<'a>(upper: &Upper<'a>, carrier: Carrier<'a>, packet: &mut Packet<'a>) -> Result<(), Reason> {
    packet.fragment = true;
    packet.continuation = upper.continuation;
    packet.fragments = if upper.fragment.is_some() { carrier.with(upper.fragment)? } else { carrier.fragments };
    packet.outer_key = carrier.outer_key;
    packet.carried = upper.fragment.is_none();
    Ok(())
}

/// Place in the frame where the IP payload starts.
fn header_end(upper: &Upper<'_>, carrier: Carrier<'_>) -> u32 {
    carrier.base + upper.start.offset + (upper.ip_bytes - upper.length) as u32
}

#[inline]
fn ports(packet: &mut Packet<'_>, data: &[u8]) -> Result<(), Reason> {
    packet.source_port = be16(data, 0).ok_or(Reason::PortsTruncated)?;
    packet.destination_port = be16(data, 2).ok_or(Reason::PortsTruncated)?;
    Ok(())
}

/// Set the payload to what stands above a header of `size` bytes.
#[inline]
fn above<'a>(packet: &mut Packet<'a>, data: &'a [u8], length: u64, size: usize) {
    if length < size as u64 {
        packet.fault = Some(Fault::TransportTruncated);
    }
    packet.payload_bytes = length.saturating_sub(size as u64);
    packet.payload = data.get(size..).unwrap_or_default();
}

#[inline]
fn tcp<'a>(packet: &mut Packet<'a>, data: &'a [u8], length: u64) -> Result<(), Reason> {
    ports(packet, data)?;
    let (Some(sequence), Some(&offset), Some(&flags)) = (be32(data, 4), data.get(12), data.get(13)) else {
        packet.fault = Some(Fault::TransportTruncated);
        packet.payload_bytes = 0;
        packet.payload = &[];
        return Ok(());
    };
    packet.sequence = sequence;
    packet.tcp_flags = flags;
    let size = usize::from(offset >> 4) * 4;
    if size < 20 || size as u64 > length {
        packet.fault = Some(Fault::TcpOffset);
        packet.payload_bytes = 0;
        packet.payload = &[];
        return Ok(());
    }
    packet.payload_bytes = length - size as u64;
    packet.payload = data.get(size..).unwrap_or_default();
    Ok(())
}

#[inline]
fn udp<'a>(packet: &mut Packet<'a>, data: &'a [u8], length: u64) -> Result<(), Reason> {
    ports(packet, data)?;
    above(packet, data, length, 8);
    let Some(claimed) = be16(data, 4).map(u64::from) else { return Ok(()) };
    // 0 stands for a jumbo datagram (RFC 2675 section 4): its length is that of the IP payload
    if packet.protocol == protocol::UDP && claimed != 0 {
        if claimed < 8 || (claimed > length && !packet.fragment) {
            packet.fault = Some(Fault::UdpLength);
        }
        // bytes behind the datagram are not its payload, and what it claims counts as claimed; but of a
        // fragment counts what it carries itself
        let claimed = if packet.fragment { claimed.min(length) } else { claimed };
        packet.payload_bytes = claimed.saturating_sub(8);
        let end = packet.payload.len().min(packet.payload_bytes as usize);
        packet.payload = packet.payload.get(..end).unwrap_or_default();
    }
    Ok(())
}
