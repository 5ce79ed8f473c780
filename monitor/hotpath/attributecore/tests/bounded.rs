//! What a bounded cache keeps, against the order in which keys were used.

#![allow(clippy::unwrap_used, missing_docs)]

use attributecore::bounded::Bounded;

#[test]
fn the_half_used_last_is_always_there() {
    let mut cache = Bounded::new(100);
    let mut used: Vec<u64> = Vec::new(); // the newest last
    let mut state = 1_u64;
    for _ in 0..5000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let key = state >> 56; // 256 keys
        if cache.get(&key).is_none() {
            cache.put(key, key * 2, 0);
        }
        used.retain(|known| *known != key);
        used.push(key);
        assert!(cache.len() <= 100);
        for recent in used.iter().rev().take(50) {
            assert!(cache.has(recent));
        }
    }
    assert!(cache.iter().all(|(key, value)| *value == key * 2));
}

#[test]
fn what_is_forgotten_is_counted_and_what_is_dropped_is_not() {
    let mut cache = Bounded::new(10);
    for key in 0..1000 {
        cache.put(key, (), 0);
    }
    assert_eq!(cache.evicted + cache.len() as u64, 1000);
    let (before, kept) = (cache.evicted, cache.len());
    let keys: Vec<i32> = cache.iter().map(|(key, ())| *key).collect();
    keys.iter().for_each(|key| cache.drop(key));
    assert_eq!((cache.evicted, cache.len(), kept), (before, 0, keys.len()));
}

#[test]
fn the_weight_is_a_bound_of_its_own() {
    let mut cache: Bounded<u32, String> = Bounded::weighed(10_000, 100, String::len);
    for key in 0..1000 {
        cache.put(key, "x".repeat(10), 10);
        assert!(cache.iter().map(|(_, text)| text.len()).sum::<usize>() <= 110);
        assert!(cache.has(&key));
    }
    // what is used again weighs again
    let used = *cache.iter().next().map(|(key, _)| key).unwrap();
    assert_eq!(cache.get(&used).map(String::as_str), Some("xxxxxxxxxx"));
}

#[test]
fn many_at_once_may_pass_the_bound_and_no_more() {
    let mut cache = Bounded::new(10);
    cache.put_all((0..50).map(|key| (key, ())), 0);
    assert_eq!(cache.len(), 50);
    cache.put_all((50..60).map(|key| (key, ())), 0);
    assert_eq!((cache.len(), cache.evicted), (10, 50));
}
