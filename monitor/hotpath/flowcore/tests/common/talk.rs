//! A TCP connection of which each segment is given, and what its flow's last row tells.

use super::line::play;
use super::{hex, ipv4, tcp, RFC8448_HELLO};
use flowcore::flow::{Application, Batch, Confidence, Initiator, NameSource};

pub const CLIENT: [u8; 4] = [10, 0, 1, 5];
pub const SERVER: [u8; 4] = [198, 51, 100, 7];

/// A connection whose handshake was not seen, a segment a step.
#[derive(Default)]
pub struct Talk {
    pub packets: Vec<(i64, Vec<u8>)>,
    sent: [u32; 2],
}

impl Talk {
    pub fn client(mut self, payload: &[u8]) -> Talk {
        self.send(0, payload);
        self
    }

    pub fn server(mut self, payload: &[u8]) -> Talk {
        self.send(1, payload);
        self
    }

    pub fn send(&mut self, side: usize, payload: &[u8]) {
        let time = self.packets.len() as i64;
        let sequence = 1000 + self.sent[side];
        self.sent[side] += payload.len() as u32;
        let packet = match side {
            0 => ipv4(CLIENT, SERVER, 6, &tcp(40000, 7777, sequence, 0x18, payload)),
            _ => ipv4(SERVER, CLIENT, 6, &tcp(7777, 40000, sequence, 0x18, payload)),
        };
        self.packets.push((time, packet));
    }

    pub fn told(&self) -> Told {
        Told::of(&play(&self.packets))
    }
}

/// What the last row says.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub application: &'static str,
    pub initiator: &'static str,
    pub name: Option<(String, &'static str)>,
    pub ja4: bool,
}

impl Told {
    pub fn of(batch: &Batch) -> Told {
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
    pub fn named(application: &'static str, name: &str, source: &'static str, ja4: bool) -> Told {
        Told { application, initiator: "local", name: Some((name.to_string(), source)), ja4 }
    }
}

pub fn hello() -> Vec<u8> {
    hex(RFC8448_HELLO)
}

/// The same hello without its extensions, and so without a name; TLS 1.2 lets them be left out.
pub fn nameless_hello() -> Vec<u8> {
    let whole = hello();
    let body = &whole[9..9 + 2 + 32 + 1 + 2 + 6 + 2];
    handshake(1, body)
}

/// A handshake message in a record of its own (RFC 5246 sections 6.2.1 and 7.4).
pub fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend_from_slice(body);
    record(22, &message)
}

pub fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend_from_slice(&(content.len() as u16).to_be_bytes());
    record.extend_from_slice(content);
    record
}

/// ServerHello and Certificate of TLS 1.2, the certificate first of a chain.
pub fn server_flight(leaf: &[u8], issuer: &[u8]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let chain = [sized(leaf), sized(issuer)].concat();
    let server_hello = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat();
    [handshake(2, &server_hello), handshake(11, &sized(&chain)), handshake(14, &[])].concat()
}

/// MySQL's "Protocol::HandshakeV10".
pub fn mysql_greeting() -> Vec<u8> {
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
