//! The fuzz targets over their seeds, and over those with random changes.

use testkit::fuzz::{TARGETS, seeds};
use testkit::random::Rng;

#[test]
fn every_seed_passes_its_target() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 8, "{name} has {} seeds", seeds.len());
        for (seed, data) in seeds {
            println!("{name} {seed}");
            target(&data);
        }
    }
}

#[test]
fn every_seed_passes_its_target_after_random_changes() {
    let mut rng = Rng::new(11);
    for (name, target) in TARGETS {
        for (seed, data) in seeds(name) {
            for round in 0..30 {
                let mut data = data.clone();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(data.len() + 1);
                    match data.get_mut(at) {
                        Some(byte) => *byte ^= 1 << rng.below(8),
                        None => data.extend(rng.bytes(5)),
                    }
                }
                println!("{name} {seed} {round}: {data:?}");
                target(&data);
            }
        }
    }
}
