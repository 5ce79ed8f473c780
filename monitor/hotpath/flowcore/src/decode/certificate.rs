//! The name in an X.509 certificate: RFC 5280 sections 4.1 and 4.2.1.6, DER as in X.690.

use super::claimed::{claimed_name, Claimed};

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` of TBSCertificate: the version.
const VERSION: u8 = 0xa0;
/// `[3]` of TBSCertificate: the extensions.
const EXTENSIONS: u8 = 0xa3;
/// `[2]` of GeneralName: dNSName.
const DNS_NAME: u8 = 0x82;
/// 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The first dNSName of the certificate's subjectAltName, else its subject's last common name; `None`
/// where it has neither, or breaks the format before.
pub fn name(certificate: &[u8]) -> Option<Claimed> {
    let mut outer = expect(&mut &certificate[..], SEQUENCE)?;
    let mut fields = expect(&mut outer, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        element(&mut fields)?;
    }
    // serialNumber, signature, issuer, validity
    for _ in 0..4 {
        element(&mut fields)?;
    }
    let subject = expect(&mut fields, SEQUENCE)?;
    while let Some((tag, value)) = element(&mut fields) {
        if tag == EXTENSIONS {
            if let Some(name) = alternative_name(value) {
                return claimed_name(name);
            }
        }
    }
    common_name(subject).and_then(claimed_name)
}

/// The first dNSName of the extension, if the list of extensions has it.
fn alternative_name(mut value: &[u8]) -> Option<&[u8]> {
    let mut extensions = expect(&mut value, SEQUENCE)?;
    while let Some(mut extension) = expect(&mut extensions, SEQUENCE) {
        if expect(&mut extension, OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        if extension.first() == Some(&BOOLEAN) {
            element(&mut extension)?;
        }
        let mut octets = expect(&mut extension, OCTET_STRING)?;
        let mut names = expect(&mut octets, SEQUENCE)?;
        while let Some((tag, name)) = element(&mut names) {
            if tag == DNS_NAME {
                return Some(name);
            }
        }
    }
    None
}

/// The last common name of a subject: the most specific one (RFC 6125 section 1.8).
fn common_name(mut subject: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    // a sequence of sets of attributes
    while let Some(mut attributes) = expect(&mut subject, SET) {
        while let Some(mut attribute) = expect(&mut attributes, SEQUENCE) {
            if expect(&mut attribute, OBJECT_IDENTIFIER)? == COMMON_NAME {
                found = element(&mut attribute).map(|(_, text)| text);
            }
        }
    }
    found
}

/// The content of the next element, if it has this tag.
fn expect<'a>(rest: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    element(rest).filter(|(tag, _)| *tag == wanted).map(|(_, value)| value)
}

/// Tag and content of the next element; `None` at the end, or where its length passes the end.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, short], mut after) = rest.split_first_chunk::<2>()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        // one to three bytes of length; DER has no indefinite form
        let size = usize::from(short & 0x7f);
        if !(1..=3).contains(&size) {
            return None;
        }
        length = after.get(..size)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        after = after.get(size..)?;
    }
    let value = after.get(..length)?;
    *rest = after.get(length..)?;
    Some((tag, value))
}
