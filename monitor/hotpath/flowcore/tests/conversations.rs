//! Conversations as their specifications write them: what is spoken, who opened it, what name is claimed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::hex;
use common::talk::{hello, mysql_greeting, Talk, Told};
use flowcore::decode::http2::PREFACE;
use flowcore::decode::recognise;

#[test]
fn what_a_proxy_is_asked_for_stands() {
    let connect = b"CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org:443\r\n\r\n";
    let talk = Talk::default().client(connect).server(b"HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(talk.client(&hello()).told(), Told::named("http", "www.example.org", "http_connect", true));
    // RFC 1928 sections 3 and 4: greeting, choice, request by name
    let request = [&[5, 1, 0, 3, 15][..], b"www.Example.org", &[1, 0xbb]].concat();
    let talk =
        Talk::default().client(&[5, 1, 0]).server(&[5, 0]).client(&request).server(&[5, 0, 0, 1, 10, 0, 0, 1, 4, 0]);
    assert_eq!(talk.client(&hello()).told(), Told::named("socks", "www.example.org", "socks", true));
    // with a user's name and password (RFC 1929), and by address
    let by_address = hex("05 01 00 01 c0000201 01bb");
    let talk = Talk::default().client(&[5, 2, 0, 2]).server(&[5, 2]).client(b"\x01\x02me\x02pw").server(&[1, 0]);
    assert_eq!(talk.client(&by_address).told(), Told::named("socks", "192.0.2.1", "socks", false));
    // in one segment with the greeting, and in version 4a
    let at_once = [&[5, 1, 0][..], &request].concat();
    assert_eq!(Talk::default().client(&at_once).told(), Told::named("socks", "www.example.org", "socks", false));
    let old = [&hex("04 01 01bb 00000001")[..], b"me\0www.example.org\0"].concat();
    assert_eq!(Talk::default().client(&old).told(), Told::named("socks", "www.example.org", "socks", false));
    let longer = [&request[..], b"x"].concat();
    for nearly in
        [&longer[..], &request[..request.len() - 1], &old[..old.len() - 1], &[5, 1, 0, 3, 3, b'a', 0, b'b', 0, 80]]
    {
        assert_eq!(Talk::default().client(nearly).told().application, "unknown", "{nearly:?}");
    }
}

#[test]
fn http_of_both_versions() {
    let request = b"GET /where?q=now HTTP/1.1\r\nAccept: */*\r\nHost: www.example.org\r\n\r\n";
    let host = Told::named("http", "www.example.org", "http_host", false);
    assert_eq!(Talk::default().client(request).told(), host);
    // over segments
    let mut talk = Talk::default();
    for part in request.chunks(11) {
        talk = talk.client(part);
    }
    assert_eq!(talk.told(), host);
    // the end of a response, and then a request
    let late = Talk::default().server(b"HTTP/1.1 204 No Content\r\n\r\n").client(request);
    assert_eq!(late.told(), host);
    // RFC 9113 sections 3.4 and 6.2 with the block of RFC 7541 appendix C.4.1
    let block = hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
    let headers = [&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1][..], &block].concat();
    let http2 = Talk::default().client(PREFACE).server(&hex("000006 04 00 00000000 000300000064"));
    let told = http2.client(&hex("000000 04 00 00000000")).client(&headers).told();
    assert_eq!(told, Told::named("http", "www.example.com", "http_host", false));
    // a server may be first
    let told = Talk::default().server(&hex("000006 04 00 00000000 000300000064 000000 04 01 00000000")).told();
    assert_eq!((told.application, told.initiator), ("http", "local"));
}

#[test]
fn elasticsearch_is_told_by_its_answer() {
    let request = b"GET /logs/_search HTTP/1.1\r\nHost: es:9200\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-length: 2\r\n\r\n{}";
    let told = Talk::default().client(request).server(answer).told();
    assert_eq!(told, Told::named("elasticsearch", "es", "http_host", false));
    let told = Talk::default().client(request).server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").told();
    assert_eq!(told.application, "http");
}

/// A segment, the protocol it is of, and the side that it tells to have opened the connection.
fn recognised() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let unknown = "unknown";
    let text = |text: &str| text.as_bytes().to_vec();
    let mongo = hex("10000000 01000000 00000000 dd070000");
    let hello_document = hex("00000000 00 10000000 1068656c6c6f0001000000 00");
    let mut mongo = [mongo, hello_document].concat();
    mongo[0] = mongo.len() as u8;
    let mut startup = [hex("00000000 00030000"), text("user\0me\0database\0shop\0\0")].concat();
    startup[3] = startup.len() as u8;
    let cql =
        [hex("04 00 0000 01 00000016"), hex("0001 000b"), text("CQL_VERSION"), hex("0005"), text("3.0.0")].concat();
    let kafka = [hex("00000013 0012 0003 00000001 0009"), text("my-client")].concat();
    let smb2 = |flags: u8| {
        let mut header = [hex("00000040 fe534d42 4000 0000 00000000 0000 0000"), vec![flags, 0, 0, 0]].concat();
        header.resize(68, 0);
        header
    };
    let smb1 = [hex("00000023 ff534d42 72 00000000 18"), vec![0; 25]].concat();
    let prelogin = hex("12 01 001a 0000 00 00 00 000b 0006 01 0011 0001 ff 0f000000 0000 00");
    vec![
        ("ssh", text("SSH-2.0-OpenSSH_9.2p1\r\n"), unknown),
        ("postgresql", startup, "local"),
        ("postgresql", hex("52 0000000c 00000005 01020304"), "remote"),
        ("mysql", mysql_greeting(), "remote"),
        ("mysql", [hex("18000000 ff6a04"), text("Host is not allowed!!")].concat(), "remote"),
        ("mssql", prelogin, "local"),
        ("mongodb", mongo, "local"),
        ("redis", text("*1\r\n$4\r\nPING\r\n"), "local"),
        ("redis", text("-NOAUTH Authentication required.\r\n"), "remote"),
        ("cassandra", cql, "local"),
        ("cassandra", hex("04 00 0000 05 00000000"), "local"),
        ("memcached", text("get some_key\r\n"), "local"),
        ("memcached", text("set some_key 0 900 9\r\nmemcached\r\n"), "local"),
        ("memcached", hex("80 0b 0000 00 00 0000 00000000 00000000 0000000000000000"), "local"),
        ("kafka", kafka, "local"),
        ("amqp", text("AMQP\0\0\u{9}\u{1}"), unknown),
        ("amqp", hex("01 0000 000001f0 000a 000a 00 09"), "remote"),
        ("mqtt", [hex("10 0f 0004"), text("MQTT"), hex("04 02 003c 0003"), text("abc")].concat(), "local"),
        ("smb", smb2(0), "local"),
        ("smb", smb2(1), "remote"),
        ("smb", smb1, "local"),
        ("ftp", text("220 ProFTPD Server ready.\r\n"), "remote"),
        ("smtp", text("220 mx.example.org ESMTP Postfix\r\n"), "remote"),
        ("imap", text("* OK IMAP4rev1 Service Ready\r\n"), "remote"),
        ("pop3", text("+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"), "remote"),
        ("ldap", hex("30 0c 02 01 01 60 07 02 01 03 04 00 80 00"), "local"),
        ("ldap", hex("30 0c 02 01 01 61 07 0a 01 00 04 00 04 00"), "remote"),
        (
            "rdp",
            [hex("03 00 002c 27 e0 0000 0000 00"), text("Cookie: mstshash=eltons\r\n"), hex("01 00 08 00 00 00 00 00")]
                .concat(),
            "local",
        ),
        ("rdp", hex("03 00 0013 0e d0 0000 1234 00 02 00 08 00 00 00 00 00"), "remote"),
        ("bittorrent", [&[19][..], b"BitTorrent protocol", &[0; 48]].concat(), unknown),
        ("sip", text("INVITE sip:bob@biloxi.com SIP/2.0\r\n"), unknown),
        ("elasticsearch", hex("4553 0000000d 0000000000000001 00 006c31e3"), "local"),
    ]
}

#[test]
fn protocols_are_told_by_one_segment() {
    for (application, segment, client) in recognised() {
        // what the remote side's segment tells of itself, a segment of ours tells of us
        let told = Talk::default().client(&segment).told();
        assert_eq!(told.application, application, "{segment:x?}");
        assert_eq!(told.initiator, client, "{application} {segment:x?}");
        let told = Talk::default().server(&segment).told();
        let other = match client {
            "local" => "remote",
            "remote" => "local",
            _ => "unknown",
        };
        assert_eq!((told.application, told.initiator), (application, other));
    }
}

#[test]
fn nearly_is_not_enough() {
    for (application, segment, _) in recognised() {
        // a byte of the signature changed: never another protocol by chance
        for at in 0..segment.len().min(12) {
            let mut changed = segment.clone();
            changed[at] ^= 0x55;
            let told = Talk::default().client(&changed).told().application;
            assert!(["unknown", application].contains(&told), "{application} became {told}: {changed:x?}");
        }
    }
    let mut noise = common::Noise(99);
    let mut by_chance = 0;
    for _ in 0..500_000 {
        let segment: Vec<u8> = (0..40).map(|_| noise.next() as u8).collect();
        by_chance += usize::from(recognise::segment(&segment).is_some());
    }
    assert_eq!(by_chance, 0);
}
