//! Numbers for texts that are kept, each text once.

use judgecore::slots::Slots;

/// Texts one behind the other, numbered from 1; 0 stands for no text.
#[derive(Default)]
pub(crate) struct Texts {
    /// By the keyed numbers of texts: where they stand.
    places: Slots,
    /// For each text: its keyed number, and where it ends.
    ends: Vec<(u64, usize)>,
    all: String,
}

impl Texts {
    /// The number of a text, by the keyed number that stands for it.
    #[inline]
    pub(crate) fn number<'a>(&mut self, key: u64, text: impl FnOnce() -> Option<&'a str>) -> u32 {
        let is_it = |place: u32| self.ends.get(place as usize).is_some_and(|(known, _)| *known == key);
        match self.places.find(key, is_it) {
            Some(place) => place + 1,
            None => text().map_or(0, |text| self.add(key, text)),
        }
    }

    fn add(&mut self, key: u64, text: &str) -> u32 {
        self.places.insert(key, self.ends.len() as u32);
        self.all.push_str(text);
        self.ends.push((key, self.all.len()));
        self.ends.len() as u32
    }

    /// The text of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&str> {
        let place = (number as usize).checked_sub(1)?;
        let begin = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).map(|(_, end)| *end))?;
        self.all.get(begin..self.ends.get(place)?.1)
    }

    /// Take over a text of another set.
    pub(crate) fn take_over(&mut self, other: &Texts, number: u32) -> u32 {
        let known = (number as usize).checked_sub(1).and_then(|place| other.ends.get(place));
        known.map_or(0, |(key, _)| self.number(*key, || other.get(number)))
    }
}
