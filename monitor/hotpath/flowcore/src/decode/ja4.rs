//! JA4: a fingerprint of the software that sent a ClientHello.
//!
//! After FoxIO's specification of JA4 (TLS client fingerprinting, BSD 3-Clause; the rest of "JA4+" has
//! another licence and is not here). It tells the analyst which clients are alike. Whoever writes a
//! client chooses its fingerprint, so nothing is decided by it.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{be16, ja4_memo};

/// Characters of a fingerprint: ten, and two truncated hashes of twelve.
const LENGTH: usize = 36;
const HASH: usize = 12;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What carries the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS records over TCP.
    Tcp,
    /// CRYPTO frames of QUIC.
    Quic,
    /// DTLS.
    Dtls,
}

/// A fingerprint, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`. Copies share one text.
#[derive(Clone, PartialEq, Eq)]
pub struct Ja4(pub Arc<str>);

impl Ja4 {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Ja4 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The fields of a ClientHello that the fingerprint is made of, as they stand in it.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// legacy_version, or where the extension is there the highest of supported_versions.
    pub(super) version: u16,
    /// Cipher suites, two bytes each.
    pub(super) ciphers: &'a [u8],
    /// The extensions, each a type, a length and so many bytes.
    pub(super) extensions: &'a [u8],
    /// The first protocol of ALPN; empty: none.
    pub(super) alpn: &'a [u8],
    /// Signature algorithms, two bytes each.
    pub(super) signatures: &'a [u8],
}

impl Fields<'_> {
    /// The fingerprint.
    pub(super) fn fingerprint(&self, transport: Transport) -> Ja4 {
        ja4_memo::recall(self, transport, || self.make(transport))
    }

    /// Types of the extensions, in the order in which they stand there.
    pub(super) fn extension_types(&self) -> impl Iterator<Item = u16> + '_ {
        let mut rest = self.extensions;
        std::iter::from_fn(move || {
            let (kind, length) = (be16(rest, 0)?, be16(rest, 2)?);
            rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
            Some(kind)
        })
    }

    fn make(&self, transport: Transport) -> Ja4 {
        let mut ciphers: Vec<u16> = values(self.ciphers).collect();
        let mut extensions: Vec<u16> = self.extension_types().filter(|kind| !is_grease(*kind)).collect();
        let letter = match transport {
            Transport::Tcp => b't',
            Transport::Quic => b'q',
            Transport::Dtls => b'd',
        };
        let name = if extensions.contains(&SERVER_NAME) { b'd' } else { b'i' };
        let [v, w] = version(self.version);
        let [c, d] = counted(ciphers.len());
        let [e, f] = counted(extensions.len());
        let [first, last] = ends(self.alpn);
        ciphers.sort_unstable();
        extensions.retain(|kind| *kind != SERVER_NAME && *kind != ALPN);
        extensions.sort_unstable();
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(&[letter, v, w, name, c, d, e, f, first, last]);
        let mut list = Vec::with_capacity(5 * (ciphers.len() + extensions.len() + self.signatures.len() / 2 + 1));
        push_list(&mut list, ciphers.into_iter());
        push_hash(&mut text, &list);
        list.clear();
        push_list(&mut list, extensions.into_iter());
        if !list.is_empty() {
            push_list(&mut list, values(self.signatures));
            push_hash(&mut text, &list);
        } else {
            push_hash(&mut text, &[]);
        }
        // all that was pushed is ASCII but for the ends of ALPN, which are letters and digits
        Ja4(String::from_utf8_lossy(&text).into())
    }
}

/// The highest of supported_versions (RFC 8446 section 4.2.1), which for DTLS is the lowest number.
pub(super) fn highest_version(extension: &[u8], transport: Transport) -> Option<u16> {
    let versions = values(extension.get(1..)?);
    if transport == Transport::Dtls {
        versions.min()
    } else {
        versions.max()
    }
}

/// Reserved so that servers get used to unknown values (RFC 8701): 0x0a0a, 0x1a1a, ...
pub(super) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// The numbers of a list of two bytes each, without GREASE.
pub(super) fn values(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).filter_map(|two| be16(two, 0)).filter(|value| !is_grease(*value))
}

/// Add numbers in hexadecimal form with commas between them; an underscore stands before a second list.
fn push_list(text: &mut Vec<u8>, values: impl Iterator<Item = u16>) {
    let mut between = if text.is_empty() { None } else { Some(b'_') };
    for value in values {
        text.extend(between);
        text.extend([12, 8, 4, 0].map(|shift| hex_digit((value >> shift) as u8)));
        between = Some(b',');
    }
}

/// Add an underscore and the truncated hash of a list; zeros for an empty one.
fn push_hash(text: &mut Vec<u8>, list: &[u8]) {
    text.push(b'_');
    if list.is_empty() {
        text.extend([b'0'; HASH]);
        return;
    }
    for byte in Sha256::digest(list).iter().take(HASH / 2) {
        text.extend([hex_digit(byte >> 4), hex_digit(*byte)]);
    }
}

/// The digit of the lower four bits.
fn hex_digit(value: u8) -> u8 {
    match value & 0x0f {
        low @ 0..=9 => b'0' + low,
        high => b'a' + high - 10,
    }
}

/// Two decimal digits, 99 at most.
fn counted(count: usize) -> [u8; 2] {
    let count = count.min(99) as u8;
    [b'0' + count / 10, b'0' + count % 10]
}

fn version(number: u16) -> [u8; 2] {
    *match number {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        0xfeff => b"d1",
        0xfefd => b"d2",
        0xfefc => b"d3",
        _ => b"00",
    }
}

/// First and last character of the first ALPN value; of its hexadecimal form where one is not
/// alphanumeric; zeros where there is none.
fn ends(alpn: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (alpn.first(), alpn.last()) else { return [b'0', b'0'] };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last];
    }
    [hex_digit(first >> 4), hex_digit(last)]
}
