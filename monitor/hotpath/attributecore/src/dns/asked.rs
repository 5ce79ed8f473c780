//! Which names each client asked lately: a tunnel never asks the same one twice, a service does all day.

use std::hash::{Hash, Hasher};

use blake2::digest::consts::U12;
use blake2::{Blake2b, Digest};

use super::Address;
use crate::bounded::Bounded;

type Digested = [u8; 12];

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
        // a digest has one size whatever the name's, and nobody can make two names collide (RFC 7693)
        let digest = Blake2b::<U12>::new().chain_update(client).chain_update(question.as_bytes()).finalize();
        let digest: Digested = digest.into();
        if self.seen.get(&Key(digest)).is_some() {
            return false;
        }
        self.restore(digest);
        true
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
