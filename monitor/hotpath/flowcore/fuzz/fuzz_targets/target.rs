//! The target that the variable FUZZ_TARGET names, under libFuzzer: `make fuzz` runs each in turn.

#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../targets.rs"]
mod targets;

use std::sync::LazyLock;

/// What the name stands for.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let known: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    match targets::TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, run)) => *run,
        None => panic!("FUZZ_TARGET={name:?} is none of {}", known.join(", ")),
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
