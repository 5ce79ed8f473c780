//! JA4 against the examples of FoxIO's specification (technical_details/JA4.md).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use flowcore::decode::tls::parse_body;
use flowcore::decode::Transport;

/// Body of a ClientHello (RFC 8446 section 4.1.2), with a cookie field where it is one of DTLS.
fn body(version: u16, ciphers: &[u16], extensions: &[(u16, Vec<u8>)], dtls: bool) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    if dtls {
        body.extend_from_slice(&[2, 0xaa, 0xbb]);
    }
    body.extend_from_slice(&(2 * ciphers.len() as u16).to_be_bytes());
    ciphers.iter().for_each(|cipher| body.extend_from_slice(&cipher.to_be_bytes()));
    body.extend_from_slice(&[1, 0]);
    let mut list = Vec::new();
    for (kind, value) in extensions {
        list.extend_from_slice(&kind.to_be_bytes());
        list.extend_from_slice(&(value.len() as u16).to_be_bytes());
        list.extend_from_slice(value);
    }
    body.extend_from_slice(&(list.len() as u16).to_be_bytes());
    body.extend_from_slice(&list);
    body
}

fn numbers(text: &str) -> Vec<u16> {
    text.split(',').map(|word| u16::from_str_radix(word, 16).unwrap()).collect()
}

fn bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn alpn(name: &[u8]) -> Vec<u8> {
    let length = name.len() as u8;
    [&[0, length + 1, length], name].concat()
}

/// The extensions of the specification's example in its order, with a GREASE one before and behind.
fn example(signatures: &str) -> Vec<(u16, Vec<u8>)> {
    let mut all = vec![(0x2a2a, vec![])];
    for kind in numbers("001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015") {
        let value = match kind {
            0x0000 => [&[0, 14, 0, 0, 11][..], b"example.com"].concat(),
            0x0010 => alpn(b"h2"),
            0x000d if signatures.is_empty() => vec![0, 0],
            0x000d => [vec![0, 16], bytes(&numbers(signatures))].concat(),
            0x002b => vec![6, 0x5a, 0x5a, 3, 4, 3, 3],
            _ => vec![],
        };
        all.push((kind, value));
    }
    all.push((0xfafa, vec![0]));
    all
}

const CIPHERS: &str = "0a0a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035";
const SIGNATURES: &str = "0403,0804,0401,0503,0805,0501,0806,0601";

fn ja4(body: &[u8], transport: Transport) -> String {
    parse_body(body, transport).unwrap().ja4.as_str().to_string()
}

#[test]
fn the_example_of_the_specification() {
    let hello = body(0x0303, &numbers(CIPHERS), &example(SIGNATURES), false);
    assert_eq!(ja4(&hello, Transport::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    assert_eq!(ja4(&hello, Transport::Quic), "q13d1516h2_8daaf6152771_e5627efa2ab1");
}

#[test]
fn neither_order_nor_reserved_values_count_and_all_else_does() {
    let of =
        |ciphers: &[u16], extensions: &[(u16, Vec<u8>)]| ja4(&body(0x0303, ciphers, extensions, false), Transport::Tcp);
    let known = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    assert_eq!(of(&numbers(CIPHERS), &example(SIGNATURES)), known);
    // as a browser says it the next time (RFC 8701)
    let mut extensions = example(SIGNATURES);
    extensions.reverse();
    extensions[0].0 = 0x8a8a;
    let ciphers: Vec<u16> = [0x7a7a].into_iter().chain(numbers(CIPHERS).into_iter().skip(1)).collect();
    assert_eq!(of(&ciphers, &extensions), known);
    // a value more or less, in the other list, or signatures in another order
    let without =
        |left_out: u16| example(SIGNATURES).into_iter().filter(|(kind, _)| *kind != left_out).collect::<Vec<_>>();
    assert_eq!(&of(&numbers(CIPHERS), &without(0))[..10], "t13i1515h2");
    assert_eq!(&of(&numbers(CIPHERS), &without(0x10))[..10], "t13d151500");
    let kinds = example(SIGNATURES).into_iter().map(|(kind, _)| kind).filter(|kind| kind & 0x0f0f != 0x0a0a);
    let mut others: Vec<String> = kinds.map(|kind| of(&numbers(CIPHERS), &without(kind))).collect();
    assert!(others.iter().all(|other| other != known));
    let count = others.len();
    others.sort();
    others.dedup();
    assert_eq!((count, others.len()), (16, 16));
    // one that comes twice counts twice
    let twice = |kind: u16| of(&numbers(CIPHERS), &[example(SIGNATURES), vec![(kind, vec![])]].concat());
    let doubled = [twice(0x17), twice(0x23), twice(0x4469)];
    assert!(doubled.iter().all(|found| found.starts_with("t13d1517h2_8daaf6152771_")), "{doubled:?}");
    assert!(doubled[0] != doubled[1] && doubled[1] != doubled[2] && doubled[2] != doubled[0]);
    let fewer: Vec<u16> = numbers(CIPHERS).into_iter().skip(2).collect();
    assert_eq!(&of(&fewer, &example(SIGNATURES))[..10], "t13d1416h2");
    let turned = example("0804,0403,0401,0503,0805,0501,0806,0601");
    let found = of(&numbers(CIPHERS), &turned);
    assert!(found.starts_with("t13d1516h2_8daaf6152771_") && found != known);
}

#[test]
fn without_signature_algorithms_the_list_ends_without_an_underscore() {
    let hello = body(0x0303, &numbers(CIPHERS), &example(""), false);
    assert_eq!(ja4(&hello, Transport::Tcp), "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

#[test]
fn empty_lists_are_zeros() {
    assert_eq!(ja4(&body(0x0301, &[], &[], false), Transport::Tcp), "t10i000000_000000000000_000000000000");
    let counted = vec![0x1301; 120];
    assert!(ja4(&body(0x0303, &counted, &[], false), Transport::Tcp).starts_with("t12i990000_"));
}

#[test]
fn the_ends_of_alpn() {
    let cases: [(&[u8], &str); 8] = [
        (b"http/1.1", "h1"),
        (b"q", "qq"),
        (&[0xab], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x30, 0xab], "3b"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
        (b"", "00"),
    ];
    for (name, written) in cases {
        let found = ja4(&body(0x0303, &[0x1301], &[(16, alpn(name))], false), Transport::Tcp);
        assert_eq!(&found[8..10], written, "{name:x?}");
    }
}

#[test]
fn versions_of_dtls() {
    for (version, written) in [(0xfeff, "dd1"), (0xfefd, "dd2"), (0x1234, "d00")] {
        let found = ja4(&body(version, &[0x1301], &[], true), Transport::Dtls);
        assert_eq!(&found[..11], format!("{written}i010000_"));
    }
    // supported_versions of DTLS 1.3 (RFC 9147 section 5.3): the newest has the lowest number
    let hello = body(0xfefd, &[0x1301], &[(43, vec![4, 0xfe, 0xfd, 0xfe, 0xfc])], true);
    assert!(ja4(&hello, Transport::Dtls).starts_with("dd3i0101"));
}
