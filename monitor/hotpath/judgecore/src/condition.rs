//! One condition of a match: what a rule says about one field.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::lists::NamedList;
use crate::value::Seen;

/// The lists by name.
pub type Lists = HashMap<String, Arc<NamedList>>;

/// Any of these values, or, negated, a value that is none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The field.
    pub field: String,
    /// A value that is none of these.
    pub negated: bool,
    /// Anything.
    pub everything: bool,
    /// A row without a value holds too.
    pub missing: bool,
    /// Names are compared in lower case.
    pub host: bool,
    /// Words.
    pub exact: HashSet<String>,
    /// True, false or both.
    pub flags: Vec<bool>,
    /// Patterns with `*` (any run of characters) and `?` (one).
    pub globs: Vec<String>,
    /// First and last.
    pub numbers: Vec<(u64, u64)>,
    /// First and last.
    pub addresses: Vec<([u8; 16], [u8; 16])>,
    /// Names of lists.
    pub lists: Vec<String>,
}

impl Condition {
    /// Whether it holds for a value.
    pub fn holds(&self, seen: Seen<'_>, lists: &Lists) -> bool {
        if self.everything {
            return true;
        }
        if seen == Seen::Missing {
            return self.missing && !self.negated;
        }
        self.finds(seen, lists) != self.negated
    }

    fn finds(&self, seen: Seen<'_>, lists: &Lists) -> bool {
        let found = match seen {
            Seen::Missing => false,
            Seen::Bool(flag) => self.flags.contains(&flag),
            Seen::Number(number) => self.numbers.iter().any(|(first, last)| (*first..=*last).contains(&number)),
            Seen::Address(address) => self.addresses.iter().any(|(first, last)| (*first..=*last).contains(&address)),
            Seen::Text(text) if self.host => self.finds_text(&text.to_lowercase()),
            Seen::Text(text) => self.finds_text(text),
        };
        found || self.lists.iter().any(|name| lists.get(name).is_some_and(|list| list.contains(seen)))
    }

    fn finds_text(&self, text: &str) -> bool {
        self.exact.contains(text) || self.globs.iter().any(|glob| matches(glob, text))
    }
}

/// Whether a pattern is the whole text. Takes at most pattern times text steps.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // where the last star stands, and the text that it has not eaten yet
    let mut again: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let here = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                again = Some((pattern.clone(), here.clone()));
                text = here;
                if pattern.clone().next().is_none() {
                    return true;
                }
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                let Some((after, mut rest)) = again.take() else { return false };
                if rest.next().is_none() {
                    return false;
                }
                again = Some((after.clone(), rest.clone()));
                (pattern, text) = (after, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a\nb", true),
            ("?", "", false),
            ("?", "é", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.example.com.evil", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*?c", "ac", false),
            ("**", "x", true),
            ("a.c", "abc", false),
            ("", "", true),
            ("", "a", false),
            ("*a", "ba\n", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text:?}");
        }
    }

    #[test]
    fn none_and_not_are_asked_apart() {
        let lists = Lists::new();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let not = Condition { negated: true, exact: words(&["US"]), ..Condition::default() };
        assert!(not.holds(Seen::Text("CN"), &lists));
        assert!(!not.holds(Seen::Text("US"), &lists));
        assert!(!not.holds(Seen::Missing, &lists));
        let none = Condition { missing: true, exact: words(&["US"]), ..Condition::default() };
        assert!(none.holds(Seen::Missing, &lists) && none.holds(Seen::Text("US"), &lists));
        assert!(!none.holds(Seen::Text("CN"), &lists));
        let some = Condition { missing: true, negated: true, ..Condition::default() };
        assert!(some.holds(Seen::Text("CN"), &lists) && !some.holds(Seen::Missing, &lists));
    }
}
