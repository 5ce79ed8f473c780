//! E-mail addresses: the dot-atoms of RFC 5321 section 4.1.2, with the characters that are in use.

use memchr::memchr_iter;

/// Longest local part and longest domain (RFC 5321 section 4.5.3.1).
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;
/// Top-level domains have two letters or more; the longest in use have 18, and those in Punycode are no words.
const TOP: std::ops::RangeInclusive<usize> = 2..=18;
/// What stands before an address that is something else: a user's name in a URL, a service's.
const SCHEMES: [&[u8]; 7] = [b"//", b"sip:", b"sips:", b"xmpp:", b"ssh:", b"git:", b"cid:"];
/// Ends of file names: `logo@2x.png`.
const FILES: [&[u8]; 11] = [b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"map", b"html", b"ico"];

/// How many there are.
pub(super) fn count(bytes: &[u8]) -> u32 {
    memchr_iter(b'@', bytes).filter(|at| stands_at(bytes, *at)).count() as u32
}

/// What each address has.
#[inline(always)]
pub(super) fn is_mark(byte: u8) -> bool {
    byte == b'@'
}

/// Whether the mark at a place is that of an address.
pub(super) fn stands_at(bytes: &[u8], at: usize) -> bool {
    let (before, after) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
    local_part(before) && domain(after)
}

fn local_part(before: &[u8]) -> bool {
    let reach = before.get(before.len().saturating_sub(LONGEST_LOCAL + 1)..).unwrap_or_default();
    let length = reach.iter().rev().take_while(|byte| is_local(**byte)).count();
    if !(1..=LONGEST_LOCAL).contains(&length) {
        return false;
    }
    let (outside, local) = before.split_at(before.len() - length);
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    edge(local.first())
        && local.last().is_some_and(|byte| *byte != b'.')
        && !local.windows(2).any(|two| two == b"..")
        && !local.eq_ignore_ascii_case(b"git")
        // a byte above ASCII: a name in UTF-8, of which this is the end, or no text at all
        && outside.last().is_none_or(|byte| byte.is_ascii() && *byte != b'@')
        && !SCHEMES.iter().any(|scheme| outside.ends_with(scheme))
        && !is_password_of_url(outside)
}

/// `scheme://user:` before a password.
fn is_password_of_url(outside: &[u8]) -> bool {
    let Some(user) = outside.strip_suffix(b":") else { return false };
    let length = user.iter().rev().take_while(|byte| is_local(**byte)).count();
    user.get(..user.len() - length).is_some_and(|scheme| scheme.ends_with(b"//"))
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%')
}

fn domain(after: &[u8]) -> bool {
    let reach = after.get(..after.len().min(LONGEST_DOMAIN + 1)).unwrap_or_default();
    let end = reach.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')).count();
    // a full stop behind it ends a sentence
    let name = reach.get(..end).unwrap_or_default();
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > LONGEST_DOMAIN || matches!(reach.get(end), Some(b'@' | b'_' | 0x80..)) {
        return false;
    }
    let label =
        |label: &[u8]| (1..=63).contains(&label.len()) && label.first() != Some(&b'-') && label.last() != Some(&b'-');
    let top = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    name.contains(&b'.')
        && name.split(|byte| *byte == b'.').all(label)
        && TOP.contains(&top.len())
        && top.iter().all(u8::is_ascii_alphabetic)
        && !FILES.iter().any(|file| top.eq_ignore_ascii_case(file))
}
