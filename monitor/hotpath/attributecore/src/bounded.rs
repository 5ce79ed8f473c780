//! A cache with a bound that no sender of packets can push past.

use std::hash::Hash;

use crate::maps::Map;

/// A map of at most `bound` entries that forgets what was not used for longest.
///
/// There are two generations. New and used entries are in the young one; when that holds half the bound (or
/// half of the weight that is allowed) it becomes the old one, and the old one is forgotten as a whole and
/// counted. So the `bound / 2` entries used last are always there, and a use costs one look-up. What is kept
/// depends only on the order of the calls. `monitor/attribute/bounded.py` is the same for Python's values.
pub struct Bounded<K, V> {
    bound: usize,
    weight_bound: usize,
    weigh: fn(&V) -> usize,
    young: Map<K, V>,
    old: Map<K, V>,
    /// Of what was put into the young generation; what was replaced is still in it.
    weight: usize,
    /// Entries forgotten because of the bound.
    pub evicted: u64,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    /// A cache of at most `bound` entries.
    pub fn new(bound: usize) -> Bounded<K, V> {
        Bounded::weighed(bound, 0, |_| 0)
    }

    /// A cache of at most `bound` entries whose weights sum up to at most `weight_bound`, where that is not 0.
    pub fn weighed(bound: usize, weight_bound: usize, weigh: fn(&V) -> usize) -> Bounded<K, V> {
        let (young, old) = (Map::default(), Map::default());
        Bounded { bound, weight_bound, weigh, young, old, weight: 0, evicted: 0 }
    }

    /// Entries that are here.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries at most.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Whether a key is here; that is no use of it.
    pub fn has(&self, key: &K) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// The value, which counts as used.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        self.get_mut(key).map(|value| &*value)
    }

    /// The value, which counts as used, to be changed; by nothing that weighs.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.old.is_empty() && !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            let weight = (self.weigh)(&value);
            let again = key.clone();
            self.put(key, value, weight);
            // it may have been the one that filled the young generation
            return self.young.get_mut(&again).or_else(|| self.old.get_mut(&again));
        }
        self.young.get_mut(key)
    }

    /// Keep a value under a key, in place of an older one; what it weighs more than that.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        // what was young is not old
        if self.young.insert(key.clone(), value).is_none() && !self.old.is_empty() {
            self.old.remove(&key);
        }
        self.weight += weight;
        self.make_room();
    }

    /// Keep many values under keys that are not here, and what they weigh together; these may pass the bound at once.
    pub fn put_all(&mut self, values: impl Iterator<Item = (K, V)>, weight: usize) {
        self.young.extend(values);
        self.weight += weight;
        self.make_room();
    }

    /// Something that was weighed is gone, though its key is not.
    pub fn lighten(&mut self, weight: usize) {
        self.weight = self.weight.saturating_sub(weight);
    }

    /// Forget a key; that is not counted.
    pub fn drop(&mut self, key: &K) {
        if self.young.remove(key).is_none() {
            self.old.remove(key);
        }
    }

    /// All entries, those unused for longest first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.old.iter().chain(&self.young)
    }

    fn make_room(&mut self) {
        let is_heavy = self.weight_bound > 0 && 2 * self.weight > self.weight_bound;
        if 2 * self.young.len() >= self.bound || is_heavy {
            self.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
    }
}
