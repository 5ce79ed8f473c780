//! What must not go out in clear, found in bytes: login data, e-mail addresses, payment cards, bank accounts, keys.
//!
//! Counted by kind, never kept. What is taken for one has a strict form and, where its kind has one, the right
//! check digit; so other content is hardly ever counted, and what is written in unusual ways is not.

mod credential;
mod email;
mod number;
mod secret;

use super::Application;
use crate::closed_set::closed_set;

closed_set! {
    /// What is looked for.
    Finding {
        /// A password or token in a message of a protocol that carries such.
        Credential = "credentials",
        /// An e-mail address.
        Email = "emails",
        /// A payment card's number.
        Card = "cards",
        /// A bank account's number.
        Iban = "ibans",
        /// An API key, a private key or a JSON Web Token.
        Secret = "secrets",
    }
}

/// How many of each [`Finding`].
pub type Findings = [u32; Finding::COUNT];

/// A piece this long is asked whether it is text.
const JUDGED: usize = 128;
/// Of 16 bytes of it so many must be printable. Of encrypted and of packed bytes 6 are.
const PRINTABLE: usize = 8;

/// Whether what a flow of this protocol carries can be read by anybody.
pub fn may_be_clear(application: Application) -> bool {
    use Application::{Bittorrent, Dns, Dtls, Icmp, Ntp, Openvpn, Quic, Rdp, Ssh, Stun, Tls, Wireguard};
    // of those that are not encrypted nothing that is looked for is in ICMP, NTP and STUN, and DNS has rows
    !matches!(application, Tls | Quic | Dtls | Ssh | Rdp | Wireguard | Openvpn | Bittorrent | Icmp | Ntp | Stun | Dns)
}

/// Whether bytes may be text, or a protocol around text: not encrypted and not packed. Short ones may.
pub fn may_be_text(bytes: &[u8]) -> bool {
    if bytes.len() < JUDGED {
        return true;
    }
    let mut printable = 0;
    for_each_block(bytes, |_, block| printable += usize::from(how_many(block, |byte| byte.wrapping_sub(b' ') < 95)));
    printable * 16 >= bytes.len() * PRINTABLE
}

/// Bytes that are looked at a time.
const BLOCK: usize = 64;

/// Go through the blocks with where they begin. The last one is filled up with zeros, which nothing looks for, so that all
/// of it is looked at at once too.
#[inline(always)]
fn for_each_block(bytes: &[u8], mut look: impl FnMut(usize, &[u8; BLOCK])) {
    let whole = bytes.chunks_exact(BLOCK);
    let rest = whole.remainder();
    let last = bytes.len() - rest.len();
    for (number, block) in whole.filter_map(|block| block.first_chunk()).enumerate() {
        look(number * BLOCK, block);
    }
    if !rest.is_empty() {
        let mut filled = [0; BLOCK];
        filled.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        look(last, &filled);
    }
}

/// How many bytes of a block are of a kind.
#[inline(always)]
fn how_many(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u8 {
    block.iter().map(|byte| u8::from(is(*byte))).sum()
}

/// A bit for each byte of a block that is of a kind, the lowest for the first.
#[inline(always)]
fn which(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
    let mut each = [0_u8; BLOCK];
    each.iter_mut().zip(block).for_each(|(to, byte)| *to = u8::from(is(*byte)));
    let words = each.chunks_exact(8).filter_map(|word| word.first_chunk().copied());
    // the multiplication moves the bit of each byte to its place in the highest byte
    words.rev().fold(0, |bits, word| (bits << 8) | (u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56))
}

/// Letters around which what is looked for is found: each form has one that is rare in text.
fn is_rare(byte: u8) -> bool {
    email::is_mark(byte) | secret::is_mark(byte)
}

/// Add what is in some bytes that a flow of this protocol sent.
pub fn count(bytes: &[u8], application: Application, findings: &mut Findings) {
    findings[Finding::Credential.index()] += credential::count(bytes, application);
    let mut numbers = number::Search::default();
    let (mut emails, mut secrets) = (0, 0);
    for_each_block(bytes, |start, block| {
        numbers.block(bytes, start, block);
        let mut marks = which(block, is_rare);
        while marks != 0 {
            let at = start + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            if bytes.get(at).copied().is_some_and(email::is_mark) {
                emails += u32::from(email::stands_at(bytes, at));
            } else {
                secrets += u32::from(secret::stands_around(bytes, at));
            }
        }
    });
    // the addresses of SIP look the same
    findings[Finding::Email.index()] += if application == Application::Sip { 0 } else { emails };
    findings[Finding::Card.index()] += numbers.found.cards;
    findings[Finding::Iban.index()] += numbers.found.ibans;
    findings[Finding::Secret.index()] += secrets;
}

/// Whether a byte can be inside a word: what stands between two of them is no border.
fn in_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
