//! The fuzz targets over their seeds, and over every input that once failed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::Noise;

#[test]
fn each_target_takes_each_of_its_seeds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let folders: BTreeSet<String> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let names: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(folders, names, "a folder of seeds for each target, and nothing else");
    let mut noise = Noise(0x5eed);
    for (name, run) in targets::TARGETS {
        let mut seeds = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let seed = fs::read(&path).unwrap();
            // seen where a test fails
            println!("{}", path.display());
            run(&seed);
            for round in 0..20 {
                run(&spoilt(&seed, round, &mut noise));
            }
            seeds += 1;
        }
        assert!(seeds > 2, "{name} has {seeds} seeds");
    }
}

/// A seed with a few bytes changed, and every other one cut off.
fn spoilt(seed: &[u8], round: u64, noise: &mut Noise) -> Vec<u8> {
    let mut spoilt = seed.to_vec();
    for _ in 0..=noise.below(4) {
        let at = noise.below(spoilt.len().max(1) as u64) as usize;
        if let Some(byte) = spoilt.get_mut(at) {
            *byte = noise.next() as u8;
        }
    }
    if round % 2 == 1 {
        spoilt.truncate(noise.below(spoilt.len() as u64 + 1) as usize);
    }
    spoilt
}
