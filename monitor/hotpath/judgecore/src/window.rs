//! The entries of a group's window, oldest first.
//!
//! Most groups have one entry: it stands in the group itself, and asks for no memory of its own.

use std::collections::{vec_deque, VecDeque};

use crate::group::Entry;

/// A queue whose first entry is at hand.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Window {
    first: Option<Entry>,
    /// Empty where `first` is.
    rest: VecDeque<Entry>,
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

    /// The oldest.
    pub fn front(&self) -> Option<&Entry> {
        self.first.as_ref()
    }

    /// The newest.
    pub fn back(&self) -> Option<&Entry> {
        self.rest.back().or(self.first.as_ref())
    }

    /// One by its place.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut Entry> {
        match place {
            0 => self.first.as_mut(),
            _ => self.rest.get_mut(place - 1),
        }
    }

    /// All, oldest first.
    pub fn iter(&self) -> std::iter::Chain<std::option::Iter<'_, Entry>, vec_deque::Iter<'_, Entry>> {
        self.first.iter().chain(self.rest.iter())
    }

    /// All, oldest first.
    pub fn iter_mut(&mut self) -> std::iter::Chain<std::option::IterMut<'_, Entry>, vec_deque::IterMut<'_, Entry>> {
        self.first.iter_mut().chain(self.rest.iter_mut())
    }

    /// Add the newest.
    pub fn push_back(&mut self, entry: Entry) {
        match self.first {
            None => self.first = Some(entry),
            Some(_) => self.rest.push_back(entry),
        }
    }

    /// Take the oldest.
    pub fn pop_front(&mut self) -> Option<Entry> {
        std::mem::replace(&mut self.first, self.rest.pop_front())
    }

    /// Drop all.
    pub fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
    }
}

impl IntoIterator for Window {
    type Item = Entry;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Entry>, vec_deque::IntoIter<Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

impl<'a> IntoIterator for &'a Window {
    type Item = &'a Entry;
    type IntoIter = std::iter::Chain<std::option::Iter<'a, Entry>, vec_deque::Iter<'a, Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
