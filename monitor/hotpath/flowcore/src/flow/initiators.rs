//! Who opened the flows that left the table while they were open, so that a flow that comes back, or that
//! goes on over a restart, is not judged as one of unknown origin.

use std::collections::{HashMap, VecDeque};

use super::key::{Key, Seed};
use super::slot::Confidence;

/// Flows that are remembered; the oldest go first. An entry takes some 40 bytes.
pub const MAX_INITIATORS: usize = 1 << 16;

/// What is known of one flow: its hash under the key that [`Initiators`] was made with, which end opened
/// it, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Hash of the flow's key.
    pub hash: u64,
    /// The low end opened it.
    pub by_low: bool,
    /// Index of a [`Confidence`].
    pub confidence: u8,
}

/// The memory of one worker.
#[derive(Debug)]
pub(super) struct Initiators {
    seed: Seed,
    known: HashMap<u64, (bool, Confidence), Seed>,
    order: VecDeque<u64>,
}

impl Initiators {
    /// A memory whose hashes are keyed with `secret`, so that nobody can aim at another's entry; a file
    /// that keeps the entries keeps the secret beside them.
    pub(super) fn new(secret: [u64; 2]) -> Initiators {
        let seed = Seed::of(secret);
        Initiators { seed, known: HashMap::with_hasher(seed), order: VecDeque::new() }
    }

    /// Take up entries that an earlier run left.
    pub(super) fn load(&mut self, entries: &[Opened]) {
        for entry in entries {
            if let Some(confidence) = Confidence::from_index(entry.confidence) {
                self.insert(entry.hash, (entry.by_low, confidence));
            }
        }
    }

    /// Remember who opened a flow that leaves.
    pub(super) fn remember<K: Key>(&mut self, key: &K, by_low: bool, confidence: Confidence) {
        self.insert(key.hash(&self.seed), (by_low, confidence));
    }

    /// Who opened this flow, if it was seen before: whether the low end did, and how that is known.
    pub(super) fn recall<K: Key>(&self, key: &K) -> Option<(bool, Confidence)> {
        if self.known.is_empty() {
            return None;
        }
        self.known.get(&key.hash(&self.seed)).copied()
    }

    /// The entry of a flow that is still open, for [`Initiators::entries`].
    pub(super) fn entry<K: Key>(&self, key: &K, by_low: bool, confidence: Confidence) -> Opened {
        Opened { hash: key.hash(&self.seed), by_low, confidence: confidence as u8 }
    }

    /// All entries, the oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = Opened> + '_ {
        self.order.iter().filter_map(|hash| {
            let (by_low, confidence) = *self.known.get(hash)?;
            Some(Opened { hash: *hash, by_low, confidence: confidence as u8 })
        })
    }

    fn insert(&mut self, hash: u64, opened: (bool, Confidence)) {
        if self.known.insert(hash, opened).is_some() {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_INITIATORS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}
