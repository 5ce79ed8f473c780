//! Where a SOCKS proxy shall connect to: RFC 1928 (version 5), and versions 4 and 4a as their authors
//! describe them (openssh.com/txt/socks4.protocol, socks4a.protocol).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::claimed::{claimed_name, Claimed};

const CONNECT: u8 = 1;
const BIND: u8 = 2;
const UDP_ASSOCIATE: u8 = 3;
/// Methods of authentication that are offered (RFC 1928 section 3): assigned ones, or private ones.
const METHODS: u8 = 16;

/// Read a request: the name, or the address as text, that the client asks for. `None` where these
/// bytes are none. The greeting of version 5 alone (three bytes) is too little to go by; where the
/// request follows in the same segment it is passed over.
pub fn request(payload: &[u8]) -> Option<Claimed> {
    match payload {
        [4, ..] => version_4(payload),
        [5, ..] => version_5(payload).or_else(|| {
            let (&[_, count], rest) = payload.split_first_chunk::<2>()?;
            (1..=METHODS).contains(&count).then(|| version_5(rest.get(usize::from(count)..)?)).flatten()
        }),
        _ => None,
    }
}

/// RFC 1928 section 4: it fills its segment to the byte.
fn version_5(payload: &[u8]) -> Option<Claimed> {
    let (&[5, CONNECT..=UDP_ASSOCIATE, 0, kind], rest) = payload.split_first_chunk::<4>()? else { return None };
    let (name, port) = match kind {
        1 => {
            let (address, port) = rest.split_first_chunk::<4>()?;
            (Some(Ipv4Addr::from(*address).to_string().into()), port)
        }
        3 => {
            let (&length, rest) = rest.split_first()?;
            (host(rest.get(..usize::from(length))?), rest.get(usize::from(length)..)?)
        }
        4 => {
            let (address, port) = rest.split_first_chunk::<16>()?;
            (Some(Ipv6Addr::from(*address).to_string().into()), port)
        }
        _ => return None,
    };
    (port.len() == 2).then_some(name).flatten()
}

/// Command, port, address and a user's name that ends with NUL; in 4a the address is 0.0.0.x and a host
/// follows, which ends with NUL too.
fn version_4(payload: &[u8]) -> Option<Claimed> {
    let (&[4, CONNECT..=BIND, _, _, a, b, c, d], rest) = payload.split_first_chunk::<8>()? else { return None };
    let mut texts = rest.split(|byte| *byte == 0);
    let user = texts.next()?;
    if !user.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let is_name = [a, b, c] == [0, 0, 0] && d != 0;
    let name = if is_name { host(texts.next()?)? } else { Ipv4Addr::new(a, b, c, d).to_string().into() };
    // behind the last NUL there is nothing
    (texts.next() == Some(&[]) && texts.next().is_none()).then_some(name)
}

/// A host's name, and nothing that merely has its place.
fn host(name: &[u8]) -> Option<Claimed> {
    let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte));
    if plain {
        claimed_name(name)
    } else {
        None
    }
}
