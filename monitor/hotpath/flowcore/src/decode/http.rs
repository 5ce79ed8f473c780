//! The host that an HTTP/1 request asks for: RFC 9112 section 3, RFC 9110 section 7.2.

use super::tls::claimed_name;

/// Methods of RFC 9110 section 9 and RFC 5789, each with the space that follows it.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT "];

/// Headers are looked at within this many bytes.
const MAX_HEAD: usize = 8192;

/// What the start of a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Host asked for, lower case, without the port; `None` where no Host field is within reach.
    pub host: Option<String>,
    /// The request is a CONNECT: the host is where a proxy shall go.
    pub connect: bool,
}

/// Read a request line and its Host field; `None` where the stream is no HTTP/1 request.
pub fn request(stream: &[u8]) -> Option<Request> {
    if !METHODS.iter().any(|method| stream.starts_with(method)) {
        return None;
    }
    let head = stream.get(..stream.len().min(MAX_HEAD)).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    if let Some(rest) = first.strip_prefix(b"CONNECT ") {
        let target = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        return Some(Request { host: without_port(target), connect: true });
    }
    for line in lines {
        if line.is_empty() {
            break;
        }
        if line.len() > 5 && line.get(..5).is_some_and(|field| field.eq_ignore_ascii_case(b"host:")) {
            let value = line.get(5..).unwrap_or_default().trim_ascii();
            return Some(Request { host: without_port(value), connect: false });
        }
    }
    Some(Request { host: None, connect: false })
}

/// Whether the start of a stream is an HTTP/1 response.
pub fn is_response(stream: &[u8]) -> bool {
    stream.starts_with(b"HTTP/1.")
}

/// Cut off a port; an IPv6 literal keeps its brackets' content.
fn without_port(value: &[u8]) -> Option<String> {
    let host = if let Some(rest) = value.strip_prefix(b"[") {
        rest.split(|byte| *byte == b']').next().unwrap_or_default()
    } else {
        value.split(|byte| *byte == b':').next().unwrap_or_default()
    };
    claimed_name(host)
}
