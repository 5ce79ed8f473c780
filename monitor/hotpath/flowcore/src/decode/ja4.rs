//! JA4: a fingerprint of the software that sent a ClientHello.
//!
//! After FoxIO's specification of JA4 (TLS client fingerprinting, BSD 3-Clause; the rest of "JA4+" has
//! another licence and is not here). It tells the analyst which clients are alike. Whoever writes a
//! client chooses its fingerprint, so nothing is decided by it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::be16;

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

/// A fingerprint, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ja4([u8; LENGTH]);

impl Ja4 {
    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
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
    /// Types of the extensions.
    pub(super) extensions: Vec<u16>,
    /// The first protocol of ALPN; empty: none.
    pub(super) alpn: &'a [u8],
    /// Signature algorithms, two bytes each.
    pub(super) signatures: &'a [u8],
}

impl Fields<'_> {
    /// The fingerprint.
    pub(super) fn fingerprint(&self, transport: Transport) -> Ja4 {
        let mut ciphers: Vec<u16> = values(self.ciphers).collect();
        let mut extensions: Vec<u16> = self.extensions.iter().copied().filter(|kind| !is_grease(*kind)).collect();
        let letter = match transport {
            Transport::Tcp => 't',
            Transport::Quic => 'q',
            Transport::Dtls => 'd',
        };
        let name = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let [first, last] = ends(self.alpn);
        let mut text = String::with_capacity(LENGTH);
        let counted = |list: &[u16]| list.len().min(99);
        // writing to a String does not fail
        let _ = write!(
            text,
            "{letter}{}{name}{:02}{:02}{first}{last}",
            version(self.version),
            counted(&ciphers),
            counted(&extensions)
        );
        ciphers.sort_unstable();
        hashed(&mut text, &list(ciphers.into_iter()), "");
        extensions.retain(|kind| *kind != SERVER_NAME && *kind != ALPN);
        extensions.sort_unstable();
        hashed(&mut text, &list(extensions.into_iter()), &list(values(self.signatures)));
        let mut bytes = [b'0'; LENGTH];
        bytes.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
        Ja4(bytes)
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
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// The numbers of a list of two bytes each, without GREASE.
fn values(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).filter_map(|two| be16(two, 0)).filter(|value| !is_grease(*value))
}

fn list(values: impl Iterator<Item = u16>) -> String {
    let mut text = String::new();
    for value in values {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{value:04x}");
    }
    text
}

/// Add the truncated hash of a list and, behind an underscore, of a second one that may be empty.
fn hashed(text: &mut String, list: &str, second: &str) {
    text.push('_');
    if list.is_empty() {
        text.push_str("000000000000");
        return;
    }
    let mut hash = Sha256::new();
    hash.update(list);
    if !second.is_empty() {
        hash.update("_");
        hash.update(second);
    }
    for byte in hash.finalize().iter().take(HASH / 2) {
        let _ = write!(text, "{byte:02x}");
    }
}

fn version(number: u16) -> &'static str {
    match number {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character of the first ALPN value; of its hexadecimal form where one is not
/// alphanumeric; zeros where there is none.
fn ends(alpn: &[u8]) -> [char; 2] {
    let (Some(&first), Some(&last)) = (alpn.first(), alpn.last()) else { return ['0', '0'] };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)];
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0x0f)]
}
