//! What is spoken in a TCP connection, and by which side, from one of its first segments.
//!
//! Each protocol has a strict signature of several bytes or of lengths that must agree, so that other
//! content is hardly ever taken for it. What has no such beginning is left unknown.

use super::{http, http2, socks, text, tls, wire, Application};

/// Who sent a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The side that opened the connection.
    Client,
    /// The side that was connected to.
    Server,
    /// The protocol's two sides begin alike.
    Either,
}

/// What a segment tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The protocol.
    pub application: Application,
    /// Whose segment it is.
    pub sender: Sender,
    /// The connection may go on as TLS, so a ClientHello is still to be looked for.
    pub tls_may_follow: bool,
}

impl Told {
    pub(super) const fn new(application: Application, sender: Sender) -> Told {
        Told { application, sender, tls_may_follow: false }
    }

    /// The same, in a protocol that has a command to go on as TLS.
    pub(super) const fn before_tls(application: Application, sender: Sender) -> Told {
        Told { application, sender, tls_may_follow: true }
    }
}

/// Recognise a protocol by a segment. What names a host and may span segments is not looked for here: a
/// ClientHello ([`tls::client_hello`]), a request of HTTP/1 ([`http::request`]) or HTTP/2
/// ([`http2::authority`]).
pub fn segment(payload: &[u8]) -> Option<Told> {
    let first = *payload.first()?;
    let found = match first {
        b'H' if http::is_response(payload) => Some(Told::new(Application::Http, Sender::Server)),
        0 if http2::is_server_preface(payload) => Some(Told::new(Application::Http, Sender::Server)),
        4 | 5 if socks::request(payload).is_some() => Some(Told::before_tls(Application::Socks, Sender::Client)),
        20..=23 if tls::is_record(payload) => Some(Told::new(Application::Tls, Sender::Either)),
        _ => None,
    };
    found.or_else(|| wire::segment(payload)).or_else(|| text::segment(payload))
}
