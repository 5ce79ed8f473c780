//! Conversations as their specifications write them: what is spoken, who opened it, what name is claimed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::line::{play, play_with};
use common::{hex, ipv4, tcp, RFC8448_HELLO};
use flowcore::decode::certificate;
use flowcore::decode::http2::PREFACE;
use flowcore::decode::recognise;
use flowcore::flow::{Application, Batch, Confidence, Initiator, Limits, NameSource};

const CLIENT: [u8; 4] = [10, 0, 1, 5];
const SERVER: [u8; 4] = [198, 51, 100, 7];

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

/// A connection whose handshake was not seen, a segment a step.
#[derive(Default)]
struct Talk {
    packets: Vec<(i64, Vec<u8>)>,
    sent: [u32; 2],
}

impl Talk {
    fn client(mut self, payload: &[u8]) -> Talk {
        self.send(0, payload);
        self
    }

    fn server(mut self, payload: &[u8]) -> Talk {
        self.send(1, payload);
        self
    }

    fn send(&mut self, side: usize, payload: &[u8]) {
        let time = self.packets.len() as i64;
        let sequence = 1000 + self.sent[side];
        self.sent[side] += payload.len() as u32;
        let packet = match side {
            0 => ipv4(CLIENT, SERVER, 6, &tcp(40000, 7777, sequence, 0x18, payload)),
            _ => ipv4(SERVER, CLIENT, 6, &tcp(7777, 40000, sequence, 0x18, payload)),
        };
        self.packets.push((time, packet));
    }

    fn told(&self) -> Told {
        Told::of(&play(&self.packets))
    }
}

/// What the last row says.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    application: &'static str,
    initiator: &'static str,
    name: Option<(String, &'static str)>,
    ja4: bool,
}

impl Told {
    fn of(batch: &Batch) -> Told {
        let rows = &batch.flows;
        let row = rows.tick.len() - 1;
        let initiator = Initiator::NAMES[usize::from(rows.initiator[row])];
        let confidence = Confidence::NAMES[usize::from(rows.confidence[row])];
        assert_eq!(confidence, if initiator == "unknown" { "none" } else { "content" });
        let name = batch.names.get(rows.name_id[row] as usize);
        Told {
            application: Application::NAMES[usize::from(rows.application[row])],
            initiator,
            name: name.map(|name| (name.to_string(), NameSource::NAMES[usize::from(rows.name_source[row])])),
            ja4: batch.ja4s.get(rows.ja4_id[row] as usize).is_some(),
        }
    }

    /// A flow that the client opened.
    fn named(application: &'static str, name: &str, source: &'static str, ja4: bool) -> Told {
        Told { application, initiator: "local", name: Some((name.to_string(), source)), ja4 }
    }
}

fn hello() -> Vec<u8> {
    hex(RFC8448_HELLO)
}

/// The same hello without its extensions, and so without a name; TLS 1.2 lets them be left out.
fn nameless_hello() -> Vec<u8> {
    let whole = hello();
    let body = &whole[9..9 + 2 + 32 + 1 + 2 + 6 + 2];
    handshake(1, body)
}

/// A handshake message in a record of its own (RFC 5246 sections 6.2.1 and 7.4).
fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend_from_slice(body);
    record(22, &message)
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend_from_slice(&(content.len() as u16).to_be_bytes());
    record.extend_from_slice(content);
    record
}

/// ServerHello and Certificate of TLS 1.2, the certificate first of a chain.
fn server_flight(leaf: &[u8], issuer: &[u8]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let chain = [sized(leaf), sized(issuer)].concat();
    let server_hello = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat();
    [handshake(2, &server_hello), handshake(11, &sized(&chain)), handshake(14, &[])].concat()
}

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

/// MySQL's "Protocol::HandshakeV10".
fn mysql_greeting() -> Vec<u8> {
    let body = [
        &[10][..],
        b"8.0.36\0",
        &[7, 0, 0, 0],
        b"saltsalt\0",
        &[0xff, 0xff, 0xff, 2, 0, 0xff, 0xdf, 21],
        &[0; 10],
        b"moresaltmore\0",
        b"caching_sha2_password\0",
    ]
    .concat();
    [&[body.len() as u8, 0, 0, 0][..], &body].concat()
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

#[test]
fn a_name_is_given_up_when_the_budget_is_spent() {
    let flight = server_flight(&hex(WITH_ALTERNATIVES), &hex(WITH_COMMON_NAME));
    let talk = Talk::default().client(&nameless_hello()).server(&flight[..300]).server(&flight[300..]);
    let batches = play_with(&talk.packets, Limits { content: 100, ..Limits::default() }, 1);
    let last = batches.last().unwrap();
    assert_eq!(last.counters.names_skipped, 1);
    assert!(batches.iter().all(|batch| batch.names.is_empty()));
}
