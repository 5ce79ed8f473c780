//! Notices that most of the traffic is between addresses that are not local: the side may be wrong.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::Array;
use judgecore::frame::Frame;
use judgecore::hash;
use judgecore::row_batch::RowBatch;
use judgecore::slots::Slots;
use judgecore::value::Seen;

use crate::chance;
use crate::marks::{Marks, Passing};
use crate::totals::lightest;

/// An address, IPv4 as `::ffff:a.b.c.d`.
pub type Address = [u8; 16];

/// The addresses at the ends of transit flows, the heaviest.
pub struct Transit {
    most: usize,
    /// Bytes of all flows.
    pub bytes: u64,
    /// Bytes of those between two addresses that are not local.
    pub transit_bytes: u64,
    addresses: HashMap<Address, u64>,
}

/// What ends at one address in a batch.
struct Ended {
    /// The first row.
    row: usize,
    number: Option<u32>,
    bytes: u64,
}

impl Transit {
    /// Remember at most `most` addresses, some 40 bytes each.
    pub fn new(most: usize) -> Transit {
        Transit { most, bytes: 0, transit_bytes: 0, addresses: HashMap::new() }
    }

    /// Add the rows of a batch.
    pub fn add(&mut self, flows: &RowBatch, marks: &Marks) {
        self.bytes = self.bytes.saturating_add(marks.bytes);
        let keys = chance();
        let frame = Frame::new(flows, keys);
        let flows = flows.own();
        let bytes = marks.transit.iter().map(|one| one.bytes);
        self.transit_bytes = bytes.fold(self.transit_bytes, u64::saturating_add);
        for (address, index) in [("local_address", "local_id"), ("remote_address", "remote_id")] {
            // an address is looked for once a batch, and not for each row; few rows are of transit
            let numbers = flows.column_by_name(index).and_then(|column| column.as_primitive_opt::<UInt32Type>());
            let mut places = Slots::default();
            let mut sums: Vec<Ended> = Vec::new();
            for Passing { row, bytes } in marks.transit.iter().copied() {
                let row = row as usize;
                let number = numbers.filter(|numbers| numbers.is_valid(row)).and_then(|all| all.values().get(row));
                let key = number.map(|number| hash::number(keys, 0, u64::from(*number)));
                let is_it = |place: u32| sums.get(place as usize).is_some_and(|one| one.number.as_ref() == number);
                let found = key.and_then(|key| places.find(key, is_it)).and_then(|place| sums.get_mut(place as usize));
                if let Some(Ended { bytes: sum, .. }) = found {
                    *sum = sum.saturating_add(bytes);
                    continue;
                }
                if let Some(key) = key {
                    places.insert(key, sums.len() as u32);
                }
                sums.push(Ended { row, number: number.copied(), bytes });
            }
            for Ended { row, bytes, .. } in sums {
                let Seen::Address(address) = frame.seen(address, row) else { continue };
                let sum = self.addresses.entry(address).or_default();
                *sum = sum.saturating_add(bytes);
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

    use arrow_array::types::UInt8Type;
    use arrow_array::{
        ArrayRef, BinaryViewArray, DictionaryArray, LargeStringArray, RecordBatch, UInt64Array, UInt8Array,
    };
    use arrow_schema::ArrowError;

    use super::*;

    fn flows(ends: &[(u8, u8, u64)]) -> Result<RowBatch, ArrowError> {
        let side = |pick: fn(&(u8, u8, u64)) -> u8| {
            Arc::new(BinaryViewArray::from_iter_values(ends.iter().map(|one| [pick(one); 16]))) as ArrayRef
        };
        let none = ends.iter().map(|_| 0);
        let places = UInt8Array::from_iter_values(ends.iter().map(|_| 1));
        let scopes = LargeStringArray::from(vec!["egress", "transit"]);
        let columns: [(&str, ArrayRef); 5] = [
            ("scope", Arc::new(DictionaryArray::<UInt8Type>::try_new(places, Arc::new(scopes))?)),
            ("local_address", side(|one| one.0)),
            ("remote_address", side(|one| one.1)),
            ("bytes_out", Arc::new(UInt64Array::from_iter_values(ends.iter().map(|one| one.2)))),
            ("bytes_in", Arc::new(UInt64Array::from_iter_values(none))),
        ];
        Ok(RecordBatch::try_from_iter(columns)?.into())
    }

    #[test]
    fn the_heaviest_addresses_are_kept_within_the_bound() -> Result<(), ArrowError> {
        let mut transit = Transit::new(8);
        // the end 255 has 30 times as many bytes as each of the others
        for round in 0..3_u8 {
            let ends: Vec<_> = (0..30_u8).map(|end| (round * 30 + end, 255, u64::from(end) + 1)).collect();
            let flows = flows(&ends)?;
            transit.add(&flows, &Marks::new(&flows));
            assert!(transit.addresses.len() <= 8);
        }
        assert_eq!(transit.transit_bytes, 3 * (1..=30).sum::<u64>());
        assert_eq!(transit.heaviest(), Some(([255; 16], transit.transit_bytes)));
        Ok(())
    }
}
