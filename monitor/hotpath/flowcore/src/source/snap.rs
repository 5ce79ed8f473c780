//! How much of each frame the kernel copies to the ring (`capture.snap`).
//!
//! A bulk transfer is only counted, so its headers are enough, and copying the rest is most of what a
//! packet costs. The program below has no state: it cannot know the second segment of a ClientHello.
//! It therefore cuts only what looks like bulk, and leaves everything else whole:
//!
//! - TCP segments without PSH, or longer than one frame of Ethernet, that begin neither with a TLS
//!   handshake record nor with a request line of HTTP. The end of what an application writes carries PSH
//!   (RFC 9293 section 3.9.1), so the last segment of a hello comes whole, and so do short messages;
//!   a middle segment of a hello of three and more is cut.
//! - UDP datagrams that are no DNS, no QUIC long header (RFC 9000 section 17.2), no DTLS handshake
//!   (RFC 9147 section 4) and no tunnel.
//!
//! Fragments, tagged frames, tunnels, extension headers and all other protocols come whole. Lengths are
//! not touched by this: the kernel tells the length that a frame had.

use super::bpf::{Assembler, Label, Program, When};
use super::SourceError;
use crate::decode::protocol;

/// Bytes of a frame that is only counted: Ethernet, IPv4 and TCP headers with all options take 134.
pub const HEADERS: u32 = 192;
/// Bytes of a frame that begins with a handshake or a request.
pub const BEGINNING: u32 = 16 << 10;
/// Longer TCP frames are not taken for the end of a message.
const ONE_FRAME: u32 = 2048;
/// More than any frame has.
const WHOLE: u32 = 1 << 20;

const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_IPV6: u32 = 0x86dd;
const PSH: u32 = 0x08;
const HANDSHAKE: u32 = 22;
/// First four bytes of HTTP/1 requests (RFC 9110 section 9.3, RFC 5789), of the preface of HTTP/2
/// (RFC 9113 section 3.4) and of responses.
const HTTP: [&[u8; 4]; 11] =
    [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"PRI ", b"HTTP"];
/// DNS (RFC 1035, 6762, 4795) and tunnels over UDP: L2TP, GTP-U, Teredo, GRE in UDP, VXLAN, its old port,
/// Geneve.
const UDP_PORTS: [u32; 10] = [53, 5353, 5355, 1701, 2152, 3544, 4754, 4789, 8472, 6081];
const TCP_PORTS: [u32; 1] = [53];

/// The program; `ethernet` says whether frames start with an Ethernet header or with IP.
///
/// # Errors
/// None in practice: the program is fixed.
pub fn program(ethernet: bool) -> Result<Program, SourceError> {
    let mut to = Assembler::default();
    let (whole, beginning, headers) = (to.label(), to.label(), to.label());
    let (v4, v6, tcp, udp) = (to.label(), to.label(), to.label(), to.label());
    // short frames are whole anyway, and behind this no load can miss
    let long = to.label();
    to.load_length();
    to.jump_if(When::Greater, HEADERS, long);
    to.give(WHOLE);
    to.place(long);
    let ip = if ethernet {
        to.load16(12);
        to.jump_if(When::Equal, ETHERTYPE_IPV4, v4);
        to.jump_if(When::Equal, ETHERTYPE_IPV6, v6);
        14
    } else {
        to.load8(0);
        to.shift_right(4);
        to.jump_if(When::Equal, 4, v4);
        to.jump_if(When::Equal, 6, v6);
        0
    };
    to.give(WHOLE);

    to.place(v4);
    to.load16(ip + 6);
    to.jump_if(When::AnyBit, 0x3fff, whole); // a fragment
    to.x_of_ipv4_header(ip);
    to.load8(ip + 9);
    to.jump_if(When::Equal, u32::from(protocol::TCP), tcp);
    to.jump_if(When::Equal, u32::from(protocol::UDP), udp);
    to.give(WHOLE);
    to.place(v6);
    to.set_x(40);
    to.load8(ip + 6);
    to.jump_if(When::Equal, u32::from(protocol::TCP), tcp);
    to.jump_if(When::Equal, u32::from(protocol::UDP), udp);
    to.give(WHOLE);

    to.place(tcp);
    on_ports(&mut to, ip, &TCP_PORTS, whole);
    let not_the_end = to.label();
    to.load_length();
    to.jump_if(When::Greater, ONE_FRAME, not_the_end);
    to.load8_x(ip + 13);
    to.jump_if(When::AnyBit, PSH, whole);
    to.place(not_the_end);
    to.load8_x(ip + 12);
    to.shift_right(2);
    to.and(0x3c);
    to.add_x();
    to.a_to_x();
    to.load8_x(ip);
    to.jump_if(When::Equal, HANDSHAKE, beginning);
    to.load32_x(ip);
    for start in HTTP {
        to.jump_if(When::Equal, u32::from_be_bytes(*start), beginning);
    }
    to.jump(headers);

    to.place(udp);
    on_ports(&mut to, ip, &UDP_PORTS, whole);
    to.load8_x(ip + 8);
    to.jump_if(When::Equal, HANDSHAKE, whole);
    to.and(0xc0);
    to.jump_if(When::Equal, 0xc0, whole);

    to.place(headers);
    to.give(HEADERS);
    to.place(beginning);
    to.give(BEGINNING);
    to.place(whole);
    to.give(WHOLE);
    to.finish()
}

/// Go to a label where a port of the TCP or UDP header at X is one of these.
fn on_ports(to: &mut Assembler, ip: u32, ports: &[u32], label: Label) {
    for place in [0, 2] {
        to.load16_x(ip + place);
        for port in ports {
            to.jump_if(When::Equal, *port, label);
        }
    }
}
