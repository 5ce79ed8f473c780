//! Which names each client asked lately: a tunnel never asks the same one twice, a service does all day.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use blake2b_simd::many::{hash_many, HashManyJob};
use blake2b_simd::Params;

use super::Address;
use crate::bounded::Bounded;

/// Bytes of a digest.
const SIZE: usize = 12;
type Digested = [u8; SIZE];
/// Digests that are worked out together.
const TOGETHER: usize = 64;

/// A digest, hashed by its first half: that is as good as all of it.
#[derive(Clone, PartialEq, Eq)]
struct Key(Digested);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.first_chunk().map_or(0, |half| u64::from_le_bytes(*half)));
    }
}

/// Bounded memory of who asked what; about 40 bytes a name, whatever its length.
pub struct AskedNames {
    seen: Bounded<Key, ()>,
}

impl AskedNames {
    /// An empty memory of `bound` names at most.
    pub fn new(bound: usize) -> AskedNames {
        AskedNames { seen: Bounded::new(bound) }
    }

    /// Names forgotten because of the bound, since the start.
    pub fn evicted(&self) -> u64 {
        self.seen.evicted
    }

    /// Whether this client did not ask this name lately; it is remembered that it did.
    pub fn is_fresh(&mut self, client: &Address, question: &str) -> bool {
        self.are_fresh(&[(*client, question)]) == [true]
    }

    /// The same for many, in their order.
    pub fn are_fresh(&mut self, asked: &[(Address, &str)]) -> Vec<bool> {
        let mut fresh = Vec::with_capacity(asked.len());
        for lot in asked.chunks(TOGETHER) {
            for digest in digests(lot) {
                let is_known = self.seen.get(&Key(digest)).is_some();
                if !is_known {
                    self.restore(digest);
                }
                fresh.push(!is_known);
            }
        }
        fresh
    }

    /// What `restore` takes, the longest unasked first.
    pub fn digests(&self) -> impl Iterator<Item = &Digested> {
        self.seen.iter().map(|(key, ())| &key.0)
    }

    /// Put back what `digests` gave.
    pub fn restore(&mut self, digest: Digested) {
        self.seen.put(Key(digest), (), 0);
    }
}

/// A digest has one size whatever the name's, and nobody can make two names collide (RFC 7693). Four together take a
/// processor with wide registers little longer than one.
fn digests(asked: &[(Address, &str)]) -> Vec<Digested> {
    let mut params = Params::new();
    params.hash_length(SIZE);
    let mut all = Vec::new();
    let mut range = |(client, name): &(Address, &str)| {
        let from = all.len();
        all.extend_from_slice(client);
        all.extend_from_slice(name.as_bytes());
        from..all.len()
    };
    let ranges: Vec<Range<usize>> = asked.iter().map(&mut range).collect();
    let texts = ranges.into_iter().map(|range| all.get(range).unwrap_or_default());
    let mut jobs: Vec<HashManyJob<'_>> = texts.map(|text| HashManyJob::new(&params, text)).collect();
    hash_many(&mut jobs);
    let of_job = |job: &HashManyJob<'_>| job.to_hash().as_bytes().first_chunk().copied().unwrap_or_default();
    jobs.iter().map(of_job).collect()
}
