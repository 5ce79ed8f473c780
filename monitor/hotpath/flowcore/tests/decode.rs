//! Frames by hand against the fields that the RFCs give them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{ethernet, hex, ipv4, ipv6, tcp, udp, Noise};
use flowcore::decode::dns::{Malformed, Reader};
use flowcore::decode::{decode, Addresses, Encapsulation, Fault, Reason, Tunnel};

const ETHERNET: u16 = 1;
const A: [u8; 4] = [10, 0, 1, 5];
const B: [u8; 4] = [198, 51, 100, 7];
const A6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const B6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

#[test]
fn a_tcp_segment_gives_its_fields() {
    let packet = ipv4(A, B, 6, &tcp(40000, 443, 7, 0x18, b"hello"));
    let frame = ethernet(&[8, 0], &packet);
    let got = decode(ETHERNET, &frame, frame.len() as u32).unwrap();
    assert_eq!(got.addresses, Addresses::V4 { source: A, destination: B });
    assert_eq!((got.source_port, got.destination_port, got.protocol), (40000, 443, 6));
    assert_eq!((got.ip_bytes, got.link_bytes, got.payload_bytes), (45, 14, 5));
    assert_eq!((got.payload, got.tcp_flags, got.sequence), (&b"hello"[..], 0x18, 7));
    assert_eq!(got.fault, None);
}

#[test]
fn padding_of_a_short_frame_is_no_payload() {
    // IEEE 802.3: 60 bytes at least without the check sequence
    let mut frame = ethernet(&[8, 0], &ipv4(A, B, 6, &tcp(1, 2, 0, 0x10, b"")));
    frame.resize(60, 0xee);
    let got = decode(ETHERNET, &frame, 60).unwrap();
    assert_eq!((got.ip_bytes, got.payload_bytes, got.payload), (40, 0, &b""[..]));
}

#[test]
fn tags_are_followed_and_the_innermost_is_told() {
    let packet = ipv4(A, B, 17, &udp(1000, 53, b"x"));
    // the id is the lower 12 bits of the tag: 0x0fa1 is 4001, priority 3 above it
    let one = ethernet(&hex("8100 6fa1 0800"), &packet);
    let two = ethernet(&hex("88a8 0007 8100 6064 0800"), &packet);
    let tag = |id| Encapsulation { tunnel: Some(Tunnel::Vlan), id, key: 0 };
    assert_eq!(decode(ETHERNET, &one, one.len() as u32).unwrap().encapsulation, tag(4001));
    let got = decode(ETHERNET, &two, two.len() as u32).unwrap();
    assert_eq!((got.encapsulation, got.link_bytes, got.destination_port), (tag(100), 22, 53));
}

#[test]
fn snap_carries_ip_and_other_llc_does_not() {
    let packet = ipv4(A, B, 17, &udp(1, 2, b""));
    let snap = ethernet(&hex("0024 aaaa03 000000 0800"), &packet);
    assert_eq!(decode(ETHERNET, &snap, snap.len() as u32).unwrap().destination_port, 2);
    let spanning_tree = ethernet(&hex("0026 424203 0000"), &[0; 40]);
    assert_eq!(decode(ETHERNET, &spanning_tree, 60).unwrap_err(), Reason::NotIp);
}

#[test]
fn ipv4_options_are_stepped_over() {
    let mut packet = ipv4(A, B, 17, &udp(1000, 2000, b"abc"));
    packet[0] = 0x46;
    packet[3] += 4;
    packet.splice(20..20, [1, 1, 1, 0]);
    let got = decode(101, &packet, packet.len() as u32).unwrap();
    assert_eq!((got.source_port, got.payload), (1000, &b"abc"[..]));
}

#[test]
fn extension_headers_lead_to_the_ports() {
    // hop-by-hop (0), destination options (60), then UDP
    let mut payload = hex("3c00 0104 00000000 1100 0104 00000000");
    payload.extend(udp(5000, 443, b"q"));
    let packet = ipv6(A6, B6, 0, &payload);
    let got = decode(101, &packet, packet.len() as u32).unwrap();
    assert_eq!((got.protocol, got.destination_port, got.payload_bytes), (17, 443, 1));
    assert_eq!(got.ip_bytes, 40 + 16 + 9);
}

#[test]
fn fragments_are_told_apart() {
    let mut first = ipv4(A, B, 17, &udp(1000, 2000, &[0; 32]));
    first[6..8].copy_from_slice(&[0x20, 0]);
    let got = decode(101, &first, first.len() as u32).unwrap();
    assert!(got.fragment);
    assert_eq!(got.source_port, 1000);
    let mut later = first.clone();
    later[6..8].copy_from_slice(&[0, 5]);
    let got = decode(101, &later, later.len() as u32).unwrap();
    assert_eq!((got.fragment, got.source_port, got.destination_port), (true, 0, 0));
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    // RFC 6946: offset 0, no more fragments
    let mut payload = hex("1100 0000 12345678");
    payload.extend(udp(1000, 2000, b"abc"));
    let packet = ipv6(A6, B6, 44, &payload);
    let got = decode(101, &packet, packet.len() as u32).unwrap();
    assert_eq!((got.fragment, got.source_port), (false, 1000));
}

#[test]
fn total_length_zero_takes_the_frame() {
    let mut packet = ipv4(A, B, 6, &tcp(1, 2, 0, 0x10, &[7; 1000]));
    packet[2..4].copy_from_slice(&[0, 0]);
    let frame = ethernet(&[8, 0], &packet);
    let got = decode(ETHERNET, &frame, 70_000).unwrap();
    assert_eq!((got.ip_bytes, got.payload_bytes), (70_000 - 14, 70_000 - 14 - 40));
}

#[test]
fn a_jumbo_takes_its_option() {
    // RFC 2675 section 2: hop-by-hop option 0xc2, length 4, then 100 000
    let mut payload = hex("0600 c204 000186a0");
    payload.extend(tcp(1, 2, 0, 0x10, &[0; 64]));
    let mut packet = ipv6(A6, B6, 0, &payload);
    packet[4..6].copy_from_slice(&[0, 0]);
    let got = decode(101, &packet, 100_040).unwrap();
    assert_eq!((got.ip_bytes, got.payload_bytes), (100_040, 100_000 - 8 - 20));
}

#[test]
fn a_length_beyond_the_frame_counts_as_claimed() {
    let mut packet = ipv4(A, B, 17, &udp(1, 2, b"abc"));
    packet[2..4].copy_from_slice(&1000_u16.to_be_bytes());
    let got = decode(101, &packet, packet.len() as u32).unwrap();
    assert_eq!(got.ip_bytes, 1000);
}

#[test]
fn faults_above_the_ports_keep_the_flow() {
    let mut segment = tcp(1, 2, 0, 0x10, b"abc");
    segment[12] = 0x40;
    let packet = ipv4(A, B, 6, &segment);
    let got = decode(101, &packet, packet.len() as u32).unwrap();
    assert_eq!((got.fault, got.payload_bytes), (Some(Fault::TcpOffset), 0));
    let mut datagram = udp(1, 2, b"abc");
    datagram[4..6].copy_from_slice(&[0, 7]);
    let packet = ipv4(A, B, 17, &datagram);
    assert_eq!(decode(101, &packet, packet.len() as u32).unwrap().fault, Some(Fault::UdpLength));
}

#[test]
fn each_reason_is_given() {
    let packet = ipv4(A, B, 6, &tcp(1, 2, 0, 0, b""));
    let frame = ethernet(&[8, 0], &packet);
    let of = |link: u16, data: &[u8]| decode(link, data, data.len() as u32).unwrap_err();
    assert_eq!(of(147, &frame), Reason::LinkType);
    assert_eq!(of(ETHERNET, &frame[..13]), Reason::LinkTruncated);
    assert_eq!(of(ETHERNET, &ethernet(&[8, 6], &[0; 28])), Reason::NotIp);
    assert_eq!(of(ETHERNET, &frame[..33]), Reason::IpTruncated);
    assert_eq!(of(ETHERNET, &ethernet(&[0x86, 0xdd], &packet)), Reason::IpVersion);
    assert_eq!(of(101, &[&[0x41][..], &packet[1..]].concat()), Reason::IpLength);
    assert_eq!(of(101, &packet[..23]), Reason::PortsTruncated);
    let endless = hex("3c00 0104 00000000").repeat(20);
    assert_eq!(of(101, &ipv6(A6, B6, 60, &endless)), Reason::ExtensionChain);
}

#[test]
fn loopback_and_cooked_headers() {
    let packet = ipv4(A, B, 17, &udp(1, 2, b""));
    let v6 = ipv6(A6, B6, 17, &udp(1, 2, b""));
    let of = |link: u16, head: &str, packet: &[u8]| {
        let frame = [hex(head), packet.to_vec()].concat();
        decode(link, &frame, frame.len() as u32).map(|got| got.destination_port)
    };
    assert_eq!(of(0, "02000000", &packet), Ok(2));
    assert_eq!(of(0, "00000002", &packet), Ok(2));
    assert_eq!(of(108, "0000001e", &v6), Ok(2));
    assert_eq!(of(113, "0000 0001 0006 020000000001 0000 0800", &packet), Ok(2));
    assert_eq!(of(276, "86dd 0000 00000001 0001 00 06 0200000000010000", &v6), Ok(2));
    assert_eq!(of(228, "", &packet), Ok(2));
    assert_eq!(of(229, "", &packet), Err(Reason::IpVersion));
}

#[test]
fn noise_never_panics_and_lengths_hold_together() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let links = [0, 1, 12, 101, 108, 113, 228, 229, 276, 999];
    let seed = ethernet(&hex("8100 0001 86dd"), &ipv6(A6, B6, 0, &hex("3c00 0104 00000000").repeat(3)));
    for round in 0..200_000_u64 {
        let mut frame = seed.clone();
        for _ in 0..noise.below(12) {
            let at = noise.below(frame.len() as u64) as usize;
            frame[at] = noise.next() as u8;
        }
        frame.truncate(noise.below(frame.len() as u64 + 1) as usize);
        let link = links[(round % links.len() as u64) as usize];
        if let Ok(packet) = decode(link, &frame, noise.below(3000) as u32) {
            assert!(packet.payload.len() <= frame.len());
            assert!(packet.payload_bytes <= u64::from(packet.ip_bytes).max(65_535));
        }
    }
}

#[test]
fn an_ordinary_frame_says_what_its_packet_says_without_the_frame() {
    // what comes without a link header is never read the short way
    const IPV4: u16 = 228;
    const IPV6: u16 = 229;
    let seeds = [
        ethernet(&[8, 0], &ipv4(A, B, 6, &tcp(40000, 443, 7, 0x18, b"hello"))),
        ethernet(&[8, 0], &ipv4(A, B, 17, &udp(40000, 53, b"question"))),
        ethernet(&[0x86, 0xdd], &ipv6(A6, B6, 6, &tcp(40000, 443, 7, 0x18, b"hello"))),
        ethernet(&[0x86, 0xdd], &ipv6(A6, B6, 17, &udp(40000, 4789, b"\x08\0\0\0\0\0\x01\0"))),
    ];
    let mut noise = Noise(0x1234_5678_9abc_def0);
    let mut alike = 0;
    for round in 0..200_000_usize {
        let mut frame = seeds[round % seeds.len()].clone();
        // padding behind the packet, a frame that was cut off, other bytes in the headers
        frame.resize(frame.len() + noise.below(20) as usize, 0xee);
        if noise.below(4) == 0 {
            frame.truncate(noise.below(frame.len() as u64 + 1) as usize);
        }
        for _ in 0..noise.below(4) {
            if frame.len() > 14 {
                let at = 14 + noise.below(frame.len() as u64 - 14) as usize;
                frame[at] = noise.next() as u8;
            }
        }
        let link = match frame.get(12..14) {
            Some([8, 0]) => IPV4,
            Some([0x86, 0xdd]) => IPV6,
            _ => continue,
        };
        let wire = (frame.len() as u32).max(14) + noise.below(3) as u32;
        let short = decode(ETHERNET, &frame, wire);
        let long = decode(link, &frame[14..], wire - 14).map(|mut packet| {
            packet.link_bytes += 14;
            packet
        });
        alike += usize::from(short.is_ok());
        assert_eq!(format!("{short:?}"), format!("{long:?}"), "{frame:02x?}");
    }
    assert!(alike > 100_000);
}

/// RFC 1035 section 4.1.4: a pointer may stand in the place of any rest of a name.
#[test]
fn a_dns_name_has_no_more_pointers_than_parts() {
    // the data of a first record: the root, so many labels of one letter with a pointer behind each, pointers to pointers; then
    // a record whose owner is a pointer to the last of these
    let owner = |labels: usize, more: usize| {
        let (mut data, mut last) = (vec![0], 23);
        for place in 0..labels + more {
            let next = 23 + data.len() as u16;
            data.extend_from_slice(if place < labels { b"\x01a" } else { b"" });
            data.extend_from_slice(&(0xc000_u16 | last).to_be_bytes());
            last = next;
        }
        let mut message = vec![0, 1, 0x80, 0, 0, 0, 0, 2, 0, 0, 0, 0];
        message.extend_from_slice(&[0, 0, 16, 0, 1, 0, 0, 0, 0]);
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(&data);
        message.extend_from_slice(&(0xc000_u16 | last).to_be_bytes());
        message.extend_from_slice(&[0, 16, 0, 1, 0, 0, 0, 0, 0, 0]);
        let mut owners = Vec::new();
        let read = Reader::default().records(&message, |record| owners.push(record.owner.to_vec()));
        read.map(|()| owners.remove(1))
    };
    // section 3.1: 127 labels of one letter are the longest name
    assert_eq!(owner(127, 0), Ok(["a"; 127].join(".").into_bytes()));
    assert_eq!(owner(1, 100), Ok(b"a".to_vec()));
    assert_eq!(owner(128, 0), Err(Malformed));
    assert_eq!(owner(1, 127), Err(Malformed));
    assert_eq!(owner(1, 8000), Err(Malformed));
}
