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
    let printable: usize = blocks(bytes, |byte| byte.wrapping_sub(b' ') < 95).map(usize::from).sum();
    printable * 16 >= bytes.len() * PRINTABLE
}

/// Bytes that are counted at a time.
const BLOCK: usize = 64;

/// How many bytes of each block of [`BLOCK`] are of a kind, which a zero is not of. The last block is filled up with
/// zeros, so that all of it is counted at once too.
fn blocks<'a>(bytes: &'a [u8], is: impl Fn(u8) -> bool + Copy + 'a) -> impl Iterator<Item = u8> + 'a {
    let count = move |block: &[u8; BLOCK]| block.iter().map(|byte| u8::from(is(*byte))).sum::<u8>();
    let whole = bytes.chunks_exact(BLOCK);
    let rest = whole.remainder();
    let last = (!rest.is_empty()).then(|| {
        let mut filled = [0; BLOCK];
        filled.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        count(&filled)
    });
    whole.filter_map(|block| block.first_chunk()).map(count).chain(last)
}

/// Add what is in some bytes that a flow of this protocol sent.
pub fn count(bytes: &[u8], application: Application, findings: &mut Findings) {
    findings[Finding::Credential.index()] += credential::count(bytes, application);
    // the addresses of SIP look the same
    if application != Application::Sip {
        findings[Finding::Email.index()] += email::count(bytes);
    }
    let numbers = number::count(bytes);
    findings[Finding::Card.index()] += numbers.cards;
    findings[Finding::Iban.index()] += numbers.ibans;
    findings[Finding::Secret.index()] += secret::count(bytes);
}

/// Whether a byte can be inside a word: what stands between two of them is no border.
fn in_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
