//! Lists kept in files: addresses, networks and domains, one a line, up to a million.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};

use crate::value::Seen;

/// Entries of a list.
pub const MAX_ENTRIES: usize = 1_000_000;

/// One list, ready to be asked.
#[derive(Default)]
pub struct NamedList {
    /// First and last address, sorted, apart from each other; IPv4 mapped.
    ranges: Vec<(u128, u128)>,
    /// Lower case, without a final dot.
    domains: HashSet<Box<str>>,
    /// Lines that are entries.
    pub entries: usize,
}

/// What is wrong with a line of a list, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct ListError {
    /// Which line.
    pub line: usize,
    /// For people.
    pub message: String,
}

impl NamedList {
    /// Read a list: one address, network or domain a line; `#` begins a comment.
    pub fn parse(text: &str) -> Result<NamedList, ListError> {
        let mut list = NamedList::default();
        for (place, whole) in text.lines().enumerate() {
            let written = whole.split('#').next().unwrap_or_default().trim();
            if written.is_empty() {
                continue;
            }
            list.entries += 1;
            if list.entries > MAX_ENTRIES {
                return Err(ListError { line: place + 1, message: format!("more than {MAX_ENTRIES} entries") });
            }
            list.add(written).map_err(|message| ListError { line: place + 1, message })?;
        }
        list.ranges.sort_unstable();
        let mut apart: Vec<(u128, u128)> = Vec::with_capacity(list.ranges.len());
        for (first, last) in list.ranges.drain(..) {
            match apart.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        list.ranges = apart;
        Ok(list)
    }

    fn add(&mut self, written: &str) -> Result<(), String> {
        let (base, prefix) = match written.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (written, None),
        };
        if let Ok(address) = base.parse::<IpAddr>() {
            let (bits, width) = match address {
                IpAddr::V4(old) => (old.to_ipv6_mapped().to_bits(), 32),
                IpAddr::V6(new) => (new.to_bits(), 128),
            };
            let length = match prefix {
                None => width,
                Some(prefix) => prefix
                    .parse::<u32>()
                    .ok()
                    .filter(|length| *length <= width)
                    .ok_or_else(|| format!("{written:?}: the prefix length is from 0 to {width}"))?,
            };
            let free = width - length;
            let mask = if free == 128 { u128::MAX } else { (1u128 << free) - 1 };
            if bits & mask != 0 {
                let base = Ipv6Addr::from_bits(bits & !mask);
                let base = base.to_ipv4_mapped().map_or_else(|| base.to_string(), |old| old.to_string());
                return Err(format!("{written:?} has bits behind its prefix; did you mean {base}/{length}?"));
            }
            self.ranges.push((bits, bits | mask));
            return Ok(());
        }
        let domain = written.strip_prefix("*.").unwrap_or(written).trim_end_matches('.').to_ascii_lowercase();
        // RFC 1035 section 2.3.4; RFC 2181 section 11 allows any octet in a label, lists hold host names
        let is_name = !domain.is_empty()
            && domain.len() <= 253
            && domain.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            });
        let is_numeric = domain.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_name || is_numeric {
            return Err(format!("{written:?} is neither an address, a network nor a domain"));
        }
        self.domains.insert(domain.into());
        Ok(())
    }

    /// Whether an address is in it, or a name is a domain of it or below one.
    pub fn contains(&self, seen: Seen<'_>) -> bool {
        match seen {
            Seen::Address(address) => {
                let bits = u128::from_be_bytes(address);
                let after = self.ranges.partition_point(|(first, _)| *first <= bits);
                after.checked_sub(1).and_then(|place| self.ranges.get(place)).is_some_and(|(_, last)| bits <= *last)
            }
            Seen::Text(name) if !self.domains.is_empty() => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let mut rest = name.as_str();
                loop {
                    if self.domains.contains(rest) {
                        return true;
                    }
                    match rest.split_once('.') {
                        Some((_, parent)) => rest = parent,
                        None => return false,
                    }
                }
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Seen<'static> {
        let bits = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(old)) => old.to_ipv6_mapped().octets(),
            Ok(IpAddr::V6(new)) => new.octets(),
            Err(_) => [0; 16],
        };
        Seen::Address(bits)
    }

    #[test]
    fn addresses_networks_and_domains_are_found() {
        let text =
            "# feed\n203.0.113.0/28\n203.0.113.8/29 # inside\n2001:db8::/32\n198.51.100.7\nEvil.example.\n*.bad.test\n";
        let list = NamedList::parse(text).map_err(|error| error.message);
        let list = list.unwrap_or_default();
        assert_eq!(list.entries, 6);
        for inside in ["203.0.113.0", "203.0.113.15", "2001:db8:ffff::1", "198.51.100.7"] {
            assert!(list.contains(address(inside)), "{inside}");
        }
        for outside in ["203.0.112.255", "203.0.113.16", "2001:db9::", "198.51.100.6", "::"] {
            assert!(!list.contains(address(outside)), "{outside}");
        }
        for inside in ["evil.example", "EVIL.example", "a.b.evil.example.", "bad.test", "x.bad.test"] {
            assert!(list.contains(Seen::Text(inside)), "{inside}");
        }
        for outside in ["notevil.example", "example", "evil.example.org", ""] {
            assert!(!list.contains(Seen::Text(outside)), "{outside}");
        }
    }

    #[test]
    fn what_is_no_entry_is_told_with_its_line() {
        for (text, line, word) in [
            ("10.0.0.1/8", 1, "did you mean 10.0.0.0/8?"),
            ("a.example\nnot a name\n", 2, "neither"),
            ("300.1.1.1", 1, "neither"),
            ("10.0.0.0/33", 1, "from 0 to 32"),
            ("\n\n..\n", 3, "neither"),
        ] {
            let error = NamedList::parse(text).err();
            let error = error.unwrap_or(ListError { line: 0, message: String::new() });
            assert_eq!(error.line, line, "{text}");
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
}
