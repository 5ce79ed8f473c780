//! Sums of attributed rows, kept while traffic comes: for metrics, and for the summary of a replay.
//!
//! Rows are taken one by one, in one pass over a batch. Text is looked at once for each distinct value
//! (`judgecore::frame`); sums are kept by a keyed number of the values that they are for.

#![deny(unsafe_code)]

pub mod connections;
pub mod labels;
pub mod totals;
pub mod traffic;
pub mod transit;

use std::hash::{BuildHasher, RandomState};

use judgecore::frame::Frame;
use judgecore::hash::Keys;
use judgecore::intern::Coded;
use judgecore::value::Seen;

/// Keys of our own, so that nobody can choose names whose numbers collide.
fn chance() -> Keys {
    let state = RandomState::new();
    [state.hash_one(0), state.hash_one(1)]
}

/// Which rows of a batch have a scope.
fn of_scope<'f>(frame: &'f Frame<'_>, scope: &str) -> impl Iterator<Item = usize> + use<'f> {
    let scopes = frame.coded("scope");
    let wanted = scopes.and_then(|coded| code_of(coded, scope));
    let codes = scopes.map_or(&[][..], |coded| &coded.codes);
    codes.iter().enumerate().filter(move |(_, code)| Some(**code) == wanted).map(|(row, _)| row)
}

/// The code of a text in a column; `None` where no row can have it.
fn code_of(coded: &Coded<'_>, text: &str) -> Option<u32> {
    coded.values.iter().position(|value| *value == Seen::Text(text)).map(|code| code as u32)
}
