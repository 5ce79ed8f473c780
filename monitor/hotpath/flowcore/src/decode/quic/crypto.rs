//! The protection of client Initials: RFC 9001 section 5, RFC 9369 section 3.3.
//!
//! Everybody on the way can take it off: its keys come from the Destination Connection ID of the
//! client's first Initial. It is taken off with authentication, so that what opens is QUIC.

use std::sync::OnceLock;

use aes::cipher::BlockCipherEncrypt;
use aes::Aes128;
use aes_gcm::{AeadInOut, Aes128Gcm, KeyInit};

use super::hmac::{Hmac, HASH};
use super::{Long, MAX_PACKET};

/// Length of the authentication tag (RFC 9001 section 5.3).
const TAG: usize = 16;
/// Length of what the header's mask is made of (RFC 9001 section 5.4.2).
const SAMPLE: usize = 16;

/// HkdfLabel structures of RFC 8446 section 7.1: length, label, no context.
const CLIENT_IN: &[u8] = b"\x00\x20\x0ftls13 client in\x00";
const V1: [&[u8]; 3] =
    [b"\x00\x10\x0etls13 quic key\x00", b"\x00\x0c\x0dtls13 quic iv\x00", b"\x00\x10\x0dtls13 quic hp\x00"];
const V2: [&[u8]; 3] =
    [b"\x00\x10\x10tls13 quicv2 key\x00", b"\x00\x0c\x0ftls13 quicv2 iv\x00", b"\x00\x10\x0ftls13 quicv2 hp\x00"];

/// What a version makes its keys of: its salt, and what that makes of the hashes once it was asked for.
pub(super) struct Recipe {
    salt: [u8; 20],
    labels: &'static [&'static [u8]; 3],
    salted: OnceLock<Hmac>,
}

impl Recipe {
    const fn new(salt: &[u8; 20], labels: &'static [&'static [u8]; 3]) -> Recipe {
        Recipe { salt: *salt, labels, salted: OnceLock::new() }
    }
}

/// RFC 9001 section 5.2; drafts 33 and 34 have it too.
static RFC_9001: Recipe =
    Recipe::new(b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a", &V1);
/// RFC 9369 section 3.3.1.
static RFC_9369: Recipe =
    Recipe::new(b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9", &V2);
/// draft-ietf-quic-tls-29 to -32.
static DRAFT_29: Recipe =
    Recipe::new(b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99", &V1);
/// draft-ietf-quic-tls-23 to -28.
static DRAFT_23: Recipe =
    Recipe::new(b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02", &V1);
/// draft-ietf-quic-tls-21 and -22.
static DRAFT_22: Recipe =
    Recipe::new(b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a", &V1);
/// Google's T050.
static OF_T050: Recipe =
    Recipe::new(b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10", &V1);
/// Google's T051.
static OF_T051: Recipe =
    Recipe::new(b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d", &V1);

/// The recipe of a version; `None` where it is not known.
pub(super) fn recipe(version: u32) -> Option<&'static Recipe> {
    const MVFST_22: u32 = 0xface_b001;
    const MVFST_27: u32 = 0xface_b002;
    const MVFST_EXPERIMENTAL: u32 = 0xface_b00e;
    Some(match version {
        super::V1 | 0xff00_0021 | 0xff00_0022 => &RFC_9001,
        super::V2 => &RFC_9369,
        0xff00_001d..=0xff00_0020 => &DRAFT_29,
        0xff00_0017..=0xff00_001c | MVFST_27 | MVFST_EXPERIMENTAL => &DRAFT_23,
        0xff00_0015..=0xff00_0016 | MVFST_22 => &DRAFT_22,
        super::T050 => &OF_T050,
        super::T051 => &OF_T051,
        // RFC 9000 section 15: versions that force a negotiation; who sends one mostly speaks draft 29 inside
        _ if super::is_reserved(version) => &DRAFT_29,
        _ => return None,
    })
}

/// What protects the Initials that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    hp: [u8; 16],
}

impl Keys {
    /// Keys of a client whose first Initial has this version and Destination Connection ID; `None`
    /// for a version that is not known.
    ///
    /// Costs 14 blocks of SHA-256.
    pub fn of_client(version: u32, dcid: &[u8]) -> Option<Keys> {
        let recipe = recipe(version)?;
        let initial = recipe.salted.get_or_init(|| Hmac::new(&recipe.salt)).of(dcid)?;
        let client: [u8; HASH] = Hmac::new(&initial).expand(CLIENT_IN)?;
        let client = Hmac::new(&client);
        let [key, iv, hp] = recipe.labels;
        Some(Keys { key: client.expand(key)?, iv: client.expand(iv)?, hp: client.expand(hp)? })
    }
}

/// Takes the protection off packets; holds the memory for that.
#[derive(Debug)]
pub struct Opener {
    packet: Box<[u8; MAX_PACKET]>,
}

impl Default for Opener {
    fn default() -> Opener {
        Opener { packet: Box::new([0; MAX_PACKET]) }
    }
}

impl Opener {
    /// The frames in an Initial, if these keys authenticate it.
    pub fn open(&mut self, initial: &Long<'_>, keys: &Keys) -> Option<&[u8]> {
        let packet = self.packet.get_mut(..initial.packet.len())?;
        packet.copy_from_slice(initial.packet);
        let number_at = initial.number_at;
        // section 5.4.2: the sample is taken as if the packet number had four bytes
        let sample: [u8; SAMPLE] = packet.get(number_at + 4..number_at + 4 + SAMPLE)?.try_into().ok()?;
        let mut mask = sample.into();
        Aes128::new(&keys.hp.into()).encrypt_block(&mut mask);
        let [first_mask, number_mask @ ..] = <[u8; 16]>::from(mask);
        let first = packet.first_mut()?;
        *first ^= first_mask & 0x0f;
        let number_length = usize::from(*first & 3) + 1;
        let (header, payload) = packet.split_at_mut_checked(number_at + number_length)?;
        let mut nonce = keys.iv;
        // section 5.3: the packet number, left-padded; that of an Initial is near 0, so all of it is there
        let number = header.get_mut(number_at..)?;
        for (byte, mask) in number.iter_mut().zip(number_mask) {
            *byte ^= mask;
        }
        for (place, byte) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *place ^= byte;
        }
        let end = payload.len().checked_sub(TAG)?;
        let (frames, tag) = payload.split_at_mut_checked(end)?;
        let tag: [u8; TAG] = (&*tag).try_into().ok()?;
        let cipher = Aes128Gcm::new(&keys.key.into());
        cipher.decrypt_inout_detached(&nonce.into(), header, frames.into(), &tag.into()).ok()?;
        Some(frames)
    }
}
