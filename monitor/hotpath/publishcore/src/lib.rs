//! Sums of attributed rows, kept while traffic comes: for metrics, and for the summary of a replay.
//!
//! Rows are looked at in one pass over a batch ([`marks`]), which all sums share. What follows from a text is found out
//! once for each number that the stages before gave it (`columns::Known`); sums are kept by small numbers.

#![deny(unsafe_code)]

mod columns;
pub mod connections;
pub mod labels;
pub mod marks;
mod texts;
pub mod totals;
pub mod traffic;
pub mod transit;

use std::hash::{BuildHasher, RandomState};

use judgecore::hash::Keys;
use judgecore::value::Seen;

/// Keys of our own, so that nobody can choose names whose numbers collide.
fn chance() -> Keys {
    let state = RandomState::new();
    [state.hash_one(0), state.hash_one(1)]
}

fn text<'a>(value: &Seen<'a>) -> Option<&'a str> {
    match value {
        Seen::Text(text) => Some(text),
        _ => None,
    }
}
