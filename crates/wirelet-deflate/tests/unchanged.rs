//! Both encoders make of a corpus what they always made: a change that is to be none in their output is none.
//!
//! A change that is meant to make other output writes the new numbers here, and says in its commit what the old and the new
//! sizes are.

use testkit::deflate::{Messages, compress, deflater};
use wirelet_deflate::whole::{Effort, Encoder};
use wirelet_deflate::{Flush, Window};

/// Messages for each setting.
const MESSAGES: usize = 60;

/// FNV-1a of all payloads, and how long they are together.
struct Digest(u64, usize);

impl Digest {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325, 0)
    }

    fn add(&mut self, payload: &[u8]) {
        for byte in payload {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.1 += payload.len();
    }
}

#[test]
fn the_encoder_for_small_memory() {
    let mut digest = Digest::new();
    for bits in 8..=12 {
        for window in [Window::fresh(bits), Window::kept(bits)] {
            let (mut deflater, mut messages) = (deflater(window), Messages::new(bits.into()));
            for _ in 0..MESSAGES {
                digest.add(&compress(
                    &mut deflater,
                    &messages.message(),
                    Flush::Message,
                    &[usize::MAX],
                    &[1 << 16],
                ));
            }
        }
    }
    assert_eq!((digest.0, digest.1), (2_637_747_378_571_120_655, 148_006));
}

#[test]
fn the_encoder_for_speed() {
    let (mut digest, mut encoder) = (Digest::new(), Encoder::new());
    for level in 1..=9 {
        for bits in [9, 15] {
            let mut messages = Messages::new(u64::from(level));
            for _ in 0..MESSAGES {
                let mut payload = Vec::new();
                encoder.encode(&messages.message(), 0, bits, Effort::of_level(level), &mut payload);
                digest.add(&payload);
            }
        }
    }
    assert_eq!((digest.0, digest.1), (15_386_365_249_675_896_863, 282_575));
}
