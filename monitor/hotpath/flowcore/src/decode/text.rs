//! Protocols of lines: SSH (RFC 4253), SMTP (RFC 5321), FTP (RFC 959, RFC 4217), POP3 (RFC 1939), IMAP
//! (RFC 9051), SIP (RFC 3261), Redis (RESP, redis.io/docs/reference/protocol-spec), memcached
//! (doc/protocol.txt in its sources).

use super::recognise::{Sender, Told};
use super::Application;

/// The longest first line that is looked at.
const MAX_LINE: usize = 512;

/// Beginnings that are enough by themselves.
const BEGINNINGS: [(&[u8], Told); 23] = [
    (b"SSH-2.0-", Told::new(Application::Ssh, Sender::Either)),
    (b"SSH-1.", Told::new(Application::Ssh, Sender::Either)),
    (b"EHLO ", Told::before_tls(Application::Smtp, Sender::Client)),
    (b"HELO ", Told::before_tls(Application::Smtp, Sender::Client)),
    (b"MAIL FROM:", Told::before_tls(Application::Smtp, Sender::Client)),
    (b"+OK ", Told::before_tls(Application::Pop3, Sender::Server)),
    (b"CAPA\r\n", Told::before_tls(Application::Pop3, Sender::Client)),
    (b"STLS\r\n", Told::before_tls(Application::Pop3, Sender::Client)),
    (b"* OK ", Told::before_tls(Application::Imap, Sender::Server)),
    (b"* PREAUTH ", Told::before_tls(Application::Imap, Sender::Server)),
    (b"* CAPABILITY ", Told::before_tls(Application::Imap, Sender::Server)),
    (b"AUTH TLS\r\n", Told::before_tls(Application::Ftp, Sender::Client)),
    (b"AUTH SSL\r\n", Told::before_tls(Application::Ftp, Sender::Client)),
    (b"331 ", Told::before_tls(Application::Ftp, Sender::Server)),
    (b"227 Entering Passive Mode", Told::new(Application::Ftp, Sender::Server)),
    (b"SIP/2.0 ", Told::new(Application::Sip, Sender::Either)),
    (b"+PONG\r\n", Told::new(Application::Redis, Sender::Server)),
    (b"-NOAUTH ", Told::new(Application::Redis, Sender::Server)),
    (b"-DENIED Redis", Told::new(Application::Redis, Sender::Server)),
    (b"-WRONGPASS ", Told::new(Application::Redis, Sender::Server)),
    (b"VERSION 1.", Told::new(Application::Memcached, Sender::Server)),
    (b"STAT pid ", Told::new(Application::Memcached, Sender::Server)),
    (b"stats\r\n", Told::new(Application::Memcached, Sender::Client)),
];

/// Commands that Redis clients begin with; a server may send arrays too, but not of these.
const REDIS_COMMANDS: [&[u8]; 24] = [
    b"ping", b"auth", b"hello", b"select", b"info", b"client", b"command", b"config", b"get", b"set", b"mget", b"mset",
    b"del", b"keys", b"scan", b"hget", b"hset", b"hgetall", b"lpush", b"rpush", b"sync", b"psync", b"cluster", b"eval",
];

pub(super) fn segment(payload: &[u8]) -> Option<Told> {
    let first = *payload.first()?;
    // what any of these begins with
    if !first.is_ascii_alphanumeric() && !matches!(first, b'*' | b'+' | b'-') {
        return None;
    }
    if let Some((_, told)) = BEGINNINGS.iter().find(|(beginning, _)| payload.starts_with(beginning)) {
        return Some(*told);
    }
    match first {
        b'2' => greeting(payload),
        b'*' => redis_command(payload),
        _ => {
            let line = line(payload)?;
            sip_request(line).or_else(|| imap_command(line)).or_else(|| memcached_command(line))
        }
    }
}

/// The first line, without its end; `None` where it is not whole.
fn line(payload: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', payload.get(..payload.len().min(MAX_LINE))?)?;
    payload.get(..end)?.strip_suffix(b"\r")
}

/// SMTP and FTP greet with the same code; mostly the text tells which it is.
fn greeting(payload: &[u8]) -> Option<Told> {
    if !payload.starts_with(b"220 ") && !payload.starts_with(b"220-") {
        return None;
    }
    let line = line(payload)?;
    let holds = |word: &[u8]| line.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    match (holds(b"SMTP"), holds(b"FTP")) {
        (true, false) => Some(Told::before_tls(Application::Smtp, Sender::Server)),
        (false, true) => Some(Told::before_tls(Application::Ftp, Sender::Server)),
        _ => None,
    }
}

/// A tag, a command that opens a session.
fn imap_command(line: &[u8]) -> Option<Told> {
    let mut words = line.split(|byte| *byte == b' ');
    let (tag, command) = (words.next()?, words.next()?);
    let fits = (1..=16).contains(&tag.len())
        && tag.iter().all(u8::is_ascii_alphanumeric)
        && [&b"CAPABILITY"[..], b"LOGIN", b"STARTTLS", b"AUTHENTICATE"]
            .iter()
            .any(|known| command.eq_ignore_ascii_case(known));
    fits.then_some(Told::before_tls(Application::Imap, Sender::Client))
}

fn sip_request(line: &[u8]) -> Option<Told> {
    let fits = line.ends_with(b" SIP/2.0") && line.first().is_some_and(u8::is_ascii_uppercase);
    fits.then_some(Told::new(Application::Sip, Sender::Either))
}

/// `get` with keys, or `set` with key, flags, time and length.
fn memcached_command(line: &[u8]) -> Option<Told> {
    let mut words = line.split(|byte| *byte == b' ');
    let command = words.next()?;
    let key = words.next().is_some_and(|key| (1..=250).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic));
    let fits = match command {
        b"get" | b"gets" => words.all(|key| key.iter().all(u8::is_ascii_graphic)),
        b"set" | b"add" | b"replace" => {
            let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
            (0..3).all(|_| words.next().is_some_and(is_number)) && words.next().is_none_or(|word| word == b"noreply")
        }
        _ => false,
    };
    (fits && key).then_some(Told::new(Application::Memcached, Sender::Client))
}

/// An array of bulk strings whose first is a command: `*1\r\n$4\r\nPING\r\n`.
fn redis_command(payload: &[u8]) -> Option<Told> {
    let mut lines = payload.get(..payload.len().min(MAX_LINE))?.split(|byte| *byte == b'\n');
    let count = lines.next()?.strip_prefix(b"*")?.strip_suffix(b"\r")?;
    let length = lines.next()?.strip_prefix(b"$")?.strip_suffix(b"\r")?;
    let command = lines.next()?.strip_suffix(b"\r")?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let fits = count.iter().all(u8::is_ascii_digit)
        && length == command.len()
        && REDIS_COMMANDS.iter().any(|known| command.eq_ignore_ascii_case(known));
    fits.then_some(Told::new(Application::Redis, Sender::Client))
}
