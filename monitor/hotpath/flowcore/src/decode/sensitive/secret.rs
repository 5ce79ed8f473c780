//! Keys that tell by their first letters what they are: as their issuers document them.
//!
//! AWS access key ids (IAM User Guide, "IAM identifiers"), GitHub tokens ("About authentication to GitHub"), Slack
//! tokens, Google API keys, Stripe live keys, JSON Web Tokens (RFC 7519), private keys in PEM (RFC 7468).

use super::in_word;

/// Letters that are rare in text, one of them in each form.
#[inline(always)]
pub(super) fn is_mark(byte: u8) -> bool {
    // of I and Y one bit differs
    (byte & 0xef == b'I') | (byte == b'J') | (byte == b'_') | (byte == b'x')
}

/// Looks for them, mark by mark in their order.
#[derive(Debug, Default)]
pub(super) struct Search {
    token: Run,
    slack: Run,
}

/// Letters of one kind that follow each other, which were gone through last. Keys that begin in it end with it: gone through
/// for each, what a sender chooses would take the square of its length.
#[derive(Debug, Default)]
struct Run {
    end: usize,
    /// Where its last digit stands.
    digit: Option<usize>,
}

impl Run {
    /// Where the letters end that stand at a place, which is not before the one that was asked for last.
    fn end(&mut self, bytes: &[u8], start: usize, is_part: fn(u8) -> bool) -> usize {
        if start >= self.end {
            let rest = bytes.get(start..).unwrap_or_default();
            let letters = rest.get(..run(rest, is_part)).unwrap_or_default();
            self.digit = letters.iter().rposition(u8::is_ascii_digit).map(|digit| start + digit);
            self.end = start + letters.len();
        }
        self.end
    }
}

impl Search {
    /// Whether the mark at a place is that of a key.
    pub(super) fn stands_around(&mut self, bytes: &[u8], at: usize) -> bool {
        let (before, rest) = bytes.split_at(at.min(bytes.len()));
        match rest {
            // the I of `AKIA`, `ASIA` and `AIza`
            [b'I', b'A', rest @ ..] => (begins(before, b"AK") || begins(before, b"AS")) && aws(rest),
            [b'I', b'z', b'a', rest @ ..] => begins(before, b"A") && run(longest(rest, 36), is_url_safe) == 35,
            // the J of `eyJ`
            [b'J', ..] => begins(before, b"ey") && self.json_web_token(bytes, at + 1),
            // the Y of `PRIVATE KEY-----`
            [b'Y', rest @ ..] if rest.starts_with(b"-----") => before.strip_suffix(b"PRIVATE KE").is_some_and(is_pem),
            // the first x of `xox`
            [b'x', b'o', b'x', rest @ ..] => begins(before, b"") && self.slack(bytes, rest, at + 3),
            // the `_` of GitHub's and Stripe's prefixes
            [b'_', ..] => stands_around_other(before, rest),
            _ => false,
        }
    }

    /// Header and claims are JSON objects, so that both begin with `{"` in base64url. The signature may be cut off.
    fn json_web_token(&mut self, bytes: &[u8], start: usize) -> bool {
        let end = self.token.end(bytes, start, is_url_safe);
        let Some([b'.', b'e', b'y', b'J', claims @ ..]) = bytes.get(end..) else { return false };
        end - start >= 12 && run(longest(claims, 5), is_url_safe) == 5
    }

    /// The kind of token, and numbers and letters in groups.
    fn slack(&mut self, bytes: &[u8], rest: &[u8], start: usize) -> bool {
        let [b'a' | b'b' | b'e' | b'o' | b'p' | b'r' | b's', b'-', ..] = rest else { return false };
        let groups = start + 2;
        let end = self.slack.end(bytes, groups, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        end - groups >= 20 && self.slack.digit.is_some_and(|digit| digit >= groups)
    }
}

fn stands_around_other(before: &[u8], rest: &[u8]) -> bool {
    match rest {
        [b'_', b'p', b'a', b't', b'_', rest @ ..] => {
            begins(before, b"github") && run(rest, |byte| is_letter(byte) || byte == b'_') >= 36
        }
        [b'_', b'l', b'i', b'v', b'e', b'_', rest @ ..] => {
            (begins(before, b"sk") || begins(before, b"rk")) && run(rest, is_letter) >= 16
        }
        [b'_', rest @ ..] => [&b"ghp"[..], b"gho", b"ghs"].iter().any(|kind| begins(before, kind)) && github(rest),
        _ => false,
    }
}

/// Whether bytes end with these, and those with no word before.
fn begins(before: &[u8], prefix: &[u8]) -> bool {
    before.strip_suffix(prefix).is_some_and(|outside| !in_word(outside.last()))
}

fn run(bytes: &[u8], is_part: fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_part(**byte)).count()
}

/// So many bytes at the most.
fn longest(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..bytes.len().min(most)).unwrap_or_default()
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
