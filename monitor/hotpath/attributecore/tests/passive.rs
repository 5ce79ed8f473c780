//! The bound of names in passive DNS: what a name takes is counted, once, while it is there.

#![allow(clippy::unwrap_used, missing_docs)]

use attributecore::dns::{Chain, PassiveDns, SECOND};
use attributecore::Address;

const CLIENT: Address = [1; 16];
const TEXT: usize = 1 << 20;

fn chain(names: impl Iterator<Item = String>) -> Chain {
    names.map(String::into_boxed_str).collect()
}

fn address(number: usize) -> Address {
    (number as u128).to_be_bytes()
}

/// A memory that knows a thousand addresses, each by a short name of its own.
fn with_a_thousand() -> PassiveDns {
    let mut passive = PassiveDns::new(1 << 18, TEXT, 100, Vec::new());
    for number in 0..1000 {
        let name = chain([format!("{number}.example")].into_iter());
        assert!(passive.learn(CLIENT, address(number), 0, 60, &name, true));
    }
    passive
}

fn all_are_known(passive: &mut PassiveDns) -> bool {
    (0..1000).all(|number| passive.find(CLIENT, address(number), SECOND).is_some())
}

#[test]
fn one_chain_to_hundreds_of_addresses_weighs_as_one() {
    let mut passive = with_a_thousand();
    // 20 messages of 16 names and 496 addresses: 80 KB of names
    for message in 0..20 {
        let names = chain((0..16).map(|place| format!("{message:010}{place:0240}")));
        for record in 0..496 {
            let to = address(1_000_000 + 1000 * message + record);
            assert!(passive.learn(CLIENT, to, 0, 60, &names, true));
        }
    }
    assert_eq!((passive.len(), passive.evicted()), (1000 + 20 * 496, 0));
    assert!(all_are_known(&mut passive));
}

#[test]
fn names_that_take_turns_at_one_address_take_no_room_from_others() {
    let mut passive = with_a_thousand();
    for turn in 0..20_000 {
        let name = chain([format!("{}.example", turn % 2), "x".repeat(200)].into_iter());
        assert!(passive.learn(CLIENT, address(5000), turn, 60, &name, true));
    }
    assert_eq!((passive.len(), passive.evicted()), (1001, 0));
    assert!(all_are_known(&mut passive));
}

#[test]
fn short_names_weigh_what_they_take() {
    let mut passive = PassiveDns::new(1 << 18, TEXT, 100, Vec::new());
    for number in 0..10_000 {
        // a pointer and a length, and the 32 bytes that malloc gives at least
        let names = chain((0..16).map(|place| char::from(b'a' + place).to_string()));
        assert!(passive.learn(CLIENT, address(number), 0, 60, &names, true));
        assert!(passive.len() * 16 * 48 <= TEXT, "{} pairs", passive.len());
    }
    assert!(passive.evicted() > 0);
}
