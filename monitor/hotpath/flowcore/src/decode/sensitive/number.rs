//! Numbers with check digits: payment cards (ISO/IEC 7812) and bank accounts (ISO 13616).

use super::in_word;
use crate::source::bits::BLOCK;

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) cards: u32,
    pub(super) ibans: u32,
}

/// Of a card's 13 digits seven stand in one of two blocks, of an account's number five at least do.
const DENSE: u32 = 5;
/// Bytes of the longest number that is looked for, in groups.
const LONGEST: usize = 42;

/// Looks for them, block by block: in those that have digits enough, and in the end of the one before such a one.
#[derive(Debug, Default)]
pub(super) struct Search {
    found: Numbers,
    /// Where the newest block begins, which of its bytes are digits, and whether those are enough.
    start: usize,
    digits: u64,
    dense: bool,
    /// No number begins before this place: there is one.
    next: usize,
}

impl Search {
    /// Take the block that begins at `start`, by which of its bytes are digits.
    #[inline(always)]
    pub(super) fn block(&mut self, bytes: &[u8], start: usize, digits: u64) {
        let dense = digits.count_ones() >= DENSE;
        if start > 0 && (dense || self.dense) {
            let reach = if self.dense { u64::MAX } else { u64::MAX << (BLOCK - LONGEST) };
            self.begun(bytes, digits, reach);
        }
        (self.start, self.digits, self.dense) = (start, digits, dense);
    }

    /// What was found, once there is no other block.
    #[inline(always)]
    pub(super) fn end(mut self, bytes: &[u8]) -> Numbers {
        if self.dense {
            self.begun(bytes, 0, u64::MAX);
        }
        self.found
    }

    /// Count the numbers that begin in the newest block, at one of these places. `behind`: digits of the block behind it.
    ///
    /// A card begins with four digits at least, an account with two letters and two digits: so digits alone leave few places.
    fn begun(&mut self, bytes: &[u8], behind: u64, places: u64) {
        let digits = |ahead: u32| (self.digits >> ahead) | (behind << (BLOCK as u32 - ahead));
        let (first, second) = (self.digits, digits(1));
        let begins = (first & second & !(first << 1)) | !(first | second);
        let mut places = begins & digits(2) & digits(3) & places;
        while places != 0 {
            let place = self.start + places.trailing_zeros() as usize;
            places &= places - 1;
            let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_uppercase);
            let may_begin = bytes.get(place).is_some_and(u8::is_ascii_digit) || (letter(place) && letter(place + 1));
            let within = place.checked_sub(1).is_some_and(|before| in_word(bytes.get(before)));
            if may_begin && !within && place >= self.next {
                self.next = counted(bytes, place, &mut self.found);
            }
        }
    }
}

/// Count the number that begins there, if one does; gives where to go on.
#[inline(never)]
fn counted(bytes: &[u8], at: usize, numbers: &mut Numbers) -> usize {
    let Some(rest) = bytes.get(at..) else { return at };
    let is_digit = rest.first().is_some_and(u8::is_ascii_digit);
    let Some(length) = (if is_digit { card(bytes, at) } else { iban(rest) }) else { return at };
    let kind = if is_digit { &mut numbers.cards } else { &mut numbers.ibans };
    *kind += 1;
    at + length
}

/// Lengths of the groups in which card numbers are written.
const GROUPS: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];

/// The length of the card number that stands there, groups included.
fn card(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    // all that are known begin with a group of four at least
    if !rest.first_chunk::<4>()?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let run = digits_of(rest);
    let mut digits = [0_u8; 19];
    let (length, written) = if (13..=19).contains(&run) {
        digits.iter_mut().zip(rest).take(run).for_each(|(to, from)| *to = *from);
        (run, run)
    } else {
        let separator = *rest.get(run).filter(|byte| matches!(byte, b' ' | b'-'))?;
        GROUPS.iter().find_map(|groups| grouped(rest, groups, separator, &mut digits))?
    };
    // a part of a longer number, a fraction, a date
    let number_before = matches!(before(bytes, at), [b'0'..=b'9', b'.' | b'-' | b',']);
    let number_behind = matches!(rest.get(written..), Some([b'.' | b'-', b'0'..=b'9', ..]));
    if number_before || number_behind || in_word(rest.get(written)) {
        return None;
    }
    let digits = digits.get(..length)?;
    let varied = digits.iter().any(|digit| digits.first() != Some(digit));
    (varied && is_issued(digits) && luhn(digits)).then_some(written)
}

/// The two bytes before a place.
fn before(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at.saturating_sub(2)..at).unwrap_or_default()
}

fn digits_of(bytes: &[u8]) -> usize {
    bytes.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Read digits that stand in these groups; gives how many, and how many bytes they take.
fn grouped(bytes: &[u8], groups: &[usize], separator: u8, digits: &mut [u8; 19]) -> Option<(usize, usize)> {
    let (mut at, mut count) = (0, 0);
    for (index, size) in groups.iter().enumerate() {
        if index > 0 {
            if bytes.get(at) != Some(&separator) {
                return None;
            }
            at += 1;
        }
        let group = bytes.get(at..at + size)?;
        if digits_of(bytes.get(at..)?) != *size {
            return None;
        }
        digits.get_mut(count..count + size)?.copy_from_slice(group);
        count += size;
        at += size;
    }
    // a shorter pattern is no part of a longer one
    (bytes.get(at) != Some(&separator) || digits_of(bytes.get(at + 1..)?) == 0).then_some((count, at))
}

/// Whether an issuer gives out numbers that begin so, of this length: the ranges that the networks publish.
fn is_issued(digits: &[u8]) -> bool {
    let six = digits.iter().take(6).fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match (six, digits.len()) {
        // Visa
        (400_000..=499_999, 13 | 16 | 19) => true,
        // Mastercard
        (510_000..=559_999 | 222_100..=272_099, 16) => true,
        // American Express
        (340_000..=349_999 | 370_000..=379_999, 15) => true,
        // Discover
        (601_100..=601_199 | 644_000..=659_999, 16..=19) => true,
        // JCB
        (352_800..=358_999, 16..=19) => true,
        // UnionPay
        (620_000..=629_999, 16..=19) => true,
        // Diners Club
        (300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999, 14..=19) => true,
        _ => false,
    }
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') << (place & 1);
            value / 10 + value % 10
        })
        .sum();
    sum % 10 == 0
}

/// Countries and the lengths of their numbers: the registry that SWIFT keeps for ISO 13616.
const COUNTRIES: &[u8] = b"\
AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22\
GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27\
MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29\
VA22VG24XK20YE30";

/// The lengths by [`country`]; 0 where there is none.
static LENGTHS: [u8; 26 * 26] = lengths();

const fn lengths() -> [u8; 26 * 26] {
    let mut all = [0; 26 * 26];
    let mut rest = COUNTRIES;
    while let [first, second, tens, ones, behind @ ..] = rest {
        if let Some(country) = country(*first, *second) {
            all[country] = (*tens - b'0') * 10 + *ones - b'0';
        }
        rest = behind;
    }
    all
}

/// The number of a country's two letters.
const fn country(first: u8, second: u8) -> Option<usize> {
    match (first, second) {
        (b'A'..=b'Z', b'A'..=b'Z') => Some((first - b'A') as usize * 26 + (second - b'A') as usize),
        _ => None,
    }
}

/// The length of the account number that stands there, in groups of four or without.
fn iban(bytes: &[u8]) -> Option<usize> {
    let &[first, second, b'0'..=b'9', b'0'..=b'9', ..] = bytes else { return None };
    let length = match LENGTHS.get(country(first, second)?) {
        Some(0) | None => return None,
        Some(length) => usize::from(*length),
    };
    let in_groups = bytes.get(4) == Some(&b' ');
    let written = if in_groups { length + (length - 1) / 4 } else { length };
    let text = bytes.get(..written)?;
    if in_word(bytes.get(written)) {
        return None;
    }
    // the first four go behind the rest, letters are numbers from 10 on, and the remainder by 97 is 1
    let mut remainder = [0_u32; 2];
    let mut place = 0;
    for (at, byte) in text.iter().enumerate() {
        if in_groups && at % 5 == 4 {
            if *byte != b' ' {
                return None;
            }
            continue;
        }
        let sum = remainder.get_mut(usize::from(place < 4))?;
        *sum = match byte {
            b'0'..=b'9' => *sum * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => *sum * 100 + u32::from(byte - b'A') + 10,
            _ => return None,
        } % 97;
        place += 1;
    }
    let [rest, head] = remainder;
    // two letters and two digits are six decimal places
    let shift = 1_000_000 % 97;
    ((rest * shift + head) % 97 == 1).then_some(written)
}
