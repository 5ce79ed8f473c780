//! Files built by hand after the format's specification: one node, whose left half has data.

#![allow(clippy::unwrap_used, missing_docs)]

use attributecore::{AddressTree, Fault};

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// A control byte and the text.
fn text(word: &str) -> Vec<u8> {
    [&[0x40 | word.len() as u8], word.as_bytes()].concat()
}

/// The metadata: a map of three numbers.
fn metadata(nodes: u8, bits: u8, version: u8) -> Vec<u8> {
    let numbers = [("node_count", nodes), ("record_size", bits), ("ip_version", version)];
    // a u32 and two u16 of one byte each; the kind of number is not looked at
    let pairs = numbers.map(|(name, number)| [text(name), vec![0xa1, number]].concat());
    [MARKER.to_vec(), vec![0xe3], pairs.concat()].concat()
}

/// One node with two records of 24 bits, and the data.
fn file(left: u32, right: u32, data: &[u8]) -> Vec<u8> {
    let [left, right] = [left, right].map(|record| record.to_be_bytes()[1..].to_vec());
    [left, right, vec![0; 16], data.to_vec(), metadata(1, 24, 4)].concat()
}

fn mapped(four: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = four;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

fn fault(bytes: Vec<u8>) -> Option<Fault> {
    AddressTree::new(bytes).err()
}

#[test]
fn the_left_half_has_data_and_the_right_has_none() {
    let tree = AddressTree::new(file(1 + 16, 1, &text("hello"))).ok().unwrap();
    assert_eq!(tree.find(&mapped([1, 2, 3, 4])), 16);
    assert_eq!(tree.find(&mapped([127, 255, 255, 255])), 16);
    assert_eq!(tree.find(&mapped([128, 0, 0, 0])), 0);
    // RFC 6052 section 2.4 and RFC 3056 section 2: the IPv4 address inside counts
    let nat64 = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let six_to_four = [0x20, 0x02, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!((tree.find(&nat64), tree.find(&six_to_four)), (16, 16));
    // a file of IPv4 addresses knows nothing of others
    assert_eq!(tree.find(&[0; 16]), 0);
}

#[test]
fn what_is_damaged_is_told() {
    let good = file(1 + 16, 1, &text("hello"));
    assert_eq!(fault(good.clone()), None);
    assert_eq!(fault(Vec::new()), Some(Fault::NoMetadata));
    assert_eq!(fault(good[..good.len() - 60].to_vec()), Some(Fault::NoMetadata));
    assert_eq!(fault(good[..good.len() - 1].to_vec()), Some(Fault::BadMetadata));
    assert_eq!(fault([b"x".repeat(5), metadata(1, 24, 4)].concat()), Some(Fault::ShortTree));
    assert_eq!(fault([vec![0; 64], metadata(1, 25, 4)].concat()), Some(Fault::BadMetadata));
    assert_eq!(fault([vec![0; 64], metadata(0, 24, 4)].concat()), Some(Fault::BadMetadata));
    assert_eq!(fault([vec![0; 64], metadata(1, 24, 5)].concat()), Some(Fault::BadMetadata));
    assert_eq!(fault(file(1 + 15, 1, &text("hello"))), Some(Fault::BadRecord));
    assert_eq!(fault(file(1 + 16 + 6, 1, &text("hello"))), Some(Fault::BadRecord));
    // the text is longer than the data
    assert_eq!(fault(file(1 + 16, 1, b"\x46hello")), Some(Fault::BadValue));
    // a pointer to behind the end
    assert_eq!(fault(file(1 + 16, 1, &[0x20, 200])), Some(Fault::BadValue));
    // a pointer to itself is followed once
    assert_eq!(fault(file(1 + 16, 1, &[0x20, 0])), None);
    // arrays in arrays in arrays
    assert_eq!(fault(file(1 + 16, 1, &[0x01, 0x04].repeat(100))), Some(Fault::BadValue));
}

/// An array of so many values, "MaxMind DB File Format Specification", array and data field sizes.
fn array(values: usize) -> Vec<u8> {
    let more = (values - 285) as u16;
    [vec![30, 4], more.to_be_bytes().to_vec()].concat()
}

#[test]
fn values_that_begin_in_the_midst_of_others_do_not_multiply_the_work() {
    let (heads, values) = (5_000_usize, 50_000);
    let (mut data, mut offsets) = (array(values), Vec::new());
    data.extend(vec![0xa0; values]);
    let long = data.len();
    for _ in 0..heads {
        // an array of two: a text, in which the heads behind it hide, and one and the same long array
        let hidden = (data.len() - long).checked_sub(285).map(|more| (more as u16).to_be_bytes());
        let head = hidden.map_or(vec![0xa0; 5], |[high, low]| vec![2, 4, 0x5e, high, low]);
        data = [head, data].concat();
        offsets.push(data.len());
    }
    let nodes = heads as u32 / 2;
    let records: Vec<u32> = offsets.iter().map(|from_end| nodes + 16 + (data.len() - from_end) as u32).collect();
    let tree: Vec<u8> = records.iter().flat_map(|record| record.to_be_bytes()[1..].to_vec()).collect();
    let meta = [MARKER.to_vec(), vec![0xe3], text("node_count"), vec![0xa2], (nodes as u16).to_be_bytes().to_vec()];
    let meta = [meta.concat(), text("record_size"), vec![0xa1, 24], text("ip_version"), vec![0xa1, 4]].concat();
    assert_eq!(fault([tree, vec![0; 16], data, meta].concat()), Some(Fault::BadValue));
}

#[test]
fn no_byte_changed_makes_it_panic() {
    let good = file(1 + 16, 1, &[vec![0xe1], text("country"), text("DE")].concat());
    for place in 0..good.len() {
        for value in 0..=255 {
            let mut changed = good.clone();
            changed[place] = value;
            if let Ok(tree) = AddressTree::new(changed) {
                tree.find(&mapped([1, 2, 3, 4]));
            }
        }
    }
}
