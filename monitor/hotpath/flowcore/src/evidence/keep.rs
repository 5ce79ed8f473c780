//! How much of a frame is kept: its headers, and what names come from.
//!
//! Kept are the headers from the link's to the transport's, and above them: DNS messages, the hellos of
//! TLS and DTLS, a TLS server's certificate, QUIC's Initials, the method of an HTTP request and the status
//! of a response. Nothing else: no path, no field, no body, no name of a person.

use super::flight::Flights;
use crate::decode::{dns, dtls, protocol, quic, Packet};

/// Headers are not longer than this, with all tunnels and options: what claims to be is cut.
const MAX_HEADERS: usize = 256;
/// Kept of a frame that was not understood: the header of Ethernet.
const LINK: usize = 14;
/// `HTTP/1.1 200`.
const STATUS: usize = 12;
/// Methods of RFC 9110 section 9 and RFC 5789, and the preface of HTTP/2, each with the space behind it.
const METHODS: [&[u8]; 10] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT ", b"PRI "];

/// Bytes of a frame that are kept. `packet` is what decode made of it, `None` where it could not; `stream`
/// tells its flow and direction.
#[inline]
pub(super) fn kept(packet: Option<&Packet<'_>>, data: &[u8], stream: u32, flights: &mut Flights) -> usize {
    let Some(packet) = packet else { return data.len().min(LINK) };
    if packet.payload.is_empty() {
        return without_payload(packet, data).min(data.len());
    }
    // the payload is a part of the frame
    let headers = (packet.payload.as_ptr() as usize).wrapping_sub(data.as_ptr() as usize);
    if headers > MAX_HEADERS {
        return data.len().min(MAX_HEADERS);
    }
    let names = match packet.protocol {
        _ if packet.fragment => 0,
        protocol::TCP => segment(packet, stream, flights),
        protocol::UDP => datagram(packet),
        _ => 0,
    };
    (headers + names).min(data.len())
}

/// The end of the headers where nothing of a payload is there. What a malformed packet carries behind its
/// addresses may be anything, and bytes behind the packet too.
fn without_payload(packet: &Packet<'_>, data: &[u8]) -> usize {
    let ip = packet.link_bytes as usize;
    let header = match data.get(ip).map(|first| first >> 4) {
        Some(4) => data.get(ip).map_or(20, |first| usize::from(first & 0x0f) * 4),
        _ => 40,
    };
    let transport = match packet.protocol {
        _ if packet.continuation || packet.fault.is_some() => 0,
        protocol::TCP => {
            let words = data.get(ip + header + 12).map_or(5, |offset| usize::from(offset >> 4));
            words * 4
        }
        protocol::SCTP | protocol::DCCP => 12,
        protocol::UDP | protocol::UDP_LITE | protocol::ICMP | protocol::ICMPV6 => 8,
        _ => 0,
    };
    (ip + header + transport).min(ip + packet.ip_bytes as usize).min(MAX_HEADERS)
}

/// Bytes of a TCP segment's payload that names come from.
#[inline]
fn segment(packet: &Packet<'_>, stream: u32, flights: &mut Flights) -> usize {
    let payload = packet.payload;
    let handshake = flights.of(stream, packet.sequence, payload);
    if handshake > 0 {
        return handshake;
    }
    if dns::on_port(packet.source_port, packet.destination_port) {
        let length = payload.first_chunk::<2>().map_or(0, |two| usize::from(u16::from_be_bytes(*two)));
        let message = payload.get(2..2 + length).unwrap_or_default();
        return if is_dns(message) { 2 + length } else { 0 };
    }
    // what is neither is told by its first byte almost always
    if !matches!(payload.first(), Some(b'G' | b'P' | b'H' | b'D' | b'O' | b'T' | b'C')) {
        return 0;
    }
    if let Some(method) = METHODS.iter().find(|method| payload.starts_with(method)) {
        return method.len();
    }
    match payload.get(..STATUS) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', a, b, c])
            if [a, b, c].iter().all(|d| d.is_ascii_digit()) =>
        {
            STATUS
        }
        _ => 0,
    }
}

/// Bytes of a datagram that names come from: all or none.
fn datagram(packet: &Packet<'_>) -> usize {
    let payload = packet.payload;
    let named = if dns::on_port(packet.source_port, packet.destination_port) {
        is_dns(payload)
    } else {
        match payload.first() {
            Some(0xc0..) => quic::packets(payload).any(|packet| packet.kind == quic::Kind::Initial),
            Some(22) => is_dtls_hello(payload),
            _ => false,
        }
    };
    if named {
        payload.len()
    } else {
        0
    }
}

fn is_dns(message: &[u8]) -> bool {
    let mut records = 0;
    dns::head(message).is_some() && dns::Reader::default().records(message, |_| records += 1).is_ok() && records > 0
}

fn is_dtls_hello(datagram: &[u8]) -> bool {
    use dtls::message::{CLIENT_HELLO, HELLO_VERIFY_REQUEST, SERVER_HELLO};
    let mut hellos = 0;
    let mut others = 0;
    let whole = dtls::fragments(datagram, false, |fragment| match fragment.kind {
        CLIENT_HELLO | SERVER_HELLO | HELLO_VERIFY_REQUEST => hellos += 1,
        _ => others += 1,
    });
    whole && hellos > 0 && others == 0
}
