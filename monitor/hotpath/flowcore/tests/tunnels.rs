//! Tunnels by hand, header by header as in their RFCs, against the packet inside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{ethernet, hex, ipv4, ipv6, tcp, udp, Noise};
use flowcore::decode::{decode, Addresses, Encapsulation, Packet, Reason, Tunnel};

const ETHERNET: u16 = 1;
const RAW: u16 = 101;
/// The ends of the tunnel, and of the connection inside.
const HERE: [u8; 4] = [192, 0, 2, 1];
const THERE: [u8; 4] = [192, 0, 2, 2];
const A: [u8; 4] = [10, 0, 1, 5];
const B: [u8; 4] = [198, 51, 100, 7];
const HERE6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const A6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const B6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const TEREDO6: [u8; 16] = [0x20, 1, 0, 0, 0xc0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 9];

/// 45 bytes of IPv4, and 65 of IPv6.
fn four() -> Vec<u8> {
    ipv4(A, B, 6, &tcp(40000, 443, 7, 0x18, b"hello"))
}

fn six() -> Vec<u8> {
    ipv6(A6, B6, 6, &tcp(40000, 443, 7, 0x18, b"hello"))
}

fn framed(packet: &[u8]) -> Vec<u8> {
    ethernet(&hex("0800"), packet)
}

fn with(head: &str, rest: &[u8]) -> Vec<u8> {
    [hex(head), rest.to_vec()].concat()
}

/// In an IPv4 packet of this protocol.
fn carried(protocol: u8, head: &str, rest: &[u8]) -> Vec<u8> {
    ipv4(HERE, THERE, protocol, &with(head, rest))
}

/// In a UDP datagram to this port.
fn datagram(port: u16, head: &str, rest: &[u8]) -> Vec<u8> {
    ipv4(HERE, THERE, 17, &udp(50000, port, &with(head, rest)))
}

fn ends(got: &Packet<'_>) -> (Addresses, u16, u16) {
    (got.addresses, got.source_port, got.destination_port)
}

/// The connection inside, told by everything that a flow takes from it.
fn assert_inside(what: &str, link: u16, frame: &[u8], inner: usize, tunnel: Tunnel, id: u32, key: u32) {
    let got = decode(link, frame, frame.len() as u32).unwrap();
    let addresses = if inner == 45 {
        Addresses::V4 { source: A, destination: B }
    } else {
        Addresses::V6 { source: if tunnel == Tunnel::Teredo { TEREDO6 } else { A6 }, destination: B6 }
    };
    assert_eq!(ends(&got), (addresses, 40000, 443), "{what}");
    assert_eq!((got.ip_bytes, got.payload_bytes, got.payload), (inner as u32, 5, &b"hello"[..]), "{what}");
    assert_eq!(got.link_bytes as usize, frame.len() - inner, "{what}");
    assert_eq!(got.encapsulation, Encapsulation { tunnel: Some(tunnel), id, key }, "{what}");
}

/// What it is, the packet, the length inside, kind, id, key.
type Case = (&'static str, Vec<u8>, usize, Tunnel, u32, u32);

/// Every tunnel in a raw IP packet.
fn in_ip() -> Vec<Case> {
    let teredo = ipv6(TEREDO6, B6, 6, &tcp(40000, 443, 7, 0x18, b"hello"));
    // RFC 2661: flags and version, tunnel 1, session 2; PPP with address and control, IPv4
    let l2tp_length = (8 + 4 + 45) as u16;
    let gtp = |flags: &str, more: usize| with(&format!("{flags} ff {:04x} 0000beef", 45 + more), &[]);
    vec![
        // RFC 2003, RFC 4213, RFC 2473
        ("4 in 4", carried(4, "", &four()), 45, Tunnel::Ipip, 0, 0),
        ("6 in 4", carried(41, "", &six()), 65, Tunnel::SixInFour, 0, 0),
        ("4 in 6", ipv6(HERE6, B6, 4, &four()), 45, Tunnel::Ipip, 0, 0),
        ("6 in 6", ipv6(HERE6, B6, 41, &six()), 65, Tunnel::Ipip, 0, 0),
        // RFC 4302: next header, length in words less two, reserved, index, sequence, check of 12 bytes
        (
            "AH, then 4 in 4",
            carried(51, "04 04 0000 00000001 00000002 000102030405060708090a0b", &four()),
            45,
            Tunnel::Ipip,
            0,
            0,
        ),
        // RFC 2784, RFC 2890: flags C 8000, K 2000, S 1000
        ("GRE", carried(47, "0000 0800", &four()), 45, Tunnel::Gre, 0, 0),
        ("GRE with all", carried(47, "b000 86dd 12340000 00000007 00000001", &six()), 65, Tunnel::Gre, 7, 7),
        ("GRE with Ethernet", carried(47, "2000 6558 00000007", &framed(&four())), 45, Tunnel::Gre, 7, 7),
        // RFC 7637: subnet 24 bits, then a byte of the flow
        ("NVGRE", carried(47, "2000 6558 00abcd99", &framed(&four())), 45, Tunnel::Gre, 0xabcd, 0xabcd),
        ("MPLS in GRE", carried(47, "0000 8847 00064140", &four()), 45, Tunnel::Mpls, 100, 0),
        // RFC 2637: version 1, K and S and A, payload length, call 9
        ("PPTP", carried(47, "3081 880b 0031 0009 00000001 00000002 ff030021", &four()), 45, Tunnel::Gre, 9, 0),
        // draft-foschiano-erspan: version 1 (II) or 2 (III), VLAN, session in the lower 10 bits
        ("ERSPAN I", carried(47, "0000 88be", &framed(&four())), 45, Tunnel::Erspan, 0, 0),
        (
            "ERSPAN II",
            carried(47, "1000 88be 00000001 1064 0865 00000000", &framed(&four())),
            45,
            Tunnel::Erspan,
            101,
            101,
        ),
        (
            "ERSPAN III",
            carried(47, "1000 22eb 00000001 2064 0866 00000000 00000000", &framed(&four())),
            45,
            Tunnel::Erspan,
            102,
            102,
        ),
        (
            "ERSPAN III with a platform header",
            carried(47, "1000 22eb 00000001 2064 0866 00000000 00000001 0000000000000000", &framed(&four())),
            45,
            Tunnel::Erspan,
            102,
            102,
        ),
        // RFC 7348: flag I, VNI 24 bits; also with a group policy and in the generic form
        ("VXLAN", datagram(4789, "08000000 00123400", &framed(&four())), 45, Tunnel::Vxlan, 0x1234, 0x1234),
        (
            "VXLAN of Linux",
            datagram(8472, "08000000 00000500", &ethernet(&hex("86dd"), &six())),
            65,
            Tunnel::Vxlan,
            5,
            5,
        ),
        ("VXLAN with policy", datagram(4789, "88000064 00123400", &framed(&four())), 45, Tunnel::Vxlan, 0x1234, 0x1234),
        ("VXLAN with reserved bits", datagram(4789, "ff01d1f2 00000b00", &framed(&four())), 45, Tunnel::Vxlan, 11, 11),
        ("VXLAN generic", datagram(4790, "0c000001 00123400", &four()), 45, Tunnel::Vxlan, 0x1234, 0x1234),
        // RFC 8300 over it: length 6 words, MD type 1, next protocol IPv4; path 77, index 255; context
        (
            "NSH",
            datagram(4790, "0c000004 00123400 00060101 00004dff 00000000000000000000000000000000", &four()),
            45,
            Tunnel::Nsh,
            77,
            0x1234,
        ),
        // RFC 8926: two words of options, Ethernet; VNI
        (
            "Geneve",
            datagram(6081, "0200 6558 00000800 0102 80 01 00000000", &framed(&four())),
            45,
            Tunnel::Geneve,
            8,
            8,
        ),
        ("Geneve with IP", datagram(6081, "0000 0800 00000800", &four()), 45, Tunnel::Geneve, 8, 8),
        // 3GPP TS 29.281: plain; with sequence number; with a PDU session container (0x85)
        (
            "GTP-U",
            ipv4(HERE, THERE, 17, &udp(2152, 2152, &[gtp("30", 0), four()].concat())),
            45,
            Tunnel::Gtpu,
            0xbeef,
            0,
        ),
        (
            "GTP-U with a sequence number",
            ipv4(HERE, THERE, 17, &udp(2152, 2152, &[gtp("32", 4), hex("00010000"), four()].concat())),
            45,
            Tunnel::Gtpu,
            0xbeef,
            0,
        ),
        (
            "GTP-U with an extension",
            ipv4(HERE, THERE, 17, &udp(2152, 2152, &[gtp("34", 8), hex("00000085 01 0001 00"), four()].concat())),
            45,
            Tunnel::Gtpu,
            0xbeef,
            0,
        ),
        ("L2TP", datagram(1701, "0002 0001 0002 ff030021", &four()), 45, Tunnel::L2tp, 0x0001_0002, 0),
        (
            "L2TP with length, numbers and offset",
            datagram(1701, &format!("4a02 {:04x} 0001 0002 0000 0000 0002 ffff 21", l2tp_length + 5), &four()),
            45,
            Tunnel::L2tp,
            0x0001_0002,
            0,
        ),
        // RFC 3931: over UDP and over IP, a cookie of four bytes
        ("L2TP 3", datagram(1701, "0003 0000 00000009 cafecafe", &framed(&four())), 45, Tunnel::L2tp, 9, 0),
        ("L2TP 3 over IP", carried(115, "00000009", &framed(&four())), 45, Tunnel::L2tp, 9, 0),
        // RFC 4380: plain; behind authentication (no client id, no value) and origin
        ("Teredo", datagram(3544, "", &teredo), 65, Tunnel::Teredo, 0, 0),
        (
            "Teredo with indications",
            datagram(3544, "0001 00 00 0102030405060708 00 0000 f227 bdfeffff", &teredo),
            65,
            Tunnel::Teredo,
            0,
            0,
        ),
        ("MPLS in IP", carried(137, "00064140", &four()), 45, Tunnel::Mpls, 100, 0),
        ("MPLS in UDP", datagram(6635, "00064140", &four()), 45, Tunnel::Mpls, 100, 0),
    ]
}

#[test]
fn each_tunnel_is_opened() {
    for (what, packet, inner, tunnel, id, key) in in_ip() {
        assert_inside(what, RAW, &packet, inner, tunnel, id, key);
    }
}

#[test]
fn what_stands_between_ethernet_and_ip_is_opened() {
    let of = |head: &str, rest: &[u8]| ethernet(&hex(head), rest);
    // RFC 3032: label 20 bits, class 3, bottom 1, time to live 8: 100 above 200
    let labels = "8847 00064040 000c8140";
    let zero_mac = [&[0, 0x1b, 0x21, 0, 0, 1], &framed(&four())[6..]].concat();
    for (what, frame, tunnel, id, key) in [
        ("MPLS", of(labels, &four()), Tunnel::Mpls, 200, 0),
        ("MPLS with Ethernet", of(labels, &framed(&four())), Tunnel::Mpls, 200, 0),
        ("MPLS with Ethernet whose address begins with 0", of(labels, &zero_mac), Tunnel::Mpls, 200, 0),
        ("MPLS with a control word", of(&format!("{labels} 00000001"), &framed(&four())), Tunnel::Mpls, 200, 0),
        ("MPLS, a control word, 0", of(&format!("{labels} 00000001"), &zero_mac), Tunnel::Mpls, 200, 0),
        // RFC 2516: version and type, code, session 0x1234, length; PPP protocol in two bytes and in one
        ("PPPoE", of("8864 1100 1234 002f 0021", &four()), Tunnel::Pppoe, 0x1234, 0x1234),
        ("PPPoE, short", of("8864 1100 1234 002e 21", &four()), Tunnel::Pppoe, 0x1234, 0x1234),
        ("PPPoE with MPLS", of("8864 1100 1234 0033 0281 00064140", &four()), Tunnel::Mpls, 100, 0x1234),
        ("a tag and PPPoE", of("8100 0007 8864 1100 1234 002f 0021", &four()), Tunnel::Pppoe, 0x1234, 0x1234),
        ("NSH", of("894f 00020201 00004dff", &four()), Tunnel::Nsh, 77, 0),
        // frames in frames that are no tunnel: a tag inside is told
        ("802.1ah", of("88e7 00001234", &ethernet(&hex("8100 0009 0800"), &four())), Tunnel::Vlan, 9, 0),
        ("VN-Tag", of("8926 00010002 8100 0009 0800", &four()), Tunnel::Vlan, 9, 0),
    ] {
        assert_inside(what, ETHERNET, &frame, 45, tunnel, id, key);
    }
}

#[test]
fn serial_links_carry_ppp_or_ciscos_framing() {
    let of = |link: u16, head: &str, packet: &[u8]| {
        let frame = with(head, packet);
        decode(link, &frame, frame.len() as u32).map(|got| (got.destination_port, got.link_bytes))
    };
    assert_eq!(of(9, "ff03 0021", &four()), Ok((443, 4)));
    assert_eq!(of(9, "0057", &six()), Ok((443, 2)));
    assert_eq!(of(9, "c021", &four()), Err(Reason::NotIp));
    assert_eq!(of(50, "ff03 0021", &four()), Ok((443, 4)));
    assert_eq!(of(50, "0f00 0800", &four()), Ok((443, 4)));
    assert_eq!(of(51, "1100 1234 002f 0021", &four()), Ok((443, 8)));
    assert_eq!(of(104, "0f00 86dd", &six()), Ok((443, 4)));
    assert_eq!(of(104, "8f00 8035", &four()), Err(Reason::NotIp));
    assert_eq!(of(166, "0003 0021", &four()), Ok((443, 4)));
    assert_eq!(of(219, "00064140", &four()), Ok((443, 4)));
}

#[test]
fn a_mirror_that_cuts_its_packets_is_opened() {
    // AWS cuts the packet to fit its own MTU: the inner length stays what it was
    let mut packet = ipv4(A, B, 6, &tcp(40000, 443, 7, 0x18, &[7; 2000]));
    packet.truncate(1400);
    let frame = datagram(4789, "08000000 00000100", &framed(&packet));
    let got = decode(RAW, &frame, frame.len() as u32).unwrap();
    assert_eq!((got.ip_bytes, got.payload_bytes, got.payload.len()), (2040, 2000, 1360));
}

#[test]
fn tunnels_in_tunnels_give_the_innermost() {
    let inner = datagram(4789, "08000000 00000100", &framed(&four()));
    let frame = carried(47, "2000 0800 00000009", &inner);
    assert_inside("VXLAN in GRE", RAW, &frame, 45, Tunnel::Vxlan, 1, 1);
    let inner = carried(4, "", &four());
    let frame = datagram(4789, "08000000 00000100", &framed(&inner));
    // a tunnel without an id leaves the tenant's
    assert_inside("IP in IP in VXLAN", RAW, &frame, 45, Tunnel::Ipip, 0, 1);
}

#[test]
fn depth_is_bounded() {
    let mut packet = four();
    for depth in 1..=20 {
        packet = carried(4, "", &packet);
        let got = decode(RAW, &packet, packet.len() as u32).map(|got| got.ip_bytes);
        assert_eq!(got, if depth <= 8 { Ok(45) } else { Err(Reason::TunnelDepth) }, "{depth} layers");
    }
    // frames in frames without an IP header between them
    let mut frame = ethernet(&hex("0800"), &four());
    for _ in 0..2000 {
        frame = ethernet(&hex("8847 00064140 00000000"), &frame);
    }
    assert_eq!(decode(ETHERNET, &frame, frame.len() as u32).unwrap_err(), Reason::TunnelDepth);
}

#[test]
fn an_ordinary_datagram_on_a_tunnels_port_stays_one() {
    let ip = four();
    let frame = framed(&ip);
    let near_misses: [(u16, &str, &[u8]); 18] = [
        (4789, "00000000 00123400", &frame),        // no flag I
        (4789, "08000000 00123400", &ip),           // IP where a frame should be
        (4789, "08000001 00123400 ", &frame[..40]), // a reserved bit, and a packet that does not end with it
        (4789, "08000000 00123400 ffffffffffff 020000000001 0806 0001", &[0; 26]), // ARP inside
        (4790, "0c000007 00123400", &ip),           // an unknown next protocol
        (6081, "4000 0800 00000800", &ip),          // version 1
        (6081, "0080 0800 00000800", &ip),          // a control message
        (6081, "0000 0800 00000801", &ip),          // a reserved bit
        (2152, "30 fe 002d 0000beef", &ip),         // end marker
        (2152, "30 ff 0fff 0000beef", &ip),         // longer than the datagram
        (2152, "10 ff 002d 0000beef", &ip),         // GTP'
        (2152, "50 ff 002d 0000beef", &ip),         // version 2
        (1701, "c802 0039 0001 0002 0000 0000", &ip), // a control message
        (1701, "0001 0001 0002 ff030021", &ip),     // version 1 (L2F)
        (1701, "0002 0001 0002 ff03c021", &ip),     // LCP
        (3544, "", &ip),                            // IPv4
        (3544, "", &six()),                         // neither end is Teredo's
        (6635, "00064140", &[&ip[..], &[0]].concat()), // a byte too much
    ];
    for (port, head, rest) in near_misses {
        let packet = datagram(port, head, rest);
        let got = decode(RAW, &packet, packet.len() as u32).unwrap();
        assert_eq!(ends(&got), (Addresses::V4 { source: HERE, destination: THERE }, 50000, port), "{port} {head}");
        assert_eq!((got.ip_bytes as usize, got.encapsulation.tunnel), (packet.len(), None), "{port} {head}");
    }
}

#[test]
fn noise_on_a_tunnels_port_stays_an_ordinary_datagram() {
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let ports = [4789, 4790, 8472, 6081, 2152, 1701, 3544, 6635];
    for round in 0..100_000_usize {
        let mut payload = vec![0; 20 + noise.below(100) as usize];
        payload.iter_mut().for_each(|byte| *byte = noise.next() as u8);
        let packet = ipv4(HERE, THERE, 17, &udp(50000, ports[round % ports.len()], &payload));
        let got = decode(RAW, &packet, packet.len() as u32).unwrap();
        assert_eq!(got.encapsulation.tunnel, None, "{payload:02x?}");
    }
}

#[test]
fn a_quoted_packet_in_an_icmp_error_is_no_tunnel() {
    // RFC 792: destination unreachable, port; the header and eight bytes of what caused it
    let packet = carried(1, "03 03 0000 00000000", &four()[..28]);
    let got = decode(RAW, &packet, packet.len() as u32).unwrap();
    assert_eq!((got.addresses, got.protocol), (Addresses::V4 { source: HERE, destination: THERE }, 1));
}

#[test]
fn cut_anywhere_the_innermost_flow_that_can_be_read_is_told() {
    for (what, packet, inner, ..) in in_ip() {
        let mut told = 0;
        for captured in 0..=packet.len() {
            let Ok(got) = decode(RAW, &packet[..captured], packet.len() as u32) else {
                // only where not even the outer ports, or the outer IP header, are there
                assert!(told == 0 && captured < 72, "{what} at {captured}");
                continue;
            };
            // what is outside is overhead: together they are the frame
            assert_eq!(got.link_bytes + got.ip_bytes, packet.len() as u32, "{what} at {captured}");
            told = told.max(got.link_bytes);
            assert_eq!(told, got.link_bytes, "{what} at {captured}: never less with more of it");
        }
        assert_eq!(told as usize, packet.len() - inner, "{what}");
    }
}

#[test]
fn noise_in_tunnels_never_panics_and_lengths_hold_together() {
    let mut noise = Noise(0x0bad_cafe_dead_beef);
    let seeds = in_ip();
    for _ in 0..100_000 {
        let (_, packet, ..) = &seeds[noise.below(seeds.len() as u64) as usize];
        let mut packet = packet.clone();
        for _ in 0..noise.below(6) {
            let at = noise.below(packet.len() as u64) as usize;
            packet[at] = noise.next() as u8;
        }
        packet.truncate(noise.below(packet.len() as u64 + 1) as usize);
        if let Ok(got) = decode(RAW, &packet, noise.below(3000) as u32) {
            assert!(got.payload.len() <= packet.len());
            assert!(got.link_bytes as usize <= packet.len());
        }
    }
}
