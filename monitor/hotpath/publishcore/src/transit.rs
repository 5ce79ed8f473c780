//! Notices that most of the traffic is between addresses that are not local: the side may be wrong.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use judgecore::frame::Frame;
use judgecore::hash::Keys;
use judgecore::value::Seen;

use crate::totals::lightest;
use crate::{chance, of_scope};

/// An address, IPv4 as `::ffff:a.b.c.d`.
pub type Address = [u8; 16];

/// The addresses at the ends of transit flows, the heaviest.
pub struct Transit {
    keys: Keys,
    most: usize,
    /// Bytes of all flows.
    pub bytes: u64,
    /// Bytes of those between two addresses that are not local.
    pub transit_bytes: u64,
    addresses: HashMap<Address, u64>,
}

impl Transit {
    /// Remember at most `most` addresses, some 40 bytes each.
    pub fn new(most: usize) -> Transit {
        Transit { keys: chance(), most, bytes: 0, transit_bytes: 0, addresses: HashMap::new() }
    }

    /// Add the rows of a batch.
    pub fn add(&mut self, flows: &RecordBatch) {
        let frame = Frame::new(flows, self.keys);
        let bytes = [frame.numbers("bytes_out"), frame.numbers("bytes_in")];
        let of = |row: usize| bytes.iter().fold(0_u64, |sum, numbers| sum.saturating_add(numbers.or_zero(row)));
        self.bytes = (0..frame.rows).fold(self.bytes, |sum, row| sum.saturating_add(of(row)));
        for row in of_scope(&frame, "transit") {
            self.transit_bytes = self.transit_bytes.saturating_add(of(row));
            for end in ["local_address", "remote_address"] {
                let Seen::Address(address) = frame.seen(end, row) else { continue };
                let sum = self.addresses.entry(address).or_default();
                *sum = sum.saturating_add(of(row));
            }
        }
        if self.addresses.len() > self.most {
            let mut all: Vec<(u64, Address)> = self.addresses.drain().map(|(address, sum)| (sum, address)).collect();
            let light = lightest(&mut all, self.most / 2).len();
            self.addresses = all.into_iter().skip(light).map(|(sum, address)| (address, sum)).collect();
        }
    }

    /// The address at the end of most transit bytes, and how many they are.
    pub fn heaviest(&self) -> Option<(Address, u64)> {
        let order = |(address, sum): &(Address, u64)| (*sum, *address);
        self.addresses.iter().map(|(address, sum)| (*address, *sum)).max_by_key(order)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryViewArray, StringArray, UInt64Array};
    use arrow_schema::ArrowError;

    use super::*;

    fn flows(ends: &[(u8, u8, u64)]) -> Result<RecordBatch, ArrowError> {
        let side = |pick: fn(&(u8, u8, u64)) -> u8| {
            Arc::new(BinaryViewArray::from_iter_values(ends.iter().map(|one| [pick(one); 16]))) as ArrayRef
        };
        let none = ends.iter().map(|_| 0);
        let columns: [(&str, ArrayRef); 5] = [
            ("scope", Arc::new(StringArray::from_iter_values(ends.iter().map(|_| "transit")))),
            ("local_address", side(|one| one.0)),
            ("remote_address", side(|one| one.1)),
            ("bytes_out", Arc::new(UInt64Array::from_iter_values(ends.iter().map(|one| one.2)))),
            ("bytes_in", Arc::new(UInt64Array::from_iter_values(none))),
        ];
        RecordBatch::try_from_iter(columns)
    }

    #[test]
    fn the_heaviest_addresses_are_kept_within_the_bound() -> Result<(), ArrowError> {
        let mut transit = Transit::new(8);
        // the end 255 has 30 times as many bytes as each of the others
        for round in 0..3_u8 {
            let ends: Vec<_> = (0..30_u8).map(|end| (round * 30 + end, 255, u64::from(end) + 1)).collect();
            transit.add(&flows(&ends)?);
            assert!(transit.addresses.len() <= 8);
        }
        assert_eq!(transit.transit_bytes, 3 * (1..=30).sum::<u64>());
        assert_eq!(transit.heaviest(), Some(([255; 16], transit.transit_bytes)));
        Ok(())
    }
}
