//! Keys that tell by their first letters what they are: as their issuers document them.
//!
//! AWS access key ids (IAM User Guide, "IAM identifiers"), GitHub tokens ("About authentication to GitHub"), Slack
//! tokens, Google API keys, Stripe live keys, JSON Web Tokens (RFC 7519), private keys in PEM (RFC 7468).

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::in_word;

/// What a secret's first bytes are, and what follows them.
struct Form {
    prefix: Finder<'static>,
    follows: fn(&[u8]) -> bool,
}

static FORMS: LazyLock<[Form; 10]> = LazyLock::new(|| {
    let form = |prefix: &'static str, follows| Form { prefix: Finder::new(prefix), follows };
    [
        form("AKIA", aws),
        form("ASIA", aws),
        form("ghp_", github),
        form("gho_", github),
        form("ghs_", github),
        form("github_pat_", |rest| run(rest, |byte| is_letter(byte) || byte == b'_') >= 36),
        form("xox", slack),
        form("AIza", |rest| run(rest, is_url_safe) == 35),
        form("k_live_", |rest| run(rest, is_letter) >= 16),
        form("eyJ", json_web_token),
    ]
});

static PRIVATE_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("PRIVATE KEY-----"));

/// How many there are.
pub(super) fn count(bytes: &[u8]) -> u32 {
    let mut found = 0;
    for form in FORMS.iter() {
        let length = form.prefix.needle().len();
        found += form
            .prefix
            .find_iter(bytes)
            .filter(|at| begins(bytes, *at) && (form.follows)(bytes.get(at + length..).unwrap_or_default()))
            .count();
    }
    found += PRIVATE_KEY.find_iter(bytes).filter(|at| is_pem(bytes.get(..*at).unwrap_or_default())).count();
    found as u32
}

/// Whether no word goes on here; `sk_live_` and `rk_live_` are told apart by the letter before.
fn begins(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|place| bytes.get(place));
    if bytes.get(at) == Some(&b'k') {
        return matches!(before(1), Some(b's' | b'r')) && !in_word(before(2));
    }
    !in_word(before(1))
}

fn run(bytes: &[u8], is_part: fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_part(**byte)).count()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn aws(rest: &[u8]) -> bool {
    run(rest, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) == 16 && !in_word(rest.get(16))
}

fn github(rest: &[u8]) -> bool {
    run(rest, is_letter) == 36 && rest.get(36) != Some(&b'_')
}

/// The kind of token, and numbers and letters in groups.
fn slack(rest: &[u8]) -> bool {
    let [b'a' | b'b' | b'e' | b'o' | b'p' | b'r' | b's', b'-', rest @ ..] = rest else { return false };
    let length = run(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    length >= 20 && rest.iter().take(length).any(u8::is_ascii_digit)
}

/// Header and claims are JSON objects, so that both begin with `{"` in base64url. The signature may be cut off.
fn json_web_token(rest: &[u8]) -> bool {
    let header = run(rest, is_url_safe);
    let Some([b'.', b'e', b'y', b'J', claims @ ..]) = rest.get(header..) else { return false };
    header >= 12 && run(claims, is_url_safe) >= 5
}

/// Whether the line before `PRIVATE KEY-----` begins as that of RFC 7468 does.
fn is_pem(before: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    // the longest kind in use is ENCRYPTED
    let reach = before.get(before.len().saturating_sub(BEGIN.len() + 12)..).unwrap_or_default();
    let kind = reach.iter().rev().take_while(|byte| byte.is_ascii_uppercase() || **byte == b' ').count();
    // of BEGIN and the space behind it the run takes six bytes
    let from = reach.len().saturating_sub(kind);
    reach.get(..from).is_some_and(|dashes| dashes.ends_with(b"-----"))
        && reach.get(from..).is_some_and(|kind| kind.starts_with(b"BEGIN "))
}
