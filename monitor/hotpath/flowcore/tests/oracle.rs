//! Headers against etherparse, another implementation: on the seeds of the fuzz targets, on the same with
//! bytes changed, and on real captures. Both see the same, or a rule of [`explained`] says why not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::Noise;
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use flowcore::decode::{decode, Addresses, Packet, Reason};
use flowcore::source::files::CaptureFiles;
use flowcore::source::{Next, Source};

const ETHERNET: u16 = 1;
const AH: u8 = 51;

/// What both say of a frame.
#[derive(Debug, PartialEq, Eq)]
struct View {
    addresses: Addresses,
    protocol: u8,
    fragment: bool,
    /// None in a later fragment, and where the protocol has none.
    ports: (u16, u16),
    /// TCP only.
    flags_and_sequence: (u8, u32),
    /// Bytes that are there above the transport header, for TCP and UDP.
    payload: Option<usize>,
}

fn ours(packet: &Packet<'_>) -> View {
    let known = matches!(packet.protocol, 6 | 17) && packet.fault.is_none();
    View {
        addresses: packet.addresses,
        protocol: packet.protocol,
        fragment: packet.fragment,
        ports: (packet.source_port, packet.destination_port),
        flags_and_sequence: (packet.tcp_flags, packet.sequence),
        payload: (known && !packet.fragment).then_some(packet.payload.len()),
    }
}

fn theirs(sliced: &LaxSlicedPacket<'_>) -> Option<View> {
    let (addresses, payload) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(slice) => {
            let head = slice.header();
            (Addresses::V4 { source: head.source(), destination: head.destination() }, slice.payload())
        }
        LaxNetSlice::Ipv6(slice) => {
            let head = slice.header();
            (Addresses::V6 { source: head.source(), destination: head.destination() }, slice.payload())
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let mut view = View {
        addresses,
        protocol: payload.ip_number.0,
        fragment: payload.fragmented,
        ports: (0, 0),
        flags_and_sequence: (0, 0),
        payload: None,
    };
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            view.ports = (tcp.source_port(), tcp.destination_port());
            view.flags_and_sequence = (tcp.header_slice().get(13).copied().unwrap_or(0), tcp.sequence_number());
            view.payload = Some(tcp.payload().len());
        }
        Some(TransportSlice::Udp(udp)) => {
            view.ports = (udp.source_port(), udp.destination_port());
            view.payload = Some(udp.payload().len());
        }
        _ => {}
    }
    Some(view)
}

/// IP protocols and UDP ports behind which there may be another IP packet: 4 in IP, 6 in IP, GRE, IP in
/// IP as EtherIP, L2TP, MPLS; L2TP, GTP-U, Teredo, VXLAN and its kin, Geneve, MPLS.
const TUNNEL_PROTOCOLS: [u8; 6] = [4, 41, 47, 97, 115, 137];
const TUNNEL_PORTS: [u16; 8] = [1701, 2152, 3544, 4789, 4790, 6081, 6635, 8472];
/// Ethernet types behind which there may be IP: PPP, MPLS, PPPoE, bridging, backbone bridging, FabricPath,
/// VN-Tag, NSH, the old QinQ.
const TUNNEL_TYPES: [u16; 10] = [0x880b, 0x8847, 0x8848, 0x8864, 0x6558, 0x88e7, 0x8903, 0x8926, 0x894f, 0x9100];

/// Why the two differ, where they may; `None`: nobody knows, so one of them is wrong.
fn explained(
    ethertype: u16,
    mine: &Result<View, Reason>,
    fault: bool,
    inside: bool,
    other: Option<&View>,
    cut_off: bool,
) -> Option<&'static str> {
    let Some(other) = other else {
        return match mine {
            _ if TUNNEL_TYPES.contains(&ethertype) => Some("etherparse does not look behind this Ethernet type"),
            Ok(_) if ethertype <= 1500 => Some("etherparse does not look behind LLC and SNAP"),
            _ => None,
        };
    };
    let tunnel = inside
        || TUNNEL_PROTOCOLS.contains(&other.protocol)
        || [other.ports.0, other.ports.1].iter().any(|port| TUNNEL_PORTS.contains(port));
    match mine {
        Ok(_) if inside => Some("we go to the innermost packet, etherparse stays with the outermost"),
        Ok(mine) if mine.fragment != other.fragment && matches!(mine.addresses, Addresses::V6 { .. }) => {
            // RFC 8200 section 4.5: offset, two reserved bits, M; etherparse has the reserved ones elsewhere
            Some("etherparse reads other bits of the fragment header")
        }
        Ok(mine) if mine.fragment && other.fragment && mine.protocol != other.protocol && mine.ports == (0, 0) => {
            Some("etherparse reads extension headers in later fragments too")
        }
        Ok(_) if other.protocol == AH && cut_off => {
            Some("we step over an authentication header whose length is 0, etherparse stops there")
        }
        Ok(mine) if mine.addresses == other.addresses && mine.protocol == other.protocol => {
            let same_head = mine.ports == other.ports && mine.flags_and_sequence == other.flags_and_sequence;
            if mine.fragment && other.fragment && other.ports == (0, 0) {
                Some("etherparse leaves the ports of a first fragment alone")
            } else if matches!(mine.protocol, 33 | 132 | 136) && other.ports == (0, 0) {
                Some("etherparse reads no ports of SCTP, DCCP and UDP-Lite")
            } else if cut_off && other.ports == (0, 0) {
                Some("etherparse reads no ports of a transport header that is cut off or has a wrong offset")
            } else if fault && same_head {
                Some("we take no payload of a transport header with a wrong length")
            } else {
                None
            }
        }
        _ if matches!(other.protocol, 135 | 139 | 140) => {
            Some("etherparse does not step over the headers of mobility, HIP and shim6")
        }
        Err(Reason::PortsTruncated) if other.ports == (0, 0) => Some("we need the ports, etherparse does not"),
        Err(Reason::IpLength) => Some("etherparse takes what is there for a length that cannot be"),
        Err(Reason::IpVersion) => Some("etherparse believes the packet's version and not the Ethernet type"),
        Err(Reason::IpTruncated) if cut_off => Some("etherparse goes as far as the extension headers go"),
        Err(Reason::ExtensionChain) => Some("etherparse follows a chain of any length"),
        _ if tunnel => Some("we go to the innermost packet, etherparse stays with the outermost"),
        _ => None,
    }
}

/// Compare one Ethernet frame; counts the rules that were needed.
fn compare(frame: &[u8], rules: &mut BTreeMap<&'static str, u64>) {
    let decoded = decode(ETHERNET, frame, frame.len() as u32);
    let fault = decoded.as_ref().is_ok_and(|packet| packet.fault.is_some());
    let inside = decoded.as_ref().is_ok_and(|packet| packet.encapsulation.tunnel.is_some());
    let mine = decoded.as_ref().map(ours).map_err(|reason| *reason);
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok();
    let other = sliced.as_ref().and_then(theirs);
    let same = match (&mine, &other) {
        (Ok(mine), Some(other)) => mine == other,
        (Err(_), None) => true,
        _ => false,
    };
    let stop = sliced.as_ref().and_then(|sliced| sliced.stop_err.clone());
    // behind any tags
    let mut types = frame.get(12..).unwrap_or_default().chunks_exact(4).map(|tag| u16::from_be_bytes([tag[0], tag[1]]));
    let ethertype = types.find(|kind| !matches!(kind, 0x8100 | 0x88a8)).unwrap_or(0);
    let rule = if same {
        Some("the same")
    } else {
        explained(ethertype, &mine, fault, inside, other.as_ref(), stop.is_some())
    };
    let Some(rule) = rule else {
        panic!("ours   {mine:?}\ntheirs {other:?}, stopped by {stop:?}\nframe  {frame:02x?}")
    };
    *rules.entry(rule).or_default() += 1;
}

#[test]
fn made_frames_and_what_becomes_of_them() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode");
    let (mut rules, mut noise) = (BTreeMap::new(), Noise(0x0dac1e));
    for entry in fs::read_dir(seeds).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        // the first byte chooses the link type, of which 0 is Ethernet; two tell what the wire had more
        let [0, _, _, frame @ ..] = seed.as_slice() else { continue };
        compare(frame, &mut rules);
        for _ in 0..2000 {
            let mut spoilt = frame.to_vec();
            for _ in 0..=noise.below(3) {
                // headers more often than payload
                let reach = if noise.below(4) == 0 { spoilt.len() } else { spoilt.len().min(80) };
                spoilt[noise.below(reach as u64) as usize] = noise.next() as u8;
            }
            compare(&spoilt, &mut rules);
        }
    }
    println!("{rules:#?}");
    assert!(rules["the same"] > 10_000);
}

#[test]
fn real_frames() {
    let Some(folder) = std::env::var_os("EGRESS_CAPTURES").filter(|folder| !folder.is_empty()) else {
        println!("NOT RUN: EGRESS_CAPTURES names no folder of captures");
        return;
    };
    let mut waiting: Vec<PathBuf> = vec![PathBuf::from(folder).join("core/pcaps")];
    let (mut rules, mut captures) = (BTreeMap::new(), 0);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let Ok(mut files) = CaptureFiles::open(&[path.to_string_lossy().into_owned()]) else { continue };
        captures += 1;
        while let Ok(Next::Frames(burst)) = files.next_burst() {
            for span in burst.frames.iter().filter(|span| span.link == ETHERNET) {
                let start = span.offset as usize;
                compare(&burst.memory[start..start + span.captured as usize], &mut rules);
            }
        }
    }
    println!("{captures} captures: {rules:#?}");
    assert!(captures > 500);
}
