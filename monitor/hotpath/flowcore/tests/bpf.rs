//! The programs for the kernel, run by a small interpreter (Documentation/networking/filter.rst).

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{ethernet, hex, ipv4, ipv6, tcp, udp, Noise, RFC8448_HELLO};
use flowcore::source::bpf::{Instruction, Program};
use flowcore::source::fanout;
use flowcore::source::snap::{program, BEGINNING, HEADERS};

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [192, 0, 2, 1];
const A6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PSH_ACK: u8 = 0x18;
const ACK: u8 = 0x10;

/// `SKF_NET_OFF` and `SKF_AD_OFF` of the kernel: loads relative to the network header, and what is no
/// part of the frame.
const NET: u32 = -0x10_0000_i32 as u32;
const ANCILLARY: u32 = -0x1000_i32 as u32;

/// What a program gives for a frame with an Ethernet header. A load beyond its end gives 0, as in the kernel.
fn run(program: &Program, frame: &[u8]) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let mut memory = [0_u32; 16];
    let load = |at: u32, size: usize| {
        let at = match at {
            ANCILLARY => return load_type(frame),
            at if at >= NET => at.wrapping_sub(NET) + 14,
            at => at,
        };
        let bytes = frame.get(at as usize..at as usize + size)?;
        Some(bytes.iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte)))
    };
    loop {
        let Instruction { code, jt, jf, k } = program.instructions()[at];
        at += 1;
        let loaded = match code {
            0x20 => load(k, 4),
            0x28 => load(k, 2),
            0x30 => load(k, 1),
            0x40 => load(x.wrapping_add(k), 4),
            0x48 => load(x.wrapping_add(k), 2),
            0x50 => load(x.wrapping_add(k), 1),
            0x60 => Some(memory[k as usize]),
            0x80 => Some(frame.len() as u32),
            _ => Some(a),
        };
        let Some(value) = loaded else { return 0 };
        a = value;
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x60 | 0x80 => {}
            0x01 => x = k,
            0x02 => memory[k as usize] = a,
            0x04 => a = a.wrapping_add(k),
            0x61 => x = memory[k as usize],
            0xb1 => x = 4 * (load(k, 1).unwrap() & 0xf),
            0x05 => at += k as usize,
            0x15 => at += jump(a == k),
            0x25 => at += jump(a > k),
            0x45 => at += jump(a & k != 0),
            0x06 => return k,
            0x07 => x = a,
            0x0c => a = a.wrapping_add(x),
            0x16 => return a,
            0x24 => a = a.wrapping_mul(k),
            0x54 => a &= k,
            0x64 => a <<= k,
            0x74 => a >>= k,
            0x87 => a = x,
            other => panic!("code {other:#x}"),
        }
    }
}

fn load_type(frame: &[u8]) -> Option<u32> {
    Some(u32::from(frame[12]) << 8 | u32::from(frame[13]))
}

fn taken(frame: &[u8]) -> usize {
    (run(&program(true).unwrap(), frame) as usize).min(frame.len())
}

fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&[8, 0], &ipv4(A, B, protocol, payload))
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&[0x86, 0xdd], &ipv6(A6, A6, next, payload))
}

#[test]
fn bulk_gives_its_headers_only() {
    let data = [0x17; 1400];
    for frame in [
        v4(6, &tcp(443, 40000, 7, ACK, &data)),
        v6(6, &tcp(443, 40000, 7, ACK, &data)),
        v4(17, &udp(443, 40000, &[0x40; 1200])), // QUIC with a short header
        v6(17, &udp(443, 40000, &[0x40; 1200])),
    ] {
        assert_eq!(taken(&frame), HEADERS as usize);
    }
    // the host's own TCP before segmentation, with PSH at the end of the whole
    let mut large = v4(6, &tcp(443, 40000, 7, PSH_ACK, &vec![0x17; 40_000]));
    assert_eq!(taken(&large), HEADERS as usize);
    // and a hello of that kind
    large[54] = 22;
    assert_eq!(taken(&large), BEGINNING as usize);
}

#[test]
fn what_may_carry_a_name_comes_whole() {
    let mut hello = hex(RFC8448_HELLO);
    hello.resize(1400, 0);
    let mut request = b"POST /upload HTTP/1.1\r\nHost: a.example\r\n".to_vec();
    request.resize(1400, b' ');
    let end = [0x55; 900];
    for frame in [
        v4(6, &tcp(40000, 443, 7, ACK, &hello)),
        v6(6, &tcp(40000, 443, 7, ACK, &hello)),
        v4(6, &tcp(40000, 80, 7, ACK, &request)),
        // the second segment of a hello: nothing tells but PSH
        v4(6, &tcp(40000, 443, 7, PSH_ACK, &end)),
        v4(6, &tcp(53, 40000, 7, ACK, &end)),
        v4(17, &udp(53, 40000, &end)),
        v6(17, &udp(40000, 53, &end)),
        v4(17, &udp(5353, 5353, &end)),
        v4(17, &udp(40000, 443, &[0xc3; 1200])), // a QUIC Initial
        v4(17, &udp(40000, 4433, &[22; 500])),   // a DTLS handshake
        v4(17, &udp(40000, 4789, &end)),         // VXLAN
        v4(47, &[0; 1000]),                      // GRE
        ethernet(&[0x81, 0, 0, 5, 8, 0], &ipv4(A, B, 6, &tcp(443, 40000, 7, ACK, &[0x17; 1400]))),
        ethernet(&[8, 6], &[0; 1000]),
    ] {
        assert_eq!(taken(&frame), frame.len());
    }
}

#[test]
fn options_are_stepped_over() {
    // a TCP header of 60 bytes, whose options hold no TLS
    let mut segment = tcp(40000, 443, 7, ACK, &[0; 40]);
    segment[12] = 0xf0;
    segment.extend_from_slice(&[22; 1300]);
    assert_eq!(taken(&v4(6, &segment)), 14 + 20 + 60 + 1300);
    // and an IPv4 header of 60
    let mut packet = ipv4(A, B, 6, &[1; 40]);
    packet[0] = 0x4f;
    packet.extend_from_slice(&tcp(40000, 443, 7, ACK, &[0x17; 1300]));
    assert_eq!(taken(&ethernet(&[8, 0], &packet)), HEADERS as usize);
    packet[80] = 22;
    assert_eq!(taken(&ethernet(&[8, 0], &packet)), 14 + packet.len());
}

#[test]
fn fragments_come_whole() {
    for field in [[0x20, 0], [0x00, 0x10], [0x20, 0x10]] {
        let mut packet = ipv4(A, B, 17, &udp(443, 40000, &[0x40; 1200]));
        packet[6..8].copy_from_slice(&field);
        let frame = ethernet(&[8, 0], &packet);
        assert_eq!(taken(&frame), frame.len());
    }
}

#[test]
fn no_frame_is_refused_whatever_is_in_it() {
    let (of_ethernet, of_ip) = (program(true).unwrap(), program(false).unwrap());
    let mut noise = Noise(0x5eed);
    for _ in 0..20_000 {
        let mut frame: Vec<u8> = (0..noise.below(400)).map(|_| noise.next() as u8).collect();
        if frame.len() > 34 && noise.below(2) == 0 {
            frame[12..14].copy_from_slice(if noise.below(2) == 0 { &[8, 0] } else { &[0x86, 0xdd] });
            frame[14] = [0x45, 0x4f, 0x40, 0x60][noise.below(4) as usize];
            frame[23] = [6, 17][noise.below(2) as usize];
            frame[20] = frame[23];
        }
        assert!(run(&of_ethernet, &frame) >= HEADERS);
        assert!(run(&of_ip, &frame) >= HEADERS);
    }
}

/// `tcpdump -ddd "udp port 53"` of libpcap 1.10 on Ethernet, cut to IPv4.
fn udp_port_53() -> Program {
    let code = [
        (0x28, 0, 0, 12),
        (0x15, 0, 10, 2048),
        (0x30, 0, 0, 23),
        (0x15, 0, 8, 17),
        (0x28, 0, 0, 20),
        (0x45, 6, 0, 8191),
        (0xb1, 0, 0, 14),
        (0x48, 0, 0, 14),
        (0x15, 2, 0, 53),
        (0x48, 0, 0, 16),
        (0x15, 0, 1, 53),
        (0x06, 0, 0, 262_144),
        (0x06, 0, 0, 0),
    ];
    Program::new(code.iter().map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect()).unwrap()
}

#[test]
fn a_filter_stands_before_the_snap_length() {
    let both = udp_port_53().then(&program(true).unwrap()).unwrap();
    let bulk = v4(6, &tcp(443, 40000, 7, ACK, &[0x17; 1400]));
    let answer = v4(17, &udp(53, 40000, &[1; 600]));
    assert_eq!(run(&both, &bulk), 0);
    assert!(run(&both, &answer) as usize >= answer.len());
    // what is refused stays refused where nothing else would be
    let nothing = Program::reject().then(&program(true).unwrap()).unwrap();
    assert_eq!(run(&nothing, &answer), 0);
}

#[test]
fn programs_that_the_kernel_would_refuse_are_refused() {
    let one = |code| Instruction { code, jt: 0, jf: 0, k: 1 };
    assert!(Program::new(vec![]).is_err());
    assert!(Program::new(vec![one(0x16)]).unwrap().then(&Program::accept()).is_err()); // returns A
    assert!(Program::new(vec![one(0x06); 4097]).is_err());
    assert!(Program::new(vec![one(0x06); 4096]).unwrap().then(&Program::reject()).is_err());
}

/// The number that decides which worker gets a frame.
fn dealt(frame: &[u8]) -> u32 {
    run(&fanout::program().unwrap(), frame)
}

#[test]
fn both_directions_and_all_fragments_have_one_number() {
    let there = ipv4(A, B, 6, &tcp(1, 2, 3, ACK, b"x"));
    let back = ipv4(B, A, 6, &tcp(2, 1, 3, ACK, b"y"));
    let mut later = ipv4(A, B, 6, &[0xff; 64]);
    later[6..8].copy_from_slice(&[0x20, 0x10]);
    let numbers: Vec<u32> = [there, back, later].iter().map(|packet| dealt(&ethernet(&[8, 0], packet))).collect();
    assert_eq!(numbers, [numbers[0]; 3]);
    let mut b6 = A6;
    b6[15] = 9;
    let there = ethernet(&[0x86, 0xdd], &ipv6(A6, b6, 17, &udp(1, 2, b"")));
    let back = ethernet(&[0x86, 0xdd], &ipv6(b6, A6, 44, &[0; 16]));
    assert_eq!(dealt(&there), dealt(&back));
}

#[test]
fn a_tunnelled_flow_has_the_number_that_it_has_outside() {
    let (near, far) = ([172, 16, 0, 1], [172, 16, 0, 2]);
    let inner4 = ipv4(A, B, 6, &tcp(1, 2, 3, ACK, b"x"));
    let mut b6 = A6;
    b6[0] = 0x20;
    let inner6 = ipv6(A6, b6, 6, &tcp(1, 2, 3, ACK, b"x"));
    let frame4 = ethernet(&[8, 0], &inner4);
    let frame6 = ethernet(&[0x86, 0xdd], &inner6);
    let over =
        |protocol, head: &[u8], inner: &[u8]| ethernet(&[8, 0], &ipv4(near, far, protocol, &[head, inner].concat()));
    let datagram = |port, head: &[u8], inner: &[u8]| {
        ethernet(&[8, 0], &ipv4(near, far, 17, &udp(40000, port, &[head, inner].concat())))
    };
    for (plain, frames) in [
        (
            &frame4,
            vec![
                over(4, &[], &inner4),
                over(47, &hex("00000800"), &inner4),          // RFC 2784
                over(47, &hex("20000800 00000007"), &inner4), // with a key, RFC 2890
                over(47, &hex("b0000800 0000 0000 00000007 00000001"), &inner4),
                over(47, &hex("20006558 00000007"), &frame4), // Ethernet inside (NVGRE)
                datagram(4789, &hex("0800000000000700"), &frame4), // VXLAN, RFC 7348
                datagram(8472, &hex("0800000000000700"), &frame4),
                datagram(6081, &hex("0000655800000700"), &frame4), // Geneve, RFC 8926
                datagram(6081, &hex("0200655800000700 0102030405060708"), &frame4),
                ethernet(&[0x81, 0, 0, 5, 8, 0], &inner4),
            ],
        ),
        (
            &frame6,
            vec![
                over(41, &[], &inner6), // RFC 4213
                over(47, &hex("000086dd"), &inner6),
                datagram(4789, &hex("0800000000000700"), &frame6),
            ],
        ),
    ] {
        for frame in frames {
            assert_eq!(dealt(&frame), dealt(plain), "{frame:02x?}");
        }
    }
}

#[test]
fn a_tunnel_that_is_not_known_goes_by_its_own_addresses() {
    let outer = dealt(&v4(17, &udp(1, 2, b"plain")));
    assert_eq!(dealt(&v4(17, &udp(40000, 2152, &[0x45; 60]))), outer);
    assert_eq!(dealt(&v4(47, &hex("0000880b ff030021"))), outer); // GRE with PPP
    assert_eq!(dealt(&v4(50, &[0; 40])), outer);
    assert_ne!(outer, 0);
    // what is no IP, or ends too early, goes to the first worker
    assert_eq!(dealt(&ethernet(&[8, 6], &[1; 28])), 0);
    assert_eq!(dealt(&ethernet(&[8, 0], &[0x45; 10])), 0);
}

#[test]
fn neighbouring_addresses_are_spread() {
    for workers in 2..8 {
        let mut found = vec![0; workers as usize];
        for host in 0..250 {
            let frame = ethernet(&[8, 0], &ipv4([10, 0, 0, host], B, 17, &udp(1, 2, b"")));
            found[(dealt(&frame) % workers) as usize] += 1;
        }
        let fair = 250 / workers;
        assert!(found.iter().all(|count| *count > fair / 2 && *count < fair * 2), "{found:?}");
    }
}
