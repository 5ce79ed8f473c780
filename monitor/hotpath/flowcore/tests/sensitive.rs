//! What must not go out in clear, against the examples of specifications and issuers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{hex, Noise};
use flowcore::decode::sensitive::{count, may_be_text, Finding, Findings};
use flowcore::decode::Application;

fn found(bytes: &[u8], application: Application) -> Findings {
    let mut findings = Findings::default();
    count(bytes, application, &mut findings);
    findings
}

fn number_of(kind: Finding, bytes: &[u8]) -> u32 {
    found(bytes, Application::Unknown)[kind.index()]
}

/// Test numbers that issuers and payment providers publish, one or more for each network.
const CARDS: [&str; 18] = [
    "4242424242424242",
    "4111111111111111",
    "4222222222222",
    "4000056655665556",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "3056930009020004",
    "36227206271667",
    "30569309025904",
    "38520000023237",
    "3566002020360505",
    "3530111333300000",
    "6200000000000005",
];

#[test]
fn cards_of_every_network() {
    for card in CARDS {
        assert_eq!(number_of(Finding::Card, card.as_bytes()), 1, "{card}");
        assert_eq!(number_of(Finding::Card, format!("{{\"pan\":\"{card}\"}}").as_bytes()), 1, "{card} in JSON");
        assert_eq!(number_of(Finding::Card, format!("a,{card},b;{card}\n{card}").as_bytes()), 3, "{card} in CSV");
        // every other check digit is wrong (ISO/IEC 7812-1: the digit detects each single error)
        let (head, last) = card.split_at(card.len() - 1);
        for digit in (b'0'..=b'9').filter(|digit| [*digit] != last.as_bytes()) {
            let wrong = format!("{head}{}", char::from(digit));
            assert_eq!(number_of(Finding::Card, wrong.as_bytes()), 0, "{wrong}");
        }
    }
}

#[test]
fn cards_in_groups() {
    for text in ["4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "3056 930902 5904"] {
        assert_eq!(number_of(Finding::Card, text.as_bytes()), 1, "{text}");
        assert_eq!(number_of(Finding::Card, format!("no. {text}, 12/29").as_bytes()), 1, "{text}");
    }
    for text in ["4111 1111-1111 1111", "4111 1111 1111", "411 1111 1111 11111", "4111  1111 1111 1111"] {
        assert_eq!(number_of(Finding::Card, text.as_bytes()), 0, "{text}");
    }
}

#[test]
fn what_only_looks_like_a_card() {
    for text in [
        "04111111111111111",   // a longer number
        "41111111111111110",   // the same
        "x4111111111111111",   // a word
        "4111111111111111_a",  // a name
        "0.4111111111111111",  // a fraction
        "4111111111111111.5",  // another
        "1-4111111111111111",  // a part of an id
        "9999999999999995",    // no issuer's
        "4444444444444448-2",  // a part of something
        "1700000000000000000", // nanoseconds
        "0000000000000000",    // nothing
    ] {
        assert_eq!(number_of(Finding::Card, text.as_bytes()), 0, "{text}");
    }
}

/// The examples of the IBAN registry that SWIFT keeps.
const IBANS: [&str; 37] = [
    "AD1200012030200359100100",
    "AE070331234567890123456",
    "AT611904300234573201",
    "BE68539007547034",
    "BR1800360305000010009795493C1",
    "CH9300762011623852957",
    "CY17002001280000001200527600",
    "CZ6508000000192000145399",
    "DE89370400440532013000",
    "DK5000400440116243",
    "EE382200221020145685",
    "ES9121000418450200051332",
    "FI2112345600000785",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "GR1601101250000000012300695",
    "HR1210010051863000160",
    "HU42117730161111101800000000",
    "IE29AIBK93115212345678",
    "IT60X0542811101000000123456",
    "LT121000011101001000",
    "LU280019400644750000",
    "LV80BANK0000435195001",
    "MT84MALT011000012345MTLCAST001S",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "PL61109010140000071219812874",
    "PT50000201231234567890154",
    "RO49AAAA1B31007593840000",
    "SA0380000000608010167519",
    "SE4550000000058398257466",
    "SI56263300012039086",
    "SK3112000000198742637541",
    "TR330006100519786457841326",
    "VG96VPVG0000012345678901",
    "XK051212012345678906",
    "GE29NB0000000101904917",
];

#[test]
fn accounts_of_many_countries() {
    for iban in IBANS {
        let groups: Vec<&str> = iban.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        for text in [iban.to_string(), groups.join(" ")] {
            assert_eq!(number_of(Finding::Iban, text.as_bytes()), 1, "{text}");
            assert_eq!(number_of(Finding::Iban, format!("to: {text}, please\r\n").as_bytes()), 1, "{text}");
        }
        // mod 97 detects every single wrong digit
        let last = iban.as_bytes()[iban.len() - 1];
        for digit in (b'0'..=b'9').filter(|digit| *digit != last && last.is_ascii_digit()) {
            let wrong = format!("{}{}", &iban[..iban.len() - 1], char::from(digit));
            assert_eq!(number_of(Finding::Iban, wrong.as_bytes()), 0, "{wrong}");
        }
        assert_eq!(number_of(Finding::Iban, format!("{iban}0").as_bytes()), 0, "longer than its country's");
        assert_eq!(number_of(Finding::Iban, format!("X{iban}").as_bytes()), 0, "within a word");
    }
    assert_eq!(number_of(Finding::Iban, IBANS.join("\n").as_bytes()), 37);
    assert_eq!(number_of(Finding::Iban, b"ZZ89370400440532013000 US64SVBKUS6S3300958879"), 0, "no such country");
}

#[test]
fn addresses() {
    for text in [
        "alice@example.com",
        "<alice.b+tag@mail.example.co.uk>",
        "{\"email\":\"a_b-c@ex-ample.org\"}",
        "mailto:alice@example.com.",
        "to alice@example.com, or not",
        "1@2.example",
    ] {
        assert_eq!(number_of(Finding::Email, text.as_bytes()), 1, "{text}");
    }
    for text in [
        "@example.com",
        "alice@",
        "alice@localhost",
        "alice@example.c",
        "alice@10.0.0.1",
        ".alice@example.com",
        "a..b@example.com",
        "alice.@example.com",
        "alice@-example.com",
        "alice@example..com",
        "git@github.com:org/repository.git",
        "https://alice@example.com/",
        "ftp://alice:secret@example.com/",
        "sip:alice@example.com",
        "logo@2x.png",
        "\u{e9}lice@example.com",
        "alice@example.com_",
        "alice@example.com@example.org",
        "a @ example.com",
        "User@Host",
    ] {
        assert_eq!(number_of(Finding::Email, text.as_bytes()), 0, "{text}");
    }
    let list: String = (0..500).map(|number| format!("{number},user{number}@example.net\n")).collect();
    assert_eq!(number_of(Finding::Email, list.as_bytes()), 500);
    // RFC 5321 section 4.5.3.1.1: 64 octets before the sign
    let local = |length: usize| format!("{}@example.com", "a".repeat(length));
    assert_eq!(number_of(Finding::Email, local(64).as_bytes()), 1);
    assert_eq!(number_of(Finding::Email, local(65).as_bytes()), 0);
}

#[test]
fn secrets() {
    let token = "0123456789abcdefghijABCDEFGHIJ012345";
    let fixed = [
        // AWS documents this one for examples
        "AKIAIOSFODNN7EXAMPLE".to_string(),
        "ASIAIOSFODNN7EXAMPLE".to_string(),
        ["ghp_", token].concat(),
        ["gho_", token].concat(),
        ["ghs_", token].concat(),
        ["github_pat_", "11AAAAAAA0aaaaaaaaaaaa_", token].concat(),
        ["xoxb", "-123456789012-123456789012-", "abcdefghij"].concat(),
        ["AIza", "SyA-0123456789_abcdefghijABCDEFGHIJ"].concat(),
        ["sk_live", "_0123456789abcdefghijABCD"].concat(),
        ["rk_live", "_0123456789abcdefghijABCD"].concat(),
        // RFC 7519 section 3.1
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
         cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
            .to_string(),
        // RFC 7468 sections 10 and 11, and those of OpenSSL and OpenSSH
        "-----BEGIN PRIVATE KEY-----".to_string(),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----".to_string(),
        "-----BEGIN RSA PRIVATE KEY-----".to_string(),
        "-----BEGIN EC PRIVATE KEY-----".to_string(),
        "-----BEGIN OPENSSH PRIVATE KEY-----".to_string(),
    ];
    for secret in &fixed {
        for text in [secret.clone(), format!("key = \"{secret}\"\n"), format!("a\n{secret}\nb")] {
            assert_eq!(number_of(Finding::Secret, text.as_bytes()), 1, "{text}");
        }
        // the sign that begins it is not there
        assert_eq!(number_of(Finding::Secret, &secret.as_bytes()[1..]), 0, "{secret}");
    }
    assert_eq!(number_of(Finding::Secret, fixed.join(" ").as_bytes()), fixed.len() as u32);
    for text in [
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLEX",
        "XAKIAIOSFODNN7EXAMPLE",
        "ghp_short",
        "xoxb-short",
        "sk_test_0123456789abcdefghijABCD",
        "disk_live_0123456789abcdefghijABCD",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.not-claims",
        "-----END RSA PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "BEGIN PRIVATE KEY-----",
    ] {
        assert_eq!(number_of(Finding::Secret, text.as_bytes()), 0, "{text}");
    }
}

fn logins(bytes: &[u8], application: Application) -> u32 {
    found(bytes, application)[Finding::Credential.index()]
}

#[test]
fn http_logins() {
    // RFC 7617 section 2, RFC 6750 section 2.1
    for field in [
        "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "authorization: basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "Authorization: Bearer mF_9.B5f-4.1JqM",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: example.org\r\n{field}\r\n\r\n");
        assert_eq!(logins(request.as_bytes(), Application::Http), 1, "{field}");
        assert_eq!(logins(request.repeat(3).as_bytes(), Application::Http), 3, "{field}");
        assert_eq!(logins(request.as_bytes(), Application::Unknown), 0, "another protocol");
    }
    for field in [
        "Authorization: Digest username=\"Mufasa\"", // RFC 7616: a digest
        "Authorization: Basic ",
        "X-Note: Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "Access-Control-Allow-Headers: Authorization",
    ] {
        let request = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
        assert_eq!(logins(request.as_bytes(), Application::Http), 0, "{field}");
    }
}

#[test]
fn logins_in_lines() {
    use Application::{Ftp, Imap, Pop3, Redis, Smtp};
    for (application, line) in [
        (Ftp, "PASS secret"),                      // RFC 959 section 4.1.1
        (Pop3, "PASS secret"),                     // RFC 1939 section 7
        (Pop3, "pass se cret"),                    // the same: it may hold spaces
        (Pop3, "AUTH PLAIN AHRlc3QAdGVzdA=="),     // RFC 5034 section 4
        (Smtp, "AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ="), // RFC 4954 section 4.3
        (Smtp, "AUTH LOGIN"),
        (Imap, "a001 LOGIN SMITH SESAME"),                     // RFC 9051 section 6.2.3
        (Imap, "A01 AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q="), // RFC 9051 section 6.2.2
        (Redis, "AUTH hunter2"),
    ] {
        assert_eq!(logins(format!("{line}\r\n").as_bytes(), application), 1, "{line}");
        assert_eq!(logins(format!("NOOP\r\n{line}\r\nNOOP\r\n").as_bytes(), application), 1, "{line}");
    }
    for (application, line) in [
        (Ftp, "USER anonymous"),
        (Ftp, "PASS guest"),            // RFC 1635
        (Ftp, "PASS user@example.org"), // RFC 1635 section 3
        (Ftp, "PASS "),
        (Ftp, "PASSIVE"),
        (Ftp, "230 PASS accepted"),
        (Pop3, "APOP mrose c4c9334bac560ecc979e58001b3e22fb"), // RFC 1939 section 7: a digest
        (Smtp, "AUTH CRAM-MD5"),
        (Smtp, "250-AUTH LOGIN PLAIN"),
        (Imap, "* CAPABILITY IMAP4rev2 AUTH=PLAIN LOGINDISABLED"),
        (Imap, "a001 LOGIN SMITH"),
    ] {
        assert_eq!(logins(format!("{line}\r\n").as_bytes(), application), 0, "{line}");
    }
    // RESP: AUTH by itself, with a user's name, and in HELLO
    for command in [
        "*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n",
        "*3\r\n$4\r\nauth\r\n$4\r\nuser\r\n$7\r\nhunter2\r\n",
        "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$7\r\nhunter2\r\n",
    ] {
        assert_eq!(logins(command.as_bytes(), Redis), 1, "{command:?}");
    }
    assert_eq!(logins(b"*1\r\n$4\r\nPING\r\n", Redis), 0);
}

#[test]
fn logins_in_binary_protocols() {
    use Application::{Amqp, Cassandra, Ldap, Mqtt, Mysql, Postgresql, Snmp, Socks};
    for (application, message, expected) in [
        // PostgreSQL manual, "Message Formats", PasswordMessage: 'p', length 4 + 8, text, zero
        (Postgresql, b"p\0\0\0\x0chunter2\0".to_vec(), 1),
        (Postgresql, [&b"p\0\0\0\x28md5"[..], &[b'a'; 32], b"\0"].concat(), 0),
        (Postgresql, b"p\0\0\0\x0dhunter2\0".to_vec(), 0), // the length is not that
        (Postgresql, b"p\0\0\0\x21SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc".to_vec(), 0), // SASLInitialResponse
        // MySQL, HandshakeResponse41 with the plugin's name; AuthSwitchRequest of a server
        (Mysql, b"\x30\0\0\x01\x85\xa6\xff\x01root\0hunter2\0mysql_clear_password\0".to_vec(), 1),
        (Mysql, b"\x16\0\0\x02\xfemysql_clear_password\0".to_vec(), 0),
        // RFC 4511 section 4.2: bindRequest of version 3, `cn=a`, simple `secret`; then one without a password
        (Ldap, hex("30 14 02 01 01 60 0f 02 01 03 04 04 636e3d61 80 06 736563726574")[..22].to_vec(), 0),
        (Ldap, hex("30 16 02 01 01 60 11 02 01 03 04 04 636e3d61 80 06 736563726574"), 1),
        (Ldap, hex("30 0c 02 01 01 60 07 02 01 03 04 00 80 00"), 0),
        // RFC 1157 section 4: version 0, community, GetRequest
        (Snmp, hex("30 0d 02 01 00 04 06 736563726574 a0 00"), 1),
        (Snmp, hex("30 0d 02 01 00 04 06 7075626c6963 a0 00"), 0), // `public`
        (Snmp, hex("30 0d 02 01 03 30 06 736563726574 a0 00"), 0), // version 3
        // MQTT 3.1.1 section 3.1: CONNECT with user and password, and with neither
        (Mqtt, b"\x10\x16\0\x04MQTT\x04\xc2\0\x3c\0\x02id\0\x01u\0\x03pwd".to_vec(), 1),
        (Mqtt, b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id".to_vec(), 0),
        // AMQP 0-9-1: mechanism, response, locale of Connection.Start-Ok; and the mechanisms of Start
        (Amqp, b"\x01\0\0\0\0\0\x20\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce".to_vec(), 1),
        (Amqp, b"\x01\0\0\0\0\0\x20\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US\xce".to_vec(), 0),
        // RFC 1929 section 2
        (Socks, b"\x01\x04user\x03pwd".to_vec(), 1),
        (Socks, b"\x05\x01\0".to_vec(), 0),
        // Cassandra native_protocol_v4.spec section 4.1.2
        (Cassandra, b"\x04\0\0\x01\x0f\0\0\0\x10\0\0\0\x0c\0user\0hunter".to_vec(), 1),
    ] {
        assert_eq!(logins(&message, application), expected, "{application:?} {message:02x?}");
    }
}

#[test]
fn text_and_noise() {
    assert!(may_be_text(&b"name,mail\r\nAlice,alice@example.com\r\n".repeat(8)));
    let mut noise = Noise(7);
    let mut bytes = vec![0_u8; 1400];
    for _ in 0..100 {
        bytes.iter_mut().for_each(|byte| *byte = noise.next() as u8);
        assert!(!may_be_text(&bytes));
    }
    // of random digits one in ten is right by chance where an issuer's prefix stands: borders keep that away
    let digits: Vec<u8> = (0..100_000).map(|_| b'0' + noise.below(10) as u8).collect();
    assert_eq!(number_of(Finding::Card, &digits), 0);
}

#[test]
fn one_scan_finds_what_stands_anywhere() {
    // whatever stands before it, and however long that is
    for before in 0..200 {
        let text = format!("{} 4111111111111111 DE89370400440532013000 a@b.example", "x".repeat(before));
        let all = found(text.as_bytes(), Application::Unknown);
        assert_eq!(all, [0, 1, 1, 1, 0], "{before}");
    }
}

/// What may stand in a key may go on for as long as a packet does, and a key begin at each of its pieces.
#[test]
fn however_many_keys_end_together_each_letter_is_gone_through_once() {
    // of 2 MiB each; going through what is left at each piece would take hours
    const PIECES: u32 = 1 << 19;
    let text = |piece: &str, end: &str| [piece.repeat(PIECES as usize), end.to_string()].concat();
    // the header is what stands from the piece on: of twelve letters at least, so not with the last three
    assert_eq!(number_of(Finding::Secret, text("-eyJ", ".eyJabcde").as_bytes()), PIECES - 3);
    assert_eq!(number_of(Finding::Secret, text("-eyJ", "").as_bytes()), 0);
    // twenty behind `xoxb-`, and a digit among them: not with the last four, nor before the digit is there
    assert_eq!(number_of(Finding::Secret, text("-xoxb", "-7").as_bytes()), PIECES - 4);
    assert_eq!(number_of(Finding::Secret, text("-xoxb", "-a").as_bytes()), 0);
    assert_eq!(number_of(Finding::Secret, text("-xoxb-7", "-a").as_bytes()), PIECES - 3);
    // 35, and no more
    assert_eq!(number_of(Finding::Secret, text("-AIza", "").as_bytes()), 1);
}
