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

use judgecore::frame::{Codes, Frame};
use judgecore::hash::Keys;
use judgecore::value::Seen;

/// Keys of our own, so that nobody can choose names whose numbers collide.
fn chance() -> Keys {
    let state = RandomState::new();
    [state.hash_one(0), state.hash_one(1)]
}

/// Which rows of a batch have a scope.
fn of_scope<'f, 'a>(frame: &'f Frame<'a>, scope: &str) -> impl Iterator<Item = usize> + use<'f, 'a> {
    let scopes = frame.codes("scope").and_then(|codes| Some((codes, code_of(codes, scope)?)));
    scopes.into_iter().flat_map(|(codes, wanted)| (0..frame.rows).filter(move |row| codes.of(*row) == wanted))
}

/// The code of a text in a column; `None` where no row can have it.
fn code_of(codes: Codes<'_, '_>, text: &str) -> Option<usize> {
    codes.values().iter().position(|value| *value == Seen::Text(text))
}
