//! Label values of the metrics: closed sets only (design section 7).
//!
//! Workload names come from the configuration, providers from the catalogue, countries from the database.
//! Everything else folds to one word, here and only here: rules, alerts and pages keep the full text. What does
//! not even look like a name of its set folds too, so that no text of the network can become a label.

/// A host that the configuration gives no workload.
pub const UNNAMED: &str = "unnamed";
/// A network that is not in the catalogue.
pub const UNLISTED: &str = "unlisted";
/// Unknown.
pub const NONE: &str = "none";

/// Longest name of a workload or a provider, in bytes.
const LONGEST: usize = 63;

/// The label value of a workload: its configured name or [`UNNAMED`].
pub fn workload(given: Option<&str>) -> &str {
    match given {
        Some(name) if !is_address(name) && is_name(name, u8::is_ascii_alphanumeric) => name,
        _ => UNNAMED,
    }
}

/// The label value of a provider: its catalogue id, [`UNLISTED`], or [`NONE`] where unknown.
pub fn provider(given: Option<&str>) -> &str {
    match given {
        None => NONE,
        Some(id) if is_name(id, is_small) && !has_capitals(id) && !is_network(id) => id,
        Some(_) => UNLISTED,
    }
}

/// The label value of a country: two capitals, or [`NONE`].
pub fn country(given: Option<&str>) -> &str {
    given.filter(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())).unwrap_or(NONE)
}

/// Whether a text is a name: letters, digits, and `.`, `_`, `-` after the first.
fn is_name(text: &str, may_begin: fn(&u8) -> bool) -> bool {
    let rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    text.len() <= LONGEST && text.as_bytes().first().is_some_and(may_begin) && text.as_bytes().iter().all(rest)
}

fn is_small(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn has_capitals(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether a text is like an IPv4 address. One of IPv6 has colons, which no name has.
fn is_address(text: &str) -> bool {
    // four parts of one to three digits: `digits` of the part that is read
    let (mut parts, mut digits) = (1, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits < 3 => digits += 1,
            b'.' if digits > 0 && parts < 4 => (parts, digits) = (parts + 1, 0),
            _ => return false,
        }
    }
    parts == 4 && digits > 0
}

/// Whether a text is that of a network outside the catalogue: `as` and its number.
fn is_network(text: &str) -> bool {
    let number = text.strip_prefix("as");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
