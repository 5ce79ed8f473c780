//! What is fuzzed: one line in [`TARGETS`], one function, one folder of seeds in `corpus/`.
//!
//! `make fuzz` runs these under libFuzzer; `tests/fuzz_corpus.rs` replays the seeds and every input that
//! once failed. A target may assert whatever must hold for any bytes.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use flowcore::decode::{
    certificate, datagram, decode, dns, dtls, hpack, http, http2, quic, recognise, sensitive, socks, tls, Application,
    Packet,
};
use flowcore::flow::{Limits, FLOW_BYTES};
use flowcore::source::files::CaptureFiles;
use flowcore::source::{FrameSpan, Next, Source};

use crate::common::line::{
    assert_laws, assert_rows_are_the_counters, dns_rows, play_in_parts, play_made, rows, span, Made,
};

type Target = fn(&[u8]);

/// Name and function of each.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("certificate", certificate_of_a_server),
    ("datagram", any_datagram),
    ("decode", decode_frame),
    ("dns", dns_message),
    ("dtls", dtls_records),
    ("files", capture_file),
    ("fragments", fragmented_packets),
    ("http", http_stream),
    ("http2", http2_stream),
    ("line", whole_line),
    ("quic", quic_packets),
    ("segment", first_segment),
    ("sensitive", what_goes_out),
    ("tls", tls_stream),
];

/// Link types (<https://www.tcpdump.org/linktypes.html>) that the first byte of an input chooses from;
/// the last stands for all that are not decoded.
const LINKS: [u16; 16] = [1, 0, 12, 14, 101, 108, 113, 228, 229, 276, 9, 50, 104, 105, 127, 147];

/// One frame: a byte that chooses the link type, two for what the wire had beyond the frame.
fn decode_frame(input: &[u8]) {
    let [link, high, low, frame @ ..] = input else { return };
    let wire = frame.len() as u32 + u32::from(u16::from_be_bytes([*high, *low]));
    let link = LINKS[usize::from(*link) % LINKS.len()];
    let decoded = decode(link, frame, wire);
    // an ordinary frame is read the short way, its packet without the link header never
    let raw = match frame.get(12..14) {
        Some([8, 0]) if link == 1 => Some(228),
        Some([0x86, 0xdd]) if link == 1 => Some(229),
        _ => None,
    };
    if let (Some(raw), Some(inside)) = (raw, frame.get(14..)) {
        let same = decode(raw, inside, wire - 14).map(|packet| Packet { link_bytes: packet.link_bytes + 14, ..packet });
        assert_eq!(format!("{decoded:?}"), format!("{same:?}"));
    }
    let Ok(packet) = decoded else { return };
    assert!(packet.payload.len() <= frame.len());
    assert!(packet.link_bytes as usize <= frame.len());
    if !packet.payload.is_empty() {
        let inside = frame.as_ptr_range().contains(&packet.payload.as_ptr());
        assert!(inside, "the payload is a part of the frame");
    }
}

fn dns_message(message: &[u8]) {
    let _ = dns::head(message);
    let (mut seen, mut before) = (0, Vec::new());
    let _ = dns::Reader::default().records(message, |record| {
        assert!(record.owner.iter().all(u8::is_ascii_graphic), "{:?}", record.owner);
        assert!(!record.again || before == record.owner, "{before:?} {:?}", record.owner);
        before = record.owner.to_vec();
        if let dns::Value::Name(name) = record.value {
            assert!(name.iter().all(u8::is_ascii_graphic), "{name:?}");
        }
        seen += 1;
    });
    assert!(seen <= 512);
}

fn http_stream(stream: &[u8]) {
    if let http::Head::Request(request) = http::request(stream) {
        claimed(request.host.as_deref());
    }
    let _ = http::is_response(stream);
}

/// A datagram behind two bytes that say how much longer it was, on an NTP port.
fn any_datagram(input: &[u8]) {
    let [high, low, payload @ ..] = input else { return };
    let length = payload.len() as u64 + u64::from(u16::from_be_bytes([*high, *low]));
    let _ = datagram::application(payload, length, (40000, 123));
}

fn dtls_records(records: &[u8]) {
    for cut in [false, true] {
        dtls::fragments(records, cut, |fragment| {
            assert!(fragment.offset + fragment.bytes.len() <= fragment.length);
            if let tls::Hello::Found(hello) = dtls::client_hello(fragment.bytes) {
                claimed(hello.name.as_deref());
            }
        });
    }
}

/// A datagram as it comes, and as what an Initial holds once it is opened: no fuzzer makes one that opens.
fn quic_packets(datagram: &[u8]) {
    let mut opener = quic::Opener::default();
    let mut seen = 0;
    for packet in quic::packets(datagram) {
        assert!(packet.dcid.len() <= 20);
        if let Some(keys) = quic::Keys::of_client(packet.version, packet.dcid).filter(|_| seen < 4) {
            let _ = opener.open(&packet, &keys);
        }
        seen += 1;
    }
    assert!(seen <= datagram.len() / 7);
    let _ = (quic::begins_long(datagram), quic::is_googles(datagram));
    let _ = quic::crypto(1, datagram, |_, bytes| {
        if let tls::Hello::Found(hello) = quic::client_hello(bytes) {
            claimed(hello.name.as_deref());
        }
    });
}

/// The stream of a client, and its bytes as a header block of their own.
fn http2_stream(stream: &[u8]) {
    if let http2::Authority::Found(name) = http2::authority(stream) {
        claimed(name.as_deref());
    }
    let mut decoder = hpack::Decoder::with_table(256);
    let _ = decoder.read(stream, |name, value| name.len() + value.len() <= 2 * 4096);
    assert!(decoder.table_size() <= 256);
}

fn certificate_of_a_server(bytes: &[u8]) {
    claimed(certificate::name(bytes).as_deref());
}

fn first_segment(segment: &[u8]) {
    claimed(socks::request(segment).as_deref());
    let told = recognise::segment(segment);
    // what is recognised is so by what it begins with, and empty segments tell nothing
    assert!(told.is_none() || segment.len() > 3);
}

/// What a flow sends, behind a byte that chooses its protocol.
fn what_goes_out(input: &[u8]) {
    let [application, bytes @ ..] = input else { return };
    let application = Application::from_index(*application).unwrap_or(Application::Unknown);
    let mut findings = sensitive::Findings::default();
    sensitive::count(bytes, application, &mut findings);
    // each takes some bytes of its own, the shortest a@b.cc
    assert!(findings.iter().all(|found| *found as usize <= bytes.len() / 6 + 1), "{findings:?}");
    let _ = (sensitive::may_be_clear(application), sensitive::may_be_text(bytes));
}

fn tls_stream(stream: &[u8]) {
    if let tls::Flight::Certificate(name) = tls::server_certificate(stream) {
        claimed(name.as_deref());
    }
    if let tls::Hello::Found(hello) = tls::client_hello(stream) {
        claimed(hello.name.as_deref());
        assert_eq!(hello.ja4.as_str().len(), 36);
        // what is whole stays so, whatever follows
        let more = [stream, b"more"].concat();
        assert!(matches!(tls::client_hello(&more), tls::Hello::Found(_)));
    }
}

/// A name that somebody claims is safe to keep and to show: printable ASCII of a bounded length.
fn claimed(name: Option<&str>) {
    if let Some(name) = name {
        assert!(name.len() <= 4 * 255 && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    }
}

/// A capture file, whatever its format: every frame lies in its burst's memory.
fn capture_file(content: &[u8]) {
    static PATH: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("egress-fuzz-{}", std::process::id())));
    // the window reads 1 MiB at a time, so that a longer input adds nothing
    if content.len() > 1 << 20 || fs::write(&*PATH, content).is_err() {
        return;
    }
    let opened = CaptureFiles::open(&[PATH.to_string_lossy().into_owned()]);
    let _ = fs::remove_file(&*PATH);
    let Ok(mut files) = opened else { return };
    // a compressed bomb has many bursts: some are enough
    for _ in 0..1000 {
        match files.next_burst() {
            Ok(Next::Frames(burst)) => {
                for span in burst.frames {
                    let end = span.offset as usize + span.captured as usize;
                    assert!(end <= burst.memory.len());
                    assert!((0..=flowcore::source::MAX_TIME).contains(&span.time));
                }
            }
            Ok(Next::End) | Err(_) => return,
        }
    }
}

/// Fragments of IPv4 packets to a DNS port or another. Each stands behind four bytes: its length, its place in
/// units of 8 bytes, what kind it is (more come; its id, two bits; TCP; from the other side), a time step.
fn fragmented_packets(input: &[u8]) {
    let mut made = Made::new(1);
    let mut time = 1_700_000_000_000_000_000_i64;
    let mut rest = input;
    while let [length, place, kind, step, tail @ ..] = rest {
        let (data, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        time += i64::from(*step).pow(2) * 1_000_000;
        let protocol = if kind & 8 == 0 { 17 } else { 6 };
        let (host, peer) = ([10, 0, 0, 1], [198, 51, 100, 7]);
        let (from, to) = if kind & 16 == 0 { (host, peer) } else { (peer, host) };
        let mut packet = crate::common::ipv4(from, to, protocol, data);
        let field = (u16::from(kind & 1) << 13) | u16::from(*place);
        packet[4..6].copy_from_slice(&u16::from((kind >> 1) & 3).to_be_bytes());
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        made.add(FrameSpan { time, ..span(101) }, &packet);
    }
    let limits = Limits { fragments: 64, ..Limits::default() };
    let whole = play_made(made.clone(), limits, usize::MAX);
    assert_laws(&whole[whole.len() - 1].counters);
    assert_rows_are_the_counters(&whole);
    let parts = play_in_parts(made, limits, 2);
    for part in &parts {
        assert_laws(&part.counters);
    }
    assert_eq!(rows(&whole), rows(&parts));
    assert_eq!(dns_rows(&whole), dns_rows(&parts));
}

/// Frames through the whole line. Each stands behind four bytes: its length (two, big-endian), a time
/// step (n cubed milliseconds, so that four hours are within reach), and what is special about it: the
/// link type in the lower four bits, then a VLAN tag that the kernel took, a cut-off capture, a step
/// back, a second interface.
fn whole_line(input: &[u8]) {
    let mut made = Made::new(2);
    let mut time = 1_700_000_000_000_000_000_i64;
    let mut rest = input;
    while let [high, low, step, special, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (frame, next) = tail.split_at(length);
        rest = next;
        let step = i64::from(*step).pow(3) * 1_000_000;
        time += if special & 0x40 == 0 { step } else { -step };
        made.add(
            FrameSpan {
                time,
                wire: if special & 0x20 == 0 { 0 } else { 1500 },
                vlan: if special & 0x10 == 0 { 0 } else { 7 },
                interface: u16::from(special >> 7),
                ..span(LINKS[usize::from(special & 0x0f)])
            },
            frame,
        );
    }
    let limits = Limits { flows: 16 * FLOW_BYTES, content: 8192, fragments: 16, ..Limits::default() };
    let whole = play_made(made.clone(), limits, usize::MAX);
    assert_laws(&whole.last().unwrap().counters);
    assert_rows_are_the_counters(&whole);
    made.burst = 1;
    let pieces = play_made(made, limits, 1);
    assert_eq!(rows(&whole), rows(&pieces), "the size of bursts and batches changes no row");
    assert_eq!(dns_rows(&whole), dns_rows(&pieces));
}
