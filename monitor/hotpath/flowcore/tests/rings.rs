//! What a ring refuses before it asks the kernel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use flowcore::source::ring::{RingOptions, Rings};

#[test]
fn interfaces_beyond_what_a_key_can_tell_apart_are_refused() {
    let options =
        RingOptions { ring: 1 << 21, promiscuous: false, busy_poll: false, filter: None, ..RingOptions::default() };
    let names: Vec<String> = (0..257).map(|number| format!("none{number}")).collect();
    let error = Rings::open(&names, &options, 1).err().unwrap();
    assert_eq!(error.0, "257 interfaces; at most 256 can be watched");
    // one less is for the kernel to refuse: there are no such interfaces, or no right to ask
    let error = Rings::open(&names[1..], &options, 1).err().unwrap();
    assert!(!error.0.contains("at most"), "{error}");
}
