//! Numbers for texts that are kept, each text once.

use judgecore::hash::Map;

/// Texts one behind the other, numbered from 1; 0 stands for no text.
#[derive(Default)]
pub(crate) struct Texts {
    /// By the keyed number of a text.
    numbers: Map<u32>,
    /// For each text: that keyed number.
    keys: Vec<u64>,
    /// For each text: where it ends.
    ends: Vec<usize>,
    all: String,
}

impl Texts {
    /// The number of a text, by the keyed number that stands for it.
    #[inline]
    pub(crate) fn number<'a>(&mut self, key: u64, text: impl FnOnce() -> Option<&'a str>) -> u32 {
        match self.numbers.get(&key) {
            Some(number) => *number,
            None => self.add(key, text()),
        }
    }

    fn add(&mut self, key: u64, text: Option<&str>) -> u32 {
        let number = match text {
            None => 0,
            Some(text) => {
                self.all.push_str(text);
                self.ends.push(self.all.len());
                self.keys.push(key);
                self.ends.len() as u32
            }
        };
        self.numbers.insert(key, number);
        number
    }

    /// The text of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&str> {
        let place = (number as usize).checked_sub(1)?;
        let begin = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.all.get(begin..*self.ends.get(place)?)
    }

    /// Take over a text of another set.
    pub(crate) fn take_over(&mut self, other: &Texts, number: u32) -> u32 {
        let key = (number as usize).checked_sub(1).and_then(|place| other.keys.get(place));
        key.map_or(0, |key| self.number(*key, || other.get(number)))
    }
}
