//! Names in DTLS, and what is spoken over UDP by content.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/initials.rs"]
mod initials;

use common::line::{play, play_made, play_with, span, Made, RAW};
use common::{hex, ipv4, udp, Noise};
use flowcore::decode::datagram::application;
use flowcore::decode::recognise::Sender;
use flowcore::decode::{dtls, Application, Fault};
use flowcore::flow::{Batch, Confidence, Initiator, Limits, NameSource, NONE};
use flowcore::source::FrameSpan;
use initials::{long_hello, RFC9001_A2, RFC9001_FRAME};

const HOST: [u8; 4] = [10, 0, 1, 5];
const PEER: [u8; 4] = [198, 51, 100, 7];

fn out(payload: &[u8]) -> (i64, Vec<u8>) {
    (0, ipv4(HOST, PEER, 17, &udp(40000, 4433, payload)))
}

fn back(payload: &[u8]) -> (i64, Vec<u8>) {
    (0, ipv4(PEER, HOST, 17, &udp(4433, 40000, payload)))
}

fn name(batch: &Batch) -> Option<&str> {
    let id = batch.flows.name_id[0];
    (id != NONE).then(|| &*batch.names[id as usize])
}

/// A handshake record of epoch 0 (RFC 6347 section 4.1) with one fragment (section 4.2.2).
fn record(kind: u8, sequence: u8, message: &[u8], from: usize, to: usize) -> Vec<u8> {
    let three = |value: usize| [0, (value >> 8) as u8, value as u8];
    let mut fragment = vec![kind];
    fragment.extend_from_slice(&three(message.len()));
    fragment.extend_from_slice(&[0, sequence]);
    fragment.extend_from_slice(&three(from));
    fragment.extend_from_slice(&three(to - from));
    fragment.extend_from_slice(&message[from..to]);
    let mut record = hex("16 fefd 0000 000000000000");
    record.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
    record.extend_from_slice(&fragment);
    record
}

/// The body of the RFCs' ClientHello for example.com with a cookie behind its empty session id
/// (RFC 6347 section 4.2.1), made longer so that it does not fit into one datagram.
fn body(cookie: &[u8]) -> Vec<u8> {
    let mut body = long_hello(1500)[4..].to_vec();
    let at = 2 + 32 + 1;
    body.splice(at..at, [&[cookie.len() as u8], cookie].concat());
    body
}

fn assert_found(case: &str, packets: &[(i64, Vec<u8>)]) {
    let batch = play(packets);
    assert_eq!(name(&batch), Some("example.com"), "{case}");
    assert_eq!(batch.flows.name_source[0], NameSource::DtlsSni as u8, "{case}");
    assert_eq!(batch.flows.application[0], Application::Dtls as u8, "{case}");
    assert_eq!(batch.flows.initiator[0], Initiator::Local as u8, "{case}");
    assert_eq!(batch.flows.confidence[0], Confidence::Content as u8, "{case}");
    assert_eq!(batch.counters.faults, [0; Fault::COUNT], "{case}");
}

#[test]
fn dtls_hellos_in_fragments() {
    let without = body(&[]);
    let with = body(&[7; 20]);
    let (end, other_end) = (without.len(), with.len());
    let piece = |from, to| record(1, 0, &without, from, to);
    let second = |from, to| record(1, 1, &with, from, to);
    let verify = record(3, 0, &hex("feff 04 01020304"), 0, 7);

    assert_found("whole", &[out(&piece(0, end))]);
    assert_found("three datagrams", &[out(&piece(0, 700)), out(&piece(700, 1400)), out(&piece(1400, end))]);
    assert_found("backwards", &[out(&piece(1400, end)), out(&piece(700, 1400)), out(&piece(0, 700))]);
    assert_found("overlapping", &[out(&piece(0, 900)), out(&piece(600, end))]);
    assert_found("records in one datagram", &[out(&[piece(0, 700), piece(700, end)].concat())]);
    assert_found("with a cookie", &[back(&verify), out(&second(0, other_end))]);
    // pieces of the two hellos are not mixed
    let mixed = [out(&piece(0, 700)), back(&verify), out(&second(700, other_end)), out(&second(0, 700))];
    assert_found("again, with a cookie, in fragments", &mixed);
    assert_eq!(name(&play(&[out(&piece(0, 700)), out(&second(700, other_end))])), None);
}

#[test]
fn dtls_without_a_hello() {
    let told = |packets: &[(i64, Vec<u8>)]| {
        let batch = play(packets);
        (batch.flows.application[0], batch.flows.initiator[0])
    };
    let dtls = Application::Dtls as u8;
    let verify = record(3, 0, &hex("feff 04 01020304"), 0, 7);
    assert_eq!(told(&[out(&verify)]), (dtls, Initiator::Remote as u8));
    // application data of epoch 1, and the same with more behind it than it announces
    let data = hex("17 fefd 0001 000000000005 0008 0001020304050607");
    assert_eq!(told(&[out(&data)]), (dtls, Initiator::Unknown as u8));
    let unknown = (Application::Unknown as u8, Initiator::Unknown as u8);
    assert_eq!(told(&[out(&[&data[..], &[1]].concat())]), unknown);
    // a TLS record over UDP is none
    assert_eq!(told(&[out(&hex("16 0303 0004 00000000"))]), unknown);
}

#[test]
fn dtls_hellos_that_lie_are_a_fault() {
    let mut hello = body(&[]);
    hello[2 + 32 + 1] = 0xff; // the cookie passes the end of what is there
    hello.truncate(200);
    let batch = play(&[out(&record(1, 0, &hello, 0, hello.len()))]);
    assert_eq!((name(&batch), batch.counters.faults[Fault::Tls as usize]), (None, 1));
}

#[test]
fn dtls_pieces_are_bounded_and_counted() {
    let hello = body(&[]);
    let packets: Vec<_> = (0..50)
        .map(|port| (0, ipv4(HOST, PEER, 17, &udp(40000 + port, 4433, &record(1, 0, &hello, 700, hello.len())))))
        .collect();
    let batch = &play_with(&packets, Limits { content: 8 << 10, ..Limits::default() }, usize::MAX)[0];
    assert!((40..50).contains(&batch.counters.names_skipped), "{}", batch.counters.names_skipped);
}

#[test]
fn stun_may_be_followed_by_dtls() {
    // WebRTC: RFC 8445 checks a path for long before RFC 8827's handshake
    let request = hex("0001 0000 2112a442 000102030405060708090a0b");
    let mut packets = vec![out(&request); 20];
    let batch = play(&packets);
    assert_eq!(batch.flows.application[0], Application::Stun as u8);
    let hello = body(&[]);
    packets.push(out(&record(1, 0, &hello, 0, hello.len())));
    assert_found("DTLS behind STUN", &packets);
}

#[test]
fn only_the_first_datagrams_are_looked_at() {
    let hello = body(&[]);
    let mut packets = vec![out(&[0xee; 30]); 7];
    packets.push(out(&record(1, 0, &hello, 0, hello.len())));
    assert_found("the eighth", &packets);
    packets.insert(0, out(&[0xee; 30]));
    assert_eq!(name(&play(&packets)), None);
    // the other direction has eight of its own
    let packets: Vec<_> = (0..8).map(|_| back(&[0xee; 30])).chain([packets.pop().unwrap()]).collect();
    assert_found("the first of ours", &packets);
}

#[test]
fn a_dns_port_hides_nothing() {
    // ports that are open everywhere carry tunnels
    let on_53 = |payload: &[u8]| play(&[(0, ipv4(HOST, PEER, 17, &udp(40000, 53, payload)))]);
    let batch = on_53(&hex(RFC9001_A2));
    assert_eq!((name(&batch), batch.flows.application[0]), (Some("example.com"), Application::Quic as u8));
    assert_eq!(on_53(&padded("01000000", 148)).flows.application[0], Application::Wireguard as u8);
}

#[test]
fn what_the_capture_cut_off_is_told_by_its_beginning() {
    let cut = |payload: &[u8]| {
        let packet = ipv4(HOST, PEER, 17, &udp(40000, 4433, payload));
        let mut made = Made::new(1);
        made.add(FrameSpan { wire: packet.len() as u32, ..span(RAW) }, &packet[..96]);
        play_made(made, Limits::default(), usize::MAX).remove(0).flows.application[0]
    };
    let hello = body(&[]);
    assert_eq!(cut(&hex(RFC9001_A2)), Application::Quic as u8);
    assert_eq!(cut(&record(1, 0, &hello, 0, hello.len())), Application::Dtls as u8);
    assert_eq!(cut(&padded("01000000", 148)), Application::Wireguard as u8);
    assert_eq!(cut(&[0xc0; 1200]), Application::Unknown as u8);
}

/// A datagram, its ports, and what it is.
type Example = (&'static str, Vec<u8>, (u16, u16), Application, Sender);

fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = hex(text);
    bytes.resize(length, 0x5a);
    bytes
}

/// Datagrams field by field as their documents have them.
fn examples() -> Vec<Example> {
    use Application::{Bittorrent, Ntp, Openvpn, Sip, Snmp, Stun, Wireguard};
    use Sender::{Client, Either, Server};
    let any = (40000, 50000);
    vec![
        // WireGuard's protocol paper, section 5.4.2 to 5.4.7
        ("initiation", padded("01000000", 148), any, Wireguard, Client),
        ("response", padded("02000000", 92), any, Wireguard, Server),
        ("cookie", padded("03000000", 64), any, Wireguard, Either),
        ("data", padded("04000000 11223344 0500000000000000", 128), any, Wireguard, Either),
        // RFC 5769 section 2.4: a sample request with long-term authentication begins so
        ("STUN request", padded("0001 0060 2112a442 78ad3433c6ad72c029da412e", 116), any, Stun, Client),
        ("STUN success", padded("0101 003c 2112a442 b7e7a701bc34d686fa87dfae", 80), any, Stun, Server),
        // BEP 5, "ping", with its example ids
        ("DHT query", b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe".into(), any, Bittorrent, Client),
        ("DHT answer", b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re".into(), any, Bittorrent, Server),
        ("DHT error", b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee".into(), any, Bittorrent, Server),
        // BEP 15
        ("tracker", hex("0000041727101980 00000000 aabbccdd"), any, Bittorrent, Client),
        // BEP 29
        ("uTP", hex("41 00 1234 5f5e0f00 00000000 00100000 0001 0000"), any, Bittorrent, Client),
        // RFC 5905 section 7.3: version 4, modes 3 and 4
        ("NTP client", padded("23 00 06 ec", 48), (40000, 123), Ntp, Client),
        ("NTP server", padded("24 01 06 ec", 48), (123, 40000), Ntp, Server),
        // RFC 1157: GetRequest of sysDescr.0 for "public"
        (
            "SNMP",
            hex("302902010004067075626c6963a01c0204 3e8d1c5b 020100 020100 300e300c06082b060102010101000500"),
            any,
            Snmp,
            Client,
        ),
        // RFC 3261 section 24.2
        ("SIP", b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n".into(), any, Sip, Client),
        ("SIP answer", b"SIP/2.0 180 Ringing\r\n".into(), any, Sip, Server),
        // OpenVPN's protocol: P_CONTROL_HARD_RESET_CLIENT_V2
        ("OpenVPN", hex("38 0102030405060708 00 00000000"), any, Openvpn, Client),
    ]
}

#[test]
fn datagrams_of_many_protocols() {
    for (case, bytes, ports, expected, sender) in examples() {
        assert_eq!(application(&bytes, bytes.len() as u64, ports), Some((expected, sender)), "{case}");
        // a byte more or less than the protocol allows
        if !matches!(expected, Application::Sip | Application::Bittorrent) || case == "uTP" {
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(application(&longer, longer.len() as u64, ports), None, "{case}, longer");
            assert_eq!(application(&bytes[1..], bytes.len() as u64 - 1, ports), None, "{case}, cut");
        }
    }
    // NTP says little of itself: on another port it is not believed
    assert_eq!(application(&padded("23 00 06 ec", 48), 48, (40000, 40001)), None);
}

#[test]
fn applications_of_flows() {
    for (case, bytes, ports, expected, sender) in examples() {
        let batch = play(&[(0, ipv4(HOST, PEER, 17, &udp(ports.0, ports.1, &bytes)))]);
        assert_eq!(batch.flows.application[0], expected as u8, "{case}");
        if !matches!(expected, Application::Ntp) {
            let initiator = match sender {
                Sender::Client => Initiator::Local,
                Sender::Server => Initiator::Remote,
                Sender::Either => Initiator::Unknown,
            };
            assert_eq!(batch.flows.initiator[0], initiator as u8, "{case}");
        }
    }
}

#[test]
fn noise_is_no_application() {
    let mut noise = Noise(99);
    let mut seen = 0;
    for _ in 0..200_000 {
        let length = noise.below(200) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| noise.next() as u8).collect();
        seen += usize::from(application(&bytes, length as u64, (40000, 50000)).is_some());
        seen += usize::from(dtls::fragments(&bytes, false, |_| {}));
    }
    assert_eq!(seen, 0);
    // what is nearly right must not panic
    let hello = record(1, 0, &hex(RFC9001_FRAME), 0, 100);
    for (_, bytes, ports, ..) in examples() {
        for seed in [&bytes, &hello] {
            for _ in 0..2_000 {
                let mut bytes = seed.clone();
                let at = noise.below(bytes.len() as u64) as usize;
                bytes[at] = noise.next() as u8;
                bytes.truncate(noise.below(bytes.len() as u64 + 1) as usize);
                let _ = application(&bytes, noise.below(300), ports);
                dtls::fragments(&bytes, noise.below(2) == 0, |fragment| {
                    let _ = dtls::client_hello(fragment.bytes);
                });
            }
        }
    }
}
