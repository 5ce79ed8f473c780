//! Names in TLS, HTTP and DNS, against the examples of their RFCs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{hex, Noise, RFC8448_HELLO};
use flowcore::decode::dns::{head, Malformed, Reader, Record, Section, Value};
use flowcore::decode::http::{request, Head};
use flowcore::decode::tls::{client_hello, Hello};

fn text(name: &[u8]) -> String {
    String::from_utf8(name.to_vec()).unwrap()
}

fn found(name: &str, hello: Hello) {
    let Hello::Found(hello) = hello else { panic!("{hello:?}") };
    assert_eq!((hello.name.as_deref(), hello.ech), (Some(name), false));
}

#[test]
fn rfc8448_client_hello() {
    found("server", client_hello(&hex(RFC8448_HELLO)));
}

#[test]
fn every_prefix_of_a_hello_asks_for_more() {
    let hello = hex(RFC8448_HELLO);
    for end in 1..hello.len() {
        assert_eq!(client_hello(&hello[..end]), Hello::More, "{end} bytes");
    }
}

#[test]
fn a_hello_may_span_records() {
    // RFC 8446 section 5.1: handshake messages may be fragmented across several records
    let hello = hex(RFC8448_HELLO);
    let (first, second) = hello[5..].split_at(60);
    let mut split = vec![22, 3, 1, 0, first.len() as u8];
    split.extend_from_slice(first);
    split.extend_from_slice(&[22, 3, 1, 0, second.len() as u8]);
    split.extend_from_slice(second);
    found("server", client_hello(&split));
}

#[test]
fn a_hello_does_not_span_thousands_of_records() {
    let hello = hex(RFC8448_HELLO);
    let in_records = |message: &[u8], length: usize| -> Vec<u8> {
        message.chunks(length).flat_map(|part| [&[22, 3, 1, 0, part.len() as u8], part].concat()).collect()
    };
    found("server", client_hello(&in_records(&hello[5..], 1)));
    // the beginning of one of 8 KiB: in records of 64 bytes, the least that RFC 8449 section 4 allows, and of one byte
    let mut long = vec![1, 0, 0x20, 0, 3, 3];
    long.resize(8 << 10, 0);
    assert_eq!(client_hello(&in_records(&long, 64)), Hello::More);
    assert_eq!(client_hello(&in_records(&long[..500], 1)), Hello::More);
    assert_eq!(client_hello(&in_records(&long, 1)), Hello::Malformed);
}

#[test]
fn a_name_is_safe_to_keep() {
    let mut hello = hex(RFC8448_HELLO);
    let at = hello.windows(6).position(|part| part == b"server").unwrap();
    hello[at..at + 6].copy_from_slice(b"S\n\"\xffr.");
    found("s\\010\"\\255r", client_hello(&hello));
}

#[test]
fn what_is_no_hello_is_told() {
    assert_eq!(client_hello(b"GET / HTTP/1.1\r\n"), Hello::No);
    let mut hello = hex(RFC8448_HELLO);
    hello[44] = 0xff; // the cipher suites' length (RFC 8446 section 4.1.2) now passes the end
    assert_eq!(client_hello(&hello), Hello::Malformed);
}

#[test]
fn http_requests() {
    let host = |text: &str| match request(text.as_bytes()) {
        Head::Request(found) => Some((found.host, found.connect)),
        Head::More | Head::No => None,
    };
    let example = Some("www.example.org".into());
    // RFC 9112 section 3.2.1 and 3.2.3
    assert_eq!(host("GET /where?q=now HTTP/1.1\r\nHost: WWW.example.org\r\n\r\n"), Some((example.clone(), false)));
    assert_eq!(host("CONNECT www.example.org:80 HTTP/1.1\r\nHost: other\r\n\r\n"), Some((example.clone(), true)));
    assert_eq!(host("GET / HTTP/1.1\r\nhost:www.example.org:8080\r\n\r\n"), Some((example.clone(), false)));
    // RFC 9112 section 3.2.2: to a proxy, the Host field does not count
    let absolute = "GET HTTP://user@www.example.org:8080/where?q=a://b HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(host(absolute), Some((example.clone(), false)));
    assert_eq!(host("GET https://www.example.org HTTP/1.1\r\nHost: other\r\n\r\n"), Some((example.clone(), false)));
    assert_eq!(host("GET /to?a=http://other HTTP/1.1\r\nHost: www.example.org\r\n\r\n"), Some((example, false)));
    assert_eq!(host("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n"), Some((Some("2001:db8::1".into()), false)));
    assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), Some((None, false)));
    assert_eq!(host("SSH-2.0-OpenSSH_9.2\r\n"), None);
    // RFC 3261 section 7.1, RFC 2326 section 10.1: requests of other protocols
    assert_eq!(request(b"OPTIONS sip:carol@chicago.com SIP/2.0\r\n"), Head::No);
    assert_eq!(request(b"OPTIONS * RTSP/1.0\r\n"), Head::No);
    // a head that spans segments: the host may still come
    let head = b"GET /where?q=now HTTP/1.1\r\nAccept: */*\r\nHost: www.example.org\r\n";
    for end in 4..head.len() {
        assert_eq!(request(&head[..end]), Head::More, "{end} bytes");
    }
}

/// RFC 1035 section 4.1.4: the names F.ISI.ARPA, FOO.F.ISI.ARPA, ARPA and the root, compressed, at the
/// offsets of the RFC.
fn rfc1035_names() -> Vec<u8> {
    let mut message = vec![0; 93];
    message[20..32].copy_from_slice(b"\x01F\x03ISI\x04ARPA\x00");
    message[40..46].copy_from_slice(b"\x03FOO\xc0\x14");
    message[64..66].copy_from_slice(b"\xc0\x1a");
    message
}

#[test]
fn rfc1035_compression() {
    // an answer whose owner is each of the RFC's names in turn; the record follows the names
    for (offset, name) in [(20_u8, "f.isi.arpa"), (40, "foo.f.isi.arpa"), (64, "arpa"), (92, ".")] {
        let mut message = vec![0x12, 0x34, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0];
        message.resize(12, 0);
        let names = rfc1035_names();
        // names may only point backwards, so they stand in a first record's data
        message[7] = 2;
        message.extend_from_slice(&hex("00 0010 0001 00000000"));
        let start = message.len() + 2;
        message.extend_from_slice(&(names.len() as u16).to_be_bytes());
        let shift = start as u16;
        let mut moved = names.clone();
        for at in [44, 64] {
            let target = u16::from_be_bytes([names[at], names[at + 1]]) + shift;
            moved[at..at + 2].copy_from_slice(&target.to_be_bytes());
        }
        message.extend_from_slice(&moved);
        let pointer = 0xc000 | (shift + u16::from(offset));
        message.extend_from_slice(&pointer.to_be_bytes());
        message.extend_from_slice(&hex("0001 0001 0000003c 0004 c0000201"));
        let mut seen = Vec::new();
        let visit = |record: Record<'_>| {
            seen.push((text(record.owner), record.ttl, record.section, format!("{:?}", record.value)))
        };
        Reader::default().records(&message, visit).unwrap();
        let value = format!("{:?}", Value::V4([192, 0, 2, 1]));
        assert_eq!(seen[1], (name.to_string(), 60, Section::Answer, value));
    }
}

#[test]
fn a_message_is_read_without_the_one_before() {
    let mut reader = Reader::default();
    for name in ["com", "net"] {
        // the question at byte 12, and a CNAME whose owner and target point there
        let mut message = hex("0000 8180 0001 0001 0000 0000 03");
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(&hex("00 0001 0001 c00c 0005 0001 0000003c 0002 c00c"));
        let mut seen = Vec::new();
        let visit = |record: Record<'_>| seen.push((text(record.owner), record.again, format!("{:?}", record.value)));
        reader.records(&message, visit).unwrap();
        let target = format!("{:?}", Value::Name(name.as_bytes()));
        let other = format!("{:?}", Value::Other);
        assert_eq!(seen, [(name.to_string(), false, other), (name.to_string(), true, target)]);
    }
}

#[test]
fn pointers_that_circle_end() {
    let mut message = hex("0000 8180 0001 0000 0000 0000");
    message.extend_from_slice(&hex("c00c 0001 0001"));
    assert_eq!(Reader::default().records(&message, |_| {}), Err(Malformed));
}

#[test]
fn labels_are_escaped() {
    // RFC 4343 section 2.1: a dot inside a label is \., a control character \DDD
    let mut message = hex("0000 0100 0001 0000 0000 0000");
    message.extend_from_slice(b"\x04a.B\n\x03com\x00\x00\x01\x00\x01");
    let mut names = Vec::new();
    Reader::default().records(&message, |record| names.push(text(record.owner))).unwrap();
    assert_eq!(names, ["a\\.b\\010.com"]);
    let head = head(&message).unwrap();
    assert!(!head.response && head.query);
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise(42);
    let mut reader = Reader::default();
    let hello = hex(RFC8448_HELLO);
    let mut message = hex("1234 8180 0001 0002 0000 0000");
    message.extend_from_slice(b"\x03www\x07example\x03org\x00\x00\x01\x00\x01");
    message.extend_from_slice(&hex("c00c 0005 0001 00000001 0002 c010 c010 001c 0001 00000001 0010"));
    message.extend_from_slice(&[0; 16]);
    for _ in 0..100_000 {
        for seed in [&hello, &message] {
            let mut bytes = seed.clone();
            for _ in 0..=noise.below(6) {
                let at = noise.below(bytes.len() as u64) as usize;
                bytes[at] = noise.next() as u8;
            }
            bytes.truncate(noise.below(bytes.len() as u64 + 1) as usize);
            let _ = client_hello(&bytes);
            let mut count = 0;
            let _ = reader.records(&bytes, |_| count += 1);
            assert!(count <= 512);
        }
    }
}
