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
use crate::source::bits::{high_bits, BLOCK};

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
    let enough = bytes.len() * PRINTABLE;
    for_each_block(bytes, |start, block| {
        printable += 16 * block.how_many(|byte| byte.wrapping_sub(b' ') < 95) as usize;
        let left = bytes.len().saturating_sub(start + BLOCK);
        // mostly half of them tell
        printable < enough && printable + 16 * left >= enough
    });
    printable >= enough
}

/// Bytes that are looked at together.
struct Block<'a> {
    bytes: &'a [u8; BLOCK],
    /// So many of them were in the block before.
    known: u32,
}

impl Block<'_> {
    /// A bit for each new byte that is of a kind, the lowest for the first.
    #[inline(always)]
    fn which(&self, is: impl Fn(u8) -> bool) -> u64 {
        which(self.bytes, is) >> self.known
    }

    /// How many bytes are of a kind.
    #[inline(always)]
    fn how_many(&self, is: impl Fn(u8) -> bool) -> u32 {
        if self.known == 0 {
            // a sum is made of all at once
            return self.bytes.iter().map(|byte| u8::from(is(*byte))).sum::<u8>().into();
        }
        self.which(is).count_ones()
    }
}

/// Go through the blocks, with where their new bytes begin, for as long as `look` wants more. The last one reaches back into
/// the one before, or is filled up with zeros, which nothing looks for: so all of it is looked at at once too.
#[inline(always)]
fn for_each_block(bytes: &[u8], mut look: impl FnMut(usize, &Block<'_>) -> bool) {
    let whole = bytes.chunks_exact(BLOCK);
    let rest = whole.remainder();
    let last = bytes.len() - rest.len();
    for (number, block) in whole.filter_map(|block| block.first_chunk()).enumerate() {
        if !look(number * BLOCK, &Block { bytes: block, known: 0 }) {
            return;
        }
    }
    if let (false, Some(block)) = (rest.is_empty(), bytes.last_chunk()) {
        look(last, &Block { bytes: block, known: (BLOCK - rest.len()) as u32 });
    } else if !rest.is_empty() {
        let mut filled = [0; BLOCK];
        filled.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        look(last, &Block { bytes: &filled, known: 0 });
    }
}

/// A bit for each byte of a block that is of a kind, the lowest for the first.
#[inline(always)]
fn which(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
    let mut each = [0_u8; BLOCK];
    each.iter_mut().zip(block).for_each(|(to, byte)| *to = u8::from(is(*byte)).wrapping_neg());
    high_bits(&each)
}

/// Letters around which what is looked for is found: each form has one that is rare in text.
fn is_rare(byte: u8) -> bool {
    email::is_mark(byte) | secret::is_mark(byte)
}

/// Add what is in some bytes that a flow of this protocol sent.
pub fn count(bytes: &[u8], application: Application, findings: &mut Findings) {
    findings[Finding::Credential.index()] += credential::count(bytes, application);
    let (mut numbers, mut keys) = (number::Search::default(), secret::Search::default());
    let (mut emails, mut secrets) = (0, 0);
    for_each_block(bytes, |start, block| {
        numbers.block(bytes, start, block.which(|byte| byte.wrapping_sub(b'0') < 10));
        let mut marks = block.which(is_rare);
        while marks != 0 {
            let at = start + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            if bytes.get(at).copied().is_some_and(email::is_mark) {
                emails += u32::from(email::stands_at(bytes, at));
            } else {
                secrets += u32::from(keys.stands_around(bytes, at));
            }
        }
        true
    });
    let numbers = numbers.end(bytes);
    // the addresses of SIP look the same
    findings[Finding::Email.index()] += if application == Application::Sip { 0 } else { emails };
    findings[Finding::Card.index()] += numbers.cards;
    findings[Finding::Iban.index()] += numbers.ibans;
    findings[Finding::Secret.index()] += secrets;
}

/// Whether a byte can be inside a word: what stands between two of them is no border.
fn in_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
