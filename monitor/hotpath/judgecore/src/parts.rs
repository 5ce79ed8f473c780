//! The parts of a group: who sent to whom, and how that is known. Shared by all rules.
//!
//! A window keeps its sums apart by part, so that an alert can say what most of its bytes were.

use crate::pieces::Pieces;
use crate::slots::Slots;
use crate::spec::Record;

/// Workload, provider, country, evidence; DNS rows have only the first.
pub type Part<'p> = [Option<&'p str>; WORDS];
pub(crate) const WORDS: usize = 4;
const FIELDS: [&str; 4] = ["workload", "provider", "country", "evidence"];
/// Parts from which those that no window holds are looked for and forgotten.
const MANY: usize = 65_536;
/// Instead of a length: there is no word.
const NO_WORD: u8 = u8::MAX;
/// Instead of a length: it stands in the next four bytes.
const LONG: u8 = NO_WORD - 1;
/// Bytes of words that stand together.
const PIECE: usize = 65_536;

/// The fields that tell parts apart.
pub fn fields(record: Record) -> &'static [&'static str] {
    match record {
        Record::Flows => &FIELDS,
        Record::Dns => &FIELDS[..1],
    }
}

/// All parts that some window holds.
///
/// They come by the thousand where an address is a workload, so they have no memory of their own: their words stand
/// one after the other, each behind its length.
#[derive(Debug)]
pub struct Parts {
    /// Where a part stands in `all`, by its number.
    slots: Slots,
    all: Pieces<Place>,
    /// In pieces, so that they are not copied when more come.
    words: Vec<Vec<u8>>,
    clean_at: usize,
    /// How many batches there were.
    batches: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The number of the part.
    number: u64,
    /// The piece that has its words, and where they begin in it.
    words: (u32, u32),
    /// The batch that had it last, and the first kind of rows in it that are of this part.
    batch: u32,
    kind: u32,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { slots: Slots::default(), all: Pieces::default(), words: Vec::new(), clean_at: MANY, batches: 0 }
    }
}

impl Parts {
    /// Know what a number stands for from now on.
    pub fn know<'p>(&mut self, number: u64, part: impl FnOnce() -> Part<'p>) {
        self.place(number, |words| part().into_iter().for_each(|word| write(words, word)));
    }

    fn place(&mut self, number: u64, words: impl FnOnce(&mut Vec<u8>)) -> Option<&mut Place> {
        let place = self.find(number).unwrap_or_else(|| {
            let place = self.all.len();
            let words = self.write(words);
            self.all.push_back(Place { number, words, batch: 0, kind: 0 });
            self.slots.insert(number, place as u32);
            place
        });
        self.all.get_mut(place)
    }

    /// Load where the place of a part is found.
    pub(crate) fn look_ahead(&self, number: u64) {
        self.slots.look_ahead(number);
    }

    fn find(&self, number: u64) -> Option<usize> {
        let is_it = |place: u32| self.all.get(place as usize).is_some_and(|place| place.number == number);
        self.slots.find(number, is_it).map(|place| place as usize)
    }

    /// Keep the words of a part; gives where they are.
    fn write(&mut self, words: impl FnOnce(&mut Vec<u8>)) -> (u32, u32) {
        if self.words.last().is_none_or(|piece| piece.len() >= PIECE) {
            self.words.push(Vec::with_capacity(PIECE + PIECE / 8));
        }
        let number = self.words.len() - 1;
        let Some(piece) = self.words.last_mut() else { return (0, 0) };
        let begin = piece.len();
        words(piece);
        (number as u32, begin as u32)
    }

    /// Begin a batch of rows; gives its number.
    pub(crate) fn begin_batch(&mut self) -> u32 {
        self.batches = self.batches.wrapping_add(1);
        self.batches
    }

    /// Know what a number stands for, which is the part of a kind of rows of a batch, and whose words `words` writes (see
    /// [`write`]); gives the first kind of it.
    pub(crate) fn first_kind(&mut self, number: u64, of: (u32, u32), words: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let Some(place) = self.place(number, words) else { return of.1 };
        if place.batch != of.0 {
            (place.batch, place.kind) = of;
        }
        place.kind
    }

    /// What a number stands for.
    pub fn get(&self, number: u64) -> Option<Part<'_>> {
        let (piece, begin) = self.all.get(self.find(number)?)?.words;
        let mut rest = self.words.get(piece as usize)?.get(begin as usize..)?;
        let mut part = Part::default();
        for word in &mut part {
            *word = read(&mut rest)?;
        }
        Some(part)
    }

    /// Whether it is time to forget; `entries`: how many all windows hold.
    ///
    /// As long as there are no more parts than that, none may be unused.
    pub fn is_full(&self, entries: usize) -> bool {
        self.all.len() > self.clean_at && self.all.len() > entries
    }

    /// Forget all but these.
    pub fn keep(&mut self, used: impl Iterator<Item = u64>) {
        let mut kept = Parts::default();
        for number in used {
            if let Some(part) = self.get(number) {
                kept.know(number, || part);
            }
        }
        kept.clean_at = MANY.max(2 * kept.all.len());
        kept.batches = self.batches;
        *self = kept;
    }
}

/// Write the next word of a part.
pub(crate) fn write(words: &mut Vec<u8>, word: Option<&str>) {
    let Some(word) = word else { return words.push(NO_WORD) };
    match u8::try_from(word.len()) {
        Ok(length) if length < LONG => words.push(length),
        _ => {
            words.push(LONG);
            words.extend((word.len() as u32).to_le_bytes());
        }
    }
    words.extend_from_slice(word.as_bytes());
}

/// The next word, and go behind it; `None`: nothing was written there.
fn read<'p>(rest: &mut &'p [u8]) -> Option<Option<&'p str>> {
    let (first, behind) = rest.split_first()?;
    let (length, behind) = match *first {
        NO_WORD => {
            *rest = behind;
            return Some(None);
        }
        LONG => {
            let (length, behind) = behind.split_first_chunk()?;
            (u32::from_le_bytes(*length) as usize, behind)
        }
        length => (usize::from(length), behind),
    };
    let (word, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    std::str::from_utf8(word).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_words_that_they_came_with() {
        let lengths = [0, 1, 253, 254, 255, 256, 70_000];
        let words: Vec<String> =
            lengths.iter().map(|length| "é".repeat(length / 2) + &"a".repeat(length % 2)).collect();
        let mut all: Vec<Part<'_>> = words.iter().map(|word| [Some(&**word), None, Some("DE"), None]).collect();
        all.push([None; 4]);
        let mut parts = Parts::default();
        for (number, part) in (1..).zip(&all) {
            parts.know(number, || *part);
        }
        for (number, part) in (1..).zip(&all) {
            assert_eq!(parts.get(number).as_ref(), Some(part));
        }
    }

    #[test]
    fn a_part_has_one_first_kind_in_each_batch() {
        let none = |words: &mut Vec<u8>| [None; 4].into_iter().for_each(|word| write(words, word));
        let mut parts = Parts::default();
        let one = parts.begin_batch();
        let first = [(9, 0), (8, 1), (9, 2), (8, 3)].map(|(number, kind)| parts.first_kind(number, (one, kind), none));
        assert_eq!(first, [0, 1, 0, 1]);
        let other = parts.begin_batch();
        let first = [(8, 0), (9, 1), (8, 2)].map(|(number, kind)| parts.first_kind(number, (other, kind), none));
        assert_eq!(first, [0, 1, 0]);
    }

    #[test]
    fn only_what_is_used_is_kept() {
        let part = |word| -> Part<'static> { [Some(word), None, None, Some("dns")] };
        let mut parts = Parts::default();
        for (number, word) in [(1, "a"), (2, "b"), (3, "c")] {
            parts.know(number, || part(word));
        }
        parts.keep([1, 3, 4, 1].into_iter());
        parts.know(5, || part("e"));
        parts.know(3, || part("known already"));
        let known = [1, 2, 3, 4, 5].map(|number| parts.get(number));
        assert_eq!(known, [Some(part("a")), None, Some(part("c")), None, Some(part("e"))]);
    }

    #[test]
    fn parts_are_looked_through_when_more_are_known_than_windows_hold() {
        let mut parts = Parts::default();
        // as numbers of parts are: spread
        let number = |value: u64| crate::hash::number([1, 2], 0, value);
        for value in 0..=MANY as u64 {
            parts.know(number(value), Part::default);
        }
        assert!(!parts.is_full(MANY + 1));
        assert!(parts.is_full(MANY));
        parts.keep((0..MANY as u64).map(number));
        assert!(!parts.is_full(0), "twice as many come before it is done again");
    }
}
