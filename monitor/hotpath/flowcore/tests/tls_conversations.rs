//! TLS as its specifications write it, from the first byte on and behind other protocols: whose names are found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{play, play_with};
use common::talk::{
    handshake, hello, mysql_greeting, nameless_hello, record, server_flight, Talk, Told, CLIENT, SERVER,
};
use common::{hex, ipv4, tcp};
use flowcore::decode::certificate;
use flowcore::flow::Limits;

/// `openssl req -x509` with CN common.example.org, and as alternative names an e-mail address,
/// First.example.org and *.example.org; as `openssl x509 -ext subjectAltName` shows them.
const WITH_ALTERNATIVES: &str = "308201cc30820173a00302010202140cea3d2729e265c1e7d648a8b9380d608955a21b300a06082a8648ce3d040302302f3110300e060355040a0c07\
4578616d706c65311b301906035504030c12636f6d6d6f6e2e6578616d706c652e6f72673020170d3236313132343032333832305a180f3231323631\
3033313032333832305a302f3110300e060355040a0c074578616d706c65311b301906035504030c12636f6d6d6f6e2e6578616d706c652e6f726730\
59301306072a8648ce3d020106082a8648ce3d030107034200048d35d4171999eb1a2a5ec0897064938151b8e83a47070a42aa0910d6961662b62f63\
e4b58925beed7c14a133cc3edb00c468802a763271016ee00cfa26066186a36b3069300c0603551d130101ff04023000303a0603551d110433303181\
0d61406578616d706c652e6f7267821146697273742e6578616d706c652e6f7267820d2a2e6578616d706c652e6f7267301d0603551d0e0416041408\
a9f4941a00ae25ccf84715991b27ceeb449f69300a06082a8648ce3d040302034700304402206b501d43e271f9f4eaba71bfde83e1fdb31506bb8705\
6631281f49bbf643da6c02207adad327b514b262400cfc6d6af6f7a65955262e84322d1d9245aeb44baf6b66";
/// The same with the subject CN=old.example.org, O=Example, CN=leaf.example.org, of version 1.
const WITH_COMMON_NAME: &str = "3082018b3082013102147fc38df5ecea0578950fa994781ddb87a33e4769300a06082a8648ce3d04030230473118301606035504030c0f6f6c642e65\
78616d706c652e6f72673110300e060355040a0c074578616d706c653119301706035504030c106c6561662e6578616d706c652e6f72673020170d32\
36313132343032333832305a180f32313236313033313032333832305a30473118301606035504030c0f6f6c642e6578616d706c652e6f7267311030\
0e060355040a0c074578616d706c653119301706035504030c106c6561662e6578616d706c652e6f72673059301306072a8648ce3d020106082a8648\
ce3d030107034200048d35d4171999eb1a2a5ec0897064938151b8e83a47070a42aa0910d6961662b62f63e4b58925beed7c14a133cc3edb00c46880\
2a763271016ee00cfa26066186300a06082a8648ce3d0403020348003045022100eb724774c3cd033cd5c5a56528cb2870ddd570fb287037e8872fd8\
74e8065a9102204772b09fa40b3ad46cc331d06e3f10e6c39d13df54d83b32dc24257604420a02";

#[test]
fn names_of_certificates() {
    let name = |text: &str| certificate::name(&hex(text));
    assert_eq!(name(WITH_ALTERNATIVES).as_deref(), Some("first.example.org"));
    assert_eq!(name(WITH_COMMON_NAME).as_deref(), Some("leaf.example.org"));
    let whole = hex(WITH_ALTERNATIVES);
    for end in 0..whole.len() {
        assert_eq!(certificate::name(&whole[..end]), None, "{end} bytes");
    }
    for at in 0..whole.len() {
        for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
            let mut broken = whole.clone();
            broken[at] = byte;
            let _ = certificate::name(&broken);
        }
    }
}

#[test]
fn a_certificate_names_whom_the_client_does_not() {
    let flight = server_flight(&hex(WITH_ALTERNATIVES), &hex(WITH_COMMON_NAME));
    let certificate = Told::named("tls", "first.example.org", "certificate", true);
    assert_eq!(Talk::default().client(&nameless_hello()).server(&flight).told(), certificate);
    // over many segments, and over records that end within it
    let mut talk = Talk::default().client(&nameless_hello());
    let joined: Vec<u8> = {
        let messages: Vec<u8> = [&flight[5..5 + 42], &flight[5 + 42 + 5..]].concat();
        messages.chunks(300).flat_map(|part| record(22, part)).collect()
    };
    for segment in joined.chunks(97) {
        talk = talk.server(segment);
    }
    assert_eq!(talk.told(), certificate);
    // the client's own name stands
    let named = Told::named("tls", "server", "sni", true);
    assert_eq!(Talk::default().client(&hello()).server(&flight).told(), named);
    // seen in the wrong order, it comes to stand
    assert_eq!(Talk::default().server(&flight).client(&hello()).told(), named);
    // a resumed handshake, or TLS 1.3: no certificate is to be seen
    let resumed = [&flight[..5 + 42], &record(20, &[1]), &record(23, &[5; 60])].concat();
    let told = Talk::default().client(&nameless_hello()).server(&resumed).server(&flight).told();
    assert_eq!((told.application, told.name), ("tls", None));
}

#[test]
fn a_hello_that_is_broken_or_cut_off_is_tls_still() {
    let mut broken = hello();
    broken[44] = 0xff; // the cipher suites' length (RFC 8446 section 4.1.2) now passes the end
    for segment in [&broken[..], &hello()[..100]] {
        let told = Talk::default().client(segment).told();
        assert_eq!((told.application, told.initiator, told.name), ("tls", "local", None));
    }
}

#[test]
fn tls_in_the_middle_is_told_but_not_by_whom() {
    let key_exchange = [16, 0, 0, 4, 3, 1, 2, 3];
    let ticket = [&[4, 0, 0, 38][..], &[7; 38]].concat();
    for segment in [
        record(23, &[0x5a; 40]),
        record(21, &[2, 40]),
        [record(22, &key_exchange), record(20, &[1]), record(22, &[0x5a; 40])].concat(),
        [record(22, &ticket), record(20, &[1])].concat(),
    ] {
        let told = Talk::default().client(&segment).told();
        assert_eq!((told.application, told.initiator), ("tls", "unknown"), "{segment:x?}");
    }
    let odd = [record(23, &[0x5a; 40]), vec![0x99, 0x99]].concat();
    assert_eq!(Talk::default().client(&odd).told().application, "unknown");
}

#[test]
fn a_hello_behind_starttls_is_found() {
    // RFC 3207 section 5
    let smtp = Talk::default()
        .server(b"220 mail.imc.org SMTP service ready\r\n")
        .client(b"EHLO mail.example.com\r\n")
        .server(b"250-mail.imc.org offers a warm hug of welcome\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 DSN\r\n")
        .client(b"STARTTLS\r\n")
        .server(b"220 Go ahead\r\n")
        .client(&hello());
    assert_eq!(smtp.told(), Told::named("smtp", "server", "sni", true));
    // RFC 2595 section 4, RFC 9051 section 6.2.1
    let pop3 = Talk::default().server(b"+OK POP3 server ready\r\n").client(b"STLS\r\n").server(b"+OK Begin\r\n");
    assert_eq!(pop3.client(&hello()).told(), Told::named("pop3", "server", "sni", true));
    let imap = Talk::default()
        .client(b"a001 CAPABILITY\r\n")
        .server(b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na001 OK CAPABILITY completed\r\n")
        .client(b"a002 STARTTLS\r\n")
        .server(b"a002 OK STARTTLS completed\r\n");
    assert_eq!(imap.client(&hello()).told(), Told::named("imap", "server", "sni", true));
    // RFC 4217 section 4
    let ftp = Talk::default().server(b"220 Service ready\r\n").client(b"AUTH TLS\r\n").server(b"234 proceed\r\n");
    assert_eq!(ftp.client(&hello()).told(), Told::named("ftp", "server", "sni", true));
    // RFC 4511 section 4.14: 1.3.6.1.4.1.1466.20037
    let oid = b"1.3.6.1.4.1.1466.20037";
    let start = [&[0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22][..], oid].concat();
    let done = hex("300c 020101 7807 0a0100 0400 0400");
    let ldap = Talk::default().client(&start).server(&done).client(&hello());
    assert_eq!(ldap.told(), Told::named("ldap", "server", "sni", true));
    // PostgreSQL, "SSL Session Encryption"
    let postgresql = Talk::default().client(&hex("00000008 04d2162f")).server(b"S").client(&hello());
    assert_eq!(postgresql.told(), Told::named("postgresql", "server", "sni", true));
    // MySQL, "Protocol::SSLRequest"
    let mut request = hex("20 00 00 01 05 ae 03 00 00 00 00 01 08");
    request.resize(36, 0);
    let mysql = Talk::default().server(&mysql_greeting()).client(&request).client(&hello());
    assert_eq!(mysql.told(), Told::named("mysql", "server", "sni", true));
}

#[test]
fn a_chatty_server_does_not_hide_the_hello() {
    let mut talk = Talk::default().server(b"220 mx.example.org ESMTP\r\n");
    for _ in 0..30 {
        talk = talk.client(b"NOOP\r\n").server(b"250 OK\r\n");
    }
    let told = talk.client(b"STARTTLS\r\n").server(b"220 Go ahead\r\n").client(&hello()).told();
    assert_eq!(told, Told::named("smtp", "server", "sni", true));
}

#[test]
fn a_hello_of_two_segments_in_any_order() {
    // a key share of X25519MLKEM768 makes hellos of some 1700 bytes: two segments
    let whole = hello();
    let mut body = whole[9..].to_vec();
    body.extend_from_slice(&[0xff, 0x77, 0x06, 0x00]);
    body.extend_from_slice(&[0xab; 0x600]);
    let at = 2 + 32 + 1 + 2 + 6 + 2;
    let length = u16::from_be_bytes([body[at], body[at + 1]]) + 4 + 0x600;
    body[at..at + 2].copy_from_slice(&length.to_be_bytes());
    let hello = handshake(1, &body);
    assert!(hello.len() > 1460);
    let segment =
        |from: usize, to: usize| ipv4(CLIENT, SERVER, 6, &tcp(40000, 7777, 1000 + from as u32, 0x18, &hello[from..to]));
    let syn = ipv4(CLIENT, SERVER, 6, &tcp(40000, 7777, 999, 2, b""));
    let (first, second) = (segment(0, 1400), segment(1400, hello.len()));
    let orders: [&[&Vec<u8>]; 6] = [
        &[&syn, &first, &second],
        &[&syn, &second, &first],
        &[&first, &second],
        &[&syn, &first, &first, &second],
        &[&syn, &second, &second, &first],
        // overlapping, as a retransmission that is cut anew
        &[&syn, &segment(0, 700), &segment(300, 1500), &second],
    ];
    for (number, order) in orders.iter().enumerate() {
        let packets: Vec<(i64, Vec<u8>)> = order.iter().map(|packet| (0, packet.to_vec())).collect();
        let batch = play(&packets);
        let name = batch.names.get(batch.flows.name_id[0] as usize);
        assert_eq!(name.map(|name| &**name), Some("server"), "order {number}");
        assert_eq!(batch.ja4s.len(), 1);
    }
}

#[test]
fn a_name_is_given_up_when_the_budget_is_spent() {
    let flight = server_flight(&hex(WITH_ALTERNATIVES), &hex(WITH_COMMON_NAME));
    let talk = Talk::default().client(&nameless_hello()).server(&flight[..300]).server(&flight[300..]);
    let batches = play_with(&talk.packets, Limits { content: 100, ..Limits::default() }, 1);
    let last = batches.last().unwrap();
    assert_eq!(last.counters.names_skipped, 1);
    assert!(batches.iter().all(|batch| batch.names.is_empty()));
}
