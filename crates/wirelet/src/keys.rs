//! Masking keys from a CSPRNG of the thread (RFC 6455 5.3: fresh and unpredictable for each frame).

use std::cell::RefCell;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use wirelet_proto::MaskKeys;

/// Keys of the current thread's generator, which is seeded by the operating system and re-seeded after
/// [`RESEED_AFTER`] keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadKeys;

/// Keys drawn from one seed: 4 MiB of key stream.
const RESEED_AFTER: u32 = 1 << 20;

struct Generator {
    rng: ChaCha12Rng,
    left: u32,
}

thread_local! {
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

impl MaskKeys for ThreadKeys {
    #[inline(never)]
    fn next_key(&mut self) -> [u8; 4] {
        random_u32().to_le_bytes()
    }
}

/// 32 unpredictable bits.
pub(crate) fn random_u32() -> u32 {
    // While the thread ends its generator may be gone already: a fresh one serves.
    GENERATOR.try_with(|cell| draw(&mut cell.borrow_mut())).unwrap_or_else(|_| draw(&mut None))
}

fn draw(slot: &mut Option<Generator>) -> u32 {
    let generator = match slot {
        Some(generator) if generator.left > 0 => generator,
        _ => slot.insert(Generator { rng: seeded(), left: RESEED_AFTER }),
    };
    generator.left -= 1;
    generator.rng.next_u32()
}

fn seeded() -> ChaCha12Rng {
    let mut seed = [0; 32];
    // Without the system's random source no key may be sent at all (RFC 6455 10.3): there is nothing to go on with.
    if let Err(error) = getrandom::fill(&mut seed) {
        panic!("the operating system's random source failed: {error}");
    }
    ChaCha12Rng::from_seed(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_fresh_on_one_thread_and_across_threads() {
        let draw = || (0..1000).map(|_| ThreadKeys.next_key()).collect::<Vec<_>>();
        let mut all = draw();
        for handle in (0..4).map(|_| std::thread::spawn(draw)).collect::<Vec<_>>() {
            all.extend(handle.join().unwrap());
        }
        let distinct: HashSet<_> = all.iter().collect();
        // 5,000 draws of 32 bits: 0.003 repetitions are expected.
        assert!(distinct.len() >= all.len() - 2);
    }

    #[test]
    fn bits_are_balanced() {
        let ones: u32 = (0..10_000).map(|_| random_u32().count_ones()).sum();
        assert!((155_000..165_000).contains(&ones), "{ones}");
    }
}
