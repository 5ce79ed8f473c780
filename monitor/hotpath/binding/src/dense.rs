//! Small dense numbers for values that repeat, so that later stages work once for each distinct value.

use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;

use flowcore::flow::Seed;

/// Values with their numbers, from 0 in the order of their first place.
pub(crate) struct Dense<T> {
    pub(crate) numbers: Vec<u32>,
    pub(crate) distinct: Vec<T>,
}

/// Number values by what they stand for. One that repeats the last, as those of a message's rows do, costs no look-up.
pub(crate) fn dense<T: Copy + Eq, K: Eq + Hash>(
    values: impl Iterator<Item = T>,
    stands_for: impl Fn(T) -> K,
) -> Dense<T> {
    let mut known: HashMap<K, u32, Seed> = HashMap::default();
    let mut all = Dense { numbers: Vec::with_capacity(values.size_hint().0), distinct: Vec::new() };
    let mut last: Option<(T, u32)> = None;
    for value in values {
        let number = match last {
            Some((before, number)) if before == value => number,
            _ => match known.entry(stands_for(value)) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let number = *entry.insert(all.distinct.len() as u32);
                    all.distinct.push(value);
                    number
                }
            },
        };
        last = Some((value, number));
        all.numbers.push(number);
    }
    all
}
