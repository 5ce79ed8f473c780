//! Network interfaces of this host: their numbers, kinds and addresses.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;

use super::SourceError;

/// Index of an interface (if_nametoindex(3)).
///
/// # Errors
/// There is none of that name.
pub fn index(name: &str) -> Result<i32, SourceError> {
    let unknown = || SourceError(format!("{name}: there is no such interface"));
    let name = CString::new(name).map_err(|_| unknown())?;
    // SAFETY: `name` is a NUL-terminated string that lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    match i32::try_from(index) {
        Ok(index) if index > 0 => Ok(index),
        _ => Err(unknown()),
    }
}

/// The interface's hardware type (ARPHRD_ number), as sysfs tells it.
pub(super) fn hardware_type(name: &str) -> Option<u16> {
    fs::read_to_string(format!("/sys/class/net/{name}/type")).ok()?.trim().parse().ok()
}

/// The longest IP packet that the interface sends (its MTU), as sysfs tells it.
pub(super) fn longest_packet(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok()?.trim().parse().ok()
}

/// Addresses of an interface as IPv6, IPv4 mapped (getifaddrs(3)); of all interfaces for `None`.
///
/// # Errors
/// The kernel does not tell.
pub fn addresses(name: Option<&str>) -> Result<Vec<[u8; 16]>, SourceError> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer that the call gives.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(SourceError(format!("cannot read interface addresses: {}", io::Error::last_os_error())));
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an entry of the list that getifaddrs gave and that is not yet freed.
        let entry = unsafe { &*next };
        next = entry.ifa_next;
        // SAFETY: each entry's name is a NUL-terminated string of that list.
        let entry_name = unsafe { CStr::from_ptr(entry.ifa_name) };
        if entry.ifa_addr.is_null() || name.is_some_and(|name| entry_name.to_bytes() != name.as_bytes()) {
            continue;
        }
        // SAFETY: ifa_addr is not null and points to a sockaddr, whose family tells its real type.
        let family = i32::from(unsafe { (*entry.ifa_addr).sa_family });
        if family == libc::AF_INET {
            // SAFETY: the family says that this is a sockaddr_in.
            let address = unsafe { *entry.ifa_addr.cast::<libc::sockaddr_in>() };
            found.push(std::net::Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).to_ipv6_mapped().octets());
        } else if family == libc::AF_INET6 {
            // SAFETY: the family says that this is a sockaddr_in6.
            let address = unsafe { *entry.ifa_addr.cast::<libc::sockaddr_in6>() };
            found.push(address.sin6_addr.s6_addr);
        }
    }
    // SAFETY: `list` came from getifaddrs and nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
