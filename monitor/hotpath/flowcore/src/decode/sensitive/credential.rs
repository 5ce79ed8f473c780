//! Passwords and tokens in the messages of protocols that carry them in clear.
//!
//! One count a message that logs in. Digests, challenges and their answers are none.

use std::sync::LazyLock;

use memchr::memmem;

use super::email;
use crate::decode::{be16, be32, Application};

/// How many there are in what a side of this protocol sent.
pub(super) fn count(bytes: &[u8], application: Application) -> u32 {
    match application {
        Application::Http | Application::Elasticsearch => http(bytes),
        Application::Ftp => lines(bytes, |line| password(line).is_some_and(|word| !is_anonymous(word))),
        Application::Pop3 => lines(bytes, |line| password(line).is_some() || asks_to_log_in(line, b"AUTH ")),
        Application::Smtp => lines(bytes, |line| asks_to_log_in(line, b"AUTH ")),
        Application::Imap => lines(bytes, imap),
        Application::Redis => redis(bytes),
        Application::Postgresql => u32::from(postgresql(bytes).is_some()),
        Application::Mysql => u32::from(mysql(bytes)),
        Application::Ldap => u32::from(ldap(bytes).is_some()),
        Application::Snmp => u32::from(snmp(bytes).is_some()),
        Application::Mqtt => u32::from(mqtt(bytes).is_some()),
        Application::Amqp => u32::from(amqp(bytes).is_some()),
        Application::Socks => u32::from(socks(bytes).is_some()),
        Application::Cassandra => u32::from(cassandra(bytes).is_some()),
        _ => 0,
    }
}

/// RFC 9110 section 11.6.2 with the schemes of RFC 7617 and RFC 6750; proxies' too.
fn http(bytes: &[u8]) -> u32 {
    const FIELD: &[u8] = b"uthorization:";
    // to prepare the search takes longer than the search
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(FIELD));
    let carries = |at: usize| {
        let field = bytes.get(..at).unwrap_or_default();
        // a segment may begin with a field
        let begins = [&b"A"[..], b"a", b"Proxy-A", b"proxy-a"]
            .iter()
            .any(|start| field.strip_suffix(*start).is_some_and(|line| matches!(line.last(), None | Some(b'\n'))));
        let value = bytes.get(at + FIELD.len()..).unwrap_or_default().trim_ascii_start();
        begins
            && [&b"basic "[..], b"bearer "].iter().any(|scheme| {
                value.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme))
                    && value.get(scheme.len()).is_some_and(u8::is_ascii_graphic)
            })
    };
    FINDER.find_iter(bytes).filter(|at| carries(*at)).count() as u32
}

fn lines(bytes: &[u8], counts: fn(&[u8]) -> bool) -> u32 {
    bytes.split(|byte| *byte == b'\n').filter(|line| counts(line.strip_suffix(b"\r").unwrap_or(line))).count() as u32
}

fn behind<'a>(line: &'a [u8], command: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = line.split_at_checked(command.len())?;
    word.eq_ignore_ascii_case(command).then_some(rest)
}

/// PASS of FTP (RFC 959 section 4.1.1) and POP3 (RFC 1939 section 7).
fn password(line: &[u8]) -> Option<&[u8]> {
    behind(line, b"PASS ").filter(|word| !word.trim_ascii().is_empty())
}

/// What RFC 1635 asks of those who have no account: a word, or an e-mail address.
fn is_anonymous(word: &[u8]) -> bool {
    let known = [&b"guest"[..], b"anonymous", b"ftp"].iter().any(|known| word.eq_ignore_ascii_case(known));
    known || word.ends_with(b"@") || email::count(word) > 0
}

/// AUTH with PLAIN (RFC 4616) or LOGIN, the two that send the password itself.
fn asks_to_log_in(line: &[u8], command: &[u8]) -> bool {
    behind(line, command).is_some_and(|rest| {
        let mechanism = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        mechanism.eq_ignore_ascii_case(b"PLAIN") || mechanism.eq_ignore_ascii_case(b"LOGIN")
    })
}

/// LOGIN and AUTHENTICATE (RFC 9051 section 6.2), behind a tag.
fn imap(line: &[u8]) -> bool {
    let Some(at) = line.iter().position(|byte| *byte == b' ').filter(|tag| (1..=16).contains(tag)) else {
        return false;
    };
    let (tag, command) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
    let logs_in = behind(command, b"LOGIN ").is_some_and(|words| words.trim_ascii().contains(&b' '));
    tag.iter().all(u8::is_ascii_alphanumeric) && (logs_in || asks_to_log_in(command, b"AUTHENTICATE "))
}

/// AUTH as a bulk string of a command, or in a line.
fn redis(bytes: &[u8]) -> u32 {
    let inline = lines(bytes, |line| behind(line, b"AUTH ").is_some_and(|word| !word.is_empty()));
    let bulk = memmem::find_iter(bytes, b"$4\r\n")
        .filter(|at| bytes.get(at + 4..at + 10).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH\r\n")))
        .count();
    inline + bulk as u32
}

/// PasswordMessage of the PostgreSQL protocol; a hash (`md5` and 32 digits) and SASL's messages are none.
fn postgresql(bytes: &[u8]) -> Option<()> {
    let [b'p', ..] = bytes else { return None };
    let body = bytes.get(5..)?;
    let (last, word) = body.split_last()?;
    let whole = be32(bytes, 1)? as usize == bytes.len() - 1 && *last == 0 && !word.is_empty() && !word.contains(&0);
    let hash = word.strip_prefix(b"md5").is_some_and(|hash| hash.len() == 32 && hash.iter().all(u8::is_ascii_hexdigit));
    (whole && !hash).then_some(())
}

/// The client's answer with the plugin that sends the password as it is; a server's request for it begins with 0xfe.
fn mysql(bytes: &[u8]) -> bool {
    bytes.get(4).is_some_and(|first| *first != 0xfe) && memmem::find(bytes, b"mysql_clear_password\0").is_some()
}

/// A bindRequest with simple authentication and a password (RFC 4511 section 4.2).
fn ldap(bytes: &[u8]) -> Option<()> {
    let (0x30, message) = element(bytes)? else { return None };
    let (2, _) = element(message)? else { return None };
    let (0x60, request) = element(after(message)?)? else { return None };
    let (2, _) = element(request)? else { return None };
    let name = after(request)?;
    let (4, _) = element(name)? else { return None };
    let (0x80, word) = element(after(name)?)? else { return None };
    (!word.is_empty()).then_some(())
}

/// A community of version 1 or 2c (RFC 1157, RFC 1901) that is not the one that everybody knows.
fn snmp(bytes: &[u8]) -> Option<()> {
    let (0x30, message) = element(bytes)? else { return None };
    let (2, [0 | 1]) = element(message)? else { return None };
    let (4, community) = element(after(message)?)? else { return None };
    (!community.is_empty() && community != b"public").then_some(())
}

/// Tag and content of a BER element (X.690 section 8.1) that is there to its end.
fn element(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (head, length) = header(bytes)?;
    Some((*bytes.first()?, bytes.get(head..head.checked_add(length)?)?))
}

/// What stands behind a BER element.
fn after(bytes: &[u8]) -> Option<&[u8]> {
    let (head, length) = header(bytes)?;
    bytes.get(head.checked_add(length)?..)
}

/// Bytes of the header of a BER element, and of its content.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [_, length @ ..=0x7f, ..] => Some((2, length.into())),
        [_, 0x81, length, ..] => Some((3, length.into())),
        [_, 0x82, ..] => Some((4, be16(bytes, 2)?.into())),
        [_, 0x84, ..] => Some((6, be32(bytes, 2)? as usize)),
        _ => None,
    }
}

/// CONNECT with the flag of a password (MQTT 3.1.1 section 3.1.2.9; version 5 has it at the same place).
fn mqtt(bytes: &[u8]) -> Option<()> {
    const PASSWORD: u8 = 0x40;
    let [0x10, ..] = bytes else { return None };
    let size = bytes.get(1..5)?.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let head = bytes.get(1 + size..)?;
    let flags = match head {
        [0, 4, b'M', b'Q', b'T', b'T', _, flags, ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', _, flags, ..] => {
            *flags
        }
        _ => return None,
    };
    (flags & PASSWORD != 0).then_some(())
}

/// The answer to Connection.Start with the mechanism PLAIN (AMQP 0-9-1 section 1.4.2.2): zero, user, zero, password.
fn amqp(bytes: &[u8]) -> Option<()> {
    const MECHANISM: &[u8] = b"\x05PLAIN";
    let at = memmem::find(bytes, MECHANISM)? + MECHANISM.len();
    let length = be32(bytes, at)? as usize;
    let response = bytes.get(at + 4..)?;
    let user = response.strip_prefix(&[0])?;
    (length >= 4 && length <= response.len() && user.get(..length - 1)?.contains(&0)).then_some(())
}

/// Username and password of RFC 1929 section 2.
fn socks(bytes: &[u8]) -> Option<()> {
    let [1, user, ..] = *bytes else { return None };
    let at = 2 + usize::from(user);
    let length = usize::from(*bytes.get(at)?);
    (user > 0 && length > 0 && at + 1 + length == bytes.len()).then_some(())
}

/// AUTH_RESPONSE of the native protocol, with what PasswordAuthenticator expects: zero, user, zero, password.
fn cassandra(bytes: &[u8]) -> Option<()> {
    let &[3..=5, _, _, _, 0x0f, ..] = bytes else { return None };
    let token = bytes.get(13..)?;
    let whole = be32(bytes, 9)? as usize == token.len();
    (whole && token.strip_prefix(&[0])?.contains(&0)).then_some(())
}
