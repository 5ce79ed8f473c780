//! The host that an HTTP/1 request asks for: RFC 9112 section 3, RFC 9110 section 7.2.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use super::claimed::{claimed_name, Claimed};

/// Methods of RFC 9110 section 9 and RFC 5789, each with the space that follows it.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT "];

/// Headers are looked at within this many bytes.
const MAX_HEAD: usize = 8192;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Host asked for, lower case, without the port; `None` where no Host field is within reach.
    pub host: Option<Claimed>,
    /// The request is a CONNECT: the host is where a proxy shall go.
    pub connect: bool,
}

/// What the start of a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A request, read as far as its host.
    Request(Request),
    /// A request whose host has not come yet.
    More,
    /// No HTTP/1 request.
    No,
}

/// Whether a stream begins with a method and a target; a request of SIP (RFC 3261) or RTSP is none.
pub fn is_request(stream: &[u8]) -> bool {
    if !stream.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let Some(method) = METHODS.iter().find(|method| stream.starts_with(method)) else { return false };
    let line = stream.get(method.len()..).unwrap_or_default();
    let line = line.get(..line.len().min(MAX_HEAD)).unwrap_or_default();
    match memchr(b'\n', line).and_then(|end| line.get(..end)) {
        // the line is there to its end
        Some(whole) => whole.trim_ascii_end().rsplit(|byte| *byte == b' ').next().is_some_and(is_version),
        None => !line.starts_with(b"sip:") && !line.starts_with(b"rtsp:"),
    }
}

fn is_version(word: &[u8]) -> bool {
    word.starts_with(b"HTTP/1.")
}

/// Read a request line and its Host field.
pub fn request(stream: &[u8]) -> Head {
    if !is_request(stream) {
        return Head::No;
    }
    let head = stream.get(..stream.len().min(MAX_HEAD)).unwrap_or_default();
    // what stands behind the last line's end may be half a line
    let mut start = 0;
    let mut lines = memchr_iter(b'\n', head).filter_map(|end| head.get(std::mem::replace(&mut start, end + 1)..end));
    let told = |host, connect| Head::Request(Request { host, connect });
    let ends_here = || if head.len() < MAX_HEAD { Head::More } else { told(None, false) };
    let Some(first) = lines.next() else { return ends_here() };
    if let Some(rest) = first.strip_prefix(b"CONNECT ") {
        let target = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        return told(without_port(target), true);
    }
    if let Some(authority) = absolute_authority(first) {
        return told(without_port(authority), false);
    }
    for line in lines {
        if line.trim_ascii_end().is_empty() {
            return told(None, false);
        }
        if line.get(..5).is_some_and(|field| field.eq_ignore_ascii_case(b"host:")) {
            return told(without_port(line.get(5..).unwrap_or_default().trim_ascii()), false);
        }
    }
    ends_here()
}

/// Where a request to a proxy shall go; such a target, in absolute form, counts before the Host field (RFC
/// 9112 section 3.2.2).
fn absolute_authority(first: &[u8]) -> Option<&[u8]> {
    let target = first.split(|byte| *byte == b' ').nth(1)?;
    let beginning = target.get(..target.len().min(b"https://".len()))?;
    let scheme = beginning.windows(3).position(|three| three == b"://")?;
    let (scheme, rest) = (target.get(..scheme)?, target.get(scheme + 3..)?);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next()
}

/// Whether a stream begins with an HTTP/1 status line (RFC 9112 section 4).
pub fn is_response(stream: &[u8]) -> bool {
    stream.get(..12).is_some_and(|line| {
        matches!(line, [.., b'0' | b'1', b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']) && is_version(line)
    })
}

/// Whether a response, as far as it is there, says that it is from Elasticsearch: by the field that its
/// clients ask for since 7.14, or by the tagline of its front page.
pub fn is_elasticsearch(response: &[u8]) -> bool {
    // as it writes them itself; to prepare a search takes longer than the search
    static WORDS: LazyLock<[Finder<'static>; 2]> =
        LazyLock::new(|| [&b"\nX-elastic-product: Elasticsearch"[..], b"\"You Know, for Search\""].map(Finder::new));
    WORDS.iter().any(|words| words.find(response).is_some())
}

/// Cut off a port, and a user's name in front (RFC 3986 section 3.2); an IPv6 literal keeps its brackets' content.
pub(super) fn without_port(value: &[u8]) -> Option<Claimed> {
    let value = value.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let host = if let Some(rest) = value.strip_prefix(b"[") {
        rest.split(|byte| *byte == b']').next().unwrap_or_default()
    } else {
        value.split(|byte| *byte == b':').next().unwrap_or_default()
    };
    claimed_name(host)
}
