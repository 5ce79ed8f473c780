//! HPACK against the examples of RFC 7541 appendix C, and what an HTTP/2 client asks for with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{hex, Noise};
use flowcore::decode::hpack::Decoder;
use flowcore::decode::http2::{authority, is_server_preface, Authority, PREFACE};

/// Read a block; its fields, one a line, as the RFC prints them.
fn fields(decoder: &mut Decoder, block: &str) -> String {
    let mut lines = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    decoder
        .read(&hex(block), |name, value| {
            lines.push(format!("{}: {}", text(name), text(value)));
            true
        })
        .unwrap();
    lines.join("\n")
}

#[test]
fn c_2_single_fields() {
    let mut decoder = Decoder::default();
    let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    assert_eq!(fields(&mut decoder, block), "custom-key: custom-header");
    assert_eq!(decoder.table_size(), 55);
    let mut decoder = Decoder::default();
    assert_eq!(fields(&mut decoder, "040c 2f73 616d 706c 652f 7061 7468"), ":path: /sample/path");
    assert_eq!(fields(&mut decoder, "1008 7061 7373 776f 7264 0673 6563 7265 74"), "password: secret");
    assert_eq!(fields(&mut decoder, "82"), ":method: GET");
    assert_eq!(decoder.table_size(), 0);
}

#[test]
fn c_3_and_c_4_requests() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        let first = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
        assert_eq!(fields(&mut decoder, blocks[0]), first);
        assert_eq!(decoder.table_size(), 57);
        assert_eq!(fields(&mut decoder, blocks[1]), format!("{first}\ncache-control: no-cache"));
        assert_eq!(decoder.table_size(), 110);
        assert_eq!(
            fields(&mut decoder, blocks[2]),
            ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value"
        );
        assert_eq!(decoder.table_size(), 164);
    }
}

#[test]
fn c_5_and_c_6_responses_with_eviction() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let dated = |status, second| {
        format!(":status: {status}\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:{second} GMT\nlocation: https://www.example.com")
    };
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::with_table(256);
        assert_eq!(fields(&mut decoder, blocks[0]), dated(302, 21));
        assert_eq!(decoder.table_size(), 222);
        assert_eq!(fields(&mut decoder, blocks[1]), dated(307, 21));
        assert_eq!(decoder.table_size(), 222);
        let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        let third = format!("{}\ncontent-encoding: gzip\nset-cookie: {cookie}", dated(200, 22));
        assert_eq!(fields(&mut decoder, blocks[2]), third);
        assert_eq!(decoder.table_size(), 215);
    }
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Preface, SETTINGS, WINDOW_UPDATE, and the request of appendix C.4.1, padded and with a priority, over
/// HEADERS and CONTINUATION.
fn connection() -> Vec<u8> {
    let block = hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
    let headers = [&[2, 0, 0, 0, 0, 15], &block[..6], &[0, 0]].concat();
    [
        PREFACE.to_vec(),
        frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
        frame(8, 0, 0, &[0, 0, 0xff, 0xff]),
        frame(1, 0x08 | 0x20, 1, &headers),
        frame(9, 0x04, 1, &block[6..]),
    ]
    .concat()
}

#[test]
fn the_authority_of_the_first_request() {
    let stream = connection();
    assert_eq!(authority(&stream), Authority::Found(Some("www.example.com".into())));
    for end in 0..stream.len() {
        assert_eq!(authority(&stream[..end]), Authority::More, "{end} bytes");
    }
    // RFC 9113 section 8.3.1: a request made from HTTP/1 may have Host instead; user's names are no host
    let host = [&[0x82, 0x86, 0x84, 0x0f, 23, 14], &b"me@Other.test:8"[..14]].concat();
    let stream = [PREFACE.to_vec(), frame(1, 0x05, 1, &host)].concat();
    assert_eq!(authority(&stream), Authority::Found(Some("other.test".into())));
}

#[test]
fn what_breaks_the_format_is_told() {
    let stream = |frames: &[Vec<u8>]| [PREFACE.to_vec(), frames.concat()].concat();
    // section 6.10: nothing may come between HEADERS and CONTINUATION
    let broken = stream(&[frame(1, 0, 1, &[0x82]), frame(6, 0, 0, &[0; 8])]);
    assert_eq!(authority(&broken), Authority::Malformed);
    // RFC 7541 section 5.2: padding of eight bits, and padding that is not of ones
    for text in ["8286 8441 82 63 ff", "8286 8441 81 18"] {
        assert_eq!(authority(&stream(&[frame(1, 4, 1, &hex(text))])), Authority::Malformed, "{text}");
    }
    // an index that nothing stands at, a number without an end, a table larger than is allowed
    for text in ["be", "ff ff ff ff ff ff", "3f ff ff 7f"] {
        assert_eq!(authority(&stream(&[frame(1, 4, 1, &hex(text))])), Authority::Malformed, "{text}");
    }
    assert_eq!(authority(&stream(&[frame(0, 0, 1, &[0; 20_000])])), Authority::Malformed);
}

#[test]
fn the_server_begins_with_settings() {
    assert!(is_server_preface(&frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])));
    assert!(!is_server_preface(&frame(4, 1, 0, &[])));
    assert!(!is_server_preface(&[0; 40]));
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise(7);
    let whole = connection();
    for _ in 0..50_000 {
        let mut bytes = whole.clone();
        for _ in 0..=noise.below(4) {
            let at = PREFACE.len() + noise.below((bytes.len() - PREFACE.len()) as u64) as usize;
            bytes[at] = noise.next() as u8;
        }
        let _ = authority(&bytes);
    }
}
