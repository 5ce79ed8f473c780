//! The entries of a group's window, oldest first.
//!
//! Most groups have one entry: it stands in the group itself, and asks for no memory of its own. The four sums of an
//! entry are two numbers for nearly all rules, so that it takes 32 bytes and not 48.

use crate::group::{Entry, Sums};
use crate::pieces::Pieces;

/// A queue whose first entry is at hand.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Window {
    first: Option<Slim>,
    /// Empty where `first` is.
    rest: Pieces<Slim>,
    form: Form,
}

/// An entry, with two numbers for its sums.
#[derive(Clone, Copy, Debug)]
struct Slim {
    leaves: i64,
    part: u64,
    value: u64,
    other: u64,
}

/// What the second number of all entries is, and where the rest is.
#[derive(Debug, Default)]
enum Form {
    /// The bytes sent; there is no ratio.
    #[default]
    Sent,
    /// The second column of a ratio, whose first is what is measured, and that are bytes sent.
    To,
    /// The bytes sent; both columns of a ratio are here, for each entry.
    Beside(Box<Pieces<[u64; 2]>>),
}

impl Form {
    /// One for the first entry of a window.
    fn of(sums: Sums) -> Form {
        match Form::Sent.fits(sums) {
            true => Form::Sent,
            false if Form::To.fits(sums) => Form::To,
            false => Form::Beside(Box::default()),
        }
    }

    /// Whether sums are what it keeps.
    fn fits(&self, sums: Sums) -> bool {
        matches!(self, Form::Beside(_)) || self.one(sums).is_some()
    }

    /// The second number, where it and what is measured are all that is kept of sums.
    #[inline]
    fn one(&self, sums: Sums) -> Option<u64> {
        match self {
            Form::Sent => (sums.of | sums.to == 0).then_some(sums.sent),
            Form::To => (sums.sent == sums.value && sums.of == sums.value).then_some(sums.to),
            Form::Beside(_) => None,
        }
    }

    /// The sums of the entry at a place.
    fn sums(&self, place: usize, slim: &Slim) -> Sums {
        let Slim { value, other, .. } = *slim;
        match self {
            Form::Sent => Sums { value, sent: other, of: 0, to: 0 },
            Form::To => Sums { value, sent: value, of: value, to: other },
            Form::Beside(ratio) => {
                let [of, to] = ratio.get(place).copied().unwrap_or_default();
                Sums { value, sent: other, of, to }
            }
        }
    }
}

impl Window {
    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// When the oldest leaves.
    pub fn first_leaves(&self) -> Option<i64> {
        self.first.map(|slim| slim.leaves)
    }

    /// When the newest leaves.
    pub fn last_leaves(&self) -> Option<i64> {
        self.rest.back().or(self.first.as_ref()).map(|slim| slim.leaves)
    }

    /// One by its place: when it leaves, and its part.
    pub fn key(&self, place: usize) -> Option<(i64, u64)> {
        let slim = match place {
            0 => self.first.as_ref(),
            _ => self.rest.get(place - 1),
        };
        slim.map(|slim| (slim.leaves, slim.part))
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let all = self.first.iter().chain(self.rest.iter()).enumerate();
        all.map(|(place, slim)| Entry { leaves: slim.leaves, part: slim.part, sums: self.form.sums(place, slim) })
    }

    /// Add to the sums of the entry at a place; gives whether there is one.
    #[inline]
    pub fn add(&mut self, place: usize, sums: Sums) -> bool {
        let Some(other) = self.form.one(sums) else { return self.add_beside(place, sums) };
        let Some(slim) = self.get_mut(place) else { return false };
        slim.value = slim.value.saturating_add(sums.value);
        slim.other = slim.other.saturating_add(other);
        true
    }

    /// The same where the sums are not two numbers.
    #[cold]
    fn add_beside(&mut self, place: usize, sums: Sums) -> bool {
        self.make_fit(sums);
        let Some(slim) = self.get_mut(place) else { return false };
        slim.value = slim.value.saturating_add(sums.value);
        slim.other = slim.other.saturating_add(sums.sent);
        if let Form::Beside(ratio) = &mut self.form {
            if let Some([of, to]) = ratio.get_mut(place) {
                (*of, *to) = (of.saturating_add(sums.of), to.saturating_add(sums.to));
            }
        }
        true
    }

    /// Add another entry of the same bucket to the one at a place, which is then of the part of the heavier.
    pub fn join(&mut self, place: usize, entry: &Entry) {
        if let Some(slim) = self.get_mut(place).filter(|slim| entry.sums.value > slim.value) {
            slim.part = entry.part;
        }
        self.add(place, entry.sums);
    }

    /// Add the newest.
    #[inline]
    pub fn push_back(&mut self, entry: Entry) {
        let Entry { leaves, part, sums } = entry;
        match self.form.one(sums).filter(|_| self.first.is_some()) {
            Some(other) => self.rest.push_back(Slim { leaves, part, value: sums.value, other }),
            None => self.push_other(entry),
        }
    }

    /// The same where it is the first, or its sums are not two numbers.
    fn push_other(&mut self, Entry { leaves, part, sums }: Entry) {
        match self.first {
            None => self.form = Form::of(sums),
            Some(_) => self.make_fit(sums),
        }
        if let Form::Beside(ratio) = &mut self.form {
            ratio.push_back([sums.of, sums.to]);
        }
        let slim = Slim { leaves, part, value: sums.value, other: self.form.one(sums).unwrap_or(sums.sent) };
        match self.first {
            None => self.first = Some(slim),
            Some(_) => self.rest.push_back(slim),
        }
    }

    /// Take the oldest that has left by a tick; gives its sums.
    pub fn pop_left(&mut self, tick: i64) -> Option<Sums> {
        let oldest = self.first.filter(|slim| slim.leaves <= tick)?;
        let sums = self.form.sums(0, &oldest);
        if let Form::Beside(ratio) = &mut self.form {
            ratio.pop_front();
        }
        self.first = self.rest.pop_front();
        Some(sums)
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut Slim> {
        match place {
            0 => self.first.as_mut(),
            _ => self.rest.get_mut(place - 1),
        }
    }

    /// Keep such sums too.
    fn make_fit(&mut self, sums: Sums) {
        if !self.form.fits(sums) {
            self.widen();
        }
    }

    #[cold]
    fn widen(&mut self) {
        let mut ratio = Pieces::default();
        self.iter().for_each(|Entry { sums, .. }| ratio.push_back([sums.of, sums.to]));
        if matches!(self.form, Form::To) {
            for place in 0..self.len() {
                if let Some(slim) = self.get_mut(place) {
                    slim.other = slim.value;
                }
            }
        }
        self.form = Form::Beside(Box::new(ratio));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn sums([value, sent, of, to]: [u64; 4]) -> Sums {
        Sums { value, sent, of, to }
    }

    /// Sums of rules of any kind, and of several in one window, are what plain entries would have.
    #[test]
    fn entries_are_what_was_added_whatever_their_sums_are() {
        let max = u64::MAX;
        let plain = [[5, 5, 0, 0], [7, 3, 0, 0], [0, 0, 0, 0], [max, 9, 0, 0]];
        let ratio = [[5, 5, 5, 1], [0, 0, 0, 8], [9, 9, 9, 0], [max, max, max, max]];
        let any = [[5, 6, 7, 8], [0, 0, 1, 0], [1, 0, 0, max], [3, 3, 3, 4]];
        let turns = [
            vec![plain],
            vec![ratio],
            vec![any],
            vec![plain, ratio],
            vec![ratio, plain],
            vec![ratio, any],
            vec![plain, any, ratio],
        ];
        for turns in turns {
            let (mut window, mut all) = (Window::default(), VecDeque::new());
            for (number, added) in turns.iter().flatten().cycle().take(3000).enumerate() {
                let entry = Entry { leaves: number as i64 / 7, part: number as u64, sums: sums(*added) };
                if number % 3 == 2 {
                    let place = number * 31 % all.len();
                    assert!(window.add(place, entry.sums));
                    let old: &mut Entry = &mut all[place];
                    old.sums.add(entry.sums);
                } else {
                    window.push_back(entry);
                    all.push_back(entry);
                }
                if number % 5 == 4 {
                    let tick = number as i64 / 9;
                    let left = all.front().is_some_and(|entry| entry.leaves <= tick);
                    let left = left.then(|| all.pop_front().map(|entry| entry.sums)).flatten();
                    assert_eq!(window.pop_left(tick), left);
                }
                let ends = (window.first_leaves(), window.last_leaves());
                assert_eq!(ends, (all.front().map(|entry| entry.leaves), all.back().map(|entry| entry.leaves)));
                assert_eq!(window.key(3), all.get(3).map(|entry| (entry.leaves, entry.part)));
            }
            assert_eq!(window.len(), all.len());
            assert!(window.iter().eq(all.iter().copied()), "{turns:?}");
            assert!(!window.add(all.len(), sums([1, 1, 0, 0])));
        }
    }

    #[test]
    fn what_is_joined_is_of_the_part_of_the_heavier() {
        let mut window = Window::default();
        let entry = |part, value| Entry { leaves: 9, part, sums: sums([value, 1, 0, 0]) };
        window.push_back(entry(1, 5));
        for (part, value, expected) in [(2, 5, 1), (3, 11, 3), (4, 20, 3)] {
            window.join(0, &entry(part, value));
            assert_eq!(window.key(0), Some((9, expected)));
        }
        assert_eq!(window.iter().map(|entry| entry.sums.value).sum::<u64>(), 41);
    }
}
